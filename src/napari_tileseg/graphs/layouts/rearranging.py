"""Calls that move axes about: they change the layout in which a feature map is seen, or move voxels alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Protocol

from napari_tileseg.graphs.call import Call
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.arranged import Arranged
from napari_tileseg.graphs.layouts.layout import Axis, Layout
from napari_tileseg.graphs.layouts.reshaping import MixedError, Reshaped, reshaped
from napari_tileseg.graphs.operations.operation import Operation
from napari_tileseg.graphs.operations.resizing import PixelShuffle, PixelUnshuffle
from napari_tileseg.graphs.operations.slicing import ChannelOrder
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.graphs.operations.turned import Turning
from napari_tileseg.graphs.sizes import Size, hint_of, size_of


class Emit(Protocol):
    """Adds an operation on one feature map to the graph, and returns the number of what it gives."""

    def __call__(self, operation: Operation, source: int, channels: int, extent: tuple[Size, ...]) -> int:
        """Add it, with the channels and the extent of what it gives."""
        ...


class Rearranging:
    """Follows calls that move axes about.

    Parameters
    ----------
    emit : callable
        Adds what moves voxels or channels in memory.
    extent_of : callable
        Returns the extent of a feature map.
    hint : callable
        Returns the number that a size has for the example with which the network is exported.
    """

    def __init__(
        self, emit: Emit, extent_of: Callable[[int], tuple[Size, ...]], hint: Callable[[Size], int]
    ) -> None:
        self._emit, self._extent_of, self._hint = emit, extent_of, hint

    def take(self, call: Call, value: Arranged) -> Arranged:
        """Return what a call makes of a tensor.

        Raises
        ------
        NoRuleError
            If it mixes voxels.
        """
        name = call.full_name
        if name in _ORDERS:
            return self._permuted(value, _ORDERS[name](call, len(value.layout.axes)))
        try:
            return self._reshaped(value, call)
        except MixedError as error:
            raise NoRuleError(f"its {call.name} rearranges voxels") from error

    def _permuted(self, value: Arranged, order: Sequence[int]) -> Arranged:
        axes = value.layout.axes
        moved = replace(value.layout, axes=tuple(axes[i] for i in order))
        numbers = [axis for axis in order if isinstance(axes[axis], int)]
        source = self._ordered(value, [sorted(numbers).index(i) for i in numbers])
        turn, plain = Turn(moved.space), Layout.plain(prod(moved.channels), moved.ndim)
        if len(turn.order) == moved.ndim and moved.axes == (*plain.axes[:2], *turn.of(plain.axes[2:])):
            return Arranged(self._turned(source, turn, plain), plain)
        return Arranged(source, moved)

    def _turned(self, source: int, turn: Turn, plain: Layout) -> int:
        """Bring the axes of space into another order."""
        if not turn.reorders:
            return source
        return self._emit(Turning(turn), source, plain.channels[0], turn.of(self._extent_of(source)))

    def _ordered(self, value: Arranged, order: Sequence[int]) -> int:
        """Bring the channels of a feature map into the order in which a layout sees them."""
        sizes = value.layout.channels
        moving = [i for i in order if sizes[i] > 1]
        if moving == sorted(moving):
            return value.source
        operation = ChannelOrder(sizes, tuple(order))
        return self._emit(operation, value.source, prod(sizes), self._extent_of(value.source))

    def _reshaped(self, value: Arranged, call: Call) -> Arranged:
        extent = self._extent_of(value.source)
        after = call.node.meta["val"].shape
        found = reshaped(
            value.layout.axes,
            [self._hint(n) for n in extent],
            [hint_of(n) for n in call.node.args[0].meta["val"].shape],  # type: ignore[union-attr]
            [hint_of(n) for n in after],
        )
        layout = replace(value.layout, axes=tuple(found.axes))
        if not found.split and not found.joined:
            return Arranged(value.source, layout)
        whole = list(extent)
        for axis, size in zip(found.axes, after, strict=True):
            if isinstance(axis, tuple) and len(axis) == 1:
                whole[axis[0]] = size_of(size)
        if found.split:
            return self._unshuffled(value, found, layout, tuple(whole))
        return self._shuffled(value, found, layout, tuple(whole))

    def _unshuffled(
        self, value: Arranged, found: Reshaped, layout: Layout, extent: tuple[Size, ...]
    ) -> Arranged:
        factors = tuple(found.split.get(axis, 1) for axis in range(layout.ndim))
        channels = prod(layout.channels)
        source = self._emit(PixelUnshuffle(factors), value.source, channels, extent)
        # The operation puts all factors behind the channels that there were, by their axes.
        behind = {axis: number for number, axis in enumerate(sorted(found.split))}
        own = len(layout.channels) - len(behind)
        order: list[int] = []
        sizes: list[int] = []
        before: Axis = None
        for axis in found.axes:
            if isinstance(axis, int):
                follows = isinstance(before, tuple) and before[-1] in behind
                number = own + behind.pop(before[-1]) if follows else len(sizes)  # type: ignore[index]
                order.append(number)
                sizes += [] if follows else [axis]
            before = axis
        every = (*sizes, *(found.split[axis] for axis in sorted(found.split)))
        seen = Arranged(source, Layout((None, *every), layout.ndim))
        return Arranged(self._ordered(seen, order), layout)

    def _shuffled(
        self, value: Arranged, found: Reshaped, layout: Layout, extent: tuple[Size, ...]
    ) -> Arranged:
        factors = tuple(found.joined.get(axis, (0, 1))[1] for axis in range(layout.ndim))
        last = [found.joined[axis][0] for axis in sorted(found.joined)]
        first = [i for i in range(len(value.layout.channels)) if i not in last]
        source = self._ordered(value, [*first, *last])
        return Arranged(self._emit(PixelShuffle(factors), source, prod(layout.channels), extent), layout)


def _order_of_permute(call: Call, count: int) -> list[int]:
    return [dim % count for dim in call.arguments["dims"]]


def _order_of_transpose(call: Call, count: int) -> list[int]:
    order = list(range(count))
    names = ("dim0", "dim1") if "dim0" in call.arguments else ("axis0", "axis1")
    one, other = (call.arguments[name] % count for name in names)
    order[one], order[other] = order[other], order[one]
    return order


def _order_of_movedim(call: Call, count: int) -> list[int]:
    source, destination = call.arguments["source"], call.arguments["destination"]
    if isinstance(source, int):
        source, destination = [source], [destination]
    pairs = sorted((to % count, at % count) for at, to in zip(source, destination, strict=True))
    order = [i for i in range(count) if i not in {at for _, at in pairs}]
    for to, at in pairs:
        order.insert(to, at)
    return order


_ORDERS: dict[str, Callable[[Call, int], list[int]]] = {
    "permute.default": _order_of_permute,
    "transpose.int": _order_of_transpose,
    "swapaxes.default": _order_of_transpose,
    "swapdims.default": _order_of_transpose,
    "movedim.int": _order_of_movedim,
    "movedim.intlist": _order_of_movedim,
}
_RESHAPES = {
    "reshape.default",
    "view.default",
    "_unsafe_view.default",
    "flatten.using_ints",
    "unflatten.int",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
    "view_as.default",
    "reshape_as.default",
}
#: Calls that `Rearranging` follows.
REARRANGES = frozenset({*_ORDERS, *_RESHAPES})
