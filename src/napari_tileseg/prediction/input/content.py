"""Where an image has content: the part that stands out from its quietest places."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_tileseg._progress import Progress
from napari_tileseg._types import Array, Shape
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.scan import NonFinite, plan_scan
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import ceil_div

_Floats: TypeAlias = npt.NDArray[np.float64]

_WHAT = "Looking for content"
#: Voxels of a cell along each axis, at least, and cells at most.
_SIDE, _CELLS = 8, 2**16
#: Share of the cells that are taken for background: those with the least spread.
_QUIET = 0.1
#: A cell has content where it deviates from the background by this part of what the most deviating one does,
#: and by this many times the spread of the background.
_PART, _TIMES = 0.2, 2.5
#: Cells that deviate without a neighbour are stray where there are no more than so many.
_FEW = 8
#: Where nothing deviates by so much, means of cells that vary by this many times what noise without
#: neighbours would make them vary are content everywhere, such as a dense texture; others are noise.
_STRUCTURE = 3.0
#: Cells with content that may be left out at each end of an axis, as a part of all.
_STRAY = 0.005
#: Part of its length by which content is widened on each side at most, as 1 over it, and how much flatter
#: than the one before a layer of cells is where that ends.
_WIDER, _FLATTER = 4, 0.8
#: Part of what is looked at from which on content fills it.
_FILLS = 0.75


@dataclass(frozen=True, slots=True)
class Content:
    """Where content was found.

    Parameters
    ----------
    box : Box, optional
        Around it, on the grid axes; all that was looked at where it fills that. None where there is none.
    fills : bool
        Whether it does.
    constant : bool
        Whether each channel is one value.
    """

    box: Box | None
    fills: bool = False
    constant: bool = False


def find_content(
    image: Image, within: Box, lead: int, margin: Shape, *, zero: bool = False
) -> Generator[Progress, None, Content]:
    """Find the smallest box around what stands out from the background, and a margin.

    The image is read once, block by block. Of cells of 8 voxels along each axis, or of more where there would
    be too many, mean and variance are held. The tenth of them with the least variance says what background
    looks like. What a cell is worth is the root mean square deviation of its voxels from that level, so that
    bright, dark and textured things count; a cell that is alone with it, such as one with a hot pixel, does
    not.

    Parameters
    ----------
    image : Image
        The image.
    within : Box
        What to look at, on the grid axes: one volume.
    lead : int
        Grid axes in front that are not the network's, along which `within` has one voxel.
    margin : tuple of int
        By how much the box is widened at most, on the network's axes; by a quarter of its length where that
        is less, and not into what is flatter, such as black around a picture.
    zero : bool, optional
        Whether NaN and infinity count as zero; otherwise they are refused.

    Yields
    ------
    Progress
        After each block.

    Returns
    -------
    Content
        Without a box where all is one value, or noise.

    Raises
    ------
    NonFiniteError
        If there are NaN or infinite voxels, and `zero` is not set.
    """
    search = ContentSearch(within, len(image.channel_indices), lead, margin)
    found = NonFinite(image.name)
    scan = plan_scan(image, within.size, within=within)
    for number, box in enumerate(scan.boxes, start=1):
        search.add(found.clean(image.read(box), box.start), box)
        yield Progress(_WHAT, number, len(scan.boxes))
    if not zero:
        found.refuse()
    return search.content


@final
class ContentSearch:
    """Looks for content as `find_content` does, in the blocks of an image that somebody else reads.

    Parameters
    ----------
    within, lead, margin
        As `find_content` takes them.
    channels : int
        Channels of a block.
    step : int, optional
        Of how many voxels along each axis one is looked at: the box is rougher, and comes sooner.
    """

    def __init__(self, within: Box, channels: int, lead: int, margin: Shape, step: int = 1) -> None:
        self._within, self._lead, self._margin, self._step = within, lead, margin, step
        self._thin = Box((0,) * within.ndim, self._thinned(within.shape))
        self._cells = _Cells(self._thin, channels, lead)

    def _thinned(self, lengths: Sequence[int]) -> Shape:
        lead, step = self._lead, self._step
        return (*lengths[:lead], *(ceil_div(n, step) for n in lengths[lead:]))

    def add(self, values: Array, box: Box) -> None:
        """Take in a block ``(channels, *box.shape)`` of finite intensities."""
        box = box.shift(tuple(-a for a in self._within.start))
        part = Box(self._thinned(box.start), self._thinned(box.stop))
        first = [a * self._step - b for a, b in zip(part.start, box.start, strict=True)]
        first[: self._lead] = [0] * self._lead
        steps = (1,) * self._lead + (self._step,) * (box.ndim - self._lead)
        if part.size:
            kept = tuple(slice(a, None, step) for a, step in zip(first, steps, strict=True))
            self._cells.add(values[(slice(None), *kept)], part)

    @property
    def content(self) -> Content:
        """What was found, once all has been taken in."""
        margin = tuple(ceil_div(n, self._step) for n in self._margin)
        found = _around(self._cells, self._thin, self._lead, margin)
        if found.box is None:
            return found
        if found.fills:
            return replace(found, box=self._within)
        lead, low, high = self._lead, self._within.start, self._within.stop
        ends = [
            tuple(
                a + n * (1 if axis < lead else self._step)
                for axis, (a, n) in enumerate(zip(low, at, strict=True))
            )
            for at in (found.box.start, found.box.stop)
        ]
        return replace(found, box=Box(ends[0], tuple(map(min, ends[1], high))))


class _Cells:
    """Means and variances of the cells of a box, channel by channel."""

    def __init__(self, box: Box, channels: int, lead: int) -> None:
        self._box = box
        self.side = _side(box.shape[lead:])
        shape = (*box.shape[:lead], *(ceil_div(n, self.side) for n in box.shape[lead:]))
        self._sides = (1,) * lead + (self.side,) * (box.ndim - lead)
        self._shape = shape[lead:]
        #: Sums and sums of squares, and the voxels that are not zero.
        self._sums = np.zeros((3, channels, *shape))
        self._voxels = np.zeros(shape)
        self._pivot: _Floats | None = None

    def add(self, values: Array, box: Box) -> None:
        """Take in a block ``(channels, *box.shape)`` of finite intensities."""
        exact = values.astype(np.float64)
        if self._pivot is None:
            # Squares of what lies around one value lose nothing.
            first = exact.reshape(len(exact), -1)[:, 0].copy()
            self._pivot = first.reshape(-1, *(1,) * box.ndim)
        seen = (exact != 0).astype(np.float64)
        exact -= self._pivot
        part = box.shift(tuple(-a for a in self._box.start))
        where = tuple(
            slice(a // side, ceil_div(b, side))
            for a, b, side in zip(part.start, part.stop, self._sides, strict=True)
        )
        for total, each in zip(self._sums, (exact, exact * exact, seen), strict=True):
            total[(slice(None), *where)] += self._summed(each, part)
        self._voxels[where] += self._summed(np.ones((1, *box.shape)), part)[0]

    def _summed(self, values: _Floats, part: Box) -> _Floats:
        for axis, (start, stop, side) in enumerate(
            zip(part.start, part.stop, self._sides, strict=True), start=1
        ):
            cuts = [max(cut, start) - start for cut in range(start // side * side, stop, side)]
            values = np.add.reduceat(values, cuts, axis=axis)
        return values

    @property
    def constant(self) -> bool:
        """Whether all voxels of each channel have one value."""
        return not self._sums[:2].any()

    @property
    def moments(self) -> tuple[_Floats, _Floats, float]:
        """Means and variances, ``(channels, *cells)``, and the voxels of most cells.

        Where whole cells are zero, that is black around a picture: they have NaN, and zeros count nowhere.
        """
        assert self._pivot is not None
        sums, squares, seen = self._sums
        zeros = (self._voxels - seen) * (seen == 0).any()
        count = np.where(self._voxels > zeros, self._voxels - zeros, np.nan)
        mean = (sums + zeros * self._pivot) / count
        variance = np.maximum((squares - zeros * self._pivot**2) / count - mean * mean, 0)
        shape = (len(mean), *self._shape)
        return mean.reshape(shape), variance.reshape(shape), float(np.median(self._voxels))


def _side(shape: Shape) -> int:
    side = _SIDE
    while prod(ceil_div(n, side) for n in shape) > _CELLS:
        side += 1
    return side


def _around(cells: _Cells, within: Box, lead: int, margin: Shape) -> Content:
    means, variances, voxels = cells.moments
    marks = [_marked(mean, variance, voxels) for mean, variance in zip(means, variances, strict=True)]
    marked = np.any(marks, axis=0)
    if not marked.any():
        return Content(None, constant=cells.constant)
    ends = _widened(_box_of(marked), np.sqrt(variances), [ceil_div(most, cells.side) for most in margin])
    start, stop = list(within.start[:lead]), list(within.stop[:lead])
    for (first, last), low, high in zip(ends, within.start[lead:], within.stop[lead:], strict=True):
        start.append(low + first * cells.side)
        stop.append(min(high, low + last * cells.side))
    box = Box(tuple(start), tuple(stop))
    fills = box.size >= _FILLS * within.size
    return Content(within if fills else box, fills)


def _box_of(marked: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the ends of a box around all marked cells but a few."""
    ends = []
    for axis in range(marked.ndim):
        counts = marked.sum(tuple(other for other in range(marked.ndim) if other != axis)).cumsum()
        stray = _STRAY * counts[-1]
        first = np.searchsorted(counts, stray, side="right")
        ends.append((int(first), int(np.searchsorted(counts, counts[-1] - stray)) + 1))
    return ends


