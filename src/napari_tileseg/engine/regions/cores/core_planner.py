"""How large cores should be: the least predicted time within a budget of memory."""

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
#: Where parts exceed the limits by this factor, their number is doubled; below, one part more is tried at a
#: time, so that the core comes as close to the limits as it can.
_FAR = 4
#: Planes of the image, and voxels, from which on a sweep gains nothing from thicker slabs.
PLANES, VOXELS = 16, 2**17
#: Voxels of a slab below which it may be thicker than a core.
SMALL = 2**21
#: Cores along the first axis that one sweep computes at most, and planes of the image that it may cover where
#: that many cores are thinner.
LENGTH, REACH = 8, 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What one core may take.

    Parameters
    ----------
    memory : int
        Bytes of tensors that are held at the same time.
    work : float
        Predicted time in operations, as `Cost.work`; it bounds how long somebody waits for one core.
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
        Operations, relative to those of one pass over the whole image for the same part of it.
    fitting : int
        How many such cores fit at the same time into the memory that is allowed, at least 1.
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
        Cores along the first axis that are swept together when work is counted, as
        `napari_tileseg.prediction.order.column_sweep` does; 1 where each is computed by itself, and by
        default as many as `length_of` returns.
    """

    program: Program
    shape: Shape
    box: Box
    stride: Shape
    length: int | None = None

    def best(self, limits: Limits) -> CorePlan:
        """Return the core that is predicted to take the least time within limits.

        The box is cut into nearly equal parts, on the stride. The search is greedy: it begins with one part,
        the whole box, and as long as a part exceeds a limit it cuts along one more axis, always the one that
        gains most for the work that the cut adds. It never goes back. A search over all shapes would lay out
        a schedule for each of them; this one tries one cut along each axis at a time.

        Raises
        ------
        SettingsError
            If the least core does not fit into memory; the message has how much it takes.
        """
        parts: Shape = (1,) * self.box.ndim
        while True:
            core = self._core(parts)
            excess = self._excess(core, limits)
            if excess <= 1:
                return self.of(core)
            finer = self._next_cuts(parts, limits, excess)
            if finer is None:
                # The least core: one that takes too long is computed all the same, one without room is not.
                if self.memory(core) > limits.memory:
                    raise SettingsError(
                        f"The least tile, of {by_axis(core)} voxels, takes {self.memory(core):,} bytes of "
                        "memory; "
                        f"{limits.memory:,} are allowed. Allow at least that much."
                    )
                return self.of(core)
            parts = finer

    def of(self, core: Shape) -> CorePlan:
        """Return what a size of core costs.

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
        """Return the bytes of the tensors that are held at the same time for a core, alone or in a sweep."""
        alone = self._cost(core).peak
        if core[0] >= self.box.shape[0]:
            return alone
        wanted = {len(self.program.nodes): self._middle(self._column(core, length_of(core[0])))}
        return max(alone, peak_of_sweep(self.program, self.shape, wanted, planes_of(core, self.stride[0])))

    def _along(self, core: Shape) -> Iterator[tuple[int, int, int]]:
        return zip(core, self.box.shape, self.stride, strict=True)

    def _piece(self, core: Shape) -> Shape:
        """Return the voxels of the cores that are computed together, nothing twice: one, or a sweep."""
        return self._column(core, length_of(core[0]) if self.length is None else self.length)

    def _column(self, core: Shape, length: int) -> Shape:
        """Return the voxels of so many cores along the first axis."""
        return (min(length * core[0], round_up(self.box.shape[0], self.stride[0])), *core[1:])

    def _cost(self, core: Shape) -> Cost:
        return cost_of(self.program, self.shape, self._middle(core))

    def _excess(self, core: Shape, limits: Limits) -> float:
        """Return by how much a core exceeds the limits: the largest factor."""
        cost = self._cost(core)
        excess = max(cost.peak / limits.memory, cost.work / limits.work, cost.largest / (MOST_NUMBERS - 1))
        # The memory of a sweep takes long to find, as its slabs are laid out: only where all else fits.
        return excess if excess > 1 else max(excess, self.memory(core) / limits.memory)

    def _work(self, core: Shape) -> float:
        """Predict the time for the whole box, in operations."""
        piece = self._piece(core)
        cost = cost_of(self.program, self.shape, self._middle(piece))
        share = prod(n / size for n, size in zip(self.box.shape, piece, strict=True))
        return max(1.0, share) * cost.work

    def _next_cuts(self, parts: Shape, limits: Limits, excess: float) -> Shape | None:
        """Cut along the axis on which the added work per gain is least; None where nothing can be cut.

        The gain is how much closer a part comes to the limits, as a logarithm: halving twice gains twice as
        much. Along an axis where context makes up most of a part, a cut gains little and adds much.
        """
        work = self._work(self._core(parts))
        best: tuple[float, Shape] | None = None
        for axis, (size, step) in enumerate(zip(self._core(parts), self.stride, strict=True)):
            if size <= step:
                continue
            least = 2 * parts[axis] if excess >= _FAR else parts[axis] + 1
            finer = (*parts[:axis], self._more(parts[axis], least, axis), *parts[axis + 1 :])
            core = self._core(finer)
            # A cut may gain nothing, or less: the sweep's memory counts only where the core's own fits.
            gained = max(1e-9, log(excess / self._excess(core, limits)))
            loss = (self._work(core) - work) / gained
            if best is None or loss < best[0]:
                best = loss, finer
        return None if best is None else best[1]

    def _more(self, parts: int, least: int, axis: int) -> int:
        """Return the number of parts, at least `least`, that makes them smaller than `parts` does.

        Sizes are rounded up to the stride, so that one part more may leave them as they are.
        """
        extent, step = self.box.shape[axis], self.stride[axis]
        size = _part(extent, parts, step)
        return next(n for n in range(least, extent + least + 1) if _part(extent, n, step) < size)

    def _core(self, parts: Shape) -> Shape:
        return tuple(
            _part(n, count, step) for n, count, step in zip(self.box.shape, parts, self.stride, strict=True)
        )

    def _middle(self, size: Shape) -> Box:
        """Return a part in the middle of the box: far from the border it needs the most context."""
        start = tuple(
            a + max(0, extent - n) // 2 // step * step
            for a, (n, extent, step) in zip(self.box.start, self._along(size), strict=True)
        )
        return Box(start, tuple(a + n for a, n in zip(start, size, strict=True))).clip(self.box)

    def _kinds(self, size: Shape) -> Iterator[tuple[Box, int]]:
        """Generate the kinds of parts that differ in the context they need, and how many there are of each.

        Along an axis these are the first, the last, and those between, which are all alike.
        """
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
    """Return how many cores of so many planes one sweep computes at most.

    It is a power of two, as the blocks of an order are, so that these cut no sweep. Where memory is short,
    cores are thin; as a sweep gathers as much context at its start for them, it has more of them.

    Examples
    --------
    >>> length_of(96), length_of(24), length_of(8), length_of(1)
    (8, 8, 32, 256)
    """
    return 1 << (max(LENGTH, REACH // planes).bit_length() - 1)


def planes_of(core: Shape, step: int) -> int:
    """Return how many planes a sweep over such cores computes at once: a multiple of the stride.

    Where cores are thin and not wide, these are planes of more than one core.

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
    """Return the length of nearly equal parts, on the stride."""
    return max(step, round_up(ceil(extent / parts), step))
