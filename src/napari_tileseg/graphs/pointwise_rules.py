"""Rules that translate functions of single voxels into operations of this package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import fx

from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.layout import Axis
from napari_tileseg.graphs.layouts.voxelwise_rules import broadcast, check_channels, voxelwise
from napari_tileseg.graphs.operations.pointwise import Pointwise, Slot

#: Functions of each voxel by itself.
_POINTWISE = frozenset(
    {
        *(
            f"{name}.default"
            for name in (
                "abs",
                "celu",
                "atan",
                "ceil",
                "clamp",
                "clamp_min",
                "clamp_max",
                "elu",
                "cos",
                "erf",
                "exp",
                "expm1",
                "floor",
                "floor_divide",
                "gelu",
                "hardsigmoid",
                "hardswish",
                "hardtanh",
                "leaky_relu",
                "log",
                "log1p",
                "log_sigmoid",
                "maximum",
                "minimum",
                "mish",
                "neg",
                "prelu",
                "reciprocal",
                "relu",
                "relu6",
                "rsqrt",
                "selu",
                "round",
                "sigmoid",
                "sign",
                "silu",
                "sin",
                "softplus",
                "softshrink",
                "softsign",
                "sqrt",
                "square",
                "tanh",
                "threshold",
            )
        ),
        *(f"{name}.Scalar" for name in ("add", "div", "mul", "rsub", "sub")),
        *(f"{name}.Tensor" for name in ("add", "clamp", "div", "mul", "rsub", "sub")),
        *(f"{name}.Tensor_Scalar" for name in ("pow",)),
        *(f"{name}.{form}" for name in ("div",) for form in ("Scalar_mode", "Tensor_mode")),
        *(f"{name}.{form}" for name in ("remainder",) for form in ("Scalar", "Tensor")),
        *(f"{name}.Tensor_Tensor" for name in ("pow",)),
        *(f"{name}.Scalar" for name in ("pow", "eq", "ge", "gt", "le", "lt", "ne", "lerp")),
        *(f"{name}.Tensor" for name in ("eq", "ge", "gt", "le", "lt", "ne", "lerp")),
        *(f"{name}.other" for name in ("max", "min")),
        *(f"{name}.self" for name in ("where",)),
        *(f"{name}.ScalarOther" for name in ("where",)),
        *(f"{name}.default" for name in ("addcmul", "addcdiv", "logical_not", "logical_and", "logical_or")),
    }
)
#: Functions over the channels of each voxel, which have to say so.
_OVER_CHANNELS = frozenset({"softmax.int", "log_softmax.int", "_softmax.default", "_log_softmax.default"})


def find_pointwise(name: str) -> Rule | None:
    """Find the rule of a function of single voxels, such as ``relu.default``; None for other operations."""
    # The form that overwrites its first argument computes the same.
    plain = name.replace("_.", ".", 1)
    if name in _POINTWISE or plain in _POINTWISE:
        return partial(_pointwise, function=name if name in _POINTWISE else plain)
    return partial(_over_channels, function=plain) if plain in _OVER_CHANNELS else None


def _pointwise(call: Call, function: str) -> Made:
    tensors = [value for value in call.arguments.values() if isinstance(value, fx.Node)]
    maps = [call.arranged(value).layout for value in tensors if call.is_map(value)]
    if not maps:
        raise NoRuleError(f"its {call.name} is applied to something other than a feature map")
    axes = broadcast(call, maps)
    depends = any(not isinstance(value.meta["val"], torch.Tensor) for value in tensors)
    if depends or not all(each.is_plain for each in maps):
        _check_weights(call, axes)
        return voxelwise(call, axes)
    return _on_plain_maps(call, function)


def _check_weights(call: Call, axes: Sequence[Axis]) -> None:
    """Raise where a weight differs from voxel to voxel."""
    for value in call.arguments.values():
        if (
            isinstance(value, fx.Node)
            and isinstance(value.meta["val"], torch.Tensor)
            and not call.is_map(value)
        ):
            shape = value.meta["val"].shape
            behind = axes[len(axes) - len(shape) :] if len(shape) <= len(axes) else ()
            if len(shape) > len(axes) or any(
                n != 1 and not isinstance(axis, int) for n, axis in zip(shape, behind, strict=True)
            ):
                raise NoRuleError(f"its {call.name} takes weights that differ from voxel to voxel")


def _on_plain_maps(call: Call, function: str) -> Made:
    inputs: list[int] = []
    weights: list[str] = []
    arguments: list[Any] = []
    for value in call.arguments.values():
        if call.is_map(value):
            arguments.append(Slot(len(inputs), weight=False))
            inputs.append(call.map_of(value))
        elif isinstance(value, fx.Node):
            arguments.append(Slot(len(weights), weight=True))
            weights.append(_even_weight(call, value))
        else:
            arguments.append(value)
    schema = call.node.target._schema.arguments  # type: ignore[union-attr]
    named = [(each, value) for each, value in zip(schema, arguments, strict=True) if each.kwarg_only]
    positional = tuple(value for value, each in zip(arguments, schema, strict=True) if not each.kwarg_only)
    keywords = tuple((each.name, value) for each, value in named)
    first = next(value for value in call.arguments.values() if call.is_map(value))
    whole = first.meta["val"].shape == call.node.meta["val"].shape
    in_place = _in_place(function, positional) if whole else ""
    return Pointwise(function, positional, keywords, in_place), inputs, weights


def _even_weight(call: Call, value: fx.Node) -> str:
    """Return the name of a weight that is the same at each voxel."""
    name, shape = call.weight(value), value.meta["val"].shape
    spatial = shape[-call.ndim :] if len(shape) > 1 or call.name != "prelu" else ()
    if any(n != 1 for n in spatial):
        raise NoRuleError(f"its {call.name} takes weights that differ from voxel to voxel")
    return name


def _in_place(function: str, arguments: Sequence[Any]) -> str:
    """Return the form of a function that overwrites its first argument, where there is one."""
    packet, _, overload = function.partition(".")
    name = f"{packet}_"
    first = isinstance(arguments[0], Slot) and not arguments[0].weight
    exists = hasattr(torch.ops.aten, name) and overload in getattr(torch.ops.aten, name).overloads()
    return f"{name}.{overload}" if first and exists else ""


def _over_channels(call: Call, function: str) -> Made:
    source = call.arguments["self"]
    layout = call.arranged(source).layout
    check_channels(call, layout, call.arguments["dim"])
    if not layout.is_plain:
        return voxelwise(call, layout.axes)
    values = (Slot(0, weight=False), *list(call.arguments.values())[1:])
    return Pointwise(function, values), [call.map_of(source)], []