def _widened(
    ends: list[tuple[int, int]], deviations: _Floats, margin: Sequence[int]
) -> list[tuple[int, int]]:
    """Widen a box of cells by a margin, up to where the image is flatter, such as black around a picture."""
    inside = tuple(slice(*each) for each in ends)
    wider = []
    for axis, (first, last) in enumerate(ends):
        rows = np.moveaxis(deviations, axis + 1, 1)
        rows = rows[(slice(None), slice(None), *inside[:axis], *inside[axis + 1 :])]
        quiet = np.percentile(np.nan_to_num(rows.reshape(*rows.shape[:2], -1)), 25, axis=2)
        most = min(margin[axis], ceil_div(last - first, _WIDER))
        before = _steps(quiet[:, : first + 1][:, ::-1], most)
        after = _steps(quiet[:, last - 1 :], most)
        wider.append((first - before, last + after))
    return wider


def _steps(quiet: _Floats, most: int) -> int:
    """Return how far one can go from the first of some layers without coming to a flatter one."""
    flatter = np.any(quiet[:, 1:] < _FLATTER * quiet[:, :-1], axis=0)
    steps = int(np.argmax([*flatter, True]))
    if 0 < steps < len(flatter) and np.any(_FLATTER * quiet[:, steps] > quiet[:, steps - 1]):
        # It lies across the edge of a picture on black.
        steps -= 1
    return min(steps, most)


