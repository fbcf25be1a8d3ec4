"""Rules that translate functions of single voxels into operations of this package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import fx

from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.operations.pointwise import Pointwise, Slot

#: Functions of each voxel by itself.
_POINTWISE = frozenset(
    {
        *(
            f"{name}.default"
            for name in (
                "abs",
                "celu",
                "clamp",
                "clamp_min",
                "clamp_max",
                "elu",
                "exp",
                "gelu",
                "hardsigmoid",
                "hardswish",
                "hardtanh",
                "leaky_relu",
                "log",
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
                "sigmoid",
                "silu",
                "softplus",
                "softshrink",
                "sqrt",
                "square",
                "tanh",
                "threshold",
            )
        ),
        *(f"{name}.Scalar" for name in ("add", "div", "mul", "rsub", "sub")),
        *(f"{name}.Tensor" for name in ("add", "clamp", "div", "mul", "rsub", "sub")),
        *(f"{name}.Tensor_Scalar" for name in ("pow",)),
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
    inputs: list[int] = []
    weights: list[str] = []
    arguments: list[Any] = []
    for value in call.arguments.values():
        if call.is_map(value):
            arguments.append(Slot(len(inputs), weight=False))
            inputs.append(call.map_of(value))
            _check_extent(call, value)
        elif isinstance(value, fx.Node):
            arguments.append(Slot(len(weights), weight=True))
            weights.append(_even_weight(call, value))
        else:
            arguments.append(value)
    schema = call.node.target._schema.arguments  # type: ignore[union-attr]
    named = [(each, value) for each, value in zip(schema, arguments, strict=True) if each.kwarg_only]
    positional = tuple(value for value, each in zip(arguments, schema, strict=True) if not each.kwarg_only)
    keywords = tuple((each.name, value) for each, value in named)
    return Pointwise(function, positional, keywords, _in_place(function, positional)), inputs, weights


def _check_extent(call: Call, value: fx.Node) -> None:
    """Raise where one value stands for many voxels: it came from all of an image."""
    if value.meta["val"].shape[2:] != call.node.meta["val"].shape[2:]:
        raise NoRuleError(f"its {call.name} spreads one value over many voxels")


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
    call.need_maps(call.arguments["dim"], 1)
    source = call.arguments["self"]
    values = (Slot(0, weight=False), *list(call.arguments.values())[1:])
    return Pointwise(function, values), [call.map_of(source)], []
