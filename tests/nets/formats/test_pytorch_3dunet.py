"""Checkpoints of pytorch-3dunet, PlantSeg and PanSeg: opened by their configuration, never by a guess."""

import json
import resource
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.images import Image
from napari_tileseg.nets import open_network, save_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats import candidate_of
from napari_tileseg.nets.formats.candidate import Given
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import predict
from napari_tileseg.settings import PredictSettings

MODEL = {
    "name": "UNet3D",
    "in_channels": 1,
    "out_channels": 1,
    "f_maps": 4,
    "num_levels": 2,
    "layer_order": "gcr",
    "num_groups": 2,
    "final_sigmoid": True,
}
#: The same network in our words.
ARGUMENTS = {
    "ndim": 3,
    "in_channels": 1,
    "out_channels": 1,
    "features": (4, 8),
    "layer_order": "gcr",
    "num_groups": 2,
    "final_activation": "sigmoid",
}
LOADERS = {
    "train": {
        "slice_builder": {"name": "FilterSliceBuilder", "patch_shape": [48, 80, 80]},
        "transformer": {
            "raw": [{"name": "Standardize"}, {"name": "RandomFlip"}, {"name": "ToTensor"}],
            "label": [{"name": "RandomFlip"}, {"name": "StandardLabelToBoundary", "blur": True}],
        },
    }
}


def built(name: str = "double_conv_unet", **more: Any) -> nn.Module:
    torch.manual_seed(0)
    module = registry.build(name, **{**ARGUMENTS, **more}).eval()
    for weight in module.parameters():
        nn.init.normal_(weight, 0.03, 0.3)
    return module


def checkpoint(weights: dict[str, Tensor]) -> dict[str, Any]:
    """What the package's trainer writes; the best score is a number of NumPy there."""
    return {
        "num_epochs": 3,
        "num_iterations": 100,
        "model_state_dict": weights,
        "best_eval_score": np.float64(0.25),
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-4}]},
    }


def written(folder: Path, weights: Any, config: Any = None, *, zipped: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "best_checkpoint.pytorch"
    torch.save(weights, path, _use_new_zipfile_serialization=zipped)
    if config is not None:
        text = config if isinstance(config, str) else yaml.safe_dump(config)
        (folder / "config_train.yml").write_text(text)
    return path


def read(path: Path, architecture: str | None = None) -> tuple[Description, nn.Module]:
    """What is stated of a network and its module, without measuring it."""
    with open_package(path) as package:
        found = candidate_of(package, Given(architecture))
        return found.description, found.build().eval()


def configured(
    folder: Path, module: nn.Module | None = None, /, **model: Any
) -> tuple[Description, nn.Module]:
    """A network with a configuration of `MODEL` and what is given beside it."""
    weights = (module or built()).state_dict()
    return read(written(folder, weights, {"model": {**MODEL, **model}}))


def same(first: nn.Module, second: nn.Module) -> bool:
    convolution: Any = next(each for each in second.modules() if hasattr(each, "kernel_size"))
    x = torch.randn(1, convolution.in_channels, *(8, 12, 8)[: convolution.weight.dim() - 2])
    with torch.inference_mode():
        return torch.equal(first(x), second(x))


@pytest.mark.parametrize("way", ["file", "file before zip", "bare", "folder", "zip", "configuration"])
def test_it_is_opened_however_it_is_chosen(tmp_path: Path, way: str) -> None:
    module, folder = built(ndim=2), tmp_path / "ovules"
    weights = module.state_dict() if way == "bare" else checkpoint(module.state_dict())
    config = {"model": {**MODEL, "name": "UNet2D"}, "loaders": LOADERS}
    path = written(folder, weights, config, zipped=way != "file before zip")
    if way == "zip":
        path = tmp_path / "ovules.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, f"ovules/{file.name}")
    chosen = {"folder": folder, "configuration": folder / "config_train.yml"}.get(way, path)
    opened = open_network(chosen)
    spec = opened.spec
    assert same(opened.module, module)
    assert (spec.name, spec.axes, spec.architecture) == ("ovules", "yx", "double_conv_unet")
    assert (spec.activation, spec.classes) == ("none", ("boundary",))
    assert spec.input_normalization == InputNormalization(kind="zero_mean")
    assert "It was trained on patches of 48 x 80 x 80 voxels." in spec.notes
    again = open_network(opened.reference)
    assert (again.spec, again.sha256) == (spec, opened.sha256)


def test_a_folder_and_its_zip_file_are_the_same_network(tmp_path: Path) -> None:
    written(tmp_path / "a", built().state_dict(), {"model": MODEL})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "a").iterdir():
            archive.write(file, file.name)

    def sha256(name: str) -> str:
        with open_package(tmp_path / name) as package:
            return package.sha256(candidate_of(package, Given()).members)

    hashes = {sha256(name) for name in ("a", "a.zip", "a/config_train.yml")}
    assert len(hashes) == 1
    other = {"model": {**MODEL, "layer_order": "gcl"}}
    (tmp_path / "a" / "config_train.yml").write_text(yaml.safe_dump(other))
    assert sha256("a") not in hashes


