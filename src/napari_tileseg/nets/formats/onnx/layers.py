"""Convolutions, poolings and normalization of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.building import Builder, Rules, Value, ints, number, word
from napari_tileseg.nets.formats.onnx.model import Node
from napari_tileseg.nets.listed.listing import Named

#: Voxels of a window that is taken for the whole image where it covers that.
_WIDE = 4
_AUTO = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _window(
    builder: Builder, node: Node, x: Named, kernel: Sequence[int]
) -> tuple[list[int], list[int], Any]:
    """Return strides, dilations and the padding before and after each axis of a window."""
    ndim = len(kernel)
    strides, dilations = ints(node, "strides", [1] * ndim), ints(node, "dilations", [1] * ndim)
    pads: list[Any] = list(ints(node, "pads", [0] * 2 * ndim))
    builder.covers |= min(kernel, default=0) >= _WIDE and tuple(kernel) == builder.shape(x)[2:]
    auto = word(node, "auto_pad", "NOTSET", _AUTO)
    if builder.rank(x) != ndim + 2 or {len(strides), len(dilations), len(pads) / 2} != {ndim}:
        raise NetworkError(f"its window has {ndim} axes and other numbers of strides, dilations or pads")
    if auto == "VALID":
        pads = [0] * 2 * ndim
    elif auto != "NOTSET":
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        totals = [
            _same(builder, x, axis, s, w) for axis, (s, w) in enumerate(zip(strides, spans, strict=True))
        ]
        halves = [builder.of_sizes("floordiv", total, 2) for total in totals]
        rests = [builder.of_sizes("sub", total, half) for total, half in zip(totals, halves, strict=True)]
        pads = [*halves, *rests] if auto == "SAME_UPPER" else [*rests, *halves]
    return strides, dilations, list(zip(pads[:ndim], pads[ndim:], strict=True))


def _same(builder: Builder, x: Named, axis: int, stride: int, span: int) -> Any:
    """Return the padding with which a window gives one value for each stride of the image."""
    if stride == 1:
        return span - 1
    size = builder.size(x, axis + 2)
    count = builder.of_sizes("floordiv", builder.of_sizes("add", size, stride - 1), stride)
    covered = builder.of_sizes(
        "add", builder.of_sizes("mul", builder.of_sizes("sub", count, 1), stride), span
    )
    return builder.of_sizes("max", builder.of_sizes("sub", covered, size), 0)


def _padded(builder: Builder, x: Named, pads: Any, value: float) -> tuple[Named, list[int]]:
    """Return the image and what the operation pads itself: as much on both sides."""
    if all(type(a) is int and a == b for a, b in pads):
        return x, [a for a, _ in pads]
    flat = [each for pair in reversed(pads) for each in pair]
    return builder.add("aten.pad.default", self=x, pad=flat, mode="constant", value=value), [0] * len(pads)


def _conv(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, weight = (builder.tensor(each) for each in inputs[:2])
    bias = inputs[2] if len(inputs) > 2 else None
    kernel = builder.shape(weight)[2:]
    strides, dilations, pads = _window(builder, node, x, kernel)
    x, padding = _padded(builder, x, pads, 0.0)
    overload = "default"
    return builder.add(
        f"aten.conv{len(kernel)}d.{overload}",
        input=x,
        weight=weight,
        bias=None if bias is None else builder.tensor(bias),
        stride=strides,
        padding=padding,
        dilation=dilations,
        groups=number(node, "group", 1),
    )


def _conv_transpose(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, weight = (builder.tensor(each) for each in inputs[:2])
    bias = inputs[2] if len(inputs) > 2 else None
    kernel = builder.shape(weight)[2:]
    strides, dilations, pads = _window(builder, node, x, kernel)
    if "output_shape" in node.attributes or word(node, "auto_pad", "NOTSET", _AUTO[:2]) == "VALID":
        raise NetworkError("its output_shape is stated, which is not read here")
    even = all(a == b for a, b in pads)
    found: Named = builder.add(
        f"aten.conv_transpose{len(kernel)}d.input",
        input=x,
        weight=weight,
        bias=None if bias is None else builder.tensor(bias),
        stride=strides,
        padding=[a for a, _ in pads] if even else [0] * len(pads),
        output_padding=ints(node, "output_padding", [0] * len(kernel)),
        groups=number(node, "group", 1),
        dilation=dilations,
    )
    if even:
        return found
    cut = [-each for pair in reversed(pads) for each in pair]
    cropped: Value = builder.add("aten.pad.default", self=found, pad=cut, mode="constant", value=0.0)
    return cropped


def _max_pool(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    kernel = ints(node, "kernel_shape", [])
    strides, dilations, pads = _window(builder, node, x, kernel)
    x, padding = _padded(builder, x, pads, -inf)
    if len(node.outputs) > 1 and node.outputs[1]:
        raise NetworkError("it gives indices as well, which are not read here")
    return builder.add(
        f"aten.max_pool{len(kernel)}d.default",
        self=x,
        kernel_size=kernel,
        stride=strides,
        padding=padding,
        dilation=dilations,
        ceil_mode=bool(number(node, "ceil_mode", 0)),
    )


def _average_pool(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    kernel = ints(node, "kernel_shape", [])
    strides, dilations, pads = _window(builder, node, x, kernel)
    counts = bool(number(node, "count_include_pad", 0))
    x, padding = _padded(builder, x, pads, 0.0)
    uneven = any(type(a) is not int or a != b for a, b in pads)
    if {*dilations} - {1} or (uneven and not counts):
        raise NetworkError("its dilation, or its padding on one side, is not carried out here")
    return builder.add(
        f"aten.avg_pool{len(kernel)}d.default",
        self=x,
        kernel_size=kernel,
        stride=strides,
        padding=padding,
        ceil_mode=bool(number(node, "ceil_mode", 0)),
        count_include_pad=counts,
    )


def _global(function: str, name: str) -> Any:
    def rule(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
        """Add the operator."""
        x = builder.tensor(inputs[0])
        axes = list(range(2, builder.rank(x)))
        return builder.add(function, self=x, dim=axes, **{name: True})

    return rule


def _batch_norm(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    if number(node, "training_mode", 0) or number(node, "spatial", 1) != 1:
        raise NetworkError("it was exported in training mode; export it again, after network.eval()")
    x, weight, bias, mean, variance = (builder.tensor(each) for each in inputs[:5])
    given = {"running_mean": mean, "running_var": variance, "training": False}
    return _normalized("aten.batch_norm.default", builder, node, (x, weight, bias), given)


def _instance_norm(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, weight, bias = (builder.tensor(each) for each in inputs[:3])
    own = {"running_mean": None, "running_var": None, "use_input_stats": True}
    return _normalized("aten.instance_norm.default", builder, node, (x, weight, bias), own)


def _normalized(
    function: str, builder: Builder, node: Node, taken: tuple[Named, Named, Named], statistics: dict[str, Any]
) -> Value:
    """Add a normalization of each channel by statistics that are given, or by those of the image."""
    x, weight, bias = taken
    return builder.add(
        function,
        input=x,
        weight=weight,
        bias=bias,
        **statistics,
        momentum=0.1,
        eps=number(node, "epsilon", 1e-5),
        cudnn_enabled=False,
    )


def group_norm(builder: Builder, x: Named, groups: int, eps: float, *weights: Named | None) -> Named:
    """Add a group normalization with weights for each channel, or without."""
    weight, bias = weights or (None, None)
    return builder.add(
        "aten.group_norm.default",
        input=x,
        num_groups=groups,
        weight=weight,
        bias=bias,
        eps=eps,
        cudnn_enabled=False,
    )


def _group_norm(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, weight, bias = (builder.tensor(each) for each in inputs[:3])
    groups, eps = number(node, "num_groups", 1), number(node, "epsilon", 1e-5)
    channels = builder.shape(x)[1]
    if builder.shape(weight) == (channels,):
        return group_norm(builder, x, groups, eps, weight, bias)
    # Up to opset 20 there is one weight for each group.
    found = group_norm(builder, x, groups, eps)
    ones = [1] * (builder.rank(x) - 2)
    for function, each in (("aten.mul.Tensor", weight), ("aten.add.Tensor", bias)):
        row = builder.add("aten.view.default", self=each, size=[groups, 1])
        wide = builder.add("aten.expand.default", self=row, size=[groups, channels // groups])
        shaped = builder.add("aten.reshape.default", self=wide, shape=[1, channels, *ones])
        found = builder.add(function, self=found, other=shaped)
    return found


def _layer_norm(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, weight = (builder.tensor(each) for each in inputs[:2])
    bias = inputs[2] if len(inputs) > 2 else None
    axis = int(number(node, "axis", -1)) % builder.rank(x)
    return builder.add(
        "aten.layer_norm.default",
        input=x,
        normalized_shape=list(builder.shape(x)[axis:]),
        weight=weight,
        bias=None if bias is None else builder.tensor(bias),
        eps=number(node, "epsilon", 1e-5),
        cudnn_enable=False,
    )


def _linear(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    a, b = (builder.tensor(each) for each in inputs[:2])
    if node.operator == "MatMul" and b.name in builder.weights and builder.rank(b) == 2:
        # What a layer does to each voxel's channels, and not what attention does.
        turned = builder.add("aten.permute.default", self=b, dims=[1, 0])
        return builder.add("aten.linear.default", input=a, weight=turned)
    for name in ("transA", "transB"):
        if number(node, name, 0):
            turned = builder.add("aten.permute.default", self=a if name == "transA" else b, dims=[1, 0])
            a, b = (turned, b) if name == "transA" else (a, turned)
    found = builder.add("aten.matmul.default", self=a, other=b)
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    found = found if alpha == 1 else builder.add("aten.mul.Tensor", self=found, other=alpha)
    if len(inputs) > 2 and inputs[2] is not None:
        found = builder.add("aten.add.Tensor", self=found, other=builder.tensor(inputs[2]), alpha=beta)
    value: Value = found
    return value


RULES: Rules = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global("aten.mean.dim", "keepdim"),
    "GlobalMaxPool": _global("aten.amax.default", "keepdim"),
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _linear,
    "Gemm": _linear,
}
