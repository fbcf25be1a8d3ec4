"""How far outputs of a network look, from the rules of its operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from napari_tileseg._types import Halo, Shape
from napari_tileseg.graphs.graph import Node, NoRuleError
from napari_tileseg.graphs.operations.coordinates import Spread
from napari_tileseg.graphs.operations.operation import united
from napari_tileseg.graphs.operations.reductions import Global, Reduced
from napari_tileseg.graphs.recording import Recording
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

#: Least voxels of the image that is followed, and most: past them a reach is not followed.
_LEAST, _MOST = 256, 2**22
#: Voxels of an image between two of a feature map, along each axis; None where one stands for all.
_Apart = tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """What windows and poolings of a network make of space.

    It holds for all weights of the same network, so that for some, such as zeros, less may be looked at.

    Parameters
    ----------
    stride : tuple of int
        Along each axis, least common multiple of the voxels between two of a feature map.
    halo : tuple of (int, int)
        Context before and after that a core needs which starts and ends on the stride, by what is local:
        operations that look at all of space are taken to look at each voxel by itself.
    receptive_field : tuple of int
        Voxels from the first to the last on which an output depends, by what is local.
    even : bool
        Whether voxels away from the border are computed alike, wherever in the image they lie.
    global_layers : tuple of str
        Paths of the layers that look at all of space, in the order in which they run; empty for the network
        itself.
    """

    stride: Shape
    halo: Halo
    receptive_field: Shape
    even: bool
    global_layers: tuple[str, ...]


def find_reach(recording: Recording) -> Reach:
    """Follow outputs of a network back to the image.

    Parameters
    ----------
    recording : Recording
        The network on an image whose size is a multiple of all its poolings.

    Raises
    ------
    NoRuleError
        If that cannot be followed, or only on images longer than some million voxels.
    """
    apart = _distances(recording)
    stride = _stride(apart, len(recording.shape))
    shape = tuple(round_up(max(_LEAST, 16 * step), step) for step in stride)
    while True:
        wholes = _wholes(recording, apart, shape)
        first = tuple(n // (2 * step) * step for n, step in zip(shape, stride, strict=True))
        core = Box(first, tuple(a + step for a, step in zip(first, stride, strict=True)))
        read = _read(recording.nodes, wholes, core)
        ends = tuple(zip(read.start, read.stop, shape, strict=True))
        if all(a > 0 and b < n for a, b, n in ends):
            break
        shape = tuple(n if a > 0 and b < n else 2 * n for a, b, n in ends)
        if max(shape) > _MOST:
            raise NoRuleError("it looks further than any image is long")
    halo = tuple(
        (a - lo, hi - b) for a, b, lo, hi in zip(core.start, core.stop, read.start, read.stop, strict=True)
    )
    fields = [_field(recording.nodes, wholes, core, offset) for offset in range(max(stride))]
    return Reach(
        stride=stride,
        halo=halo,
        receptive_field=tuple(map(max, zip(*fields, strict=True))),
        even=_is_even(recording.nodes, wholes),
        global_layers=tuple(dict.fromkeys(node.layer for node in recording.nodes if _is_global(node))),
    )


def _is_global(node: Node) -> bool:
    return isinstance(node.operation, Global)


def _distances(recording: Recording) -> list[_Apart]:
    """Return, for each feature map, the voxels of the image between two of it."""
    apart: list[_Apart] = [(Fraction(1),) * len(recording.shape)]
    extents = (recording.shape, *(node.extent for node in recording.nodes))
    for number, node in enumerate(recording.nodes, start=1):
        sources = [apart[source] for source in node.inputs]
        joined = tuple(_same(axis) for axis in zip(*sources, strict=True))
        if isinstance(node.operation, Reduced):
            over = node.operation.over
            apart.append(tuple(None if all_of_it else n for all_of_it, n in zip(over, joined, strict=True)))
            continue
        if isinstance(node.operation, Spread):
            pairs = zip(recording.shape, node.extent, strict=True)
            apart.append(tuple(Fraction(whole, size) for whole, size in pairs))
            continue
        steps = node.operation.steps(extents[node.inputs[0]], extents[number])
        apart.append(tuple(None if n is None else n * step for n, step in zip(joined, steps, strict=True)))
    return apart


def _same(values: Sequence[Fraction | None]) -> Fraction | None:
    """Return the distance that feature maps share which are put together."""
    found = {value for value in values if value is not None}
    if len(found) > 1:
        raise NoRuleError("it puts together feature maps of other poolings")
    return found.pop() if found else None


def _stride(apart: Sequence[_Apart], ndim: int) -> Shape:
    along = ([distances[axis] for distances in apart] for axis in range(ndim))
    return tuple(lcm(*(n.numerator for n in each if n is not None)) for each in along)


def _wholes(recording: Recording, apart: Sequence[_Apart], shape: Shape) -> tuple[Shape, ...]:
    """Return the shapes of all feature maps, the image's first, for an image of another size.

    What an operation adds or leaves out at a border stays.
    """
    longer = tuple(n - recorded for n, recorded in zip(shape, recording.shape, strict=True))
    extents = (recording.shape, *(node.extent for node in recording.nodes))
    return tuple(
        tuple(
            size if distance is None else size + int(more / distance)
            for size, more, distance in zip(extent, longer, distances, strict=True)
        )
        for extent, distances in zip(extents, apart, strict=True)
    )


def _read(nodes: Sequence[Node], wholes: Sequence[Shape], box: Box) -> Box:
    """Return the box of the image that a box of the result needs by what is local, and itself at least."""
    needed: list[Box | None] = [box, *[None] * (len(nodes) - 1), box]
    for place in range(len(nodes), 0, -1):
        node, wanted = nodes[place - 1], needed[place]
        if wanted is None or isinstance(node.operation, Reduced):
            continue
        if isinstance(node.operation, Global):
            parts: tuple[Box, ...] = (wanted,) * len(node.inputs)
        else:
            sources = [wholes[source] for source in node.inputs]
            parts = node.operation.need(wanted, sources, wholes[place]).boxes
        for source, part in zip(node.inputs, parts, strict=True):
            needed[source] = united(needed[source], part)
    assert needed[0] is not None
    return needed[0]


def _field(nodes: Sequence[Node], wholes: Sequence[Shape], core: Box, offset: int) -> Shape:
    """Return the voxels from first to last that one output of a core depends on."""
    start = tuple(a + offset % n for a, n in zip(core.start, core.shape, strict=True))
    return _read(nodes, wholes, Box(start, tuple(a + 1 for a in start))).shape


def _is_even(nodes: Sequence[Node], wholes: Sequence[Shape]) -> bool:
    return all(
        isinstance(node.operation, Global) or node.operation.is_even(wholes[node.inputs[0]], wholes[place])
        for place, node in enumerate(nodes, start=1)
    )