def test_a_file_is_opened_again_as_it_was_described_without_its_configuration(tmp_path: Path) -> None:
    module = built(ndim=2, layer_order="gcl")
    config = {"model": {**MODEL, "name": "UNet2D", "layer_order": "gcl"}}
    opened = open_network(written(tmp_path / "a", module.state_dict(), config))
    (tmp_path / "a" / "config_train.yml").unlink()
    again = open_network(opened.reference)
    assert again.description.arguments["layer_order"] == "gcl"
    assert same(again.module, module)


@pytest.mark.parametrize(
    ("name", "arguments", "model"),
    [
        ("double_conv_unet", {"layer_order": "bce", "num_groups": None}, {"name": "UNet3D"}),
        ("double_conv_unet", {"ndim": 2}, {"name": "UNet2D"}),
        ("double_conv_unet", {"upsampling": "linear"}, {"upsample": "trilinear"}),
        ("double_conv_unet", {"upsampling": "deconv"}, {"upsample": "deconv"}),
        ("double_conv_unet", {"upscale": 1}, {"conv_upscale": 1}),
        ("double_conv_unet", {"final_activation": "none"}, {"is_segmentation": False}),
        (
            "double_conv_unet",
            {"out_channels": 2, "final_activation": "softmax"},
            {"out_channels": 2, "final_sigmoid": False},
        ),
        ("residual_unet", {}, {"name": "ResidualUNet3D"}),
        ("residual_unet", {"joining": "concatenation"}, {"name": "ResidualUNet3D", "upsample": "deconv"}),
        ("residual_unet", {"squeeze_excitation": True}, {"name": "ResidualUNetSE3D"}),
        ("residual_unet", {"ndim": 2}, {"name": "ResidualUNet2D"}),
    ],
)
def test_the_configuration_decides_what_is_built(
    tmp_path: Path, name: str, arguments: dict[str, Any], model: dict[str, Any]
) -> None:
    module = built(name, **arguments)
    kept = {key: arguments[key] for key in ("layer_order", "num_groups") if key in arguments}
    description, opened = configured(tmp_path / "a", module, **kept, **model)
    assert (description.architecture, description.activation) == (name, "none")
    assert same(opened, module)


def test_it_equals_the_class_of_pytorch_3dunet(tmp_path: Path) -> None:
    package = pytest.importorskip("pytorch3dunet.unet3d.model")
    for name in ("UNet3D", "ResidualUNet3D", "ResidualUNetSE3D"):
        module = getattr(package, name)(**{**MODEL, "name": name}).eval()
        _, opened = configured(tmp_path / name, module, name=name)
        x = torch.randn(1, 1, 9, 12, 8)
        with torch.inference_mode():
            torch.testing.assert_close(opened(x), module(x), rtol=0, atol=1e-6)


