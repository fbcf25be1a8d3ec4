"""What a network's file does not say is read beside it, or said to be assumed; no guess is silent."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from napari_tileseg.images import Image
from napari_tileseg.nets import Description, Network, open_network, save_network, trust
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import predict
from napari_tileseg.settings import NetworkSettings, PredictSettings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A TorchScript file that is trusted, and says nothing of its meaning."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)).eval()
    found = tmp_path / "weights.pt"
    torch.jit.trace(module, torch.zeros(1, 1, 32, 32)).save(str(found))  # type: ignore[no-untyped-call]
    trust(hashlib.sha256(found.read_bytes()).hexdigest())
    return found


def described(path: Path, **about: Any) -> Network:
    """The network with a package's description of version 0.5 beside it."""
    preprocessing, postprocessing = about.pop("before", []), about.pop("after", [])
    space = [{"type": "space", "id": each, "size": {"min": 8, "step": 1}} for each in "yx"]
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["raw"]}, *space]
    classes = {"type": "channel", "channel_names": ["cell", "border"]}
    said = {
        "format_version": "0.5.4",
        "type": "model",
        "inputs": [{"id": "raw", "axes": axes, "preprocessing": preprocessing}],
        "outputs": [{"id": "out", "axes": [axes[0], classes, *space], "postprocessing": postprocessing}],
        "weights": {"torchscript": {"source": path.name}},
        **about,
    }
    path.with_name("bioimageio.yaml").write_text(yaml.safe_dump(said))
    return open_network(path)


def test_what_nothing_says_is_said_to_be_assumed(path: Path) -> None:
    intensities, activation = open_network(path).spec.notes
    assert "scaled by percentiles (1 and 99.8)" in intensities
    assert "No activation is applied" in activation


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"activation": "none"}', ["scaled by percentiles"]),
        ('{"input_normalization": {"kind": "none"}}', ["No activation"]),
        ('{"activation": "sigmoid", "input_normalization": {"kind": "zero_mean"}}', []),
    ],
)
def test_only_what_is_left_out_is_said(path: Path, text: str, left: list[str]) -> None:
    notes = open_network(path, NetworkSettings(architecture=text)).spec.notes
    assert len(notes) == len(left)
    assert all(words in note for words, note in zip(left, notes, strict=True))


@pytest.mark.parametrize(("classes", "used"), [(1, "sigmoid"), (2, "softmax")])
def test_weights_whose_description_leaves_it_out_are_said_to_be_activated(
    tmp_path: Path, classes: int, used: str
) -> None:
    arguments = {"ndim": 2, "features": [2, 4], "out_channels": classes}
    torch.save(build("unet", **arguments).state_dict(), tmp_path / "net.pth")
    said = Description(architecture="unet", arguments=arguments).to_json()
    (tmp_path / "net.json").write_text(said)
    intensities, activation = open_network(tmp_path / "net.pth").spec.notes
    assert "scaled by percentiles" in intensities
    assert f"A {used} is applied" in activation


def test_a_file_of_our_own_that_says_all_has_no_notes(tmp_path: Path) -> None:
    arguments = {"ndim": 2, "features": (2, 4)}
    file = tmp_path / "net.safetensors"
    save_network(
        build("unet", **arguments),
        file,
        Description(architecture="unet", arguments=arguments, activation="softmax"),
    )
    assert open_network(file).spec.notes == ()


def test_an_activation_inside_the_network_is_not_done_again(tmp_path: Path) -> None:
    arguments = {"ndim": 2, "features": (2, 4), "layer_order": "bcr", "final_activation": "softmax"}
    module, file = build("double_conv_unet", **arguments), tmp_path / "net.pth"
    torch.save(module.state_dict(), file)
    said = Description(architecture="double_conv_unet", arguments=arguments)
    spec = open_network(file, NetworkSettings(architecture=said.to_json())).spec
    assert spec.activation == "none"
    assert not any("activation" in note for note in spec.notes)
    twice = replace(said, activation="sigmoid").to_json()
    notes = open_network(file, NetworkSettings(architecture=twice)).spec.notes
    assert "It ends in a softmax itself; a sigmoid follows, as its description says." in notes
    saved = save_network(module, tmp_path / "net.safetensors", said)
    assert open_network(saved).spec.activation == "none"


