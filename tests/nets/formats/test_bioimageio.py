"""Packages of bioimage.io: what they state arrives, their own test is run, the rest is refused in words."""

import hashlib
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.special import expit, softmax
from torch import nn

from napari_tileseg._progress import drain
from napari_tileseg.errors import NetworkError, UntrustedNetworkError
from napari_tileseg.images import Image
from napari_tileseg.nets import open_network, trust
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats.bioimageio.layout import Arranged
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean
from napari_tileseg.prediction import predict
from napari_tileseg.settings import LabelSettings, NetworkSettings, PredictSettings, TrainSettings
from napari_tileseg.workflows import finetune


class Turned(nn.Module):
    """A network whose input and output have their axes in another order than batch, channels, space."""

    def __init__(self, network: nn.Module, there: Sequence[int], back: Sequence[int]) -> None:
        super().__init__()
        self.network, self.there, self.back = network, list(there), list(back)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.permute(self.there)).permute(self.back)


def network(channels: int = 1, classes: int = 2) -> nn.Module:
    torch.manual_seed(3)
    layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, classes, 5, padding=2))
    return nn.Sequential(*layers).eval()


def image(channels: int = 1, shape: Sequence[int] = (24, 32)) -> np.ndarray[Any, Any]:
    """A batch of one image whose channels have other intensities."""
    values = np.random.default_rng(0).normal(size=(1, channels, *shape))
    scale = np.arange(1, channels + 1).reshape(-1, *(1,) * len(shape))
    return (values * 50 * scale + 300 * scale).astype("f4")


def axes_05(
    letters: str, sizes: Mapping[str, Any], names: Sequence[str], **more: Any
) -> list[dict[str, Any]]:
    """Axes as version 0.5 lists them."""
    kinds = {"b": {"type": "batch"}, "c": {"type": "channel", "channel_names": list(names)}}
    return [
        kinds.get(letter) or {"type": "space", "id": letter, "size": sizes[letter], **more}
        for letter in letters
    ]