def test_convolutions_of_one_voxel_along_z_are_those_of_planes(tmp_path: Path) -> None:
    flat = built(ndim=2)
    thin = {name: each[:, :, None] if each.dim() == 4 else each for name, each in flat.state_dict().items()}
    opened = open_network(written(tmp_path / "a", checkpoint(thin), {"model": {**MODEL, "name": "UNet2D"}}))
    assert opened.spec.axes == "yx"
    assert same(opened.module, flat)
    assert any("network of planes" in note for note in opened.spec.notes)
    saved = save_network(opened.module, tmp_path / "a.safetensors", opened.description)
    assert same(read(saved)[1], flat)
    assert same(read(tmp_path / "a" / "best_checkpoint.pytorch", opened.reference.architecture)[1], flat)
    # Planes of a volume go through it by themselves.
    values = np.random.default_rng(0).random((3, 16, 16), np.float32)
    opened = replace(opened, spec=replace(opened.spec, input_normalization=InputNormalization(kind="none")))
    result = np.asarray(predict(Image(values, "zyx"), opened, PredictSettings(device="cpu")))
    with torch.inference_mode():
        expected = flat(torch.from_numpy(values)[:, None])[:, 0]
    np.testing.assert_allclose(result[0], expected, atol=1e-5)


def test_what_the_weights_leave_open_is_asked(tmp_path: Path) -> None:
    path = written(tmp_path / "a", checkpoint(built().state_dict()))
    with pytest.raises(NetworkError, match=r"orders gcr, gcl, gce fit alike, and so do 1, 2, 4") as asked:
        read(path)
    example = str(asked.value).partition("in place of each ?: ")[2]
    with pytest.raises(NetworkError, match=r"got '\?'"):
        read(path, example)
    answers = {}
    for order in ("gcr", "gcl", "gce"):
        for groups in (1, 2, 4):
            stated = json.loads(example)
            stated["arguments"] |= {"layer_order": order, "num_groups": groups}
            _, opened = read(path, json.dumps(stated))
            assert same(opened, built(layer_order=order, num_groups=groups))
            with torch.inference_mode():
                answers[order, groups] = opened(torch.linspace(-1, 2, 512).reshape(1, 1, 8, 8, 8))
    # That is why it is asked: all of them open, and no two agree.
    found = list(answers.values())
    assert all(not torch.allclose(a, b, atol=1e-3) for n, a in enumerate(found) for b in found[:n])


@pytest.mark.parametrize("left_out", ["layer_order", "num_groups"])
def test_a_configuration_that_leaves_it_open_is_no_answer(tmp_path: Path, left_out: str) -> None:
    model = {key: value for key, value in MODEL.items() if key != left_out}
    with pytest.raises(NetworkError, match="which do not say in which order"):
        read(written(tmp_path / "a", built().state_dict(), {"model": model}))


@pytest.mark.parametrize(
    ("name", "arguments", "orders"),
    [
        ("double_conv_unet", {"layer_order": "bcr"}, "bcr, bcl, bce"),
        ("double_conv_unet", {"layer_order": "crb"}, "cbr, cbl, cbe, crb, clb, ceb"),
        ("double_conv_unet", {"layer_order": "ce"}, "cr, cl, ce"),
        ("residual_unet", {"layer_order": "bcl"}, "bcr, bcl, bce, cbr"),
    ],
)
def test_the_orders_that_are_listed_fit(
    tmp_path: Path, name: str, arguments: dict[str, Any], orders: str
) -> None:
    module = built(name, **arguments)
    path = written(tmp_path / "a", module.state_dict())
    with pytest.raises(NetworkError, match=f"orders {orders}") as asked:
        read(path)
    stated = json.loads(str(asked.value).partition("in place of each ?: ")[2])
    stated["arguments"]["layer_order"] = arguments["layer_order"]
    assert same(read(path, json.dumps(stated))[1], module)


