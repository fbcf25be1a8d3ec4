"""TorchScript as a list of operations: the same numbers at all sizes, or a reason why not."""

import warnings
from typing import List  # noqa: UP035 - TorchScript knows no other

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Sizes
from napari_tileseg.nets.listed.scripted import listed_script
from napari_tileseg.tiling.read_shape import ReadShape

SIZES = Sizes.measured(ReadShape(minimum=(8, 8), step=(4, 4)), (4, 4))


class Levels(nn.Module):
    """Loops over layers, keeps what they give in a list, and looks at sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1 if i == 0 else 4, 4, 3, padding=1) for i in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)])
        self.register_buffer("gain", torch.tensor([1.0, 2.0, 0.5, 3.0]).view(1, 4, 1, 1))
        self.mode, self.depth = "nearest", 2

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4
        if x.size(2) < 4:
            raise ValueError("too small")
        skips: List[Tensor] = []  # noqa: UP006
        for conv, norm in zip(self.down, self.norms):  # noqa: B905 - nor does it know strict
            x = F.leaky_relu(norm(conv(x)), 0.1, inplace=True)
            skips.append(x)
            x = F.max_pool2d(x, 2) if self.mode == "nearest" else F.avg_pool2d(x, 2)
        for _ in range(self.depth):
            x = x * 0.5
        first, second = torch.split(skips[0] * self.gain, 2, dim=1)
        up = F.interpolate(x, size=[skips[0].size(2), skips[0].size(3)], mode="bilinear", align_corners=False)
        return torch.cat([first, second, up, F.dropout(skips[0], 0.5, self.training)], 1)


class Sizes(nn.Module):
    """Computes with sizes as a trace leaves them behind."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        y = F.pad(self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")), (0, 1, 0, 1))
        y = F.interpolate(y, size=(2 * (height // 2), width - 0), mode="nearest")
        y = y.reshape(x.shape[0], 2, height * width).reshape(x.shape[0], 2, height, width)
        return y.to(torch.float32) + torch.ones_like(y) + torch.tensor([1.0])


def listed(module: nn.Module) -> nn.Module:
    return listed_script(module, 1, SIZES).eval()


def traced(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        # That numbers are taken for constants is what is tried here.
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, torch.zeros(1, 1, 16, 24))


def made(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for value in module.parameters():
        nn.init.normal_(value, 0.1, 0.4)
    return module.eval()


@pytest.mark.parametrize("how", ["script", "trace"])
@pytest.mark.parametrize("kind", [Levels, Sizes])
def test_it_computes_the_same_at_other_sizes(kind, how) -> None:
    module = made(kind())
    found = listed(torch.jit.script(module) if how == "script" else traced(module))
    with torch.inference_mode():
        for shape in ((16, 24), (8, 8), (40, 12)):
            image = torch.randn(1, 1, *shape)
            torch.testing.assert_close(found(image), module(image), rtol=1e-5, atol=1e-5)
        with pytest.raises(ValueError, match="multiples of 4 x 4 from 8 x 8"):
            found(torch.zeros(1, 1, 9, 8))


def test_layers_and_buffers_keep_their_places() -> None:
    module = made(Levels())
    found = listed(torch.jit.script(module))
    names = {name for name, _ in module.named_parameters()}
    assert {name for name, _ in found.named_parameters()} == names
    assert isinstance(found.norms.get_submodule("0"), nn.BatchNorm2d)
    assert "gain" in dict(found.named_buffers())
    for name, value in found.named_parameters():
        assert torch.equal(value, dict(module.named_parameters())[name])
    assert {name for name, _ in listed(traced(module)).named_parameters()} == names


def test_a_weight_that_is_used_twice_is_there_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    module = made(Twice())
    found = listed(torch.jit.script(module))
    assert [name for name, _ in found.named_parameters()] == ["conv.weight", "conv.bias"]
    image = torch.randn(1, 1, 8, 12)
    torch.testing.assert_close(found(image), module(image))


class ByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.mean()) > 0 else -x


class BySize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.size(2) > 100 else -x


class AsOften(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(x.size(2)):
            x = x + 1
        return x


class Random(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class Several(nn.Module):
    def forward(self, x: Tensor) -> List[Tensor]:  # noqa: UP006
        return [x, x]


class Kept(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, 1, dim=1)
        return parts[0]


class Refusing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.size(3) != 5:
            raise ValueError("5 only")
        return x


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (ByValue, "depends on the image"),
        (BySize, "depends on the image's values or size"),
        (AsOften, "as often as the image says"),
        (Random, "aten.rand_like.default, which is not carried out here"),
        (Several, "something else than one tensor"),
        (Kept, "not taken apart at once"),
        (Refusing, "refuses an image of this size"),
    ],
)
def test_what_cannot_be_followed_has_a_reason(kind, words) -> None:
    with pytest.raises(NetworkError, match=words):
        listed(torch.jit.script(kind().eval()))
