"""Finding the shapes that a network accepts by trying them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch

from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry.hollow import Hollow
from napari_tileseg.nets.geometry.resized import words_of_sizes
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import ceil_div, round_up

#: Edges tried for a first accepted cube: cheap ones first, then what fixed networks are commonly made for.
_EDGES = (1, 2, 4, 8, 16, 32, 64, 24, 48, 96, 40, 80, 56, 112, 128, 160, 192, 224, 256)
_EDGES_2D = (320, 384, 512)
#: Voxels past which nothing more is tried of a network that answers with another size than the input's.
_ENOUGH = 2**18
#: Largest step between accepted lengths that is looked for.
_LARGEST_STEP = 64
#: Largest length that may be accepted by chance, as pooling leaves one voxel of it; the largest that is tried
#: in its place; and voxels beyond such a length where that is over.
_CHANCE, _CHANCE_TRIED, _FAR = 32, 64, 96
#: Voxels along each axis of a small image, by number of axes.
_EXAMPLE = {1: 256, 2: 64, 3: 32}
#: Weights of a network from which on trying shapes on it takes longer than all else.
_LARGE = 2**16
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
    base, steps = _stepped(runner, ndim, shape)
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


def _stepped(runner: Runner, ndim: int, shape: Shape | None) -> tuple[Shape, tuple[int | None, ...]]:
    """Return an accepted shape, and the steps from it to longer ones, of which it is a multiple.

    A small shape may be accepted by chance: what was pooled to one voxel is added to any number of them. Then
    the next larger one counts. Where none has steps, the largest of them is returned, or the stated one.

    Raises
    ------
    NetworkError
        If no shape is accepted; or lengths that are, and have a step, are no multiples of it.
    """
    found: list[tuple[Shape, tuple[int | None, ...]]] = []
    for base in _accepted(runner, ndim, shape):
        steps = tuple(_step(runner, base, axis) for axis in range(ndim))
        known = [(n, step) for n, step in zip(base, steps, strict=True) if step is not None]
        if len(known) == ndim and all(n % step == 0 for n, step in known):
            return base, steps
        found.append((base, steps))
        if max(base) > _CHANCE:
            break
    odd = next(((base, steps) for base, steps in found if None not in steps), None)
    if odd is not None:
        lengths = ", ".join(f"{n} + n x {step}" for n, step in dict.fromkeys(zip(*odd, strict=True)))
        raise NetworkError(
            f"The network takes images of {lengths} voxels an axis, which are no multiples of one number, as "
            "tiles have to be. Let it pad its input, or crop what it puts together."
        )
    return found[0] if shape is not None else found[-1]


def example(read: ReadShape) -> Shape:
    """Return a small accepted shape in which poolings leave more than a voxel or two."""
    if read.fixed:
        return read.minimum
    wanted = _EXAMPLE.get(len(read.step), 16)
    pairs = zip(read.minimum, read.step, strict=True)
    return tuple(max(least, round_up(wanted, step)) for least, step in pairs)


def _accepts(runner: Runner, shape: Shape) -> bool:
    return runner.size_of_output(shape) == shape


def _accepted(runner: Runner, ndim: int, shape: Shape | None) -> Iterator[Shape]:
    """Yield accepted shapes in the order in which they are tried; after the first, small ones alone."""
    found = False
    for tried in _candidates(runner.module, ndim, shape):
        if (runner.resized and prod(tried) > _ENOUGH) or (found and max(tried) > _CHANCE_TRIED):
            continue
        if _accepts(runner, tried):
            found = True
            yield tried
    if found:
        return
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
    """Return the least step from the accepted shape to longer ones; None where there is none."""
    divisors = [n for n in range(_LARGEST_STEP + 1, base[axis] + 1) if base[axis] % n == 0]
    tried: list[int] = [*range(1, _LARGEST_STEP + 1), *divisors]
    for step in tried:
        # Two neighbours far from it as well, where nothing is left of one voxel by chance.
        far = ceil_div(_FAR, step) if base[axis] <= _CHANCE else 1
        if all(_accepts(runner, _longer(base, axis, k * step)) for k in (1, 2, far, far + 1)):
            return step
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