def test_what_the_user_states_is_completed_by_the_configuration(tmp_path: Path) -> None:
    config = {"model": {**MODEL, "layer_order": "gce"}, "loaders": LOADERS}
    path = written(tmp_path / "a", built().state_dict(), config)
    named, _ = read(path, '{"classes": ["walls"]}')
    assert (named.classes, named.arguments["layer_order"]) == (("walls",), "gce")
    stated = {"architecture": "double_conv_unet", "arguments": {**ARGUMENTS, "final_activation": "none"}}
    given, _ = read(path, json.dumps(stated))
    # The activation that the configuration states is that of another end.
    assert (given.arguments["layer_order"], given.activation) == ("gcr", None)
    assert given.input_normalization == InputNormalization(kind="zero_mean")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([{"name": "Standardize", "eps": 1e-6}], (ZeroMean(eps=1e-6, floor=True),)),
        ([{"name": "Standardize", "mean": 10.0, "std": 4.0}], (Linear(gain=0.25, offset=-2.5),)),
        ([{"name": "PercentileNormalizer"}], (Percentiles(low=1, high=99.6, eps=1e-10),)),
        ([{"name": "Normalize"}], (Percentiles(eps=1e-10, clip=True, to=(-1, 1)),)),
        (
            [{"name": "Normalize", "min_value": 0, "max_value": 200, "norm01": True, "eps": 0}],
            (Linear(gain=1 / 200), Clip(low=0, high=1)),
        ),
        ([{"name": "ToTensor", "expand_dims": True}], ()),
    ],
)
def test_intensities_are_prepared_as_the_loader_does(
    tmp_path: Path, raw: list[dict[str, Any]], expected: tuple[Any, ...]
) -> None:
    loaders = {"val": {"transformer": {"raw": raw}}, "train": LOADERS["train"]}
    path = written(tmp_path / "a", built().state_dict(), {"model": MODEL, "loaders": loaders})
    assert read(path)[0].input_normalization == InputNormalization.of_steps(expected)


def test_channels_are_standardized_together_but_where_stated(tmp_path: Path) -> None:
    module, model = built(in_channels=2), {**MODEL, "in_channels": 2}
    for number, (stated, alone) in enumerate([({}, False), ({"channelwise": True}, True)]):
        loaders = {"val": {"transformer": {"raw": [{"name": "Standardize", **stated}]}}}
        path = written(tmp_path / str(number), module.state_dict(), {"model": model, "loaders": loaders})
        wanted = read(path)[0].input_normalization
        assert wanted is not None
        assert wanted.as_steps == (ZeroMean(per_channel=alone),)


def test_what_has_no_counterpart_is_a_note(tmp_path: Path) -> None:
    raw = [{"name": "Standardize"}, {"name": "Normalize", "min_value": 3}, {"name": "Relabel"}]
    config = {"model": MODEL, "loaders": {"val": {"transformer": {"raw": raw}}}}
    stated, _ = read(written(tmp_path / "a", built().state_dict(), config))
    assert stated.notes[0] == (
        "config_train.yml prepares intensities by Normalize, Relabel, which is left out."
    )


def test_intensities_that_nothing_states_are_standardized_and_that_is_a_note(tmp_path: Path) -> None:
    stated, _ = configured(tmp_path / "a")
    assert stated.input_normalization == InputNormalization(kind="zero_mean")
    assert any("because nothing says" in note for note in stated.notes)
    path = written(tmp_path / "b", built(in_channels=2).state_dict())
    arguments = {**ARGUMENTS, "in_channels": 2}
    said = {"architecture": "double_conv_unet", "arguments": arguments}
    together, _ = read(path, json.dumps(said))
    assert together.input_normalization is not None
    assert together.input_normalization.as_steps == (ZeroMean(per_channel=False),)
    own, _ = read(path, json.dumps({**said, "input_normalization": {"kind": "none"}}))
    assert (own.input_normalization, own.notes) == (InputNormalization(kind="none"), ())


