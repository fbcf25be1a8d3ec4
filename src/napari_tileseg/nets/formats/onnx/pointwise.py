"""Operators of ONNX that compute each voxel by itself, or from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.building import (
    Builder,
    Rule,
    Rules,
    Sizes,
    Value,
    number,
    word,
)
from napari_tileseg.nets.formats.onnx.model import Node
from napari_tileseg.nets.formats.onnx.tensors import dtype_of
from napari_tileseg.nets.listed.listing import Named

#: Functions of one tensor that have no arguments.
_PLAIN = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Erf": "erf",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Neg": "neg",
    "Abs": "abs",
    "Floor": "floor",
    "Ceil": "ceil",
    "Sign": "sign",
    "Sin": "sin",
    "Cos": "cos",
    "Reciprocal": "reciprocal",
    "HardSwish": "hardswish",
    "Mish": "mish",
    "Not": "logical_not",
    "Softplus": "softplus",
    "Round": "round",
}
#: Arithmetic of two: the function of torch, that of numpy, and that of sizes.
_TWO = {
    "Add": ("add.Tensor", np.add, "add"),
    "Sub": ("sub.Tensor", np.subtract, "sub"),
    "Mul": ("mul.Tensor", np.multiply, "mul"),
    "Div": ("div.Tensor", np.divide, "truediv"),
    "Mod": ("remainder.Tensor", np.mod, "mod"),
}
_COMPARED = {
    "Equal": ("eq", np.equal),
    "Greater": ("gt", np.greater),
    "Less": ("lt", np.less),
    "GreaterOrEqual": ("ge", np.greater_equal),
    "LessOrEqual": ("le", np.less_equal),
}
_REDUCED = {
    "ReduceMean": "aten.mean.dim",
    "ReduceSum": "aten.sum.dim_IntList",
    "ReduceMax": "aten.amax.default",
    "ReduceMin": "aten.amin.default",
    "ReduceL2": "aten.linalg_vector_norm.default",
}


def _plain(function: str) -> Rule:
    def rule(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        if isinstance(inputs[0], Sizes) and function in {"floor", "ceil"}:
            return _rounded(builder, inputs[0], function)
        return builder.add(f"aten.{function}.default", self=builder.tensor(inputs[0]))

    return rule


def _rounded(builder: Builder, value: Sizes, function: str) -> Value:
    """Return sizes rounded to whole numbers; upwards is the negative of downwards."""

    def one(size: Any) -> Any:
        """Return one size, rounded."""
        size = size if function == "floor" else builder.of_sizes("mul", size, -1)
        whole = builder.of_sizes("floordiv", size, 1)
        return whole if function == "floor" else builder.of_sizes("mul", whole, -1)

    return Sizes(tuple(one(each) for each in value.values), value.alone)


def _with(function: str, **arguments: tuple[str, float]) -> Rule:
    """Return a rule for a function whose arguments are attributes with defaults."""

    def rule(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        given = {ours: number(node, theirs, default) for ours, (theirs, default) in arguments.items()}
        return builder.add(function, self=builder.tensor(inputs[0]), **given)

    return rule


def _two(operator: str) -> Rule:
    function, of_numbers, of_sizes = _TWO[operator]

    def rule(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        a, b = inputs[:2]
        if isinstance(a, Sizes) or isinstance(b, Sizes):
            return _of_sizes(
                builder, "floordiv" if _whole_division(builder, operator, a, b) else of_sizes, a, b
            )
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if operator == "Div" and a.dtype.kind == "i":
                return np.asarray(a // b)
            return np.asarray(of_numbers(a, b))
        return _of_tensors(builder, operator, function, a, b)

    return rule


def _whole_division(builder: Builder, operator: str, a: Value, b: Value) -> bool:
    """Return whether both are whole numbers, which are divided as such."""
    numbers = [each for side in (a, b) for each in _as_sizes(builder, side).values]
    known = [builder.known[each.name] if isinstance(each, Named) else each for each in numbers]
    return operator == "Div" and all(isinstance(each, int) for each in known)


def _of_sizes(builder: Builder, function: str, a: Value, b: Value) -> Value:
    first, last = (_as_sizes(builder, each) for each in (a, b))
    length = max(len(first.values), len(last.values))
    pairs = [side.values * (length if len(side.values) == 1 else 1) for side in (first, last)]
    values = tuple(builder.of_sizes(function, x, y) for x, y in zip(*pairs, strict=True))
    return Sizes(values, first.alone and last.alone)


def _as_sizes(builder: Builder, value: Value) -> Sizes:
    if isinstance(value, Sizes):
        return value
    numbers = builder.numbers(value)
    if numbers is None or numbers.ndim > 1:
        raise NetworkError("it computes with sizes and the image at once, which is not read here")
    return Sizes(tuple(each.item() for each in np.atleast_1d(numbers)), numbers.ndim == 0)


def _of_tensors(builder: Builder, operator: str, function: str, a: Value, b: Value) -> Value:
    first, last = builder.operand(a), builder.operand(b)
    if not isinstance(first, Named) and not isinstance(last, Named):
        first = builder.tensor(np.asarray(first, dtype=np.float32))
    if isinstance(first, Named):
        return builder.add(f"aten.{function}", self=first, other=last)
    if operator in {"Add", "Mul"}:
        return builder.add(f"aten.{function}", self=last, other=first)
    if operator == "Sub":
        return builder.add("aten.rsub.Scalar", self=last, other=first)
    return builder.add(f"aten.{function}", self=builder.tensor(np.asarray(first, np.float32)), other=last)


def _pow(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    base, exponent = builder.operand(inputs[0]), builder.operand(inputs[1])
    if not isinstance(base, Named):
        return builder.add("aten.pow.Scalar", self=base, exponent=builder.tensor(inputs[1]))
    if isinstance(exponent, Named):
        return builder.add("aten.pow.Tensor_Tensor", self=base, exponent=exponent)
    return builder.add("aten.pow.Tensor_Scalar", self=base, exponent=exponent)


def _compared(operator: str) -> Rule:
    name, of_numbers = _COMPARED[operator]

    def rule(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        a, b = inputs[:2]
        if isinstance(a, Sizes) or isinstance(b, Sizes):
            return _compared_sizes(operator, _as_sizes(builder, a), _as_sizes(builder, b))
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return np.asarray(of_numbers(a, b))
        first, last = builder.tensor(a), builder.operand(b)
        overload = "Tensor" if isinstance(last, Named) else "Scalar"
        return builder.add(f"aten.{name}.{overload}", self=first, other=last)

    return rule


def _compared_sizes(operator: str, a: Sizes, b: Sizes) -> Value:
    """Return where sizes equal numbers; a size of an image is above 0, so that it never is -1 or 0."""
    length = max(len(a.values), len(b.values))
    found = []
    for pair in zip(
        *(side.values * (length if len(side.values) == 1 else 1) for side in (a, b)), strict=True
    ):
        plain = [each for each in pair if not isinstance(each, Named)]
        if operator != "Equal" or (len(plain) == 1 and plain[0] > 0) or (not plain and pair[0] != pair[1]):
            raise NetworkError("it compares sizes of the image, so that it computes otherwise for some")
        found.append(len(plain) != 1 and pair[0] == pair[1])
    return np.asarray(found) if not (a.alone and b.alone) else np.asarray(found[0])


def _where(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    condition, a, b = inputs[:3]
    if isinstance(condition, np.ndarray) and (isinstance(a, Sizes) or isinstance(b, Sizes)):
        first, last = (_as_sizes(builder, each) for each in (a, b))
        length = condition.size
        pairs = zip(
            np.atleast_1d(condition),
            *(side.values * (length if len(side.values) == 1 else 1) for side in (first, last)),
            strict=True,
        )
        return Sizes(tuple(x if chosen else y for chosen, x, y in pairs), condition.ndim == 0)
    if all(isinstance(each, np.ndarray) for each in (condition, a, b)):
        return np.asarray(np.where(condition, a, b))  # type: ignore[arg-type]
    return builder.add(
        "aten.where.self",
        condition=builder.tensor(condition),
        self=builder.tensor(a),
        other=builder.tensor(b),
    )


def _many(tensors: str, limit: str, of_sizes: str) -> Rule:
    """Return a rule for the largest or least of several."""

    def two(builder: Builder, a: Value, b: Value) -> Value:
        """Add the operator for two of its inputs."""
        if isinstance(a, Sizes) or isinstance(b, Sizes):
            return _of_sizes(builder, of_sizes, a, b)
        first, last = builder.operand(a), builder.operand(b)
        if not isinstance(first, Named):
            first, last = last, first
        if not isinstance(first, Named):
            first = builder.tensor(np.asarray(first, np.float32))
        if isinstance(last, Named):
            return builder.add(f"aten.{tensors}.default", self=first, other=last)
        return builder.add(f"aten.{limit}.default", self=first, **{limit.removeprefix("clamp_"): last})

    return lambda builder, _, inputs: reduce(lambda a, b: two(builder, a, b), inputs)


def _sum(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    total = reduce(lambda a, b: _of_tensors(builder, "Add", "add.Tensor", a, b), inputs)
    if node.operator == "Sum":
        return total
    return builder.add("aten.div.Tensor", self=builder.tensor(total), other=len(inputs))


def _clip(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    limits = [
        node.attributes.get(name) if len(inputs) <= at or inputs[at] is None else builder.operand(inputs[at])
        for at, name in ((1, "min"), (2, "max"))
    ]
    if any(isinstance(each, Named) for each in limits):
        raise NetworkError("its limits are computed from the image, which is not read here")
    x = builder.tensor(inputs[0])
    if limits == [None, None]:
        return x
    return builder.add("aten.clamp.default", self=x, min=limits[0], max=limits[1])


def _prelu(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    x, slope = builder.tensor(inputs[0]), builder.tensor(inputs[1])
    shape, count = builder.shape(slope), int(np.prod(builder.shape(slope)))
    aligned = (1,) * (builder.rank(x) - len(shape)) + shape
    if count != 1 and (len(aligned) != builder.rank(x) or aligned[1] != count):
        raise NetworkError("its slopes are not one for each channel")
    if len(shape) != 1:
        slope = builder.add("aten.reshape.default", self=slope, shape=[count])
    return builder.add("aten.prelu.default", self=x, weight=slope)


def _gelu(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    how = word(node, "approximate", "none", ("none", "tanh"))
    return builder.add("aten.gelu.default", self=builder.tensor(inputs[0]), approximate=how)


def _hard_sigmoid(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    steep = builder.add("aten.mul.Tensor", self=x, other=number(node, "alpha", 0.2))
    moved = builder.add("aten.add.Tensor", self=steep, other=number(node, "beta", 0.5))
    return builder.add("aten.clamp.default", self=moved, min=0.0, max=1.0)


def _softmax(function: str) -> Rule:
    def rule(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        x = builder.tensor(inputs[0])
        rank = builder.rank(x)
        axis = int(number(node, "axis", -1 if builder.opset >= 13 else 1)) % rank
        if builder.opset >= 13 or axis == rank - 1:
            return builder.add(f"aten.{function}.int", self=x, dim=axis)
        # Up to opset 12 all axes from this one on are taken together.
        sizes = [builder.size(x, each) for each in range(rank)]
        flat = builder.add("aten.flatten.using_ints", self=x, start_dim=axis, end_dim=-1)
        flat = builder.add(f"aten.{function}.int", self=flat, dim=axis)
        return builder.add("aten.reshape.default", self=flat, shape=sizes)

    return rule


def _reduced(operator: str) -> Rule:
    function = _REDUCED[operator]

    def rule(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        x = builder.tensor(inputs[0])
        stated = inputs[1] if len(inputs) > 1 else None
        axes = node.attributes.get("axes") if stated is None else builder.integers(stated, "axes")
        if not axes:
            if number(node, "noop_with_empty_axes", 0):
                return x
            axes = list(range(builder.rank(x)))
        keep = bool(number(node, "keepdims", 1))
        return builder.add(function, self=x, dim=list(axes), keepdim=keep)

    return rule


def _cast(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    dtype = dtype_of(int(number(node, "to", 1)))
    value = inputs[0]
    if isinstance(value, Sizes):
        return Sizes(tuple(_cast_size(builder, each, dtype) for each in value.values), value.alone)
    if isinstance(value, np.ndarray):
        return value.astype(str(dtype).removeprefix("torch."))
    return builder.add("aten.to.dtype", self=builder.tensor(value), dtype=dtype)


def _cast_size(builder: Builder, size: Any, dtype: torch.dtype) -> Any:
    if isinstance(size, Named):
        if dtype.is_floating_point:
            return builder.add("size.truediv", a=size, b=1)
        return builder.add("size.int", a=size)
    return float(size) if dtype.is_floating_point else int(size)


def _logical(name: str) -> Rule:
    def rule(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        a, b = (builder.tensor(each) for each in inputs[:2])
        return builder.add(f"aten.{name}.default", self=a, other=b)

    return rule


RULES: Rules = {
    **{name: _plain(function) for name, function in _PLAIN.items()},
    **{name: _two(name) for name in _TWO},
    **{name: _compared(name) for name in _COMPARED},
    **{name: _reduced(name) for name in _REDUCED},
    "LeakyRelu": _with("aten.leaky_relu.default", negative_slope=("alpha", 0.01)),
    "Elu": _with("aten.elu.default", alpha=("alpha", 1.0)),
    "Celu": _with("aten.celu.default", alpha=("alpha", 1.0)),
    "Selu": _with("aten.selu.default"),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "PRelu": _prelu,
    "Clip": _clip,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "Pow": _pow,
    "Where": _where,
    "Max": _many("maximum", "clamp_min", "max"),
    "Min": _many("minimum", "clamp_max", "min"),
    "Sum": _sum,
    "Mean": _sum,
    "Cast": _cast,
    "And": _logical("logical_and"),
    "Or": _logical("logical_or"),
}
