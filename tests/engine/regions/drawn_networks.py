"""Random networks of one to three axes, for laws that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import reject
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.read_shape import ReadShape

#: How often an image that a network computes otherwise is drawn again, and the sizes of images.
DRAWS = 40
LEAST = {1: 12, 2: 10, 3: 8}
MOST = {1: 40, 2: 20, 3: 12}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
CHANNELS = 2


def of(kind: str, ndim: int) -> Any:
    return getattr(nn, f"{kind}{ndim}d")


class Residual(nn.Module):
    """Adds its input, in place or not, to a branch that keeps its size."""

    def __init__(self, branch: nn.Module, in_place: bool) -> None:
        super().__init__()
        self.branch, self.in_place = branch, in_place

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        if self.in_place:
            y += x
            return y
        return x * 0.5 + y


class Skip(nn.Module):
    """Brings its input, as it is, behind what a coarser path makes of it."""

    def __init__(self, path: nn.Module) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        y = self.path(x)
        sizes = [min(a, b) for a, b in zip(x.shape[2:], y.shape[2:], strict=True)]
        return torch.cat((self._first(x, sizes), self._first(y, sizes)), dim=1)

    def _first(self, x: Tensor, sizes: list[int]) -> Tensor:
        for axis, size in enumerate(sizes, start=2):
            x = x.narrow(axis, 0, size)
        return x


class Slices(nn.Module):
    """Cuts voxels off, takes every other one, swaps channels."""

    def __init__(self, start: int, step: int) -> None:
        super().__init__()
        self.start, self.step = start, step

    def forward(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, dim=1)
        return torch.cat((two, one[:, :1]), dim=1)[:, :, self.start :: self.step]


class Shuffle(nn.Module):
    """Channels become voxels, for any number of axes."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, *space = x.shape
        ndim, times = len(space), self.factor
        kept = channels // times**ndim
        apart = x.reshape(batch, kept, *(times,) * ndim, *space)
        order = [axis for i in range(ndim) for axis in (2 + ndim + i, 2 + i)]
        return apart.permute(0, 1, *order).reshape(batch, kept, *(n * times for n in space))