@pytest.mark.parametrize(
    ("over", "name", "words"),
    [
        ({"global_normalization": True}, "Standardize", None),
        ({"global_normalization": False}, "Standardize", "in each patch by itself (global_normalization is"),
        ({}, "Standardize", "does not say over what intensities are measured"),
        ({}, "PercentileNormalizer", "does not say over what intensities are measured"),
        ({}, "ToTensor", None),
    ],
)
def test_over_what_intensities_were_measured_is_said_where_it_is_not_the_image(
    tmp_path: Path, over: dict[str, Any], name: str, words: str | None
) -> None:
    loaders = {**over, "val": {"transformer": {"raw": [{"name": name}]}}}
    path = written(tmp_path / "a", built().state_dict(), {"model": MODEL, "loaders": loaders})
    notes = [note for note in read(path)[0].notes if "measure" in note]
    assert len(notes) == (words is not None)
    assert all(str(words) in note and "Here it is the whole image" in note for note in notes)


@pytest.mark.parametrize("key", ["ovules", "other"])
def test_the_voxel_size_is_that_of_the_record_of_a_zoo(tmp_path: Path, key: str) -> None:
    path = written(tmp_path / "ovules", built().state_dict(), {"model": MODEL})
    record = {"resolution": [0.235, 0.15, 0.15], "model_url": f"https://example.org/{path.name}"}
    zoo = {"first": {"resolution": [1, 1, 1], "model_url": "https://example.org/x.pytorch"}, key: record}
    (path.parent / "models_zoo.yaml").write_text(yaml.safe_dump(zoo))
    assert read(path)[0].voxel_size == (0.235, 0.15, 0.15)
    assert read(path.parent)[0].voxel_size == (0.235, 0.15, 0.15)


def test_of_two_checkpoints_the_best_is_opened_and_that_is_a_note(tmp_path: Path) -> None:
    path = written(tmp_path / "a", built().state_dict(), {"model": MODEL})
    torch.save(built(layer_order="gcl").state_dict(), path.with_name("last_checkpoint.pytorch"))
    with open_package(tmp_path / "a") as package:
        notes = candidate_of(package, Given()).notes
    assert "last_checkpoint.pytorch is there as well; best_checkpoint.pytorch was opened." in notes


