"""Calling a network whose output has another size than its input by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.tiling.rounding import ceil_div

#: Largest factor that is looked for.
_LARGEST = 64


def words_of_sizes(sizes: Mapping[Shape, Shape]) -> str:
    """Return what a network does to the size of its input, and what to do about it.

    Parameters
    ----------
    sizes : mapping of tuple of int to tuple of int
        Spatial shapes of inputs to those of the outputs; not empty.

    Examples
    --------
    >>> words_of_sizes({(8, 8): (4, 4), (2, 2): (1, 1)})[:78]
    'The output should have the size of the input; this network gives 1 voxel for e'
    """
    largest = max(sizes, key=lambda shape: (min(shape), shape))
    example = f"{by_axis(sizes[largest])} for an input of {by_axis(largest)}"
    axes = range(len(largest))
    pairs = [[(given[axis], got[axis]) for given, got in sizes.items()] for axis in axes]
    for words in (_shrunk, _grown, _cropped):
        found = words(pairs)
        if found is not None:
            what, cure = found
            break
    else:
        what, cure = "another one", "Bring its output back to the input's size"
    return f"The output should have the size of the input; this network gives {what} ({example}). {cure}."


_Pairs = list[list[tuple[int, int]]]


def _factors(pairs: _Pairs, fits: Callable[[int, int, int], bool]) -> tuple[int, ...] | None:
    """Return the least factor of each axis with which all sizes agree, if there is one and not all are 1."""
    found = tuple(
        next((by for by in range(1, _LARGEST + 1) if all(fits(given, got, by) for given, got in axis)), 0)
        for axis in pairs
    )
    return found if all(found) and max(found) > 1 else None


def _shrunk(pairs: _Pairs) -> tuple[str, str] | None:
    if all(got == 1 for axis in pairs for _, got in axis):
        return None
    by = _factors(pairs, lambda given, got, by: got in {given // by, ceil_div(given, by)})
    cure = "Add an up-sampling by that at its end"
    return None if by is None else (f"1 voxel for each {by_axis(by)}", cure)


def _grown(pairs: _Pairs) -> tuple[str, str] | None:
    by = _factors(pairs, lambda given, got, by: got == given * by)
    cure = "Add a pooling by that at its end, or enlarge the image before and leave out the up-sampling"
    return None if by is None else (f"{by_axis(by)} voxels for each one", cure)


def _cropped(pairs: _Pairs) -> tuple[str, str] | None:
    less = [{given - got for given, got in axis} for axis in pairs]
    if any(len(each) != 1 for each in less):
        return None
    by = tuple(each.pop() for each in less)
    if min(by) < 0:
        return f"{by_axis(tuple(-n for n in by))} voxels more than its input has", "Crop its output"
    return f"{by_axis(by)} voxels less than its input has", "Pad its convolutions, or its input"
