"""Operators of ONNX that only move numbers, of images or of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.building import (
    MOST_NUMBERS,
    Builder,
    Rules,
    Sizes,
    Value,
    ints,
    number,
    word,
)
from napari_tileseg.nets.formats.onnx.layers import group_norm
from napari_tileseg.nets.formats.onnx.model import Node, Stated
from napari_tileseg.nets.listed.listing import Named

_PADDING = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_FAR = 2**31


def _constant(builder: Builder, node: Node, _: Sequence[Value]) -> Value:
    attributes = node.attributes
    if isinstance(attributes.get("value"), Stated):
        stated = attributes["value"]
        if stated.external:
            raise NetworkError("its numbers lie in another file, which is not read here")
        return np.asarray(builder.load(stated).numpy())
    for name, dtype in (
        ("value_int", int),
        ("value_ints", int),
        ("value_float", float),
        ("value_floats", float),
    ):
        if name in attributes:
            return np.asarray(attributes[name], np.int64 if dtype is int else np.float32)
    raise NetworkError("it holds neither a tensor nor numbers")


def _constant_of_shape(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    shape = builder.sizes(inputs[0], "shape")
    stated = node.attributes.get("value")
    value = np.asarray(builder.load(stated).numpy()).reshape(-1)[0] if stated else np.float32(0)
    if any(isinstance(each, Named) for each in shape) or np.prod(shape, dtype=np.float64) > MOST_NUMBERS:
        return builder.add("aten.full.default", size=shape, fill_value=value.item())
    return np.full(shape, value)


def _range(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    start, stop, step = (builder.operand(each) for each in inputs[:3])
    if any(isinstance(each, Named) for each in (start, stop, step)):
        return builder.add("aten.arange.start_step", start=start, end=stop, step=step)
    if not step or abs((stop - start) / step) > MOST_NUMBERS:
        raise NetworkError(f"it counts to more than {MOST_NUMBERS}")
    return np.arange(start, stop, step)


def _shape(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    value = inputs[0]
    if isinstance(value, (np.ndarray, Stated)):
        return np.asarray(value.shape, np.int64)
    x = builder.tensor(value)
    axes = range(builder.rank(x))[slice(int(number(node, "start", 0)), node.attributes.get("end"))]
    return Sizes(tuple(builder.size(x, axis) for axis in axes))


def _gather(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    source, axis = inputs[0], int(number(node, "axis", 0))
    at = builder.numbers(inputs[1])
    if at is None:
        raise NetworkError("its indices depend on the image")
    if isinstance(source, Sizes) and at.ndim <= 1:
        picked = tuple(source.values[int(each)] for each in np.atleast_1d(at))
        return Sizes(picked, at.ndim == 0)
    if isinstance(source, np.ndarray):
        return np.asarray(np.take(source, at.astype(np.int64), axis=axis))
    x = builder.tensor(source)
    if at.ndim == 0:
        return builder.add("aten.select.int", self=x, dim=axis, index=int(at))
    if at.ndim == 1:
        length = builder.shape(x)[axis]
        index = builder.tensor(np.where(at < 0, at + length, at).astype(np.int64))
        return builder.add("aten.index_select.default", self=x, dim=axis, index=index)
    raise NetworkError("its indices have several axes")


def _concat(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    if all(isinstance(each, np.ndarray) for each in inputs):
        return np.concatenate(inputs, axis=int(number(node, "axis", 0)))  # type: ignore[arg-type]
    if any(isinstance(each, Sizes) for each in inputs):
        return Sizes(tuple(size for each in inputs for size in builder.sizes(each, "parts")))
    tensors = [builder.tensor(each) for each in inputs]
    return builder.add("aten.cat.default", tensors=tensors, dim=int(number(node, "axis", 1)))


def _split(builder: Builder, node: Node, inputs: Sequence[Value]) -> list[Value]:
    x, axis = builder.tensor(inputs[0]), int(number(node, "axis", 0))
    stated = inputs[1] if len(inputs) > 1 else None
    lengths = ints(node, "split", []) if stated is None else builder.integers(stated, "split")
    count = len(node.outputs)
    if lengths:
        function = "aten.split_with_sizes.default"
        return [*builder.add_parts(function, count, self=x, split_sizes=lengths, dim=axis)]
    length = -(-builder.shape(x)[axis] // count)
    return [*builder.add_parts("aten.split.Tensor", count, self=x, split_size=length, dim=axis)]


def _slice(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    if builder.opset < 10:
        starts, ends = ints(node, "starts", []), ints(node, "ends", [])
        axes, steps = ints(node, "axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = (builder.sizes(each, "borders") for each in inputs[1:3])
        more = [inputs[at] if len(inputs) > at else None for at in (3, 4)]
        axes = list(range(len(starts))) if more[0] is None else builder.integers(more[0], "axes")
        steps = [1] * len(starts) if more[1] is None else builder.integers(more[1], "steps")
    return _sliced(builder, inputs[0], list(zip(axes, starts, ends, steps, strict=True)))


def _sliced(builder: Builder, value: Value, cuts: Sequence[tuple[int, Any, Any, int]]) -> Value:
    if isinstance(value, Sizes):
        ((_, start, end, step),) = cuts
        return Sizes(value.values[slice(start, end if step > 0 or end > -_FAR else None, step)])
    if isinstance(value, np.ndarray):
        for axis, start, end, step in cuts:
            where = [slice(None)] * value.ndim
            where[axis] = slice(start, end if step > 0 or end > -_FAR else None, step)
            value = value[tuple(where)]
        return value
    x = builder.tensor(value)
    for axis, start, end, step in cuts:
        if type(step) is int and step < 0:
            if (step, end) != (-1, -_FAR) or start not in {-1, _FAR}:
                raise NetworkError("it goes backwards over a part of an axis")
            x = builder.add("aten.flip.default", self=x, dims=[axis])
            continue
        if (start, step) == (0, 1) and type(end) is int and end >= _FAR:
            continue
        last = None if type(end) is int and end >= _FAR else end
        x = builder.add("aten.slice.Tensor", self=x, dim=axis, start=start, end=last, step=step)
    return x


def _pad(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    mode = word(node, "mode", "constant", tuple(_PADDING))
    rank = builder.rank(x)
    if builder.opset < 11:
        pads: list[Any] = list(ints(node, "pads", []))
        value: Any = number(node, "value", 0.0)
        axes = list(range(rank))
    else:
        pads = builder.sizes(inputs[1], "pads")
        value = builder.operand(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
        stated = inputs[3] if len(inputs) > 3 else None
        axes = list(range(rank)) if stated is None else builder.integers(stated, "axes")
    half = len(pads) // 2
    by_axis = dict(
        zip((axis % rank for axis in axes), zip(pads[:half], pads[half:], strict=True), strict=True)
    )
    first = next((axis for axis in range(rank) if by_axis.get(axis, (0, 0)) != (0, 0)), rank)
    if first == rank:
        return x
    # Other ways than with a number are for the axes of space, and for all of them.
    first = first if mode == "constant" else min(first, 2)
    flat = [each for axis in reversed(range(first, rank)) for each in by_axis.get(axis, (0, 0))]
    if isinstance(value, Named):
        raise NetworkError("it pads with a value that is computed")
    return builder.add(
        "aten.pad.default",
        self=x,
        pad=flat,
        mode=_PADDING[mode],
        value=float(value) if mode == "constant" else None,
    )


def _reshape(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    if isinstance(inputs[0], Sizes):
        wanted = builder.integers(inputs[1], "shape")
        return Sizes(inputs[0].values, alone=not wanted)
    stated = inputs[1] if len(inputs) > 1 else None
    shape = ints(node, "shape", []) if stated is None else builder.sizes(stated, "shape")
    if isinstance(inputs[0], np.ndarray) and not any(isinstance(each, Named) for each in shape):
        return np.reshape(inputs[0], shape)
    x = builder.tensor(inputs[0])
    if number(node, "allowzero", 0) and 0 in shape:
        raise NetworkError("it asks for an axis of no length")
    shape = [builder.size(x, at) if size == 0 else size for at, size in enumerate(shape)]
    found: Named = builder.add("aten.reshape.default", self=x, shape=shape)
    return _grouped(builder, x, found) or found


def _grouped(builder: Builder, x: Named, found: Named) -> Named | None:
    """Return a group normalization where a reshape, an instance normalization and a reshape are one."""
    made = {each.results[0]: each for each in builder.operations[-64:]}
    norm = made.get(x.name)
    if norm is None or norm.function != "aten.instance_norm.default":
        return None
    before = made.get(norm.arguments["input"].name)
    if before is None or before.function != "aten.reshape.default":
        return None
    image = before.arguments["self"]
    groups = builder.shape(norm.arguments["input"])
    plain = (
        builder.shape(image) == builder.shape(found)
        and len(groups) == 3
        and groups[0] == builder.shape(image)[0]
        and not builder.shape(image)[1] % groups[1]
        and _are(builder, norm.arguments["weight"], 1)
        and _are(builder, norm.arguments["bias"], 0)
    )
    return group_norm(builder, image, groups[1], norm.arguments["eps"]) if plain else None


def _are(builder: Builder, weight: Named, wanted: float) -> bool:
    """Return whether all numbers of a weight are one."""
    stored = builder.weights.get(weight.name)
    numbers = builder.load(stored) if isinstance(stored, Stated) else stored
    return numbers is not None and bool((numbers == wanted).all())


def _transpose(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    if isinstance(inputs[0], np.ndarray):
        return np.transpose(inputs[0], node.attributes.get("perm"))
    x = builder.tensor(inputs[0])
    order = ints(node, "perm", range(builder.rank(x))[::-1])
    return builder.add("aten.permute.default", self=x, dims=order)


def _axes(builder: Builder, node: Node, inputs: Sequence[Value]) -> list[int] | None:
    stated = inputs[1] if len(inputs) > 1 else None
    if stated is not None:
        return builder.integers(stated, "axes")
    return ints(node, "axes", []) if "axes" in node.attributes else None


def _squeeze(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    axes = _axes(builder, node, inputs)
    value = inputs[0]
    if isinstance(value, Sizes):
        return Sizes(value.values, alone=True)
    if isinstance(value, np.ndarray):
        return np.squeeze(value, None if axes is None else tuple(axes))
    x = builder.tensor(value)
    axes = [at for at, n in enumerate(builder.shape(x)) if n == 1] if axes is None else axes
    return builder.add("aten.squeeze.dims", self=x, dim=axes)


def _unsqueeze(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    axes = _axes(builder, node, inputs) or []
    value = inputs[0]
    if isinstance(value, Sizes) and value.alone:
        return Sizes(value.values)
    if isinstance(value, np.ndarray):
        return np.expand_dims(value, tuple(axes))
    x = builder.tensor(value)
    rank = builder.rank(x) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = builder.add("aten.unsqueeze.default", self=x, dim=axis)
    return x


def _flatten(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    axis = int(number(node, "axis", 1))
    count = int(np.prod(builder.shape(x)[:axis]))
    return builder.add("aten.reshape.default", self=x, shape=[count, -1])


def _expand(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    shape = builder.sizes(inputs[1], "shape")
    if isinstance(inputs[0], np.ndarray) and not any(isinstance(each, Named) for each in shape):
        if np.prod(shape, dtype=np.float64) > MOST_NUMBERS:
            raise NetworkError(f"it repeats to more than {MOST_NUMBERS} numbers")
        return np.broadcast_to(inputs[0], np.broadcast_shapes(inputs[0].shape, tuple(shape)))
    x = builder.tensor(inputs[0])
    missing = builder.rank(x) - len(shape)
    shape = [1] * missing + shape
    new = len(shape) - builder.rank(x)
    sizes = [-1 if at >= new and size == 1 else size for at, size in enumerate(shape)]
    return builder.add("aten.expand.default", self=x, size=sizes)


def _tile(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    x, repeats = builder.tensor(inputs[0]), builder.sizes(inputs[1], "repeats")
    return builder.add("aten.repeat.default", self=x, repeats=repeats)


def _depth_to_space(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, block = builder.tensor(inputs[0]), int(number(node, "blocksize", 1))
    if word(node, "mode", "DCR", ("DCR", "CRD")) == "CRD":
        return builder.add("aten.pixel_shuffle.default", self=x, upscale_factor=block)
    channels = builder.shape(x)[1] // (block * block)
    height, width = builder.size(x, 2), builder.size(x, 3)
    apart = builder.add("aten.reshape.default", self=x, shape=[1, block, block, channels, height, width])
    turned = builder.add("aten.permute.default", self=apart, dims=[0, 3, 4, 1, 5, 2])
    sizes = [builder.of_sizes("mul", each, block) for each in (height, width)]
    return builder.add("aten.reshape.default", self=turned, shape=[1, channels, *sizes])


def _space_to_depth(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x, block = builder.tensor(inputs[0]), int(number(node, "blocksize", 1))
    channels = builder.shape(x)[1]
    height, width = (builder.of_sizes("floordiv", builder.size(x, axis), block) for axis in (2, 3))
    apart = builder.add("aten.reshape.default", self=x, shape=[1, channels, height, block, width, block])
    turned = builder.add("aten.permute.default", self=apart, dims=[0, 3, 5, 1, 2, 4])
    shape = [1, channels * block * block, height, width]
    return builder.add("aten.reshape.default", self=turned, shape=shape)


def _same(builder: Builder, _: Node, inputs: Sequence[Value]) -> Value:
    trains = builder.numbers(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else None
    if trains is not None and trains.any():
        raise NetworkError("it was exported in training mode; export it again, after network.eval()")
    return inputs[0]


RULES: Rules = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Shape": _shape,
    "Gather": _gather,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Identity": _same,
    "Dropout": _same,
}