class Overwrites(nn.Module):
    """Overwrites what another branch goes on to use."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 1.5 - 0.1
        z = functional.relu(y, inplace=True)
        return z + y.sigmoid_() + functional.leaky_relu(y, 0.2)


@st.composite
def convolutions(draw: st.DrawFn, ndim: int, same: bool = False) -> nn.Module:
    # One axis may have many taps; on all of three they would take too long.
    most, long = (7, 5, 3)[ndim - 1], draw(st.integers(0, ndim - 1))
    kernel = [draw(st.integers(1, 7 if axis == long else most)) for axis in range(ndim)]
    dilation = [draw(st.integers(1, 2)) if k < 4 else 1 for k in kernel]
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    groups, bias = draw(st.sampled_from([1, 2])), draw(st.booleans())
    how: dict[str, Any] = {"dilation": tuple(dilation), "groups": groups, "bias": bias, "padding_mode": mode}
    if same or draw(st.booleans()):
        return of("Conv", ndim)(CHANNELS, CHANNELS, tuple(kernel), padding="same", **how)
    stride = tuple(draw(st.integers(1, 3)) for _ in range(ndim))
    padding = tuple(draw(st.integers(0, (k - 1) * d // 2)) for k, d in zip(kernel, dilation, strict=True))
    return of("Conv", ndim)(CHANNELS, CHANNELS, tuple(kernel), stride, padding, **how)


@st.composite
def transposed(draw: st.DrawFn, ndim: int) -> nn.Module:
    kernel = [draw(st.integers(1, 4)) for _ in range(ndim)]
    stride = [draw(st.integers(1, 3)) for _ in range(ndim)]
    dilation = draw(st.integers(1, 2))
    padding = [draw(st.integers(0, (k - 1) // 2)) for k in kernel]
    extra = [draw(st.integers(0, max(s, dilation) - 1)) for s in stride]
    return of("ConvTranspose", ndim)(
        CHANNELS,
        CHANNELS,
        tuple(kernel),
        tuple(stride),
        tuple(padding),
        tuple(extra),
        groups=draw(st.sampled_from([1, 2])),
        bias=draw(st.booleans()),
        dilation=dilation,
    )


@st.composite
def pools(draw: st.DrawFn, ndim: int) -> nn.Module:
    kernel, stride = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    padding, ceil = draw(st.integers(0, kernel // 2)), draw(st.booleans())
    # Torch exports the largest of a window along one axis for one size only.
    if ndim > 1 and draw(st.booleans()):
        return of("MaxPool", ndim)(kernel, stride, padding, draw(st.integers(1, 2)), ceil_mode=ceil)
    counted = draw(st.booleans())
    return of("AvgPool", ndim)(kernel, stride, padding, ceil_mode=ceil, count_include_pad=counted)


@st.composite
def upsamplings(draw: st.DrawFn, ndim: int) -> nn.Module:
    factor = draw(st.sampled_from([2, 2, 3, 1.5]))
    mode = draw(st.sampled_from(["nearest", "nearest-exact", LINEAR[ndim], LINEAR[ndim]]))
    aligned = draw(st.booleans()) if mode == LINEAR[ndim] else None
    return nn.Upsample(scale_factor=factor, mode=mode, align_corners=aligned)


@st.composite
def pads(draw: st.DrawFn, ndim: int) -> nn.Module:
    kind = draw(st.sampled_from(["Constant", "Reflection", "Replication", "Zero"]))
    amounts = tuple(draw(st.integers(0, 3)) for _ in range(2 * ndim))
    return of(f"{kind}Pad", ndim)(amounts, *([0.5] if kind == "Constant" else []))


def pointwise(ndim: int) -> st.SearchStrategy[nn.Module]:
    return st.sampled_from(
        [
            nn.ReLU(inplace=True),
            nn.LeakyReLU(0.1),
            nn.PReLU(CHANNELS),
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.Softmax(dim=1),
            nn.Dropout(0.3),
            Overwrites(),
            of("BatchNorm", ndim)(CHANNELS),
            of("InstanceNorm", ndim)(CHANNELS, affine=True, track_running_stats=True),
        ]
    )


def to_two(ndim: int) -> nn.Module:
    return of("Conv", ndim)(2 * CHANNELS, CHANNELS, 1)


@st.composite
def blocks(draw: st.DrawFn, ndim: int) -> nn.Module:
    kind = draw(st.integers(0, 9))
    if kind <= 2:
        return nn.Sequential(draw(convolutions(ndim)), draw(pointwise(ndim)))
    if kind == 3:
        return Residual(draw(convolutions(ndim, same=True)), draw(st.booleans()))
    if kind == 4:
        path = nn.Sequential(draw(pools(ndim)), draw(convolutions(ndim, same=True)), draw(upsamplings(ndim)))
        return nn.Sequential(Skip(path), to_two(ndim))
    if kind == 5:
        return Slices(draw(st.integers(-4, 2)), draw(st.integers(1, 2)))
    if kind == 6:
        times = 2
        widen = of("Conv", ndim)(CHANNELS, CHANNELS * times**ndim, 1)
        return nn.Sequential(draw(pools(ndim)), widen, Shuffle(times))
    return draw(st.sampled_from([pools, upsamplings, transposed, pads]).flatmap(lambda make: make(ndim)))


@st.composite
def networks(draw: st.DrawFn) -> tuple[int, nn.Module]:
    """A network of one to three axes, its weights random, its statistics not the default."""
    ndim = draw(st.sampled_from([1, 1, 2, 2, 3]))
    layers = draw(st.lists(blocks(ndim), min_size=1, max_size=3))
    torch.manual_seed(draw(st.integers(0, 99)))
    first = of("Conv", ndim)(1, CHANNELS, 1)
    module = nn.Sequential(first, *layers).eval().requires_grad_(False)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + (0.5 if "var" in name else -0.3))
    return ndim, module.double()


def box_in(draw: Callable[[st.SearchStrategy[int]], int], shape: tuple[int, ...]) -> Box:
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, min(n, a + 9))) for a, n in zip(start, shape, strict=True))
    return Box(start, stop)


def captured(module: nn.Module, ndim: int) -> Graph:
    """Graph of a network that was drawn; rejects those that no graph can be had of."""
    least = (LEAST[ndim],) * ndim
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 1, *least, dtype=torch.float64))
    except (RuntimeError, ValueError):
        reject()  # too small after so many poolings, or for so much reflection
    try:
        return capture(module, 1, ReadShape(minimum=least, step=(1,) * ndim))
    except NoRuleError as error:
        if "other sizes" not in str(error) and "any size" not in str(error):
            raise
        # A map of one voxel is a branch of its own to the export, and slices of slices are beyond it.
        reject()


def shape_for(program: Program, ndim: int, data: st.DataObject) -> tuple[int, ...]:
    """Shape of an image; drawn again where a pooling that rounds up computes otherwise on it."""
    sizes = st.tuples(*[st.integers(LEAST[ndim], MOST[ndim])] * ndim)
    shape = next(filter(program.fits, (data.draw(sizes) for _ in range(DRAWS))), None)
    if shape is None:
        reject()
    return shape


def check_box(graph: Graph, module: nn.Module, image: Tensor, expected: Tensor, box: Box) -> None:
    program = Program(graph, module, "cpu", torch.float64, channels_last=True)
    schedule = program.schedule(tuple(image.shape[2:]), box)
    with torch.inference_mode():
        result = program.run(image[(slice(None), slice(None), *schedule.read.slices)].clone(), schedule)
    wanted = expected[(slice(None), slice(None), *box.slices)]
    assert result.shape == wanted.shape
    assert float((result - wanted).abs().max()) <= 1e-10 * max(1.0, float(expected.abs().max())), module
