"""How large cores, or slabs, should be: least predicted time within a memory budget."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, prod
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.engine.regions.cost import Cost, cost_of, peak_of_sweep
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.program import Program

#: Numbers in a tensor from which on devices become slow, or fail.
MOST_NUMBERS = 2**31
#: Floating-point operations that take as long as moving one byte, on common processors and accelerators.
_BALANCE = 10.0
#: Planes of the image that a slab may have; thicker ones gain nothing.
_THICKEST = 64


@dataclass(frozen=True, slots=True)
class CorePlan:
    """A size of core, or of the strips of a sweep, and what it costs.

    Parameters
    ----------
    core : tuple of int
        Voxels along each axis.
    planes : int
        Planes of the image at once in a sweep along the first axis; 0 where each core is computed by itself.
    peak : int
        Bytes of the tensors that are held at the same time.
    ratio : float
        Operations over those of one pass over the whole box.
    """

    core: Shape
    planes: int
    peak: int
    ratio: float


def plan_core(program: Program, shape: Shape, box: Box, stride: Shape, budget: int) -> CorePlan:
    """Core that is predicted to take the least time within a budget.

    The box is cut into nearly equal parts, on the stride: where a part is too large, next along the axis
    where that saves the most memory for the least work that is done twice.

    Parameters
    ----------
    program : Program
        The network.
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    box : Box
        What is to be computed of it.
    stride : tuple of int
        Cores are multiples of it.
    budget : int
        Bytes that tensors may take.

    Raises
    ------
    SettingsError
        If the least core does not fit; says how much it takes.
    """
    whole = cost_of(program, shape, box)
    parts = (1,) * box.ndim
    core, cost = _fitted(box, parts, stride), whole
    while not _fits(cost, budget):
        finer = _next_cuts(program, shape, box, stride, parts, cost)
        if finer is None:
            raise SettingsError(
                f"The least core, of {core} voxels, takes {cost.peak:,} bytes of memory; the budget is "
                f"{budget:,}. Allow at least that much."
            )
        parts = finer
        core = _fitted(box, parts, stride)
        cost = cost_of(program, shape, _middle(box, core, stride))
    return CorePlan(core, 0, cost.peak, _count(box, core) * cost.flops / max(1, whole.flops))


def plan_sweep(program: Program, shape: Shape, box: Box, stride: Shape, budget: int) -> CorePlan:
    """Strips and slabs with which sweeping is predicted to take the least time within a budget.

    Parameters
    ----------
    program, shape, box, stride, budget
        As `plan_core` takes them.

    Raises
    ------
    SettingsError
        If the thinnest slab of the narrowest strip does not fit; says how much it takes.
    """
    whole = cost_of(program, shape, box)
    parts = (1,) * box.ndim
    while True:
        core = _fitted(box, parts, stride)
        strip = _middle(box, (box.shape[0], *core[1:]), stride)
        planes = min(_THICKEST // stride[0] * stride[0] or stride[0], box.shape[0])
        peak = peak_of_sweep(program, shape, strip, planes)
        while peak > budget and planes > stride[0]:
            planes = max(stride[0], planes // 2 // stride[0] * stride[0])
            peak = peak_of_sweep(program, shape, strip, planes)
        if peak <= budget:
            flops = cost_of(program, shape, strip).flops * _count(box, (box.shape[0], *core[1:]))
            return CorePlan((box.shape[0], *core[1:]), planes, peak, flops / max(1, whole.flops))
        axis = max(range(1, box.ndim), key=lambda axis: core[axis] // stride[axis], default=0)
        if not axis or core[axis] <= stride[axis]:
            raise SettingsError(
                f"The thinnest slab, of {planes} planes, takes {peak:,} bytes of memory; the budget is "
                f"{budget:,}. Allow at least that much."
            )
        parts = (*parts[:axis], _more(box, parts[axis], stride, axis), *parts[axis + 1 :])


def _fits(cost: Cost, budget: int) -> bool:
    return cost.peak <= budget and cost.largest < MOST_NUMBERS


def _seconds(program: Program, shape: Shape, box: Box, core: Shape, stride: Shape) -> tuple[float, Cost]:
    """Predicted work of the whole box, in operations, and the cost of one core."""
    cost = cost_of(program, shape, _middle(box, core, stride))
    return _count(box, core) * (cost.flops + _BALANCE * cost.moved), cost


def _next_cuts(
    program: Program, shape: Shape, box: Box, stride: Shape, parts: Shape, before: Cost
) -> Shape | None:
    """One more part along the axis where that costs the least for the memory it saves; None at the end."""
    work = _seconds(program, shape, box, _fitted(box, parts, stride), stride)[0]
    best: tuple[float, Shape] | None = None
    for axis in range(box.ndim):
        if _fitted(box, parts, stride)[axis] <= stride[axis]:
            continue
        finer = (*parts[:axis], _more(box, parts[axis], stride, axis), *parts[axis + 1 :])
        more, cost = _seconds(program, shape, box, _fitted(box, finer, stride), stride)
        saved = max(1e-9, log(before.peak / cost.peak))
        if best is None or (more - work) / saved < best[0]:
            best = (more - work) / saved, finer
    return None if best is None else best[1]


def _more(box: Box, parts: int, stride: Shape, axis: int) -> int:
    """Number of parts, above `parts`, at which they become smaller."""
    size = _part(box.shape[axis], parts, stride[axis])
    return next(
        n for n in range(parts + 1, box.shape[axis] + 2) if _part(box.shape[axis], n, stride[axis]) < size
    )


def _part(extent: int, parts: int, step: int) -> int:
    """Length of nearly equal parts, on the stride."""
    return max(step, ceil(ceil(extent / parts) / step) * step)


def _fitted(box: Box, parts: Shape, stride: Shape) -> Shape:
    return tuple(_part(n, count, step) for n, count, step in zip(box.shape, parts, stride, strict=True))


def _count(box: Box, core: Shape) -> int:
    return prod(-(-n // size) for n, size in zip(box.shape, core, strict=True))


def _middle(box: Box, core: Shape, stride: Shape) -> Box:
    """A core in the middle of a box, far from the border: the costly kind."""
    start = tuple(
        a + max(0, n - size) // 2 // step * step
        for a, n, size, step in zip(box.start, box.shape, core, stride, strict=True)
    )
    return Box(start, tuple(a + size for a, size in zip(start, core, strict=True))).clip(box)
