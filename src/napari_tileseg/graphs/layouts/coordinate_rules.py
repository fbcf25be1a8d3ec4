"""Rules for tensors that a network makes from the size of the image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.layout import Axis, Layout
from napari_tileseg.graphs.operations.coordinates import Coordinates, Filled, Spread
from napari_tileseg.graphs.sizes import Size, size_of
from napari_tileseg.graphs.weights.weights import ONE


def axes_of(call: Call, shape: Sequence[Any]) -> tuple[Axis, ...]:
    """Return what the axes of a tensor are whose sizes depend on the image's."""
    sizes = [size_of(size) for size in shape]
    return tuple(size if isinstance(size, int) else (call.axis_of(size),) for size in sizes)


def spread(call: Call, layout: Layout, sizes: Sequence[Any]) -> Layout | None:
    """Return the layout of a tensor that is repeated along spatial axes, along which it is the same.

    Parameters
    ----------
    call : Call
        What repeats it.
    layout : Layout
        Its axes, as many as there are sizes.
    sizes : sequence
        Shape of the result.

    Returns
    -------
    Layout or None
        None where nothing is repeated along a spatial axis.
    """
    axes = [
        (call.axis_of(size_of(size)),) if axis == 1 and not isinstance(size_of(size), int) else axis
        for axis, size in zip(layout.axes, sizes, strict=True)
    ]
    return None if tuple(axes) == layout.axes else Layout(tuple(axes), layout.ndim)


def _arange(call: Call) -> Made:
    start = call.size(call.arguments.get("start", 0))
    step = call.size(call.arguments.get("step", 1))
    return _along(call, start, step)


def _linspace(call: Call) -> Made:
    start, end = call.size(call.arguments["start"]), call.size(call.arguments["end"])
    return _along(call, start, (end - start) / (call.size(call.arguments["steps"]) - 1))


def _along(call: Call, start: Size, step: Size) -> Made:
    (axis,) = axes_of(call, call.node.meta["val"].shape)
    if not isinstance(axis, tuple):
        raise NoRuleError(f"there is no rule for its operation {call.name}")
    return Coordinates(axis[0], start, step, Layout((axis,), call.ndim)), [], [ONE]


def _filled(value: Callable[[Call], Any]) -> Rule:
    def rule(call: Call) -> Made:
        layout = Layout(axes_of(call, call.node.meta["val"].shape), call.ndim)
        return Filled(call.size(value(call)), layout), [], [ONE]

    return rule


def _meshgrid(call: Call) -> list[Made]:
    """Spread each tensor along the axes of the others."""
    tensors = call.arguments["tensors"]
    places = [call.arranged(each) if isinstance(each, fx.Node) else None for each in tensors]
    axes = [axis for place in places if place is not None for axis in place.layout.axes]
    if len(axes) != len(tensors):
        raise NoRuleError(f"there is no rule for its operation {call.name}")
    if call.arguments.get("indexing") == "xy":
        axes[:2] = axes[1::-1]
    layout = Layout(tuple(axes), call.ndim)
    return [(Spread(layout), [place.source], []) for place in places if place is not None]


def find_coordinates(name: str) -> Rule | None:
    """Find the rule of a function that makes a tensor, such as ``linspace.default``; None for others."""
    return _RULES.get(name)


def find_several_coordinates(name: str) -> Callable[[Call], list[Made]] | None:
    """Find the rule of a function that makes several tensors."""
    return {"meshgrid.default": _meshgrid, "meshgrid.indexing": _meshgrid}.get(name)


_ZERO, _ONE = _filled(lambda _: 0), _filled(lambda _: 1)
_GIVEN = _filled(lambda call: call.arguments["fill_value"])
_RULES: dict[str, Rule] = {
    **{f"arange.{form}": _arange for form in ("default", "start", "start_step")},
    "linspace.default": _linspace,
    **{f"{form}.default": _ZERO for form in ("zeros", "zeros_like", "new_zeros")},
    **{f"{form}.default": _ONE for form in ("ones", "ones_like", "new_ones")},
    **{f"{form}.default": _GIVEN for form in ("full", "full_like", "new_full")},
}