MEAN = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 100.0, "std": 20.0}}
STEPS: dict[str, tuple[list[dict[str, Any]], InputNormalization]] = {
    "none": ([], InputNormalization(kind="none")),
    "float alone": (
        [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}],
        InputNormalization(kind="none"),
    ),
    "zero mean": (
        [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["x", "y"]}}],
        InputNormalization(kind="steps", steps=(ZeroMean(eps=1e-6),)),
    ),
    "zero mean, 0.4": (
        [{"name": "zero_mean_unit_variance", "kwargs": {"mode": "per_sample", "axes": "yx", "eps": 0.0}}],
        InputNormalization(kind="zero_mean"),
    ),
    "fixed": ([MEAN], InputNormalization(kind="range", low=100.0, high=120.0)),
    "the whole range": (
        [{"id": "scale_range"}],
        InputNormalization(kind="steps", steps=(Percentiles(eps=1e-6),)),
    ),
    "two steps": (
        [{"id": "clip", "kwargs": {"min": 0, "max": 200}}, MEAN],
        InputNormalization(kind="steps", steps=(Clip(low=0, high=200), Linear(gain=0.05, offset=-5.0))),
    ),
    "linear": (
        [{"id": "scale_linear", "kwargs": {"gain": 0.01, "offset": -0.5}}],
        InputNormalization(kind="range", low=50.0, high=150.0),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_preparation_of_intensities_is_read_beside_the_file(path: Path, name: str) -> None:
    steps, expected = STEPS[name]
    spec = described(path, before=steps).spec
    found = spec.input_normalization
    assert (found.kind, found.low, found.high) == pytest.approx((expected.kind, expected.low, expected.high))
    assert found.steps == expected.steps
    assert spec.notes == ()


@pytest.mark.parametrize(("step", "used"), [("sigmoid", "sigmoid"), ("softmax", "softmax"), (None, "none")])
def test_activation_classes_axes_and_voxel_size_are_read_beside_the_file(
    path: Path, step: str | None, used: str
) -> None:
    spec = described(path, after=[] if step is None else [{"id": step}]).spec
    assert (spec.activation, spec.classes, spec.axes) == (used, ("cell", "border"), "yx")


def test_a_tiled_prediction_equals_what_the_package_asks_for(path: Path) -> None:
    network = described(
        path,
        before=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}],
        after=[{"id": "sigmoid"}],
    )
    values = np.random.default_rng(0).integers(0, 4000, (40, 48)).astype("f4")
    prepared = torch.from_numpy((values - values.mean()) / (values.std() + 1e-6))[None, None]
    with torch.inference_mode():
        expected = torch.sigmoid(network.module(prepared))[0].numpy()
    found = predict(
        Image(values[None], "cyx"), network, PredictSettings(core=(16, 16), device="cpu")
    ).compute()
    np.testing.assert_allclose(found, expected, atol=1e-4)


TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown step": (
        {"before": [{"id": "wavelets"}]},
        "prepares intensities by wavelets, which is not known",
    ),
    "code": ({"before": [{"id": "custom"}]}, "by custom, which is work of its own code"),
    "a whole data set": (
        {"before": [{"name": "scale_range", "kwargs": {"mode": "per_dataset", "axes": "yx"}}]},
        "measures intensities in a whole data set",
    ),
    "work on the output": ({"after": [{"id": "binarize"}]}, "by binarize, which is not done"),
    "after the activation": ({"after": [{"id": "sigmoid"}, {"id": "clip"}]}, "by clip, which is not done"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_has_no_counterpart_here_is_said(path: Path, name: str) -> None:
    about, words = TOLD[name]
    assert any(words in note for note in described(path, **about).spec.notes)


@pytest.mark.parametrize(
    ("halo", "said"), [(1, "states a halo of 1 x 1 voxels; it needs 3 x 3"), (3, None), (32, None)]
)
def test_a_stated_halo_that_is_too_small_is_said(path: Path, halo: int, said: str | None) -> None:
    space = [{"type": "space", "id": each, "halo": halo} for each in "yx"]
    outputs = [{"axes": [{"type": "batch"}, {"type": "channel"}, *space]}]
    spec = described(path, outputs=outputs).spec
    assert spec.default_halo == ((3, 3), (3, 3))
    found = [note for note in spec.notes if "halo" in note]
    assert len(found) == (said is not None)
    assert all(str(said) in note for note in found)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1, 2",
        "- 1",
        "inputs: 5\nweights: {a: {source: weights.pt}}",
        "weights: {a: {source: weights.pt}}",
    ],
)
def test_a_broken_description_beside_a_network_is_no_reason_not_to_open_it(path: Path, text: str) -> None:
    if ":" in text:
        text += "\nweights: {torchscript: {source: weights.pt}}"
    path.with_name("rdf.yaml").write_text(text)
    assert open_network(path).spec.notes


def test_a_description_of_other_files_is_not_used(path: Path) -> None:
    spec = described(path, after=[{"id": "sigmoid"}], weights={"torchscript": {"source": "other.pt"}}).spec
    assert spec.activation == "none"


def test_the_user_has_the_last_word(path: Path) -> None:
    described(path, after=[{"id": "sigmoid"}])
    spec = open_network(path, NetworkSettings(architecture='{"activation": "none"}')).spec
    assert (spec.activation, spec.classes) == ("none", ("cell", "border"))


def test_a_network_that_travels_takes_what_was_read_along(path: Path) -> None:
    network = described(path, after=[{"id": "sigmoid"}], before=[MEAN])
    path.with_name("bioimageio.yaml").unlink()
    again = open_network(network.reference)
    assert again.spec == replace(network.spec)
