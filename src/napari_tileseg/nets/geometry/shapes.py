"""Finding the shapes that a network accepts by trying them."""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm, prod

import torch

from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry.hollow import Hollow
from napari_tileseg.nets.geometry.resized import words_of_sizes
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Edges tried for a first accepted cube: cheap ones first, then what fixed networks are commonly made for.
_EDGES = (1, 2, 4, 8, 16, 32, 64, 24, 48, 96, 40, 80, 56, 112, 128, 160, 192, 224, 256)
_EDGES_2D = (320, 384, 512)
#: Voxels past which nothing more is tried of a network that answers with another size than the input's.
_ENOUGH = 2**18
#: Largest step between accepted lengths that is looked for.
_LARGEST_STEP = 64
#: Voxels along each axis of a small image, by number of axes.
_EXAMPLE = {1: 256, 2: 64, 3: 32}
#: Weights of a network from which on trying shapes on it takes longer than all else.
_LARGE = 2**20
#: Where networks of a fixed shape commonly state it.
_ATTRIBUTES = ("img_size", "image_size", "input_size")


def find_read_shape(runner: Runner, ndim: int, shape: Shape | None = None) -> tuple[ReadShape, Shape]:
    """Return the shapes that the network accepts, answering with the shape of the input.

    Given beside them is how thin a bar may be on each axis, where it is long on another. Of a large network
    shapes are tried without its convolutions, and with them what is found.

    Parameters
    ----------
    runner : Runner
        The network.
    ndim : int
        Spatial axes.
    shape : tuple of int, optional
        A shape known to be accepted.

    Raises
    ------
    NetworkError
        If no shape is accepted, or the output has another shape than the input.
    """
    if runner.weights <= _LARGE:
        return _found(runner, ndim, shape)
    try:
        with Hollow():  # type: ignore[no-untyped-call]
            found = _found(runner, ndim, shape)
    except NetworkError:
        # It is refused in words of the network itself, if at all.
        return _found(runner, ndim, shape)
    return found if all(_accepts(runner, each) for each in _least(found[0])) else _found(runner, ndim, shape)


def _least(read: ReadShape) -> Iterator[Shape]:
    """Yield the least shape that is accepted, and one that is a step longer on each axis."""
    yield read.minimum
    if not read.fixed:
        yield tuple(n + step for n, step in zip(read.minimum, read.step, strict=True))


def _found(runner: Runner, ndim: int, shape: Shape | None) -> tuple[ReadShape, Shape]:
    base = _first_accepted(runner, ndim, shape)
    steps = tuple(_step(runner, base, axis) for axis in range(ndim))
    if any(step is None for step in steps):
        _accepts(runner, (_LARGEST_STEP,) * ndim)
        # What brings every image to one size takes that size; to one voxel it is no segmentation.
        if any(size != base or prod(size) == 1 for size in runner.resized.values()):
            raise NetworkError(words_of_sizes(runner.resized))
        return ReadShape(minimum=base, step=base, fixed=True), base
    known = tuple(step or 1 for step in steps)
    lowest = tuple(_lowest(runner, base, axis, known[axis]) for axis in range(ndim))
    # Lengths that are enough alone need not be together: an instance norm wants two voxels in all.
    read = ReadShape(minimum=lowest if _accepts(runner, lowest) else base, step=known)
    bars = (_longer(lowest, axis, 4 * base[axis] - lowest[axis]) for axis in range(ndim))
    return read, lowest if all(_accepts(runner, bar) for bar in bars) else read.minimum


def example(read: ReadShape) -> Shape:
    """Return a small accepted shape in which poolings leave more than a voxel or two."""
    if read.fixed:
        return read.minimum
    wanted = _EXAMPLE.get(len(read.step), 16)
    pairs = zip(read.minimum, read.step, strict=True)
    return tuple(max(least, round_up(wanted, step)) for least, step in pairs)


def _accepts(runner: Runner, shape: Shape) -> bool:
    return runner.size_of_output(shape) == shape


def _first_accepted(runner: Runner, ndim: int, shape: Shape | None) -> Shape:
    for tried in _candidates(runner.module, ndim, shape):
        if runner.resized and prod(tried) > _ENOUGH:
            continue
        if _accepts(runner, tried):
            return tried
    if runner.resized:
        raise NetworkError(words_of_sizes(runner.resized))
    raise NetworkError(
        f"The network refuses every input of {runner.channels} channels and {ndim} spatial axes that was "
        f"tried, up to {_EDGES[-1]} voxels an axis. It says: {runner.refusal}. Check channels and axes; if "
        "it accepts one shape only, name that shape as `read_shape` in the network's description."
    )


def _candidates(module: torch.nn.Module, ndim: int, shape: Shape | None) -> Iterator[Shape]:
    if shape is not None:
        yield shape
    yield from _remembered(module, ndim)
    for edge in _EDGES if ndim > 2 else _EDGES + _EDGES_2D:
        yield (edge,) * ndim


def _remembered(module: torch.nn.Module, ndim: int) -> Iterator[Shape]:
    for part in module.modules():
        for name in _ATTRIBUTES:
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                yield (value,) * ndim
            elif (
                isinstance(value, (tuple, list))
                and len(value) == ndim
                and all(isinstance(n, int) for n in value)
            ):
                yield tuple(value)


def _longer(shape: Shape, axis: int, by: int) -> Shape:
    return (*shape[:axis], shape[axis] + by, *shape[axis + 1 :])


def _step(runner: Runner, base: Shape, axis: int) -> int | None:
    """Return the least step from the accepted shape to two longer ones; None where there is none."""
    for step in (*range(1, _LARGEST_STEP + 1), base[axis]):
        if all(_accepts(runner, _longer(base, axis, k * step)) for k in (1, 2)):
            return step if base[axis] % step == 0 else lcm(step, base[axis])
    return None


def _lowest(runner: Runner, base: Shape, axis: int, step: int) -> int:
    """Return the least accepted multiple of the step, up to the base's length, other axes as they are."""
    refused, accepted = 0, base[axis] // step
    while accepted - refused > 1:
        tried = (refused + accepted) // 2
        if _accepts(runner, _longer(base, axis, tried * step - base[axis])):
            accepted = tried
        else:
            refused = tried
    return accepted * step
