"""How large cores should be: least predicted time within a memory budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, inf, log, prod
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.regions.cores.cost import Cost, cost_of, peak_of_sweep
from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div, round_up

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.program.program import Program

#: Numbers in a tensor from which on devices become slow, or fail.
MOST_NUMBERS = 2**31
#: Factor by which a part exceeds the limits from which on it is halved; below, it is cut as finely as can be.
_FAR = 4
#: Planes of the image, and voxels, from which on a sweep gains nothing from thicker slabs.
PLANES, VOXELS = 16, 2**17
#: Voxels of a slab up to which it may be thicker than a core.
SMALL = 2**21
#: Cores along the first axis that one sweep computes at most, and planes of the image that it may reach over
#: where that many cores are thinner.
LENGTH, REACH = 8, 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one core may take.

    Parameters
    ----------
    memory : int
        Bytes of tensors that are held at the same time.
    work : float
        Predicted time in operations, as `Cost.work`, so that a core that somebody waits for is there soon.
    """

    memory: int
    work: float = inf


@dataclass(frozen=True, slots=True)
class CorePlan:
    """A size of core, and what it costs.

    Parameters
    ----------
    core : tuple of int
        Voxels along each axis.
    peak : int
        Bytes of the tensors that are held at the same time.
    ratio : float
        Operations over those of one pass over the whole image, for the same part of it.
    fitting : int
        How many such cores fit into the memory that is allowed at the same time, at least 1.
    """

    core: Shape
    peak: int
    ratio: float
    fitting: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Planner:
    """Sizes of cores for one box of the result of a network.

    Parameters
    ----------
    program : Program
        The network; where it is bound does not matter.
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    box : Box
        What is to be computed of it.
    stride : tuple of int
        Cores are multiples of it.
    length : int, optional
        Cores along the first axis that are swept together, as `napari_tileseg.prediction.order.column_sweep`
        does, when work is counted; 1 where each is computed by itself, and by default as many as
        `length_of` says.
    """

    program: Program
    shape: Shape
    box: Box
    stride: Shape
    length: int | None = None

    def best(self, limits: Limits) -> CorePlan:
        """Core that is predicted to take the least time within limits.

        The box is cut into nearly equal parts, on the stride: while a part is too large, next along the
        axis where that comes closer to the limits for the least work that is done twice.

        Raises
        ------
        SettingsError
            If the least core does not fit into memory; says how much it takes.
        """
        parts: Shape = (1,) * self.box.ndim
        while True:
            core = self._core(parts)
            excess = self._excess(core, limits)
            if excess <= 1:
                return self.of(core)
            finer = self._next_cuts(parts, limits, excess)
            if finer is None:
                if self.memory(core) > limits.memory:
                    raise SettingsError(
                        f"The least tile, of {by_axis(core)} voxels, takes {self.memory(core):,} bytes of "
                        "memory; "
                        f"{limits.memory:,} are allowed. Allow at least that much."
                    )
                return self.of(core)
            parts = finer

    def of(self, core: Shape) -> CorePlan:
        """What a size of core costs.

        Parameters
        ----------
        core : tuple of int
            Voxels along each axis, multiples of the stride.
        """
        core = tuple(min(n, round_up(extent, step)) for n, extent, step in self._along(core))
        pieces = self._piece(core)
        flops = sum(
            count * cost_of(self.program, self.shape, box).flops for box, count in self._kinds(pieces)
        )
        whole = cost_of(self.program, self.shape, self.box).flops
        return CorePlan(core, self.memory(core), flops / whole if whole else 1.0)

    def memory(self, core: Shape) -> int:
        """Bytes of the tensors that are held at the same time for a core, by itself or in a sweep."""
        alone = self._cost(core).peak
        if core[0] >= self.box.shape[0]:
            return alone
        column = self._middle(self._column(core, length_of(core[0])))
        return max(alone, peak_of_sweep(self.program, self.shape, column, planes_of(core, self.stride[0])))

    def _along(self, core: Shape) -> Iterator[tuple[int, int, int]]:
        return zip(core, self.box.shape, self.stride, strict=True)

    def _piece(self, core: Shape) -> Shape:
        """Voxels of the cores that are computed with what the ones before have left."""
        return self._column(core, length_of(core[0]) if self.length is None else self.length)

    def _column(self, core: Shape, length: int) -> Shape:
        """Voxels of so many cores along the first axis."""
        return (min(length * core[0], round_up(self.box.shape[0], self.stride[0])), *core[1:])

    def _cost(self, core: Shape) -> Cost:
        return cost_of(self.program, self.shape, self._middle(core))

    def _excess(self, core: Shape, limits: Limits) -> float:
        """By how much a core exceeds the limits: the largest factor."""
        cost = self._cost(core)
        excess = max(cost.peak / limits.memory, cost.work / limits.work, cost.largest / (MOST_NUMBERS - 1))
        # Slabs take time to lay out: asked only where all else fits.
        return excess if excess > 1 else max(excess, self.memory(core) / limits.memory)

    def _work(self, core: Shape) -> float:
        """Predicted time for the whole box, in operations."""
        piece = self._piece(core)
        cost = cost_of(self.program, self.shape, self._middle(piece))
        share = prod(n / size for n, size in zip(self.box.shape, piece, strict=True))
        return max(1.0, share) * cost.work

    def _next_cuts(self, parts: Shape, limits: Limits, excess: float) -> Shape | None:
        """One more part along the axis where that costs the least for what it gains; None at the end."""
        work = self._work(self._core(parts))
        best: tuple[float, Shape] | None = None
        for axis, (size, step) in enumerate(zip(self._core(parts), self.stride, strict=True)):
            if size <= step:
                continue
            least = 2 * parts[axis] if excess >= _FAR else parts[axis] + 1
            finer = (*parts[:axis], self._more(parts[axis], least, axis), *parts[axis + 1 :])
            core = self._core(finer)
            gained = max(1e-9, log(excess / self._excess(core, limits)))
            loss = (self._work(core) - work) / gained
            if best is None or loss < best[0]:
                best = loss, finer
        return None if best is None else best[1]

    def _more(self, parts: int, least: int, axis: int) -> int:
        """Number of parts, at least `least`, at which they are smaller than at `parts`."""
        extent, step = self.box.shape[axis], self.stride[axis]
        size = _part(extent, parts, step)
        return next(n for n in range(least, extent + least + 1) if _part(extent, n, step) < size)

    def _core(self, parts: Shape) -> Shape:
        return tuple(
            _part(n, count, step) for n, count, step in zip(self.box.shape, parts, self.stride, strict=True)
        )

    def _middle(self, size: Shape) -> Box:
        """A part in the middle of the box, far from the border: the costly kind."""
        start = tuple(
            a + max(0, extent - n) // 2 // step * step
            for a, (n, extent, step) in zip(self.box.start, self._along(size), strict=True)
        )
        return Box(start, tuple(a + n for a, n in zip(start, size, strict=True))).clip(self.box)

    def _kinds(self, size: Shape) -> Iterator[tuple[Box, int]]:
        """Kinds of parts that differ in what they need: first, last and between, and how many there are."""
        axes = []
        for axis, (n, extent, _) in enumerate(self._along(size)):
            start, count = self.box.start[axis], ceil_div(extent, n)
            numbers = {0: 1, count - 1: 1} | ({count // 2: count - 2} if count > 2 else {})
            ends = ((start + i * n, start + min((i + 1) * n, extent), many) for i, many in numbers.items())
            axes.append(list(ends))
        for kind in product(*axes):
            box = Box(tuple(a for a, _, _ in kind), tuple(b for _, b, _ in kind))
            yield box, prod(many for _, _, many in kind)


def length_of(planes: int) -> int:
    """Cores of so many planes that one sweep computes at most: a power of two, so that orders cut none.

    Thin cores are what little memory asks for, and what a sweep gathers at its start is as much for them.

    Examples
    --------
    >>> length_of(96), length_of(24), length_of(8), length_of(1)
    (8, 8, 32, 256)
    """
    return 1 << (max(LENGTH, REACH // planes).bit_length() - 1)


def planes_of(core: Shape, step: int) -> int:
    """Planes that a sweep over such cores computes at once: a multiple of the stride, at least one.

    Where cores are thin and not wide, these are planes of more than one.

    Examples
    --------
    >>> planes_of((96, 96, 96), 4), planes_of((40, 96, 96), 32)
    (16, 32)
    >>> planes_of((8, 96, 96), 4), planes_of((8, 2048, 2048), 4)
    (16, 8)

    Lines of a plane hold few voxels, so that more of them go together:

    >>> planes_of((1024, 1024), 8)
    128
    """
    area = prod(core[1:])
    enough = min(core[0], max(PLANES, ceil_div(VOXELS, area)))
    planes = max(enough, min(PLANES, SMALL // area))
    return max(step, planes // step * step)


def _part(extent: int, parts: int, step: int) -> int:
    """Length of nearly equal parts, on the stride."""
    return max(step, round_up(ceil(extent / parts), step))
