"""A module that Python code has built is opened like a file, and left as it was."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_tileseg as ts
from napari_tileseg.errors import NetworkError


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def test_it_predicts_what_the_module_computes(tmp_path: Path) -> None:
    module = build()
    network = ts.open_module(module, axes="yx", in_channels=1, activation="softmax", classes=("a", "b"))
    assert network.spec.geometry.halo == ((1, 1), (1, 1))
    assert (network.spec.name, network.spec.architecture) == ("Sequential", "Sequential")
    image = np.random.default_rng(0).normal(size=(20, 24)).astype("f4")
    settings = ts.PredictSettings(device="cpu", normalize="none")
    tifffile.imwrite(tmp_path / "image.tif", image)
    found = ts.predict(ts.open_image(tmp_path / "image.tif"), network, settings)
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(image)[None, None]).softmax(1)[0]
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def test_the_module_is_left_as_it_was() -> None:
    module = build().double().train()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    network = ts.open_module(module, axes="yx", in_channels=1)
    assert module.training
    assert all(weight.requires_grad and weight.dtype == torch.float64 for weight in module.parameters())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not network.module.training
    assert {weight.dtype for weight in network.module.parameters()} == {torch.float32}
    with torch.no_grad():
        module[0].weight.zero_()  # type: ignore[operator, union-attr]
    assert network.module.get_parameter("0.weight").abs().max() > 0


def test_another_process_is_refused_with_the_reason() -> None:
    network = ts.open_module(build(), axes="yx", in_channels=1, name="mine")
    with pytest.raises(NetworkError, match=r"mine is only in memory, .* in this process only"):
        pickle.dumps(network)


@pytest.mark.parametrize(
    ("module", "stated", "message"),
    [
        (len, {}, "A torch.nn.Module was expected; got builtin_function_or_method"),
        (nn.Conv2d(3, 1, 1), {}, "expected input"),
        (nn.Conv2d(1, 1, 3), {}, "2 x 2 voxels less than its input has"),
        (nn.Conv2d(1, 2, 1), {"classes": ("one",)}, "names 1 classes"),
        (nn.Conv2d(1, 2, 1), {"axes": "xy"}, "axes"),
    ],
    ids=["a function", "channels", "valid", "classes", "axes"],
)
def test_what_does_not_fit_is_refused(module: nn.Module, stated: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"axes": "yx", "in_channels": 1, **stated}
    with pytest.raises(NetworkError, match=message):
        ts.open_module(module, **given)  # type: ignore[arg-type]
