"""What other packages' networks compute locally: any box of it equals the whole, in float64."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.sweep import sweep
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, BOXES = 4, 8


def of(kind: str, ndim: int) -> Any:
    return getattr(nn, f"{kind}{ndim}d")


class Around(nn.Module):
    """A function between two convolutions, with parts of its own."""

    def __init__(self, ndim: int, run: Callable[..., Tensor], *parts: nn.Module, last: int = WIDTH) -> None:
        super().__init__()
        self.first = of("Conv", ndim)(1, WIDTH, 3, padding=1)
        self.parts, self.run = nn.ModuleList(parts), run
        self.last = of("Conv", ndim)(last, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.run(self.first(x), *self.parts))
        return result


def built(make: Callable[[int], nn.Module], ndim: int) -> nn.Module:
    """A network of which far voxels count: weights whose mean is a third of their spread."""
    torch.manual_seed(ndim)
    module = make(ndim).eval().requires_grad_(False)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point() and not name.endswith(("_u", "_v")):
            value.copy_(torch.rand_like(value) + 0.5 if "var" in name else torch.randn_like(value) + 1 / 3)
    return module


def graph_of(module: nn.Module, ndim: int, step: int = 1, least: int = 12) -> Graph:
    return capture(module, 1, ReadShape(minimum=(least,) * ndim, step=(step,) * ndim))


def boxes_in(shape: Sequence[int], seed: int) -> Iterator[Box]:
    """The whole, two opposite corners, and some boxes anywhere."""
    draw = random.Random(seed)
    yield Box.of_shape(tuple(shape))
    yield Box((0,) * len(shape), tuple(min(3, n) for n in shape))
    yield Box(tuple(max(0, n - 2) for n in shape), tuple(shape))
    for _ in range(BOXES):
        start = tuple(draw.randrange(n) for n in shape)
        yield Box(start, tuple(draw.randrange(a + 1, n + 1) for a, n in zip(start, shape, strict=True)))


def check(module: nn.Module, graph: Graph, shape: Sequence[int]) -> None:
    """Hold boxes and sweeps against the whole result, to 1e-9 of its largest value, in batches of two."""
    program = Program(graph, module, "cpu", torch.float64, channels_last=len(shape) > 1)
    values = torch.rand(2, 1, *shape, dtype=torch.float64)
    module = module.double()
    with torch.inference_mode():
        whole = module(values.clone())
        most = 1e-9 * max(1.0, float(whole.abs().max()))
        for box in boxes_in(whole.shape[2:], len(shape)):
            schedule = program.schedule(tuple(shape), box)
            part = program.to_device(values[(slice(None), slice(None), *schedule.read.slices)].clone())
            result, wanted = program.run(part, schedule), whole[(slice(None), slice(None), *box.slices)]
            assert result.shape == wanted.shape
            assert float((result - wanted).abs().max()) <= most, f"{box} of {tuple(shape)}"

        def read(box: Box) -> Tensor:
            return program.to_device(values[(slice(None), slice(None), *box.slices)].clone())

        parts = [part for _, part in sweep(program, tuple(shape), Box.of_shape(whole.shape[2:]), 3, read)]
        assert float((torch.cat(parts, dim=2) - whole).abs().max()) <= most


def crop_by_skip(x: Tensor, down: nn.Module, up: nn.Module) -> Tensor:
    y = up(down(x))
    before = [(a - b) // 2 for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
    at = tuple(slice(a, a + n) for a, n in zip(before, y.shape[2:], strict=True))
    return torch.cat((y, x[(slice(None), slice(None), *at)]), dim=1)


def pad_to_a_multiple(x: Tensor, layer: nn.Module, mode: str, both: bool) -> Tensor:
    """Takes images of any size: pads to a multiple of 4, goes through a pooling, crops."""
    more = [-n % 4 for n in x.shape[2:]]
    before = [n // 2 if both else 0 for n in more]
    pads = [n for a, b in zip(before[::-1], more[::-1], strict=True) for n in (a, b - a)]
    y = functional.pad(x, pads, mode=mode)
    coarse = layer(y)[(slice(None), slice(None), *(slice(None, None, 4),) * len(more))]
    y = y + functional.interpolate(coarse, scale_factor=4)
    at = tuple(slice(a, a + n) for a, n in zip(before, x.shape[2:], strict=True))
    return y[(slice(None), slice(None), *at)]


def standardized(x: Tensor, layer: nn.Module) -> Tensor:
    weight = layer.weight
    axes = tuple(range(1, weight.ndim))
    spread, mean = torch.std_mean(weight, axes, keepdim=True)
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[weight.ndim - 2]
    return convolve(x, (weight - mean) / (spread + 1e-5), layer.bias, padding=1)


def blurred(x: Tensor) -> Tensor:
    """Every other voxel of a smoothed feature map, its kernel made from numbers in the code."""
    ndim = x.ndim - 2
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
    taps = kernel
    for _ in range(ndim - 1):
        taps = taps[..., None] * kernel
    taps = (taps / taps.sum()).repeat(x.shape[1], 1, *(1,) * ndim)
    padded = functional.pad(x, (1, 1) * ndim, mode="reflect")
    convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[ndim]
    return functional.interpolate(convolve(padded, taps, stride=2, groups=x.shape[1]), scale_factor=2)


def channels_last(x: Tensor, norm: nn.Module, wide: nn.Module, narrow: nn.Module) -> Tensor:
    """A block of ConvNeXt: normalized, widened and narrowed with the channels last, scaled in place."""
    y = narrow(functional.gelu(wide(norm(x.movedim(1, -1)))))
    y *= torch.arange(1, y.shape[-1] + 1, dtype=y.dtype)
    return x + y.permute(0, y.ndim - 1, *range(1, y.ndim - 1))


def tokens(x: Tensor, norm: nn.Module) -> Tensor:
    """Voxels in a row, normalized and brought back."""
    y = norm(x.flatten(2).transpose(1, 2)).transpose(1, 2)
    return y.reshape(x.shape)


def by_parts(x: Tensor, last: bool) -> Tensor:
    """Voxels become channels, with these behind or before the parts, and voxels again."""
    batch, channels, *space = x.shape
    ndim = len(space)
    apart = x.reshape(batch, channels, *(n for size in space for n in (size // 2, 2)))
    places, parts = range(2, 2 + 2 * ndim, 2), range(3, 3 + 2 * ndim, 2)
    order = (1, *parts) if last else (*parts, 1)
    coarse = apart.permute(0, *order, *places).reshape(batch, -1, *(n // 2 for n in space))
    coarse = functional.softmax(coarse.cumsum(1), 1) + coarse[:, :1]
    again = coarse.reshape(
        batch,
        *((channels,) if last else ()),
        *(2,) * ndim,
        *(() if last else (channels,)),
        *(n // 2 for n in space),
    )
    first = 1 if last else 1 + ndim
    parts, places = range(2 if last else 1, 2 + ndim if last else 1 + ndim), range(2 + ndim, 2 + 2 * ndim)
    pairs = (i for pair in zip(places, parts, strict=True) for i in pair)
    return again.permute(0, first, *pairs).reshape(x.shape)


def stacked(x: Tensor, other: nn.Module) -> Tensor:
    y = torch.stack((x, other(x), x.repeat(1, 1, *(1,) * (x.ndim - 2))), dim=2)
    grouped = y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    largest, _ = grouped.max(dim=2)
    return largest + grouped.mean(2) - grouped.select(2, 1) + torch.stack((x, x * 2)).sum(0)


def gated(x: Tensor, down: nn.Module, theta: nn.Module, phi: nn.Module) -> Tensor:
    coarse = functional.interpolate(phi(down(x)), size=x.shape[2:])
    gate = torch.sigmoid(functional.relu(theta(x) + coarse).amax(1, keepdim=True))
    return x * gate.expand_as(x) + gate.mul(2)


def padded_channels(x: Tensor) -> Tensor:
    """As many channels as a wider layer has, and groups of them in another order."""
    wide = functional.pad(x, (0, 0) * (x.ndim - 2) + (1, 3))
    mixed = wide.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
    one, two = mixed.chunk(2, dim=1)
    spread = mixed.std(dim=1, keepdim=True)
    return one * torch.exp(two) / (functional.normalize(mixed, dim=1)[:, :4] + spread + 3)


def positions(x: Tensor, layer: nn.Module, how: str) -> Tensor:
    """Channels that say where in the whole image a voxel lies."""
    space, dtype = x.shape[2:], x.dtype
    if how == "linspace":
        lines = [torch.linspace(-1, 1, n, dtype=dtype) for n in space]
    else:
        lines = [(torch.arange(n, dtype=dtype) + 0.5) / n - n / 100 for n in space]
    if how == "meshgrid":
        grid = (
            torch.stack(torch.meshgrid(*lines, indexing="ij"))
            .unsqueeze(0)
            .repeat(x.shape[0], 1, *(1,) * len(space))
        )
        return layer(torch.cat((x, grid.sin()), dim=1))
    added, channels = x, []
    for axis, line in enumerate(lines):
        shape = [1] * x.ndim
        shape[2 + axis] = space[axis]
        channels.append(line.view(shape).expand(x.shape[0], 1, *space))
        added = added * (1 + line.view(shape) ** 2)
    return layer(torch.cat((added, *channels), dim=1))


def shortcut(x: Tensor) -> Tensor:
    """Fewer voxels and more channels without weights, and outside the history of what is computed."""
    coarse = x[(slice(None), slice(None), *(slice(None, None, 2),) * (x.ndim - 2))]
    zeros = torch.zeros(x.shape[0], 2, *coarse.shape[2:], dtype=x.dtype)
    return functional.interpolate(
        torch.cat((coarse.data, zeros, torch.full_like(zeros, 0.5)), dim=1), scale_factor=2
    )


def bicubic(x: Tensor) -> Tensor:
    y = functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2, mode="bicubic")
    shrunk = functional.interpolate(x * y, scale_factor=0.5, mode="bicubic")
    return x + functional.interpolate(shrunk, size=x.shape[2:], mode="bicubic", align_corners=True)


def same(ndim: int) -> nn.Module:
    return of("Conv", ndim)(WIDTH, WIDTH, 3, padding=1)


LOCAL: dict[str, Callable[[int], nn.Module]] = {
    "crop by the skip's size": lambda n: Around(
        n,
        crop_by_skip,
        of("AvgPool", n)(4),
        of("ConvTranspose", n)(WIDTH, WIDTH, 4, 4),
        last=2 * WIDTH,
    ),
    "pad to a multiple": lambda n: Around(
        n, lambda x, c: pad_to_a_multiple(x, c, "constant", False), same(n)
    ),
    "pad both sides by reflection": lambda n: Around(
        n, lambda x, c: pad_to_a_multiple(x, c, "reflect", True), same(n)
    ),
    "weight standardization": lambda n: Around(n, standardized, same(n)),
    "weight norm": lambda n: Around(n, lambda x, c: c(x), parametrizations.weight_norm(same(n))),
    "spectral norm": lambda n: Around(n, lambda x, c: c(x), parametrizations.spectral_norm(same(n))),
    "blur pool": lambda n: Around(n, blurred),
    "block with channels last": lambda n: Around(
        n, channels_last, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
    ),
    "layer norm of tokens": lambda n: Around(n, tokens, nn.LayerNorm(WIDTH)),
    "pixel unshuffle": lambda n: Around(n, partial(by_parts, last=True)),
    "patches with channels last": lambda n: Around(n, partial(by_parts, last=False)),
    "stack and repeat": lambda n: Around(n, stacked, same(n)),
    "attention gate": lambda n: Around(
        n,
        gated,
        of("Conv", n)(WIDTH, WIDTH, 2, 2),
        of("Conv", n)(WIDTH, WIDTH, 1),
        of("Conv", n)(WIDTH, WIDTH, 1),
    ),
    "padded channels": lambda n: Around(n, padded_channels),
    "local response": lambda n: Around(n, lambda x, norm: norm(x), nn.LocalResponseNorm(3, 0.5)),
    **{
        f"coordinates by {how}": lambda n, how=how: Around(  # type: ignore[misc]
            n, partial(positions, how=how), of("Conv", n)(WIDTH + n, WIDTH, 3, padding=1)
        )
        for how in ("linspace", "arange", "meshgrid")
    },
    "shortcut without weights": lambda n: Around(n, shortcut, last=2 * WIDTH),
    "bicubic up-sampling": lambda n: Around(n, bicubic),
    "larger and smaller of two": lambda n: Around(
        n, lambda x, c: torch.max(x, c(x)) - torch.min(c(x), x.abs()), same(n)
    ),
    "casts": lambda n: Around(n, lambda x, c: c(x.to(x.dtype).to(x)).type_as(x), same(n)),
}
#: What takes images on a step alone.
STEPS = {
    "blur pool": 2,
    "pixel unshuffle": 2,
    "patches with channels last": 2,
    "shortcut without weights": 2,
    "bicubic up-sampling": 2,
}
SIZES = {1: ((12,), (23,), (41,)), 2: ((12, 15), (21, 14)), 3: ((12, 13, 15),)}


#: What treats axes in a way of its own, and is tried with one and with three as well.
EVERY = (
    "crop by the skip's size",
    "pad both sides by reflection",
    "block with channels last",
    "pixel unshuffle",
    "patches with channels last",
    "local response",
    "coordinates by meshgrid",
)


@pytest.mark.parametrize(
    ("name", "ndim"), [*((n, 2) for n in LOCAL), *((n, d) for n in EVERY for d in (1, 3))]
)
def test_a_box_equals_the_whole(name: str, ndim: int) -> None:
    module, step = built(LOCAL[name], ndim), STEPS.get(name, 1)
    graph = graph_of(module, ndim, step)
    for shape in SIZES[ndim]:
        check(module, graph, [n - n % step for n in shape])
        module = module.float()


def attention(x: Tensor) -> Tensor:
    flat = x.flatten(2).transpose(1, 2)
    return functional.scaled_dot_product_attention(flat, flat, flat).transpose(1, 2).unflatten(2, x.shape[2:])


def attention_by_hand(x: Tensor) -> Tensor:
    flat = x.flatten(2)
    return (flat @ torch.softmax(flat.transpose(1, 2) @ flat, 2)).unflatten(2, x.shape[2:])


def unpooled(x: Tensor) -> Tensor:
    y, at = functional.max_pool2d(x, 2, return_indices=True)
    return functional.max_unpool2d(y, at, 2, output_size=x.shape[2:])


def warped(x: Tensor) -> Tensor:
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in x.shape[2:]), indexing="xy"), -1)
    return functional.grid_sample(x, grid.transpose(0, 1)[None], align_corners=True)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (attention, "its attention weighs all voxels of space"),
        (attention_by_hand, "its attention weighs all voxels of space"),
        (unpooled, "unpooling by indices"),
        (warped, "it samples its feature maps at positions that it computes"),
        (lambda x: x.roll(3, 2), "a circular shift"),
        (lambda x: x.roll(3), "a circular shift"),
        (lambda x: x + torch.randn(1, 4, 1, 1), "its randn gives another answer each time"),
        (lambda x: torch.zeros(1, 4, 1, 1).add_(x.amax((2, 3), keepdim=True)) + x, "a tensor of its own"),
        (lambda x: functional.layer_norm(x, x.shape[2:]), "its layer_norm mixes voxels|export"),
    ],
)
def test_what_is_not_local_is_named(run: Callable[[Tensor], Tensor], why: str) -> None:
    with pytest.raises(NoRuleError, match=why):
        graph_of(built(lambda n: Around(n, run), 2), 2, 2)
