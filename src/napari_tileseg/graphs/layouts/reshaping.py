"""Which axes a reshape joins, splits, or moves between channels and space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from napari_tileseg.graphs.layouts.layout import Axis


class MixedError(Exception):
    """A reshape does what no layout describes."""


@dataclass(slots=True)
class Reshaped:
    """What a reshape makes of the axes of a tensor.

    Parameters
    ----------
    axes : list
        What each axis of the result is.
    split : dict of int to int
        Spatial axes of which a factor becomes channels: behind what is left of the axis.
    joined : dict of int to (int, int)
        Spatial axes that take up channels: the number of the channel axis, and its channels.
    """

    axes: list[Axis] = field(default_factory=list)
    split: dict[int, int] = field(default_factory=dict)
    joined: dict[int, tuple[int, int]] = field(default_factory=dict)


def reshaped(
    axes: Sequence[Axis], extent: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> Reshaped:
    """Follow the axes of a tensor through a reshape, by the sizes of one example.

    Parameters
    ----------
    axes : sequence
        What each axis is, as in `Layout`.
    extent : sequence of int
        Voxels along each spatial axis.
    before, after : sequence of int
        Shape of the tensor, and of the result.

    Raises
    ------
    MixedError
        If it mixes voxels.

    Examples
    --------
    >>> reshaped((None, 8, (0,)), (5,), (1, 8, 5), (1, 2, 4, 5)).axes
    [None, 2, 4, (0,)]
    """
    result, channel = Reshaped(), 0
    for taken, given in _groups(before, after):
        group = [axes[i] for i in taken]
        sizes = [after[j] for j in given]
        if len(group) == len(sizes) == 1:
            result.axes.append(group[0])
        elif None in group:
            result.axes.extend(_with_batch(group, sizes))
        elif all(isinstance(axis, int) for axis in group):
            result.axes.extend(sizes)
        elif any(isinstance(axis, int) and axis > 1 for axis in group):
            _join(group, sizes, channel, result)
        else:
            _split([i for axis in group if isinstance(axis, tuple) for i in axis], extent, sizes, result)
        channel += sum(isinstance(axis, int) for axis in group)
    if result.split and result.joined:
        raise MixedError
    return result


def _groups(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Generate the least groups of axes, before and after, that hold the same numbers."""
    found: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        taken, given, one, other = [i], [j], before[i], after[j]
        while one != other:
            if one < other:
                i += 1
                taken.append(i)
                one *= before[i]
            else:
                j += 1
                given.append(j)
                other *= after[j]
        found.append((taken, given))
        i, j = i + 1, j + 1
    # What is left over holds one number each.
    found[-1][0].extend(range(i, len(before)))
    found[-1][1].extend(range(j, len(after)))
    return iter(found)


def _with_batch(group: Sequence[Axis], sizes: Sequence[int]) -> Iterator[Axis]:
    if any(axis not in {None, 1} for axis in group) or not sizes:
        raise MixedError
    yield None
    yield from sizes[1:]


def _join(group: Sequence[Axis], sizes: Sequence[int], channel: int, result: Reshaped) -> None:
    """Join an axis of space with the channels behind it, which become voxels."""
    axis, *rest = group
    if not isinstance(axis, tuple) or len(axis) > 1 or len(rest) != 1 or len(sizes) != 1:
        raise MixedError
    (factor,) = rest
    assert isinstance(factor, int)
    result.axes.append(axis)
    result.joined[axis[0]] = (channel, factor)


def _split(space: list[int], extent: Sequence[int], sizes: Sequence[int], result: Reshaped) -> None:
    """Join or part axes of space; what is left of one that is split becomes channels."""
    left, rest = list(space), 1
    for size in sizes:
        if rest > 1:
            if size != rest:
                raise MixedError
            result.axes.append(size)
            rest = 1
            continue
        if size == 1 and not (left and extent[left[0]] == 1):
            result.axes.append(1)
            continue
        group, voxels = [], 1
        while left and voxels < size:
            group.append(left.pop(0))
            voxels *= extent[group[-1]]
        if voxels != size:
            if len(group) != 1 or voxels % size:
                raise MixedError
            rest = voxels // size
            result.split[group[0]] = rest
        result.axes.append(tuple(group))
    if left or rest > 1:
        raise MixedError
