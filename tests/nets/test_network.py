"""Opening, saving and sending networks: what is saved is what is opened, here and in other processes."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_tileseg.errors import NetworkError, StoreError
from napari_tileseg.nets import (
    Description,
    NetworkReference,
    apply_activation,
    open_network,
    sample_names,
    save_network,
)
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.geometry import Measurement
from napari_tileseg.nets.spec import Geometry, InputNormalization
from napari_tileseg.settings import NetworkSettings
from napari_tileseg.tiling.read_shape import ReadShape

ARGUMENTS = {"ndim": 2, "features": [4, 8], "norm": "batch_renorm", "in_channels": 2}
SAID: dict[str, Any] = {
    "name": "nuclei 2D",
    "classes": ("foreground", "boundary"),
    "activation": "sigmoid",
    "input_normalization": InputNormalization(kind="range", low=10.0, high=200.0),
    "voxel_size": (0.5, 0.25),
    "provenance": {"trained on": "drawings", "seed": 3},
}


def saved(path: Path, **changes: Any) -> torch.nn.Module:
    torch.manual_seed(1)
    arguments = changes.pop("arguments", ARGUMENTS)
    module = registry.build("unet", **arguments)
    module.train()(torch.randn(2, 2, 8, 8))
    save_network(module, path, Description(architecture="unet", arguments=arguments, **{**SAID, **changes}))
    return module.eval()


def test_what_is_saved_is_what_is_opened(tmp_path: Path) -> None:
    module = saved(tmp_path / "a.safetensors")
    opened = open_network(tmp_path / "a.safetensors")
    x = torch.randn(1, 2, 16, 24)
    assert torch.equal(opened.module(x), module(x))
    spec = opened.spec
    assert {key: getattr(spec, key) for key in SAID if key != "provenance"} == {
        key: value for key, value in SAID.items() if key != "provenance"
    }
    assert (spec.architecture, spec.axes, spec.in_channels, spec.out_channels) == ("unet", "yx", 2, 2)
    assert (spec.geometry.stride, spec.seam_free) == ((2, 2), True)
    assert spec.default_halo == spec.geometry.halo
    assert spec.norm_counts == {"batch_renorm": 6}
    assert spec.parameters == sum(weight.numel() for weight in module.parameters())
    assert not opened.module.training
    assert not any(weight.requires_grad for weight in opened.module.parameters())


def test_the_same_network_gives_the_same_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        saved(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize("name", registry.names())
def test_every_architecture_is_saved_and_opened(
    name: str, tmp_path: Path, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, shape = small[name]
    # Measuring them all takes long, and has tests of its own.
    known = Geometry(
        stride=(1, 1), read=ReadShape(minimum=shape, step=(1, 1)), halo=None, receptive_field=None
    )
    found = Measurement(geometry=known, derived=False)
    monkeypatch.setattr("napari_tileseg.nets.geometry.cached_measurement", lambda *_, **__: found)
    module = registry.build(name, **arguments)
    save_network(module, tmp_path / "a.safetensors", Description(architecture=name, arguments=arguments))
    opened = open_network(tmp_path / "a.safetensors")
    x = torch.randn(1, 1, *shape)
    torch.testing.assert_close(opened.module(x), module.eval()(x))
    assert opened.spec.classes == ("class 1", "class 2")
    assert opened.spec.activation == "softmax"


def test_half_precision_weights_open_as_float32(tmp_path: Path) -> None:
    module = registry.build("unet", ndim=2, features=(2, 4)).half()
    save_network(
        module,
        tmp_path / "a.safetensors",
        Description(architecture="unet", arguments={"ndim": 2, "features": [2, 4]}),
    )
    opened = open_network(tmp_path / "a.safetensors")
    assert {weight.dtype for weight in opened.module.parameters()} == {torch.float32}
    assert torch.equal(opened.module.output.weight, module.output.weight.float())


def test_opening_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    open_network(tmp_path / "a.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_travels_as_its_reference(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    opened = open_network(str(tmp_path / "a.safetensors"))
    data = pickle.dumps(opened)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert (again.spec, again.sha256, again.reference) == (opened.spec, opened.sha256, opened.reference)
    x = torch.randn(1, 2, 8, 8)
    assert torch.equal(again.module(x), opened.module(x))


def test_is_reopened_in_another_process(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    opened = open_network(tmp_path / "a.safetensors")
    (tmp_path / "network.pickle").write_bytes(pickle.dumps(opened))
    code = (
        "import pickle, sys, torch; network = pickle.load(open(sys.argv[1], 'rb')); "
        "torch.manual_seed(0); print(network.sha256, network.module(torch.randn(1, 2, 8, 8)).sum().item())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "network.pickle")],
        capture_output=True,
        text=True,
        check=True,
    )
    torch.manual_seed(0)
    total = opened.module(torch.randn(1, 2, 8, 8)).sum().item()
    sha256, their_total = run.stdout.split()
    assert sha256 == opened.sha256
    assert float(their_total) == pytest.approx(total, rel=1e-5)


def test_a_changed_file_is_not_the_network_of_the_reference(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    opened = open_network(tmp_path / "a.safetensors")
    saved(tmp_path / "a.safetensors", name="another")
    with pytest.raises(NetworkError, match="has changed since it was chosen: it is another file"):
        open_network(opened.reference)
    with pytest.raises(NetworkError, match="has changed"):
        pickle.loads(pickle.dumps(opened))


def test_a_reference_to_a_lost_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="there is no such file"):
        open_network(NetworkReference(str(tmp_path / "gone.safetensors"), "0" * 64))


def test_samples_are_opened_by_name() -> None:
    name = sample_names()[0]
    opened = open_network(f"sample:{name}")
    assert opened.reference.path == f"sample:{name}"
    assert pickle.loads(pickle.dumps(opened)).sha256 == opened.sha256
    with pytest.raises(NetworkError, match=rf"no sample network 'other'; there are .*{name}"):
        open_network("sample:other")


def test_a_described_file_takes_no_other_description(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    with pytest.raises(NetworkError, match="describes itself"):
        open_network(tmp_path / "a.safetensors", NetworkSettings(architecture='{"architecture": "unet"}'))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("one",)}, "2 output channels, 2 in and 2 axes; its description names 1 classes"),
        ({"classes": ("one", "")}, "classes are names"),
        ({"voxel_size": (1.0,)}, "voxel size has 1 numbers"),
        ({"voxel_size": (1.0, -1.0)}, "above 0"),
        ({"activation": "relu"}, "activation is one of none, sigmoid, softmax; got 'relu'"),
        ({"input_normalization": InputNormalization(low=60, high=40)}, "low below high"),
        ({"input_normalization": InputNormalization(low=-1, high=40)}, "percentiles of 0 to 100"),
        ({"provenance": {"path": Path("x")}}, "only what JSON can"),
        ({"provenance": {"loss": float("nan")}}, "only what JSON can"),
    ],
)
def test_what_could_not_be_opened_is_not_saved(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        saved(tmp_path / "a.safetensors", **changes)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture_are_not_saved(tmp_path: Path) -> None:
    module = registry.build("unet", ndim=2, features=(4, 8))
    with pytest.raises(NetworkError, match="weights of another shape"):
        save_network(
            module,
            tmp_path / "a.safetensors",
            Description(architecture="unet", arguments={"ndim": 2, "features": [4, 9]}),
        )
    with pytest.raises(StoreError, match=r"written as .safetensors; got 'a.pt'"):
        save_network(module, tmp_path / "a.pt", Description(architecture="unet"))
    with pytest.raises(NetworkError, match="the name of its architecture; the description has none"):
        save_network(module, tmp_path / "a.safetensors", Description())


def test_a_failed_save_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    saved(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        saved(path, name="another")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StoreError, match="Choose another place"):
        saved(tmp_path / "missing" / "a.safetensors")


def test_descriptions_survive_json() -> None:
    said = Description(
        architecture="unet", arguments={"features": [1, 2]}, axes="yx", read_shape=(8, 8), **SAID
    )
    assert Description.from_json(said.to_json(), "here") == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{broken", "is not JSON.*should read like"),
        ("[1]", "not a JSON object"),
        ('{"version": 9}', "version 9.*newer"),
        ('{"colour": 1}', "colour, which means nothing"),
        ('{"axes": "xyz"}', "axes is one of x, yx, zyx"),
        ('{"ndim": 7}', "axes is one of x, yx, zyx; got 7"),
        ('{"ndim": [2]}', "axes is one of x, yx, zyx"),
        ('{"architecture": 3}', "architecture is text"),
        ('{"arguments": 3}', "arguments are names with values"),
        ('{"classes": 3}', "wrong kind"),
        ('{"in_channels": 1.5}', "whole number"),
        ('{"read_shape": [0]}', "whole numbers"),
        ('{"input_normalization": {"kind": "magic"}}', "input_normalization is one of"),
        ('{"input_normalization": {"power": 2}}', "wrong kind"),
        ('{"input_normalization": 3}', "wrong kind"),
        ('{"input_normalization": {"low": "a"}}', "low below high"),
    ],
)
def test_broken_descriptions_are_errors(text: str, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Description.from_json(text, "here")


def test_activation() -> None:
    logits = torch.tensor([[[0.0], [2.0]]])
    torch.testing.assert_close(apply_activation(logits, "softmax").sum(1), torch.ones(1, 1))
    torch.testing.assert_close(apply_activation(logits, "sigmoid"), 1 / (1 + torch.exp(-logits)))
    assert apply_activation(logits, "none") is logits


def test_the_description_is_plain_json_in_the_metadata(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    said = json.loads(header["__metadata__"]["napari-tileseg network"])
    assert (said["version"], said["architecture"], said["provenance"]["seed"]) == (1, "unet", 3)


def test_a_network_is_compared_by_identity(tmp_path: Path) -> None:
    saved(tmp_path / "a.safetensors")
    opened = open_network(tmp_path / "a.safetensors")
    assert opened != replace(opened)
    assert len({opened, replace(opened)}) == 2
