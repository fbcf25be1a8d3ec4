"""The part of an audit that needs no image names the layers that were seen to make seams, and no others."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.diagnosis.causes.causes import inspect
from napari_tileseg.nets import network_in_memory
from napari_tileseg.nets.formats.description import Description


class Excite(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(functional.adaptive_avg_pool2d(x, 1))


class AlwaysOn(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(x, 0.5, training=True)


class WithIdle(nn.Module):
    """Holds an instance norm and a pooling that are never called."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.idle, self.attention = nn.InstanceNorm2d(1), nn.AdaptiveAvgPool2d(1)
        self.used = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), *layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


CASES: dict[str, tuple[Callable[[], list[nn.Module]], dict[str, tuple[str, ...]]]] = {
    "excite": (lambda: [Excite()], {"the rest": ("used.1",)}),
    "norm": (lambda: [nn.InstanceNorm2d(1)], {"feature normalization": ("used.1",)}),
    "both": (
        lambda: [nn.GroupNorm(1, 1), Excite()],
        {"feature normalization": ("used.1",), "the rest": ("used.2",)},
    ),
    "random": (lambda: [AlwaysOn()], {"the rest": ()}),
    "none": (lambda: [nn.ReLU()], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_that_were_seen_to_mix_are_named(name: str) -> None:
    make, expected = CASES[name]
    torch.manual_seed(0)
    network = network_in_memory(WithIdle(*make()), Description(axes="yx", in_channels=1))
    audit = inspect(network.spec, network.module)
    assert {cause.name: cause.layers for cause in audit.causes} == expected
    assert audit.seam_free is not bool(expected)
    if name == "random":
        assert "another answer each time" in audit.cause
        assert "ttention" not in audit.cause