class Package:
    """A package of one network, and its description, to be changed before it is written."""

    def __init__(self, folder: Path, module: nn.Module, x: np.ndarray[Any, Any]) -> None:
        self.folder, self.module, self.x = folder, module, x
        self.files: dict[str, bytes] = {}
        self.said: dict[str, Any] = {}

    def script(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
        """Add TorchScript that is trusted, and test tensors."""
        path = self.folder / "script.pt"
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.jit.trace(self.module, torch.from_numpy(x)).save(str(path))  # type: ignore[no-untyped-call]
        self.files["weights.pt"] = path.read_bytes()
        path.unlink()
        trust(hashlib.sha256(self.files["weights.pt"]).hexdigest())
        for name, values in (("test_input.npy", x), ("test_output.npy", y)):
            np.save(self.folder / name, values)
            self.files[name] = (self.folder / name).read_bytes()
            (self.folder / name).unlink()

    def write(self, kind: str = "folder", name: str = "rdf.yaml") -> Path:
        """Write it, and return what to open."""
        files = {**self.files, name: yaml.safe_dump(self.said).encode()}
        if kind.startswith("zip"):
            top = "package/" if kind == "zip with a folder" else ""
            with zipfile.ZipFile(self.folder / "package.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for member, data in files.items():
                    archive.writestr(f"{top}{member}", data)
            return self.folder / "package.zip"
        for member, data in files.items():
            (self.folder / member).write_bytes(data)
        return self.folder / name if kind == "description" else self.folder


def logits(module: nn.Module, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return module(torch.from_numpy(x.astype("f4"))).numpy()


def package_05(folder: Path, before: Any = (), after: Any = (), **about: Any) -> Package:
    """Version 0.5, of a network of two classes, with its test."""
    channels = about.pop("channels", 1)
    module, x = network(channels), image(channels)
    found = Package(folder, module, x)
    free = {each: {"min": 8, "step": 4} for each in "yx"}
    refer = {each: {"tensor_id": "raw", "axis_id": each} for each in "yx"}
    found.said = {
        "format_version": "0.5.4",
        "type": "model",
        "name": "small",
        "inputs": [
            {
                "id": "raw",
                "axes": axes_05(
                    "bcyx", free, [f"dye {n}" for n in range(channels)], scale=0.25, unit="micrometer"
                ),
                "preprocessing": list(before),
                "test_tensor": {"source": "test_input.npy"},
            }
        ],
        "outputs": [
            {
                "id": "out",
                "axes": axes_05("bcyx", refer, ["cell", "border"], scale=0.25, halo=about.pop("halo", 8)),
                "postprocessing": list(after),
                "test_tensor": {"source": "test_output.npy"},
            }
        ],
        "weights": {"torchscript": {"source": "weights.pt"}},
        **about,
    }
    return found


def package_04(folder: Path, before: Any = (), after: Any = (), **about: Any) -> Package:
    """The same as version 0.4 states it."""
    channels = about.pop("channels", 1)
    found = Package(folder, network(channels), image(channels))
    found.said = {
        "format_version": "0.4.9",
        "type": "model",
        "name": "small",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "shape": {"min": [1, channels, 8, 8], "step": [0, 0, 4, 4]},
                "preprocessing": list(before),
            }
        ],
        "outputs": [
            {
                "name": "out",
                "axes": "bcyx",
                "halo": [0, 0, 8, 8],
                "shape": {
                    "reference_tensor": "raw",
                    "scale": [1.0, 0.0, 1.0, 1.0],
                    "offset": [0.0, 1.0, 0.0, 0.0],
                },
                "postprocessing": list(after),
            }
        ],
        "test_inputs": ["test_input.npy"],
        "test_outputs": ["test_output.npy"],
        "weights": {"torchscript": {"source": "./weights.pt"}},
        **about,
    }
    return found


SIGMOID_05, SIGMOID_04 = {"id": "sigmoid"}, {"name": "sigmoid"}
ZERO_05 = {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": 0.5}}
ZERO_04 = {"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "yx", "eps": 0.5}}
BUILD = {"0.4": (package_04, ZERO_04, SIGMOID_04), "0.5": (package_05, ZERO_05, SIGMOID_05)}


def whole(version: str, folder: Path) -> tuple[Package, np.ndarray[Any, Any]]:
    """A package with a test that it passes, and its answer."""
    make, before, after = BUILD[version]
    package = make(folder, [before], [after])
    prepared = (package.x - package.x.mean()) / (package.x.std() + 0.5)
    answer = expit(logits(package.module, prepared))
    package.script(package.x, answer)
    return package, answer


@pytest.mark.parametrize("version", BUILD)
@pytest.mark.parametrize("kind", ["folder", "zip", "zip with a folder", "description"])
def test_a_package_opens_from_wherever_it_lies_and_reproduces_its_test(
    tmp_path: Path, version: str, kind: str
) -> None:
    package, answer = whole(version, tmp_path / "a")
    opened = open_network(package.write(kind))
    spec = opened.spec
    assert spec.self_test is not None
    assert spec.self_test.reproduces
    assert spec.self_test.difference == pytest.approx(0, abs=1e-5)
    assert (spec.name, spec.axes, spec.in_channels, spec.activation) == ("small", "yx", 1, "sigmoid")
    assert spec.input_normalization.as_steps == (ZeroMean(eps=0.5),)
    if version == "0.5":
        assert (spec.classes, spec.voxel_size) == (("cell", "border"), (0.25, 0.25))
    assert not [note for note in spec.notes if "halo" in note]
    found = predict(
        Image(package.x[0], "cyx"), opened, PredictSettings(core=(16, 16), device="cpu")
    ).compute()
    np.testing.assert_allclose(found, answer[0], atol=1e-5)


def test_the_same_package_is_the_same_network_and_travels(tmp_path: Path) -> None:
    package, _ = whole("0.5", tmp_path / "a")
    opened = [open_network(package.write(kind)) for kind in ("folder", "zip", "description")]
    assert len({each.sha256 for each in opened}) == 1
    again = pickle.loads(pickle.dumps(opened[1]))
    assert (again.sha256, again.spec) == (opened[1].sha256, opened[1].spec)


@pytest.mark.parametrize("change", ["weights", "description"])
def test_a_changed_member_is_not_the_network_of_the_reference(tmp_path: Path, change: str) -> None:
    package, _ = whole("0.5", tmp_path / "a")
    reference = open_network(package.write()).reference
    if change == "description":
        package.said["name"] = "other"
    else:
        package.module = nn.Conv2d(1, 2, 1)
        package.script(package.x, package.x)
    package.write()
    with pytest.raises(NetworkError, match="has changed since it was chosen"):
        open_network(reference)


def test_torchscript_in_a_package_needs_trust_in_its_hash(tmp_path: Path, home: Path) -> None:
    package, _ = whole("0.4", tmp_path / "a")
    path = package.write("zip")
    (home / "trusted_networks.txt").unlink()
    with pytest.raises(
        UntrustedNetworkError, match=r"weights\.pt is a TorchScript file.*its SHA-256"
    ) as refusal:
        open_network(path)
    opened = open_network(path, NetworkSettings(trust_sha256=refusal.value.sha256))
    assert open_network(opened.reference).sha256 == opened.sha256
    assert open_network(path).sha256 == opened.sha256


ORDERS = {
    "byxc": ((0, 3, 1, 2), (0, 2, 3, 1)),
    "bcxy": ((0, 1, 3, 2), (0, 1, 3, 2)),
    "yxc": None,
    "cyx": None,
}


@pytest.mark.parametrize("letters", ORDERS)
@pytest.mark.parametrize("version", BUILD)
def test_axes_in_another_order_are_turned(tmp_path: Path, version: str, letters: str) -> None:
    """The same network, told to take its axes as the package states them, gives the same output."""
    origin, x = network(3), image(3)
    to = {"yxc": ((2, 0, 1), (1, 2, 0)), "cyx": ((0, 1, 2), (0, 1, 2))}
    there, back = ORDERS[letters] or to[letters]
    make = BUILD[version][0]
    package = make(tmp_path / "a", channels=3)
    package.module = Turned(origin, there, back).eval()
    for tensor in (package.said["inputs"][0], package.said["outputs"][0]):
        if version == "0.4":
            tensor["axes"] = letters
            for key, values in tensor.get("shape", {}).items():
                if key != "reference_tensor":
                    tensor["shape"][key] = [dict(zip("bcyx", values, strict=True))[each] for each in letters]
            tensor.pop("halo", None)
        else:
            tensor["axes"] = [dict(zip("bcyx", tensor["axes"], strict=True))[each] for each in letters]
    order = ["bcyx".index(each) for each in letters]
    stored, answer = (
        values.transpose(order if "b" in letters else [0, *order]) for values in (x, logits(origin, x))
    )
    if "b" not in letters:
        stored, answer = stored[0], answer[0]
    package.script(np.ascontiguousarray(stored), np.ascontiguousarray(answer))
    opened = open_network(package.write())
    assert opened.spec.self_test is not None
    assert opened.spec.self_test.reproduces, opened.spec.self_test.words
    np.testing.assert_allclose(logits(opened.module, x), logits(origin, x), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "found"), [("bczyx", "bczyx"), ("zyxc", "czyx"), ("xyz", "bcxyz"), ("btcyx", "bcyx")]
)
def test_arranging_gives_a_network_the_axes_that_it_takes(given: str, found: str) -> None:
    space = "".join(each for each in "zyx" if each in given)
    sizes = {"z": 3, "y": 4, "x": 5, "c": 2 if "c" in given else 1}

    class Strict(nn.Module):
        """Takes one shape, and gives its input back with the axes of its output."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape == tuple(sizes.get(letter, 1) for letter in given)
            x = x.squeeze([at for at, letter in enumerate(given) if letter not in found])
            present = [letter for letter in given if letter in found]
            for letter in found:
                if letter not in present:
                    x, present = x[None], [letter, *present]
            return x.permute([present.index(letter) for letter in found])

    x = torch.randn(1, sizes["c"], *(sizes[each] for each in space))
    assert torch.equal(Arranged(Strict(), space, given, found)(x), x)


STEPS: dict[str, tuple[list[dict[str, Any]], tuple[Any, ...]]] = {
    "jointly": ([{"id": "zero_mean_unit_variance"}], (ZeroMean(per_channel=False, eps=1e-6),)),
    "each channel": (
        [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": "1e-03"}}],
        (ZeroMean(eps=1e-3),),
    ),
    "range": (
        [{"id": "scale_range", "kwargs": {"axes": ["y", "x"], "min_percentile": 1, "max_percentile": 99}}],
        (Percentiles(low=1, high=99, eps=1e-6),),
    ),
    "in their order": (
        [
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
            {"id": "clip", "kwargs": {"min": 10.0, "max": 500.0}},
            {"id": "scale_linear", "kwargs": {"gain": [2.0, 3.0], "offset": -1.0, "axis": "channel"}},
            {
                "id": "fixed_zero_mean_unit_variance",
                "kwargs": {"mean": [1, 2], "std": [4, 5], "axis": "channel"},
            },
        ],
        (
            Clip(low=10, high=500),
            Linear(gain=(2.0, 3.0), offset=-1.0),
            Linear(gain=(0.25, 0.2), offset=(-0.25, -0.4)),
        ),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_preparation_arrives_in_its_order_with_axes_and_eps(tmp_path: Path, name: str) -> None:
    before, expected = STEPS[name]
    package = package_05(tmp_path / "a", before, channels=2)
    package.script(package.x, logits(package.module, package.x))
    assert open_network(package.write()).spec.input_normalization.as_steps == expected


@pytest.mark.parametrize(("halo", "words"), [(1, "states a halo of 1 x 1 voxels; it needs 3 x 3"), (8, None)])
def test_a_halo_stated_too_small_is_named(tmp_path: Path, halo: int, words: str | None) -> None:
    package = package_05(tmp_path / "a", halo=halo)
    package.script(package.x, logits(package.module, package.x))
    notes = [note for note in open_network(package.write()).spec.notes if "halo" in note]
    assert notes == [] if words is None else words in notes[0]


def fitted(package: Package, how: str) -> None:
    """Let the stated test output be that of something else than what is stated."""
    x = package.x
    jointly = (x - x.mean()) / x.std()
    each = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    answers = {
        "without its sigmoid": lambda: logits(package.module, each),
        "without preparation of intensities": lambda: expit(logits(package.module, x)),
        "with channels normalized the other way": lambda: expit(logits(package.module, jointly)),
        "with a softmax in place of its sigmoid": lambda: softmax(logits(package.module, each), axis=1),
        "no other preparation": lambda: np.zeros_like(logits(package.module, x)),
    }
    package.script(x, answers[how]().astype("f4"))


@pytest.mark.parametrize(
    "how",
    [
        "without its sigmoid",
        "without preparation of intensities",
        "with channels normalized the other way",
        "with a softmax in place of its sigmoid",
        "no other preparation",
    ],
)
def test_where_the_test_output_differs_the_likely_step_is_named(tmp_path: Path, how: str) -> None:
    package = package_05(
        tmp_path / "a", [ZERO_05 | {"kwargs": {"axes": ["y", "x"]}}], [SIGMOID_05], channels=2
    )
    fitted(package, how)
    result = open_network(package.write()).spec.self_test
    assert result is not None
    assert not result.reproduces
    assert how in result.words


def test_clipping_that_is_not_stated_is_named(tmp_path: Path) -> None:
    scale = {"id": "scale_range", "kwargs": {"min_percentile": 5, "max_percentile": 90}}
    package = package_05(tmp_path / "a", [scale])
    low, high = np.percentile(package.x, (5, 90))
    package.script(package.x, logits(package.module, np.clip((package.x - low) / (high - low), 0, 1)))
    result = open_network(package.write()).spec.self_test
    assert result is not None
    assert "with clipping the other way" in result.words


def test_what_follows_the_activation_is_part_of_the_test_and_a_note(tmp_path: Path) -> None:
    after = [SIGMOID_05, {"id": "binarize", "kwargs": {"threshold": 0.5}}]
    package = package_05(tmp_path / "a", [], after)
    package.script(package.x, (expit(logits(package.module, package.x)) > 0.5).astype("f4"))
    spec = open_network(package.write()).spec
    assert spec.self_test is not None
    assert spec.self_test.reproduces
    assert any("by binarize, which is not done" in note for note in spec.notes)


def test_a_state_dict_of_monai_opens_by_our_name_for_it(tmp_path: Path) -> None:
    sizes = {"channels": [4, 8], "strides": [2], "norm": "instance"}
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, **sizes}
    own = {**arguments, "norm": ["instance", {}]}
    package = package_05(tmp_path / "a", weights={})
    module = registry.build("monai_unet", **own).eval()
    package.said["weights"] = {
        "pytorch_state_dict": {
            "source": "state.pt",
            "architecture": {
                "callable": "UNet",
                "import_from": "monai.networks.nets",
                "kwargs": arguments,
            },
        }
    }
    package.folder.mkdir()
    torch.save(module.state_dict(), package.folder / "state.pt")
    x = image(1, (32, 32))
    for name, values in (("test_input.npy", x), ("test_output.npy", logits(module, x))):
        np.save(package.folder / name, values)
    spec = open_network(package.write()).spec
    assert spec.architecture == "monai_unet"
    assert spec.self_test is not None
    assert spec.self_test.reproduces


def torch_em(package: Package, final: str | None = None) -> nn.Module:
    """Give a package a state dict as torch_em writes it, its class by the name of a source beside."""
    arguments = {"in_channels": 1, "out_channels": 2, "depth": 1, "initial_features": 4, "gain": 2}
    torch.manual_seed(1)
    module = registry.build("torch_em_unet", ndim=2, **arguments).eval()
    stated = {**arguments, "final_activation": final, "postprocessing": None, "return_side_outputs": False}
    entry = {
        "source": "state.pt",
        "architecture": {"callable": "UNet2d", "source": "net.py", "kwargs": stated},
    }
    package.said["weights"] = {"pytorch_state_dict": entry}
    package.folder.mkdir()
    torch.save(module.state_dict(), package.folder / "state.pt")
    np.save(package.folder / "test_input.npy", package.x)
    np.save(package.folder / "test_output.npy", logits(module, package.x))
    return module


def test_a_class_of_torch_em_whose_source_is_not_run_is_proven_by_the_test(tmp_path: Path) -> None:
    package = package_05(tmp_path / "a")
    module = torch_em(package)
    opened = open_network(package.write())
    assert opened.spec.architecture == "torch_em_unet"
    assert any("Its own test proves that UNet2d of net.py" in note for note in opened.spec.notes)
    np.testing.assert_array_equal(logits(opened.module, package.x), logits(module, package.x))


def test_twenty_steps_make_a_state_dict_seam_free_and_its_packages_test_is_no_longer_its_own(
    tmp_path: Path,
) -> None:
    package = package_05(tmp_path / "a", [ZERO_05], [SIGMOID_05])
    module = torch_em(package)
    prepared = (package.x - package.x.mean()) / (package.x.std() + 0.5)
    np.save(package.folder / "test_output.npy", expit(logits(module, prepared)))
    opened = open_network(package.write())
    assert not opened.spec.seam_free
    strokes = np.zeros((24, 32), np.uint8)
    strokes[2:22:4, 4:28] = np.arange(1, 4)[np.arange(5) % 3][:, None]
    picture, out = Image(package.x[0], "cyx"), tmp_path / "tuned.safetensors"
    settings = TrainSettings(steps=20, patch=(16, 16), device="cpu", validate_every=10)
    meaning = LabelSettings(labels_kind="strokes", map=((1, "cell"), (2, "border"), (3, "background")))
    made = drain(finetune(picture, strokes, opened, settings, meaning=meaning, out=out))
    tuned = open_network(out)
    assert (tuned.spec.architecture, tuned.spec.seam_free) == ("torch_em_unet", True)
    assert (made.spec.self_test, tuned.spec.self_test) == (None, None)
    assert tuned.spec.input_normalization == opened.spec.input_normalization
    whole, tiles = (
        predict(picture, tuned, PredictSettings(device="cpu", core=core)).compute() for core in (None, (8, 8))
    )
    np.testing.assert_allclose(tiles, whole, atol=1e-5)


@pytest.mark.parametrize("how", ["another answer", "no test"])
def test_without_that_proof_it_is_not_opened(tmp_path: Path, how: str) -> None:
    package = package_05(tmp_path / "a")
    torch_em(package, final="Sigmoid" if how == "another answer" else None)
    if how == "no test":
        (package.folder / "test_input.npy").unlink()
    with pytest.raises(NetworkError, match=r"opens here only if UNet2d of net\.py, which was not run"):
        open_network(package.write())


def nuclei_broad() -> nn.Module:
    """The U-Net of a real package: two convolutions and a ReLU a level, linear up-sampling, skips first."""

    def level(before: int, after: int) -> nn.Sequential:
        layers = (nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1), nn.ReLU())
        return nn.Sequential(*layers)

    def up(before: int, after: int) -> nn.Sequential:
        doubled = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        return nn.Sequential(doubled, nn.Conv2d(before, after, 1))

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            fine, coarse = (1, 16, 32, 64), (128, 64, 32, 16)
            self.encoders = nn.ModuleList(map(level, fine, fine[1:]))
            self.base = level(64, 128)
            self.upsamplers = nn.ModuleList(map(up, coarse, coarse[1:]))
            self.decoders = nn.ModuleList(map(level, coarse, coarse[1:]))
            self.output = nn.Conv2d(16, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skips = []
            for encoder in self.encoders:
                skips.append(encoder(x))
                x = nn.functional.max_pool2d(skips[-1], 2)
            x = self.base(x)
            for upsampler, decoder in zip(self.upsamplers, self.decoders, strict=True):
                x = decoder(torch.cat((skips.pop(), upsampler(x)), 1))
            return self.output(x)

    return UNet()


@pytest.mark.parametrize("name", ["bioimageio.yaml", "v0_4_0.bioimageio.yaml", "v0_4_9.bioimageio.yaml"])
def test_a_real_package_reproduces_its_real_test(data_dir: Path, tmp_path: Path, name: str) -> None:
    """Its TorchScript is not there: it is written from the real state dict, and the rest is as it was."""
    origin, folder = data_dir / "networks" / "unet2d_nuclei_broad", tmp_path / "a"
    said = yaml.safe_load((origin / name).read_text(encoding="utf-8"))
    del said["weights"]["torchscript"]["sha256"]
    module = nuclei_broad().eval()
    module.load_state_dict(torch.load(origin / "unet2d_weights.torch", weights_only=True))
    package = Package(folder, module, np.load(origin / "test_input.npy"))
    package.said = said
    package.script(package.x, np.load(origin / "test_output.npy"))
    spec = open_network(package.write()).spec
    assert spec.self_test is not None
    assert spec.self_test.difference == pytest.approx(0, abs=1e-5)
    assert any("states a halo of 32 x 32 voxels; it needs 54 x 54" in note for note in spec.notes)


def test_a_real_state_dict_of_torch_em_reproduces_its_real_test(data_dir: Path) -> None:
    spec = open_network(data_dir / "networks" / "unet2d_fixed_shape").spec
    assert spec.self_test is not None
    assert spec.self_test.difference == pytest.approx(0, abs=1e-5)
    assert any("Its own test proves that UNet2d of unet.py" in note for note in spec.notes)


REFUSED: dict[str, tuple[Any, str]] = {
    "two inputs": (
        lambda said: said["inputs"].append({"id": "more", "axes": []}),
        r"model of 2 inputs \(raw, more\)",
    ),
    "half": (lambda said: _scale(said, 0.5), r"an output of 1 voxel for each 2 x 2 of the input"),
    "double": (lambda said: _scale(said, 0.125), r"an output of 2 x 2 voxels for each one of the input"),
    "valid": (lambda said: _add(said, -6), r"an output of 6 x 6 voxels less than the input"),
    "custom": (lambda said: _after(said, "custom"), "by custom, which is work of its own code"),
    "stardist": (lambda said: _after(said, "stardist_postprocessing"), "which is work of StarDist"),
    "cellpose": (lambda said: _after(said, "cellpose_flow_dynamics"), "which is work of Cellpose"),
    "keras": (
        lambda said: said.update(weights={"keras_hdf5": {"source": "k.h5"}}),
        "without weights that are opened here \\(Keras: not opened here\\)",
    ),
    "an address": (
        lambda said: said.update(weights={"torchscript": {"source": "https://example.com/w.pt"}}),
        r"not in the package, only their address \(https://example.com/w.pt\)",
    ),
    "source": (
        lambda said: said.update(
            weights={
                "pytorch_state_dict": {
                    "source": "weights.pt",
                    "architecture": {"source": "net.py", "callable": "Net"},
                }
            }
        ),
        r"state dict is of Net in net\.py, whose code is not run",
    ),
    "another file": (
        lambda said: said["weights"]["torchscript"].update(sha256=64 * "0"),
        r"weights\.pt is not the file that the description is about",
    ),
    "planes": (
        lambda said: said["inputs"][0].update(
            preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x"]}}]
        ),
        "each y by itself",
    ),
    "unknown step": (
        lambda said: said["inputs"][0].update(preprocessing=[{"id": "wavelets"}]),
        "prepares intensities by wavelets, which is not known here",
    ),
    "version": (lambda said: said.update(format_version="0.3.6"), "of format 0.3.6; 0.4 and 0.5 are read"),
    "type": (lambda said: said.update(type="dataset"), "it describes dataset"),
    "time": (
        lambda said: said["inputs"][0]["axes"].insert(1, {"type": "time", "size": 5}),
        "with an axis of time",
    ),
}  # fmt: skip


def _scale(said: dict[str, Any], scale: float) -> None:
    # Voxels of the input have 0.25.
    for axis in said["outputs"][0]["axes"][2:]:
        axis["scale"] = scale


def _add(said: dict[str, Any], offset: int) -> None:
    for axis in said["outputs"][0]["axes"][2:]:
        axis["size"]["offset"] = offset


def _after(said: dict[str, Any], name: str) -> None:
    said["outputs"][0]["postprocessing"] = [{"id": name}]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_opened_is_refused_in_a_sentence_with_the_part(tmp_path: Path, name: str) -> None:
    change, words = REFUSED[name]
    package = package_05(tmp_path / "a")
    package.script(package.x, logits(package.module, package.x))
    change(package.said)
    with pytest.raises(NetworkError, match=words):
        open_network(package.write())


def test_half_the_size_of_version_0_4_is_refused_with_the_numbers(tmp_path: Path) -> None:
    package = package_04(tmp_path / "a")
    package.script(package.x, logits(package.module, package.x))
    package.said["outputs"][0]["shape"]["scale"] = [1.0, 0.0, 0.5, 0.5]
    with pytest.raises(NetworkError, match="1 voxel for each 2 x 2 of the input"):
        open_network(package.write())


REAL = {
    "upsample_test_model": "an output of 4 x 4 voxels for each one of the input",
    "bioimageio_keras_only": r"\(Keras: not opened here\)",
    "unet2d_nuclei_broad/invalid_v0_4_0_duplicate_tensor_names.bioimageio.yaml": "both its input and",
    "unet2d_nuclei_broad/expand_output_shape.bioimageio.yaml": "only their address",
    "unet2d_nuclei_broad/expand_output_shape_v0_4.bioimageio.yaml": "only their address",
}


@pytest.mark.parametrize("name", REAL)
def test_real_packages_that_cannot_be_opened_are_refused_in_words(data_dir: Path, name: str) -> None:
    with pytest.raises(NetworkError, match=REAL[name]):
        open_network(data_dir / "networks" / name)
