"""What is kept of a network is kept under all that decides what it computes, its code included."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.nets import network_in_memory
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.geometry import cached_measurement, measure
from napari_tileseg.nets.identity import sha256_of

SAID = Description(axes="yx", in_channels=1)
HASH = "2" * 64


def conv(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(1, 1, 3, **{"padding": 1, **arguments})


class Formula(nn.Module):
    """A convolution, and a function of its result."""

    def __init__(self, formula: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.formula = conv(), formula

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.formula(self.conv(x))


def pooled(by: int) -> nn.Module:
    # A number that the function closes over, seen neither in weights nor in layers.
    return Formula(lambda x: functional.interpolate(functional.max_pool2d(x, by), scale_factor=float(by)))


class Near(nn.Module):
    """Equal to `Far` but for its code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Far(Near):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x))


def resized(**how: Any) -> nn.Module:
    return nn.Sequential(conv(), nn.MaxPool2d(4), nn.Upsample(scale_factor=4.0, **how))


def hooked(times: int) -> nn.Module:
    module = conv()
    for _ in range(times):
        module.register_forward_hook(lambda _module, _inputs, output: output.mean((2, 3), True) + output)
    return module


PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    "dilation": (conv, lambda: conv(padding=9, dilation=9)),
    "padding": (conv, lambda: conv(padding_mode="circular")),
    "up-sampling": (resized, lambda: resized(mode="bilinear", align_corners=True)),
    "code": (Near, Far),
    "a closure": (lambda: pooled(2), lambda: pooled(4)),
    "a function": (lambda: Formula(torch.relu), lambda: Formula(lambda x: x - x.mean())),
    "scripted": (lambda: torch.jit.script(Near()), lambda: torch.jit.script(Far())),
    "a hook": (lambda: hooked(0), lambda: hooked(1)),
    "an attribute": (
        lambda: nn.Sequential(conv(), nn.AvgPool2d(3, 1, 1)),
        lambda: nn.Sequential(conv(), nn.AvgPool2d(5, 1, 2)),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equal_weights_and_other_computations_are_two_networks(name: str) -> None:
    made = [make().eval() for make in PAIRS[name]]
    first, second = (network_in_memory(module, SAID) for module in made)
    assert first.sha256 != second.sha256
    assert [first.spec.geometry, second.spec.geometry] == [measure(module, 2, 1).geometry for module in made]
    assert first.spec.geometry != second.spec.geometry


@pytest.mark.parametrize("make", [conv, Near, lambda: pooled(2)], ids=["layer", "class", "closure"])
def test_the_same_module_made_twice_is_one_network(make: Callable[[], nn.Module]) -> None:
    assert sha256_of(make(), "") == sha256_of(make(), "")


#: Its code holds a set, which is written in another order under another seed of Python's hashes.
CHOOSING = """
import torch
from napari_tileseg.nets.identity import sha256_of

class Choosing(torch.nn.Module):
    def forward(self, x):
        return x if self.choice in {"a", "b", "c", "d", "e", "f", "g", "h"} else -x

found = sha256_of(Choosing(), "")
"""


def test_another_process_gives_the_same_hash() -> None:
    here: dict[str, Any] = {"__name__": "__main__"}
    exec(CHOOSING, here)
    seeds = {"PYTHONHASHSEED": "1"} if os.environ.get("PYTHONHASHSEED") != "1" else {"PYTHONHASHSEED": "2"}
    command = [sys.executable, "-c", f"{CHOOSING}\nprint(found)"]
    there = subprocess.run(command, env=os.environ | seeds, capture_output=True, text=True, check=True)
    assert there.stdout.split() == [here["found"]]


@pytest.mark.parametrize("change", ["weights", "text"])
def test_weights_and_description_count_as_before(change: str) -> None:
    module, text = conv(), "a"
    before = sha256_of(module, text)
    if change == "weights":
        with torch.no_grad():
            module.weight.mul_(2)  # type: ignore[operator, union-attr]
    assert sha256_of(module, "b" if change == "text" else text) != before


def test_nothing_is_kept_of_a_module_in_memory(home: Path) -> None:
    network_in_memory(conv(), SAID)
    assert not (home / "geometry").exists()


@pytest.mark.parametrize("program", ["torch", "monai", "napari-tileseg"])
def test_what_was_measured_with_another_version_of_a_program_is_measured_anew(
    home: Path, program: str
) -> None:
    cached_measurement(nn.Identity(), HASH, 2, 1)
    (path,) = (home / "geometry").iterdir()
    entry = json.loads(path.read_text())
    entry["asked"]["programs"][program] = "0.0.1"
    entry["geometry"]["stride"] = [5, 5]
    path.write_text(json.dumps(entry))
    assert cached_measurement(nn.Identity(), HASH, 2, 1).geometry.stride == (1, 1)


def test_what_was_measured_from_another_shape_is_measured_anew() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[2:] not in {(6, 35), (24, 24)}:
                raise ValueError("one of two sizes")
            return x

    assert cached_measurement(Fixed(), HASH, 2, 1).geometry.read.minimum == (24, 24)
    assert cached_measurement(Fixed(), HASH, 2, 1, (6, 35)).geometry.read.minimum == (6, 35)
