"""Rules that translate operations of torch into operations of this package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from napari_tileseg._types import Shape
from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.coordinate_rules import find_coordinates, find_several_coordinates
from napari_tileseg.graphs.layouts.voxelwise_rules import find_several as find_several_voxelwise
from napari_tileseg.graphs.layouts.voxelwise_rules import find_voxelwise
from napari_tileseg.graphs.operations.pointwise import Concatenation
from napari_tileseg.graphs.operations.resizing import Kind, PixelShuffle, PixelUnshuffle, Resize
from napari_tileseg.graphs.operations.slicing import Channels, Padding, Slice
from napari_tileseg.graphs.operations.turn import Turn
from napari_tileseg.graphs.operations.turned import Turning
from napari_tileseg.graphs.operations.windows import (
    AveragePool,
    Convolution,
    MaxPool,
    TransposedConvolution,
    Window,
)
from napari_tileseg.graphs.pointwise_rules import find_pointwise
from napari_tileseg.graphs.reduction_rules import find_reduction, find_several_reductions
from napari_tileseg.graphs.sizes import Size
from napari_tileseg.graphs.stored_norm import stored_norm

#: Operations that compute nothing in evaluation; those of `COPIES` give new memory.
COPIES = frozenset({"clone.default"})
SAME = COPIES | {
    "alias.default",
    "alpha_dropout.default",
    "contiguous.default",
    "detach.default",
    "dropout.default",
    "dropout_.default",
    "feature_alpha_dropout.default",
    "feature_dropout.default",
    "feature_dropout_.default",
}
#: Changes of the number format: a program computes in one format throughout.
CASTS = frozenset(
    {"to.dtype", "to.dtype_layout", "to.device", "to.other", "_to_copy.default", "type_as.default"}
)
#: Parts and repetitions, which may be all of a tensor, once.
PARTS = frozenset({"slice.Tensor", "narrow.default", "expand.default", "expand_as.default"})

_DIMENSIONS = (1, 2, 3)
_PAD_MODES = {"reflection": "reflect", "replication": "replicate"}


def find_all(name: str) -> list[Rule]:
    """Find the rules of an operation of torch, such as ``conv3d.default``, in the order to try them."""
    found = (
        _RULES.get(name),
        find_pointwise(name),
        find_voxelwise(name),
        find_coordinates(name),
        find_reduction(name),
    )
    return [rule for rule in found if rule is not None]


def find_several(name: str) -> list[Callable[[Call], list[Made]]]:
    """Find the rules of an operation that gives several tensors, such as ``chunk.default``."""
    found = (
        SPLITS.get(name),
        find_several_voxelwise(name),
        find_several_coordinates(name),
        find_several_reductions(name),
    )
    return [rule for rule in found if rule is not None]


def _window(call: Call, size: Shape, **given: Shape) -> Window:
    ones = (1,) * call.ndim
    stride = given.get("stride") or call.ints("stride")
    dilation = call.ints("dilation") if "dilation" in call.arguments else ones
    return Window(size, stride, given.get("before") or call.ints("padding"), dilation)


def _kernel(call: Call) -> tuple[Shape, int]:
    shape = tuple(call.arguments["weight"].meta["val"].shape)
    return shape[2:], prod(shape)


def _convolution(call: Call) -> Made:
    size, taps = _kernel(call)
    padding = call.arguments["padding"]
    if isinstance(padding, str):
        widths = ((k - 1) * d for k, d in zip(size, call.ints("dilation"), strict=True))
        before = tuple(n // 2 if padding == "same" else 0 for n in widths)
    else:
        before = call.ints("padding")
    window = _window(call, size, before=before)
    biased = call.arguments["bias"] is not None
    operation = Convolution(window, call.arguments["groups"], taps, biased)
    return operation, [call.map_of(call.arguments["input"])], call.weights("weight", "bias")


def _transposed(call: Call) -> Made:
    size, taps = _kernel(call)
    biased = call.arguments["bias"] is not None
    operation = TransposedConvolution(_window(call, size), call.arguments["groups"], taps, biased)
    return operation, [call.map_of(call.arguments["input"])], call.weights("weight", "bias")


def _pool_window(call: Call) -> Window:
    size = call.ints("kernel_size")
    return _window(call, size, stride=call.ints("stride") if call.arguments["stride"] else size)


def _max_pool(call: Call) -> Made:
    return MaxPool(_pool_window(call)), [call.map_of(call.arguments["self"])], []


def _average_pool(call: Call) -> Made:
    divisor = call.arguments.get("divisor_override")
    window = _pool_window(call)
    counted = window.before if call.arguments["count_include_pad"] else (0,) * call.ndim
    return AveragePool(window, counted, divisor), [call.map_of(call.arguments["self"])], []


def _resize(call: Call, kind: Kind) -> Made:
    factors = call.arguments.get("scale_factors")
    known = tuple(float(n) for n in factors) if factors else (None,) * call.ndim
    aligned = bool(call.arguments.get("align_corners"))
    return Resize(kind, aligned, known), [call.map_of(call.arguments["input"])], []


def _concatenation(call: Call) -> Made:
    call.need_maps(call.arguments["dim"], 1)
    return Concatenation(), [call.map_of(each) for each in call.arguments["tensors"]], []


def _padding(call: Call, mode: str | None = None) -> Made:
    amounts = [call.size(n) for n in call.arguments.get("pad") or call.arguments["padding"]]
    if len(amounts) > 2 * call.ndim and any(amounts[2 * call.ndim :]):
        raise NoRuleError("its pad adds channels")
    amounts = (amounts + [0] * (2 * call.ndim))[: 2 * call.ndim]
    chosen: Any = mode or call.arguments["mode"]
    value = float(call.arguments.get("value") or 0.0)
    operation = Padding(tuple(amounts[-2::-2]), chosen, value)
    return operation, [call.map_of(call.arguments["self"])], []


def _slice(call: Call) -> Made:
    source = call.arguments["self"]
    number = call.map_of(source)
    dim = call.arguments["dim"] % (call.ndim + 2)
    begin, step = call.arguments["start"], call.arguments["step"]
    start = 0 if begin is None else call.size(begin)
    if dim == 1:
        stop = call.arguments["end"]
        return (
            Channels(start, source.meta["val"].shape[1] if stop is None else stop, step),
            [number],
            [],
        )
    if dim == 0:
        raise NoRuleError("its slice cuts batches")
    starts: list[Size] = [0] * call.ndim
    steps = [1] * call.ndim
    starts[dim - 2], steps[dim - 2] = start, step
    return Slice(tuple(starts), tuple(steps)), [number], []


def _narrow(call: Call) -> Made:
    call.arguments |= {"end": None, "step": 1}
    if call.arguments["dim"] % (call.ndim + 2) == 1:
        call.arguments["end"] = call.arguments["start"] + call.arguments["length"]
    return _slice(call)


def _flip(call: Call) -> Made:
    axes = tuple(sorted(dim % (call.ndim + 2) - 2 for dim in call.arguments["dims"]))
    if min(axes, default=0) < 0:
        raise NoRuleError("its flip turns channels and space at once")
    return Turning(replace(Turn.none(call.ndim), mirrored=axes)), [call.map_of(call.arguments["self"])], []


def _shuffle(call: Call) -> Made:
    factor = call.arguments["upscale_factor"]
    return PixelShuffle((factor,) * call.ndim), [call.map_of(call.arguments["self"])], []


def _unshuffle(call: Call) -> Made:
    factor = call.arguments["downscale_factor"]
    return PixelUnshuffle((factor,) * call.ndim), [call.map_of(call.arguments["self"])], []


def _split(call: Call) -> list[Made]:
    """Split the channels into as many parts as the call gives."""
    call.need_maps(call.arguments["dim"], 1)
    source = call.arguments["self"]
    made: list[Made] = []
    start = 0
    for part in call.node.meta["val"]:
        stop = start + int(part.shape[1])
        made.append((Channels(start, stop), [call.map_of(source)], []))
        start = stop
    return made


SPLITS: dict[str, Callable[[Call], list[Made]]] = {
    "chunk.default": _split,
    "split.Tensor": _split,
    "split_with_sizes.default": _split,
}
_RULES: dict[str, Rule] = {
    "batch_norm.default": stored_norm,
    "instance_norm.default": stored_norm,
    "cat.default": _concatenation,
    "concat.default": _concatenation,
    "pad.default": _padding,
    "constant_pad_nd.default": partial(_padding, mode="constant"),
    "flip.default": _flip,
    "slice.Tensor": _slice,
    "narrow.default": _narrow,
    "pixel_shuffle.default": _shuffle,
    "pixel_unshuffle.default": _unshuffle,
    "upsample_linear1d.vec": partial(_resize, kind="linear"),
    "upsample_bilinear2d.vec": partial(_resize, kind="linear"),
    "upsample_trilinear3d.vec": partial(_resize, kind="linear"),
    "upsample_bicubic2d.vec": partial(_resize, kind="cubic"),
    **{f"conv{n}d.{form}": _convolution for n in _DIMENSIONS for form in ("default", "padding")},
    **{f"conv_transpose{n}d.{form}": _transposed for n in _DIMENSIONS for form in ("default", "input")},
    **{f"max_pool{n}d.default": _max_pool for n in _DIMENSIONS},
    **{f"avg_pool{n}d.default": _average_pool for n in _DIMENSIONS},
    **{f"upsample_nearest{n}d.vec": partial(_resize, kind="nearest") for n in _DIMENSIONS},
    **{f"_upsample_nearest_exact{n}d.vec": partial(_resize, kind="nearest-exact") for n in _DIMENSIONS},
    **{
        f"{name}_pad{n}d.default": partial(_padding, mode=mode)
        for name, mode in _PAD_MODES.items()
        for n in _DIMENSIONS
    },
}
