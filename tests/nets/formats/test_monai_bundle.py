"""MONAI bundles: what is recognised, what arrives of what they say, and what is refused."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg import predict
from napari_tileseg.errors import NetworkError, UntrustedNetworkError
from napari_tileseg.images import Image
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean
from napari_tileseg.nets.network import open_network
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.settings import NetworkSettings, PredictSettings

from .monai_bundles import (
    BEFORE,
    LOAD,
    NETWORKS,
    RANGE,
    configuration,
    made,
    metadata,
    small_bundle,
    turned,
    write_bundle,
    zipped,
)

UNET = {"_target_": "UNet", **NETWORKS["UNet"][0]}
IMAGE = torch.randn(1, 1, 8, 12, 16, generator=torch.Generator().manual_seed(3))


def opened(path: Path, **given: Any) -> tuple[Candidate, nn.Module]:
    """Return what a bundle says, and its network in evaluation mode."""
    with open_package(path) as package:
        candidate = formats.candidate_of(package, Given(**given))
        return candidate, candidate.build().eval()


def read(path: Path, **given: Any) -> Candidate:
    with open_package(path) as package:
        return formats.candidate_of(package, Given(**given))


def refused(path: Path, **given: Any) -> str:
    with pytest.raises(NetworkError) as caught:
        opened(path, **given)
    return str(caught.value)


def run(module: nn.Module, values: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(values)


def before(*transforms: dict[str, Any]) -> dict[str, Any]:
    return {"before": [*LOAD, *transforms]}


def notes(candidate: Candidate) -> str:
    return " ".join((*candidate.notes, *candidate.description.notes))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_what_it_gives_in_monai_on_axes_in_its_order(tmp_path: Path, name: str) -> None:
    arguments, shape = NETWORKS[name]
    candidate, module = opened(small_bundle(tmp_path / "net", name))
    image = torch.randn(2, 1, *shape)
    expected = turned(run(made(name, arguments), turned(image)))
    torch.testing.assert_close(run(module, image), expected, rtol=0, atol=1e-5)
    if len(set(shape)) > 1:
        # The order of axes matters to these weights.
        assert (run(made(name, arguments), image) - expected).abs().max() > 1e-3
    # What treats its axes alike is turned by its kernels, and is one network of that architecture then.
    turned_around = candidate.description.arguments.get("order")
    assert turned_around == (
        [*range(len(shape))][::-1] if name in {"DynUNet", "SwinUNETR", "UNETR"} else None
    )


def test_a_network_of_one_shape_takes_it_in_our_order(tmp_path: Path) -> None:
    said = {**NETWORKS["UNETR"][0], "img_size": [16, 32]}
    network = made("UNETR", said)
    config = configuration({"_target_": "UNETR", **said})
    found = open_network(write_bundle(tmp_path / "net", config, metadata(2), network.state_dict()))
    read_shape = found.spec.geometry.read
    assert read_shape.fixed
    assert read_shape.minimum == (32, 16)
    image = torch.randn(1, 1, 32, 16)
    torch.testing.assert_close(
        run(found.module, image), turned(run(network, turned(image))), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("changed", "by_kernels"),
    [
        ({"kernel_size": 5}, True),
        ({"kernel_size": [3, 3, 3], "strides": [[2, 2, 2], 2]}, True),
        ({"strides": [2, 1]}, True),
        ({"strides": [[2, 2, 1], 2]}, False),
        ({"kernel_size": [3, 5, 1]}, False),
        ({"up_kernel_size": [3, 3, 1]}, False),
        ({"act": ["leakyrelu", {"negative_slope": 0.2}], "norm": ["batch", {"eps": 0.01}]}, True),
    ],
)
def test_kernels_are_turned_only_where_all_axes_are_alike(
    tmp_path: Path, changed: dict[str, Any], by_kernels: bool
) -> None:
    said = {**NETWORKS["UNet"][0], **changed}
    network = made("UNet", said)
    folder = small_bundle(
        tmp_path / "net", network={"_target_": "UNet", **said}, weights=network.state_dict()
    )
    candidate, module = opened(folder)
    assert (candidate.description.architecture == "monai_unet") is by_kernels
    torch.testing.assert_close(run(module, IMAGE), turned(run(network, turned(IMAGE))), rtol=0, atol=1e-5)


def test_folder_zip_and_configurations_are_the_same_network(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "net")
    ways = [
        folder,
        folder / "configs" / "metadata.json",
        folder / "configs" / "inference.json",
        zipped(folder, tmp_path / "a.zip"),
        zipped(folder, tmp_path / "b.zip", inside="net/"),
        zipped(folder, tmp_path / "c.zip", inside="all/net/"),
    ]
    hashes = set()
    for path in ways:
        with open_package(path) as package:
            candidate = formats.candidate_of(package, Given())
            hashes.add(package.sha256(candidate.members))
        assert candidate.description.name == "Spleen CT segmentation"
    assert len(hashes) == 2  # one folder deeper, members have other names
    names = ("configs/metadata.json", "configs/inference.json", "models/model.pt")
    assert read(folder).members == names


def test_what_is_said_of_channels_classes_and_windows_arrives(tmp_path: Path) -> None:
    network = open_network(small_bundle(tmp_path / "net"))
    spec = network.spec
    assert (spec.axes, spec.classes, spec.activation) == ("zyx", ("background", "spleen"), "softmax")
    assert (spec.architecture, spec.channel_names) == ("monai_unet", ("channel 0",))
    assert spec.input_normalization == InputNormalization.of_steps(
        (Linear(gain=1 / 221, offset=57 / 221), Clip(low=0, high=1))
    )
    said = " ".join(spec.notes)
    assert "takes the axes x, y, z" in said
    assert spec.geometry.stride == (4, 4, 4)
    assert "windows of 96 x 96 x 96 voxels that overlap by 0.5" in said
    assert "Invertd brings results back" in said
    again = open_network(network.reference)
    assert again.sha256 == network.sha256
    assert again.spec == spec


def test_yaml_references_and_disabled_parts_are_data(tmp_path: Path) -> None:
    network = {
        **UNET,
        "out_channels": "@classes",
        "channels": "@sizes::unet",
        "strides": "%sizes#strides",
    }
    candidate, module = opened(
        small_bundle(
            tmp_path / "net",
            as_yaml=True,
            network="@which",
            which=network,
            classes=2,
            sizes={"unet": "@sizes::all::0", "all": [[4, 8, 8]], "strides": [2, 2]},
            before="$@transforms",
            transforms=[
                *LOAD,
                {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x", "_disabled_": True},
                {
                    "_target_": "ScaleIntensityd",
                    "keys": ["@image_key"],
                    "dtype": "$None",
                    "_disabled_": "$1 > 2",
                },
            ],
        )
    )
    expected = turned(run(made("UNet", NETWORKS["UNet"][0]), turned(IMAGE)))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=0, atol=1e-5)
    assert candidate.description.input_normalization == InputNormalization.of_steps(
        (Percentiles(per_channel=False, eps=1e-8, floor=True),)
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"network": {**UNET, "out_channels": "$len(@classes)"}},
            r"network_def::out_channels is '\$len.*is code",
        ),
        (
            {"network": {**UNET, "out_channels": "@count"}, "count": "$1 + 1"},
            r"count is '\$1 \+ 1', which is",
        ),
        ({"network": "$monai.networks.nets.UNet()"}, r"network_def is '\$monai.*which is code"),
        ({"network": {"_target_": "scripts.networks.unest.UNesT"}}, r"scripts\.networks.*from its own scr"),
        ({"network": {"_target_": "os.system", "command": "id"}}, r"'os\.system', which is not built"),
        ({"network": {**UNET, "_target_": "monai.networks.nets.os.path.UNet"}}, "is not built here"),
        ({"network": {**UNET, "_target_": "monai.networks.nets.Classifier"}}, "is not built here"),
        ({"network": {**UNET, "_target_": "SegResNetVAE"}}, "'SegResNetVAE', which is not built here"),
        ({"network": {**UNET, "_target_": "monai.losses.UNet"}}, "is not built here"),
        ({"network": {**UNET, "_target_": ["UNet"]}}, "is not built here"),
        ({"network": {**UNET, "_disabled_": True}}, "network_def is disabled"),
        ({"network": {**UNET, "_mode_": "callable"}}, "no instance"),
        (
            {"network": {**UNET, "act": {"_target_": "torch.nn.ReLU"}}},
            r"a part of network_def is built by",
        ),
        ({"network": None}, "no network_def that names a class"),
        ({"network": ["UNet"]}, "network_def names no class"),
        ({"network": "@a", "a": "@b", "b": "@a"}, "a is '@b', which refers back to itself|b is '@a'.*itself"),
        ({"network": {**UNET, "channels": "@network_def"}}, "refers back to itself"),
        ({"network": "@nowhere::0"}, "network_def is '@nowhere::0', which refers to nothing"),
        (
            {"network": {**UNET, "channels": "@sizes::7"}, "sizes": [1]},
            "'@sizes::7', which refers to",
        ),
        ({"network": {**UNET, "channels": "%a.json#b"}}, "which is the text of another file"),
    ],
)
def test_networks_of_code_or_of_other_classes_are_refused_by_the_part(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    said = refused(small_bundle(tmp_path / "net", **changed))
    assert said.startswith(f"{tmp_path / 'net'} is a MONAI bundle whose network is not built here")
    assert "has no models/model.ts. Write that with MONAI, python -m monai.bundle ckpt_export" in said
    assert re.search(words, said)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"network": {**UNET, "depth": 3}}, "no argument 'depth'"),
        ({"network": {**UNET, "channels": [4, 8, 9]}}, "weights of another shape"),
        ({"network": {**UNET, "num_res_units": 1}}, "do not fit the architecture"),
        ({"network": {**UNET, "channels": [60_000] * 3}}, "more weights than the file can hold"),
        (
            {"network": {**UNET, "in_channels": 3}},
            "1 channels in; the one that its configuration",
        ),
        ({"said": metadata(2)}, "network of 2 axes; the one that its configuration defines has 3"),
        ({"weights": {"model": torch.zeros(3)}}, "do not fit the architecture"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_built(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    assert words in refused(small_bundle(tmp_path / "net", **changed))


def test_weights_under_a_trainers_key_are_found(tmp_path: Path) -> None:
    weights = {"model": made("UNet", NETWORKS["UNet"][0]).state_dict(), "epoch": 3}
    candidate, module = opened(small_bundle(tmp_path / "net", weights=weights))
    expected = turned(run(made("UNet", NETWORKS["UNet"][0]), turned(IMAGE)))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=0, atol=1e-5)
    assert "found under 'model'" in notes(candidate)


def test_weights_that_are_elsewhere_are_named_with_their_place(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "net", weights=None)
    assert refused(folder).endswith("is missing: a bundle without weights. Copy the whole bundle again.")
    listed = "large_files:\n- path: models/model.pt\n  url: https://example.org/model.pt\n"
    (folder / "large_files.yml").write_text(listed, encoding="utf-8")
    assert "the bundle names where it lies: https://example.org/model.pt. Download" in refused(folder)
    assert "https://example.org/model.pt" in refused(zipped(folder, tmp_path / "a.zip"))
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x\n")
    assert "pointer of Git LFS, not the weights themselves. Run git lfs pull" in refused(folder)


def scripted(folder: Path) -> nn.Module:
    """Put a TorchScript file into a bundle; return its network."""
    network = made("UNet", NETWORKS["UNet"][0], seed=5)
    (folder / "models").mkdir(exist_ok=True)
    traced = torch.jit.trace(network, torch.zeros(1, 1, 16, 16, 16))
    traced.save(str(folder / "models" / "model.ts"))
    return network


def test_a_network_of_scripts_opens_by_its_torchscript_once_that_is_trusted(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "net", network={"_target_": "scripts.net.Net"}, weights={})
    network = scripted(folder)
    with pytest.raises(UntrustedNetworkError, match=r"model\.ts is a TorchScript file, taken since .*scr"):
        open_network(folder)
    with pytest.raises(UntrustedNetworkError) as caught:
        open_network(folder)
    found = open_network(folder, NetworkSettings(trust_sha256=caught.value.sha256))
    expected = turned(run(network, turned(IMAGE)))
    torch.testing.assert_close(run(found.module, IMAGE), expected, rtol=0, atol=1e-5)
    assert (found.spec.classes, found.spec.activation) == (("background", "spleen"), "softmax")
    assert found.spec.architecture == "torchscript"


def test_torchscript_is_taken_for_weights_that_are_missing_and_not_otherwise(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "net")
    scripted(folder)
    assert read(folder).code is None
    (folder / "models" / "model.pt").unlink()
    code = read(folder).code
    assert code is not None
    assert "taken since" in code.what
    assert "models/model.pt is not there" in code.what
    said = metadata()
    del said["network_data_format"]
    (folder / "configs" / "metadata.json").write_text(json.dumps(said), encoding="utf-8")
    assert "should state spatial_shape and num_channels" in refused(folder)


def test_orientation_turns_and_flips_axes_from_right_front_and_top(tmp_path: Path) -> None:
    orient = {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS"}
    candidate, module = opened(small_bundle(tmp_path / "lps", **before(orient)))
    network = made("UNet", NETWORKS["UNet"][0])
    expected = turned(run(network, turned(IMAGE).flip([2, 3])).flip([2, 3]))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=0, atol=1e-5)
    assert "turns images to LPS. Images have no orientation here" in notes(candidate)
    assert candidate.description.arguments["flipped"] == [1, 2]
    candidate, module = opened(small_bundle(tmp_path / "ras", **before({**orient, "axcodes": "RAS"})))
    expected = turned(run(network, turned(IMAGE)))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=0, atol=1e-5)
    assert "flipped" not in candidate.description.arguments
    # Its own axes are z, y, x then, the last of them reversed.
    _, module = opened(small_bundle(tmp_path / "sal", **before({**orient, "axcodes": "SAL"})))
    torch.testing.assert_close(run(module, IMAGE), run(network, IMAGE.flip([4])).flip([4]), rtol=0, atol=1e-5)


def test_tiles_of_flipped_axes_equal_the_whole(tmp_path: Path) -> None:
    orient = {"_target_": "Orientationd", "keys": "image", "axcodes": "LPI"}
    network = open_network(small_bundle(tmp_path / "net", **before(orient)))
    sides = network.spec.default_halo
    (plain,) = {*open_network(small_bundle(tmp_path / "plain")).spec.default_halo}
    assert plain[0] != plain[1]
    assert sides == (plain[::-1],) * 3
    random = torch.randn(40, 32, 24, generator=torch.Generator().manual_seed(1)).numpy()
    image = Image(random, "zyx")
    whole = np.asarray(predict(image, network, PredictSettings(device="cpu")))
    tiles = np.asarray(predict(image, network, PredictSettings(device="cpu", core=(8, 8, 8))))
    np.testing.assert_allclose(tiles, whole, atol=1e-5)


def test_the_user_says_which_axes_are_flipped(tmp_path: Path) -> None:
    orient = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
    folder = small_bundle(tmp_path / "net", **before(orient))
    candidate, module = opened(folder, architecture='{"arguments": {"flipped": [0, 1]}}')
    expected = turned(run(made("UNet", NETWORKS["UNet"][0]), turned(IMAGE).flip([2, 3])).flip([2, 3]))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=0, atol=1e-5)
    again, same = opened(folder, architecture=candidate.outside)
    torch.testing.assert_close(run(same, IMAGE), run(module, IMAGE))
    assert again.outside == candidate.outside
    assert "flip are numbers of 3 axes" in refused(folder, architecture='{"arguments": {"flipped": [3]}}')
    assert "flipped can be stated; got order" in refused(folder, architecture='{"arguments": {"order": [0]}}')


@pytest.mark.parametrize(
    ("transform", "order", "flipped"),
    [
        ({"_target_": "Flipd", "spatial_axis": 1}, [2, 1, 0], [1]),
        ({"_target_": "Flipd", "spatial_axis": [0, -1]}, [2, 1, 0], [0, 2]),
        ({"_target_": "Transposed", "indices": [0, 2, 3, 1]}, [1, 0, 2], None),
        ({"_target_": "LoadImaged", "reader": "ITKReader", "reverse_indexing": True}, None, None),
        ({"_target_": "LoadImaged", "reader": "NumpyReader"}, None, None),
        ({"_target_": "LoadImaged", "reader": "NibabelReader"}, [2, 1, 0], None),
    ],
)
def test_other_turns_are_followed(
    tmp_path: Path, transform: dict[str, Any], order: list[int] | None, flipped: list[int] | None
) -> None:
    said = read(
        small_bundle(tmp_path / "net", "DynUNet", **before({**transform, "keys": "image"}))
    ).description
    assert said.arguments.get("order") == order
    assert said.arguments.get("flipped") == flipped


def test_spacing_is_a_voxel_size_in_micrometers_along_our_axes(tmp_path: Path) -> None:
    space = {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"}
    candidate = read(small_bundle(tmp_path / "net", **before(space)))
    assert candidate.description.voxel_size == (2000.0, 1500.0, 1500.0)
    assert "voxels to 1.5 x 1.5 x 2 (x, y, z), which MONAI means in millimeters" in notes(candidate)
    candidate = read(small_bundle(tmp_path / "kept", **before({**space, "pixdim": [1.5, -1, 2]})))
    assert candidate.description.voxel_size is None
    assert "along some axes alone" in notes(candidate)


@pytest.mark.parametrize(
    ("transforms", "steps"),
    [
        (
            [{"_target_": "NormalizeIntensityd", "nonzero": True, "channel_wise": True}],
            [ZeroMean(eps=1e-8, floor=True, over="nonzero")],
        ),
        (
            [{"_target_": "CropForegroundd", "source_key": "image"}, {"_target_": "NormalizeIntensityd"}],
            [ZeroMean(per_channel=False, eps=1e-8, floor=True, over="box")],
        ),
        (
            [{"_target_": "CropForegroundd", "source_key": "image"}, {**RANGE, "b_min": 0, "b_max": 2}],
            [Linear(gain=2 / 221, offset=114 / 221)],
        ),
        ([{"_target_": "CastToTyped", "dtype": "$torch.float32"}, {"_target_": "ToTensord"}], []),
        ([{"_target_": "ScaleIntensityd", "keys": "label"}, {"_target_": "SpatialPadd"}], []),
    ],
)
def test_intensities_are_steps_in_their_order(
    tmp_path: Path, transforms: list[dict[str, Any]], steps: list[Any]
) -> None:
    given = [{"keys": "image", **each} for each in transforms]
    said = read(small_bundle(tmp_path / "net", **before(*given))).description
    assert said.input_normalization == InputNormalization.of_steps(steps)


@pytest.mark.parametrize(
    ("transforms", "words"),
    [
        ([{"_target_": "Lambdad", "func": "$lambda x: x / 255"}], "prepares images by Lambdad, which is not"),
        ([{"_target_": "scripts.transforms.Mine"}], "by scripts.transforms.Mine,"),
        ([{"_target_": "GaussianSmoothd", "sigma": 1}], "by GaussianSmoothd,"),
        ([{"_target_": "CastToTyped", "dtype": "$np.uint8"}], "by CastToTyped to uint8,"),
        ([{"_target_": "Orientationd", "axcodes": "RAX"}], "by Orientationd to RAX,"),
        ([{"_target_": "Flipd", "spatial_axis": 4}], "by Flipd along 4,"),
        ([{"_target_": "NormalizeIntensityd", "subtrahend": 3}], "subtrahend or divisor alone"),
        ([{**RANGE, "a_max": -57}], "by ScaleIntensityRanged of no extent"),
        ([{**RANGE, "a_max": "$compute()"}], "by ScaleIntensityRanged with an expression as a_max"),
        (
            [
                {"_target_": "CropForegroundd", "select_fn": "$lambda x: x > 9"},
                {"_target_": "ScaleIntensityd"},
            ],
            "by ScaleIntensityd in a foreground that was cut out before",
        ),
        ("$build()", "by what is not read (preprocessing::transforms is '$build()', which is code), which"),
        ([7], "by what names no class,"),
    ],
)
def test_what_changes_numbers_and_is_not_known_is_named_unless_the_user_says_how_to_scale(
    tmp_path: Path, transforms: Any, words: str
) -> None:
    given = (
        transforms
        if isinstance(transforms, str)
        else [{"keys": "image", **each} if isinstance(each, dict) else each for each in transforms]
    )
    folder = small_bundle(tmp_path / "net", before=given)
    said = refused(folder)
    assert words in said
    assert "in the setting architecture" in said
    candidate = read(folder, architecture='{"input_normalization": {"kind": "none"}}')
    assert candidate.description.input_normalization == InputNormalization(kind="none")
    assert "which is not done here." in notes(candidate)


@pytest.mark.parametrize(
    ("after", "activation", "words"),
    [
        ([{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}], "sigmoid", ""),
        (
            [{"_target_": "AsDiscreted", "keys": ["pred"], "argmax": [True], "to_onehot": 2}],
            "softmax",
            "class of the",
        ),
        ([{"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}], "none", "as they are at 0.5"),
        (
            [
                {"_target_": "Activationsd", "keys": "image", "sigmoid": True},
                {"_target_": "Activationsd", "keys": ["label", "pred"], "softmax": [False, True]},
                {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"},
            ],
            "softmax",
            "by KeepLargestConnectedComponentd, which is not done",
        ),
        ([{"_target_": "Activationsd", "keys": "pred", "other": "$torch.tanh"}], "none", "of its own"),
        ("$mine()", None, "by what is not read (postprocessing::transforms is '$mine()', which is code)"),
        ([], None, ""),
    ],
)
def test_the_activation_is_the_first_that_is_done(
    tmp_path: Path, after: Any, activation: str | None, words: str
) -> None:
    candidate = read(small_bundle(tmp_path / "net", after=after))
    assert candidate.description.activation == activation
    assert words in notes(candidate)


def test_names_that_are_not_one_for_each_class_are_left_out(tmp_path: Path) -> None:
    candidate = read(small_bundle(tmp_path / "net", said=metadata(classes=("a", "b", "c"))))
    assert candidate.description.classes is None
    assert "names 3 channels out (a, b, c); the network has 2" in notes(candidate)


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    said = metadata()
    inputs = said["network_data_format"]["inputs"]
    inputs["points"] = inputs["image"]
    assert "a network of 2 inputs (image, points)" in refused(small_bundle(tmp_path / "net", said=said))


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = small_bundle(tmp_path / "net")
    (folder / "configs" / "inference.json").unlink()
    assert "a MONAI bundle without its configs/inference.json (or .yaml)" in refused(folder)
    small_bundle(tmp_path / "both" / "a")
    small_bundle(tmp_path / "both" / "b")
    assert "holds 2 MONAI bundles (a/, b/). Open the folder of one." in refused(tmp_path / "both")
    assert read(tmp_path / "both" / "a").members[0] == "configs/metadata.json"


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_broken_configurations_are_called_so(tmp_path: Path, data: bytes) -> None:
    folder = small_bundle(tmp_path / "net")
    for name in ("inference.json", "metadata.json"):
        (folder / "configs" / name).write_bytes(data)
        assert f"{name} should be a configuration of a MONAI bundle" in refused(folder)


#: How each of the real bundles ends, whose weights are made here.
REAL = {
    "spleen_ct_segmentation": ("UNet", (1, 16, 32, 48)),
    "brats_mri_segmentation": ("SegResNet", (4, 8, 16, 24)),
    "segmentation_template": ("UNet", (1, 8, 16, 24)),
    "endoscopic_tool_segmentation": ("FlexibleUNet", (3, 64, 96)),
}


def real(data_dir: Path, tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    shutil.copytree(
        data_dir / "networks" / "monai_bundle_configs" / name, folder, copy_function=shutil.copyfile
    )
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755)
    (folder / "models").mkdir()
    return folder


@pytest.mark.parametrize("name", REAL)
def test_real_configurations_open(data_dir: Path, tmp_path: Path, name: str) -> None:
    folder = real(data_dir, tmp_path, name)
    kind, shape = REAL[name]
    path = folder / "configs" / "inference.json"
    if path.is_file():
        said = dict(json.loads(path.read_text(encoding="utf-8"))["network_def"])
        assert said.pop("_target_") == kind
    else:
        said = {"spatial_dims": 3, "in_channels": 1, "out_channels": 4}
        said |= {"channels": [8, 16, 32, 64], "strides": [2, 2, 2], "num_res_units": 2}
    network = made(kind, said)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    candidate, module = opened(folder)
    image = torch.randn(1, *shape)
    torch.testing.assert_close(run(module, image), turned(run(network, turned(image))), rtol=0, atol=1e-5)
    found = candidate.description
    expected: dict[str, tuple[Any, ...]] = {
        "spleen_ct_segmentation": (("background", "spleen"), "softmax", (2000, 1500, 1500)),
        "brats_mri_segmentation": (("Tumor core", "Whole tumor", "Enhancing tumor"), "sigmoid", None),
        "segmentation_template": (
            ("background", "category 1", "category 2", "category 3"),
            "softmax",
            None,
        ),
        "endoscopic_tool_segmentation": (("background", "tools"), "softmax", None),
    }
    assert (found.classes, found.activation, found.voxel_size) == expected[name]


def test_the_real_one_of_scripts_is_refused_with_the_reason(data_dir: Path, tmp_path: Path) -> None:
    folder = real(data_dir, tmp_path, "renalStructures_UNEST_segmentation")
    said = refused(folder)
    assert "network_def is 'scripts.networks.unest.UNesT' from its own scripts" in said
    assert "models/model.ts" in said


def test_a_configuration_that_was_published_without_weights_says_so(data_dir: Path) -> None:
    folder = data_dir / "networks" / "monai_bundle_configs" / "spleen_ct_segmentation"
    assert "models/model.pt is missing" in refused(folder)
    assert "holds 5 MONAI bundles" in refused(folder.parent)


def test_preparation_is_left_to_the_user_where_no_transforms_are_named(tmp_path: Path) -> None:
    config = configuration(UNET)
    del config["preprocessing"]
    weights = made("UNet", NETWORKS["UNet"][0]).state_dict()
    candidate = read(write_bundle(tmp_path / "none", config, metadata(), weights))
    assert candidate.description.input_normalization is None
    config["dataset"]["transform"] = {"_target_": "Compose", "transforms": BEFORE}
    candidate = read(write_bundle(tmp_path / "data", config, metadata(), weights))
    assert candidate.description.input_normalization is not None
