"""Rules for functions over the channels of each voxel, in whatever order of axes they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, TypeAlias

import torch
from torch import fx

from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.arranged import Arranged
from napari_tileseg.graphs.layouts.coordinate_rules import spread
from napari_tileseg.graphs.layouts.layout import Axis, Layout
from napari_tileseg.graphs.operations.coordinates import Spread
from napari_tileseg.graphs.operations.pointwise import Slot
from napari_tileseg.graphs.operations.voxelwise import Number, Voxelwise
from napari_tileseg.graphs.sizes import size_of

#: From a call to the axes of what it gives.
_Axes: TypeAlias = Callable[[Call], Sequence[Axis]]


def voxelwise(
    call: Call, axes: Sequence[Axis], part: int | None = None, taps: int = 0, function: str = ""
) -> Made:
    """Return a call as a function of each voxel.

    Parameters
    ----------
    call : Call
        The call.
    axes : sequence
        What each axis of its result is, as in `Layout`.
    part : int, optional
        Which of several tensors it is that it gives.
    taps : int
        Multiplications for each voxel.
    function : str
        Its name in ``torch.ops.aten``, if it is not that of the call.
    """
    inputs: list[Arranged] = []
    weights: list[str] = []

    def argument(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return tuple(map(argument, value))
        if isinstance(value, fx.Node) and not isinstance(value.meta.get("val"), torch.Tensor):
            return Number(call.size(value))
        if not isinstance(value, fx.Node):
            return value
        if call.is_map(value):
            inputs.append(call.arranged(value))
            return Slot(len(inputs) - 1, weight=False)
        weights.append(call.weight(value))
        return Slot(len(weights) - 1, weight=True)

    given = {name: argument(value) for name, value in call.arguments.items()}
    schema = call.node.target._schema  # type: ignore[union-attr]
    by_name = {each.name for each in schema.arguments if each.kwarg_only}
    # The form that overwrites its first argument computes the same.
    plain = call.full_name.replace("_.", ".", 1) if schema.is_mutable else call.full_name
    operation = Voxelwise(
        function or plain,
        tuple(value for name, value in given.items() if name not in by_name),
        tuple((name, value) for name, value in given.items() if name in by_name),
        tuple(each.layout for each in inputs),
        Layout(tuple(axes), call.ndim),
        part,
        taps,
    )
    return operation, [each.source for each in inputs], weights


def find_voxelwise(name: str) -> Rule | None:
    """Find the rule of a function over channels: ``layer_norm.default``; None for other operations."""
    if name in _REDUCTIONS:
        return lambda call: voxelwise(call, _reduced(call))
    axes = _AXES.get(name)
    if axes is None:
        return _OTHERS.get(name)
    return lambda call: voxelwise(call, axes(call))


def find_several(name: str) -> Callable[[Call], list[Made]] | None:
    """Find the rule of a function over channels that gives several tensors."""
    if name in _PAIRS:
        return lambda call: [voxelwise(call, _reduced(call), part) for part in range(2)]
    return _SEVERAL.get(name)


def check_channels(call: Call, layout: Layout, dims: Any) -> list[int]:
    """Return the axes that a function goes over.

    Raises
    ------
    NoRuleError
        Unless they hold channels.
    """
    found = layout.labels(dims)
    if any(isinstance(axis, tuple) for _, axis in found):
        raise NoRuleError(f"its {call.name} mixes voxels")
    if any(axis is None for _, axis in found):
        raise NoRuleError(f"its {call.name} mixes images")
    return [dim for dim, _ in found]


def _layout(call: Call) -> Layout:
    """Return the layout of the first tensor of a call."""
    return call.arranged(next(iter(call.arguments.values()))).layout


def _reduced(call: Call) -> list[Axis]:
    layout = _layout(call)
    dims = check_channels(call, layout, call.arguments["dim"])
    kept = call.arguments.get("keepdim", False)
    return [1 if i in dims else axis for i, axis in enumerate(layout.axes) if kept or i not in dims]


def _same(call: Call, over: str = "dim") -> Sequence[Axis]:
    layout = _layout(call)
    if not check_channels(call, layout, call.arguments[over]):
        raise NoRuleError(f"its {call.name} mixes voxels")
    return layout.axes


def _normalized(call: Call) -> Sequence[Axis]:
    layout = _layout(call)
    check_channels(call, layout, range(-len(call.arguments["normalized_shape"]), 0))
    return layout.axes


def _linear(call: Call) -> Made:
    layout = _layout(call)
    check_channels(call, layout, -1)
    shape = call.arguments["weight"].meta["val"].shape
    channels = prod(axis for axis in layout.axes[:-1] if isinstance(axis, int))
    return voxelwise(call, (*layout.axes[:-1], int(shape[0])), taps=channels * prod(map(int, shape)))


def _stacked(call: Call) -> Made:
    tensors = call.arguments["tensors"]
    axes = list(broadcast(call, [call.arranged(each).layout for each in tensors]))
    axes.insert(call.arguments["dim"] % (len(axes) + 1), len(tensors))
    return _of_one_batch(voxelwise(call, axes))


def _joined(call: Call) -> Made:
    layouts = [call.arranged(each).layout for each in call.arguments["tensors"]]
    (dim,) = check_channels(call, layouts[0], call.arguments["dim"])
    channels = [each.axes[dim] for each in layouts]
    if not all(isinstance(n, int) for n in channels):
        raise NoRuleError(f"its {call.name} mixes voxels")
    alone = [replace(each, axes=(*each.axes[:dim], *each.axes[dim + 1 :])) for each in layouts]
    axes = list(broadcast(call, alone))
    axes.insert(dim, sum(channels))  # type: ignore[arg-type]
    return _of_one_batch(voxelwise(call, axes))


def _of_one_batch(made: Made) -> Made:
    """Let the first axis be the batch of all inputs, if it is that of one."""
    operation, inputs, weights = made
    assert isinstance(operation, Voxelwise)
    layouts = tuple(replace(each, axes=(None, *each.axes[1:])) for each in operation.layouts)
    has_batch = any(each.axes[0] is None for each in operation.layouts)
    return (replace(operation, layouts=layouts) if has_batch else operation), inputs, weights


def broadcast(call: Call, layouts: Sequence[Layout]) -> tuple[Axis, ...]:
    """Return what the axes are of tensors that are broadcast against each other.

    Raises
    ------
    NoRuleError
        If voxels meet channels.
    """
    count = max(len(each.axes) for each in layouts)
    axes: list[Axis] = []
    for place in range(-count, 0):
        found = {each.axes[place] for each in layouts if place >= -len(each.axes)} - {1}
        if len(found) > 1:
            raise NoRuleError(f"its {call.name} mixes voxels, channels or images")
        axes.append(found.pop() if found else 1)
    return tuple(axes)


def _expanded(call: Call) -> Made:
    """Repeat channels, without memory of their own."""
    layout, shape = _layout(call), _result(call).shape
    missing = len(shape) - len(layout.axes)
    before = [*(1,) * missing, *call.arguments["self"].meta["val"].shape]
    axes: list[Axis] = [*(1,) * missing, *layout.axes]
    spread_out = spread(call, Layout(tuple(axes), call.ndim), shape)
    if spread_out is not None:
        if spread_out.shape(1, (1,) * call.ndim) != Layout(tuple(axes), call.ndim).shape(1, (1,) * call.ndim):
            raise NoRuleError(f"its {call.name} repeats channels and voxels at once")
        return Spread(spread_out), [call.arranged(call.arguments["self"]).source], []
    for i, (size, was) in enumerate(zip(shape, before, strict=True)):
        if size_of(size) == size_of(was):
            continue
        if not isinstance(axes[i], int) or not isinstance(size, int):
            raise NoRuleError(f"its {call.name} spreads one value over many voxels")
        axes[i] = size
    call.arguments = {
        "self": call.arguments["self"],
        "size": [axis if isinstance(axis, int) else -1 for axis in axes],
    }
    return voxelwise(call, axes, function="expand.default")


def _without(call: Call) -> list[Axis]:
    """Return the axes of one of several along channels."""
    layout = _layout(call)
    (dim,) = check_channels(call, layout, call.arguments["dim"])
    return [axis for i, axis in enumerate(layout.axes) if i != dim]


def _shortened(call: Call) -> list[Axis]:
    """Return the axes where one that holds channels gets another length."""
    layout = _layout(call)
    (dim,) = check_channels(call, layout, call.arguments["dim"])
    axes = list(layout.axes)
    axes[dim] = int(_result(call).shape[dim])
    return axes


def _result(call: Call) -> Any:
    return call.node.meta["val"]


def _repeated(call: Call) -> Made:
    layout, repeats = _layout(call), call.arguments["repeats"]
    axes: list[Axis] = [*(1,) * (len(repeats) - len(layout.axes)), *layout.axes]
    if any(isinstance(times, fx.Node) for times in repeats):
        return _expanded(call)
    for i, (axis, times) in enumerate(zip(axes, repeats, strict=True)):
        if times != 1 and not isinstance(axis, int):
            raise NoRuleError(f"its {call.name} repeats voxels")
        axes[i] = axis * times if isinstance(axis, int) else axis
    return voxelwise(call, axes)


def _padded(call: Call) -> list[Axis]:
    """Return the axes where zeros, or another number, are added to channels."""
    layout, pads = _layout(call), call.arguments["pad"]
    if call.arguments.get("mode", "constant") != "constant":
        raise NoRuleError("its pad adds channels")
    axes = list(layout.axes)
    for i in range(len(pads) // 2):
        axis, more = axes[-1 - i], pads[2 * i : 2 * i + 2]
        if any(n != 0 for n in more):
            if not isinstance(axis, int):
                raise NoRuleError("its pad adds voxels and channels")
            axes[-1 - i] = axis + sum(more)
    return axes


def _windowed(call: Call) -> list[Axis]:
    """Return the axes where a window moves over channels alone."""
    layout, count = _layout(call), len(call.arguments["kernel_size"])
    stride = call.arguments["stride"] or call.arguments["kernel_size"]
    windows = (_spread(value, count) for value in (call.arguments["kernel_size"], stride))
    padding = _spread(call.arguments["padding"], count)
    for axis, size, step, pad in zip(layout.axes[-count:], *windows, padding, strict=True):
        if not isinstance(axis, int) and (size, step, pad) != (1, 1, 0):
            raise NoRuleError(f"its {call.name} looks at channels and voxels together")
    return [
        int(n) if isinstance(axis, int) else axis
        for axis, n in zip(layout.axes, _result(call).shape, strict=True)
    ]


def _spread(value: Any, count: int) -> list[int]:
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    return numbers * count if len(numbers) == 1 else numbers


def _parts(call: Call) -> list[Made]:
    layout = _layout(call)
    (dim,) = check_channels(call, layout, call.arguments["dim"])
    made = []
    for number, part in enumerate(_result(call)):
        axes = list(layout.axes)
        axes[dim] = int(part.shape[dim])
        made.append(voxelwise(call, axes, number))
    return made


def _unbound(call: Call) -> list[Made]:
    return [voxelwise(call, _without(call), number) for number in range(len(_result(call)))]


_REDUCTIONS = frozenset(
    {
        "amax.default",
        "amin.default",
        "linalg_vector_norm.default",
        "logsumexp.default",
        "mean.dim",
        "norm.ScalarOpt_dim",
        "prod.dim_int",
        "std.correction",
        "std.dim",
        "sum.dim_IntList",
        "var.correction",
        "var.dim",
    }
)
_PAIRS = frozenset({"max.dim", "median.dim", "min.dim", "std_mean.correction", "var_mean.correction"})
_AXES: dict[str, _Axes] = {
    "softmax.int": _same,
    "log_softmax.int": _same,
    "_softmax.default": _same,
    "_log_softmax.default": _same,
    "cumsum.default": _same,
    "flip.default": partial(_same, over="dims"),
    "roll.default": partial(_same, over="dims"),
    "layer_norm.default": _normalized,
    "rms_norm.default": _normalized,
    "select.int": _without,
    "slice.Tensor": _shortened,
    "narrow.default": _shortened,
    "glu.default": _shortened,
    "index_select.default": _shortened,
    "pad.default": _padded,
    "constant_pad_nd.default": _padded,
    **{f"{kind}_pool{n}d.default": _windowed for kind in ("avg", "max") for n in (1, 2, 3)},
}
_OTHERS: dict[str, Rule] = {
    "cat.default": _joined,
    "concat.default": _joined,
    "expand.default": _expanded,
    "expand_as.default": _expanded,
    "linear.default": _linear,
    "repeat.default": _repeated,
    "stack.default": _stacked,
}
_SEVERAL: dict[str, Callable[[Call], list[Made]]] = {
    "chunk.default": _parts,
    "split.Tensor": _parts,
    "split_with_sizes.default": _parts,
    "unbind.int": _unbound,
}