def test_a_real_checkpoint_without_its_configuration_is_asked_about(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "networks" / "panseg_unet3d_test"
    for chosen in (folder, folder / "best_checkpoint.pytorch"):
        with pytest.raises(NetworkError, match=r"UNet3D.*orders gcr, gcl, gce.*1, 2, 4, 8, 16"):
            read(chosen)
    # Configurations of two other networks, put where its own would be.
    for name, what in (
        ("other_residual_batchnorm_config_train.yml", "ResidualUNet3D"),
        ("other_unet3d_groupnorm_config_train.yml", "UNet3D"),
    ):
        beside = tmp_path / what
        beside.mkdir()
        (beside / "best_checkpoint.pytorch").symlink_to(folder / "best_checkpoint.pytorch")
        (beside / "config_train.yml").write_bytes((folder / name).read_bytes())
        with pytest.raises(NetworkError, match=f"of another network: it states a {what} .*16, 32, 64, 128"):
            read(beside / "best_checkpoint.pytorch")
    # Its order as its own tests state it.
    arguments = {**ARGUMENTS, "features": [16, 32, 64, 128], "num_groups": 8}
    stated = json.dumps({"architecture": "double_conv_unet", "arguments": arguments})
    _, opened = read(folder / "best_checkpoint.pytorch", stated)
    assert sum(isinstance(each, nn.GroupNorm) for each in opened.modules()) == 14


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "os.system"}, r"its model is 'os.system'"),
        ({"name": ["UNet3D"]}, r"its model is \['UNet3D'\]"),
        ({"name": "pytorch3dunet.unet3d.model.UNet3D"}, "one of UNet3D, UNet2D"),
        ({"f_maps": 8}, r"another network: it states a UNet3D of features 8, 16 .* of features 4, 8"),
        ({"f_maps": 2**60}, "another network"),
        ({"f_maps": "4"}, "another network"),
        ({"f_maps": [4] * 2000}, "another network"),
        ({"num_levels": 10**9}, "another network"),
        ({"in_channels": 10**12}, "another network"),
        ({"name": "ResidualUNet3D"}, "another network: it states a ResidualUNet3D"),
        ({"layer_order": "cgr"}, "do not fit the architecture"),
        ({"layer_order": "__import__"}, "one of letters of"),
        ({"layer_order": "g" * 10**5}, "words of 100 at most"),
        ({"num_groups": 3}, "groups of the same size"),
        ({"num_groups": 10**9}, "as numbers up to"),
        ({"num_groups": -1}, "needs a number of groups"),
        ({"conv_padding": 0}, "states conv_padding 0"),
        ({"pool_kernel_size": [1, 2, 2]}, "some versions of pytorch-3dunet take and others ignore"),
        ({"upsample": None}, "states upsample None"),
        ({"upsample": "bilinear"}, "states upsample 'bilinear'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(NetworkError, match=message):
        configured(tmp_path / "a", **model)


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:os.system ['touch {mark}']\n",
        "model: {{name: UNet3D, in_channels: !!python/name:os.system}}\n",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "model: *i\n",
        "model: {{name: UNet3D",
        "- " * 50_000,
        "x: '" + "y" * 2**18 + "'\n",
    ],
    ids=["call", "name", "laughs", "cut off", "deep", "large"],
)
def test_a_hostile_configuration_runs_nothing_and_takes_little(tmp_path: Path, text: str) -> None:
    mark = tmp_path / "ran"
    path = written(tmp_path / "a", built().state_dict(), text.format(mark=mark) if "{" in text else text)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for chosen in (path, path.parent):
        with pytest.raises(NetworkError, match=r"config_train\.yml"):
            read(chosen)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20
    assert not mark.exists()


class Bomb:
    """Pickles as a call that would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_hostile_checkpoint_runs_nothing_and_takes_little(tmp_path: Path) -> None:
    mark, config = tmp_path / "ran", {"model": MODEL}
    weights = built().state_dict()
    bomb = written(tmp_path / "bomb", {**checkpoint(weights), "best_eval_score": Bomb(mark)}, config)
    with pytest.raises(NetworkError, match="would run code"):
        read(bomb)
    # Sizes that lie: one number in the file, spread over terabytes.
    first, last = (
        "encoders.0.basic_module.SingleConv1.conv.weight",
        "encoders.1.basic_module.SingleConv2.conv.weight",
    )
    vast = {**weights, last: torch.zeros(1).expand(2**20, 2**10, 3, 3, 3)}
    began = time.process_time()
    for name, lying, model in (
        ("vast", vast, {**MODEL, "f_maps": [4, 2**20]}),
        ("many axes", {**weights, first: torch.zeros(1).expand((1,) * 20)}, MODEL),
        ("no axes", {**weights, first: torch.zeros(())}, MODEL),
        ("one level", {n: each for n, each in weights.items() if "encoders.1" not in n}, MODEL),
        ("no end", {n: each for n, each in weights.items() if "final" not in n}, MODEL),
    ):
        with pytest.raises(NetworkError):
            read(written(tmp_path / name, lying, {"model": model}))
    assert time.process_time() - began < 5
    assert not mark.exists()


def test_residual_blocks_of_older_versions_are_named(tmp_path: Path) -> None:
    weights = {"encoders.0.basic_module.conv1.conv.weight": torch.zeros(4, 1, 3, 3, 3)}
    with pytest.raises(NetworkError, match="of an older pytorch-3dunet"):
        read(written(tmp_path / "a", weights, {"model": {**MODEL, "name": "ResidualUNet3D"}}))