def _marked(mean: _Floats, variance: _Floats, voxels: float) -> npt.NDArray[np.bool_]:
    """Return which cells of a channel have content."""
    seen = np.isfinite(mean)
    if not seen.any():
        return seen
    count = max(1, round(_QUIET * seen.sum()))
    quiet = np.argsort(variance, axis=None, kind="stable")[:count]
    level = np.median(mean.ravel()[quiet])
    spread = float(np.sqrt(np.median(variance.ravel()[quiet])))
    worth = _trusted(np.nan_to_num(np.sqrt(variance + (mean - level) ** 2)), _TIMES * spread)
    most = float(worth.max())
    if most > _TIMES * spread:
        return np.asarray(worth > max(_TIMES * spread, spread + _PART * (most - spread)))
    return seen & (not seen.all() or _is_structured(mean, variance, voxels))


def _trusted(worth: _Floats, least: float) -> _Floats:
    """Return what cells are worth: no more than their best neighbour, unless many are alone."""
    if worth.size == 1:
        return worth
    trusted = np.minimum(worth, ndimage.rank_filter(worth, -2, size=3, mode="constant"))
    several = np.partition(worth, max(0, worth.size - _FEW), axis=None)[max(0, worth.size - _FEW)]
    # Things as small as a cell have no neighbours; then a few of the largest are stray instead.
    return np.minimum(worth, several) if trusted.max() <= least < several else trusted


def _is_structured(mean: _Floats, variance: _Floats, voxels: float) -> bool:
    """Return whether means of cells vary by more than noise in which no voxel knows its neighbours."""
    mean, variance = (each[np.isfinite(each)] for each in (mean, variance))
    low, high = np.percentile(mean, [25, 75])
    # The quartiles of normal numbers are 1.349 deviations apart.
    deviation: Any = (high - low) / 1.349
    return bool(deviation**2 > _STRUCTURE * np.median(variance) / voxels)
