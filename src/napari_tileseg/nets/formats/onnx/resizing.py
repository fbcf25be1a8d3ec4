"""Up- and down-sampling of ONNX, by the conventions that torch has too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.building import Builder, Rules, Value, ints, number, word
from napari_tileseg.nets.formats.onnx.model import Node
from napari_tileseg.nets.listed.listing import Named

_LINEAR = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}
_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor")


def _resize(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    x = builder.tensor(inputs[0])
    # From opset 11 on, the second input is a region of interest, which no mode that is read here has.
    scales, sizes = (
        inputs[at] if len(inputs) > at else None for at in ((2, 3) if builder.opset > 10 else (1, 3))
    )
    place = "asymmetric" if builder.opset < 11 else "half_pixel"
    place = word(node, "coordinate_transformation_mode", place, _PLACES)
    if number(node, "antialias", 0) or number(node, "exclude_outside", 0):
        raise NetworkError("its antialias or exclude_outside is not carried out here")
    word(node, "keep_aspect_ratio_policy", "stretch", ("stretch",))
    how = _how(builder, x, scales, sizes, ints(node, "axes", range(builder.rank(x))))
    mode = word(node, "mode", "nearest", ("nearest", "linear", "cubic"))
    if mode == "nearest":
        default = "round_prefer_floor" if builder.opset > 10 else "floor"
        function = _nearest(place, word(node, "nearest_mode", default, _NEAREST), _ratios(builder, x, how))
        return builder.add(f"aten.{function}{builder.rank(x) - 2}d.vec", input=x, **how)
    if place == "asymmetric" or (mode == "cubic" and builder.rank(x) != 4):
        raise NetworkError(f"its mode {mode} with coordinates {place} is not carried out here")
    if number(node, "cubic_coeff_a", -0.75) != -0.75:
        raise NetworkError("its cubic_coeff_a is not that of torch, -0.75")
    function = _LINEAR[builder.rank(x) - 2] if mode == "linear" else "upsample_bicubic2d"
    return builder.add(f"aten.{function}.vec", input=x, align_corners=place == "align_corners", **how)


def _how(builder: Builder, x: Named, scales: Value, sizes: Value, axes: Sequence[int]) -> dict[str, Any]:
    """Return by how much, or to which size, as torch takes it: for the axes of space."""
    rank = builder.rank(x)
    if not 3 <= rank <= 5:
        raise NetworkError(f"it resizes {rank} axes")
    by_axis: dict[int, Any] = {}
    stated = builder.numbers(scales) if scales is not None else None
    if stated is not None and stated.size:
        by_axis = dict(zip((axis % rank for axis in axes), map(float, stated.reshape(-1)), strict=True))
        if any(by_axis.get(axis, 1.0) != 1 for axis in (0, 1)):
            raise NetworkError("it resizes the axis of channels")
        return {"output_size": None, "scale_factors": [by_axis.get(axis, 1.0) for axis in range(2, rank)]}
    if sizes is None:
        raise NetworkError("its scales depend on the image")
    wanted = builder.sizes(sizes, "sizes")
    by_axis = dict(zip((axis % rank for axis in axes), wanted, strict=True))
    lengths = [by_axis.get(axis) or builder.size(x, axis) for axis in range(2, rank)]
    return {"output_size": lengths, "scale_factors": None}


def _ratios(builder: Builder, x: Named, how: dict[str, Any]) -> list[float]:
    """Return how many times larger the axes of space become, for the image that is tried."""
    if how["scale_factors"] is not None:
        return list(how["scale_factors"])
    lengths = [builder.known[n.name] if isinstance(n, Named) else n for n in how["output_size"]]
    return [new / old for new, old in zip(lengths, builder.shape(x)[2:], strict=True)]


def _nearest(place: str, rounding: str, ratios: Sequence[float]) -> str:
    """Return the function of torch that takes the same voxels."""
    whole = all(ratio >= 1 and ratio == int(ratio) for ratio in ratios)
    if (place, rounding) == ("asymmetric", "floor"):
        return "upsample_nearest"
    if place in _PLACES[:2] and whole and rounding != "floor":
        # A whole number of times, each voxel is repeated, whichever way halves are rounded.
        return "upsample_nearest"
    if place in _PLACES[:2] and rounding == "round_prefer_ceil":
        return "_upsample_nearest_exact"
    if place == "asymmetric" and rounding == "round_prefer_floor" and {*ratios} <= {1.0, 2.0}:
        return "upsample_nearest"
    raise NetworkError(f"its mode nearest with coordinates {place} and {rounding} is not carried out here")


def _upsample(builder: Builder, node: Node, inputs: Sequence[Value]) -> Value:
    """Carry out what Resize was called up to opset 9."""
    word(node, "mode", "nearest", ("nearest",))
    x = builder.tensor(inputs[0])
    stated = builder.numbers(inputs[1]) if len(inputs) > 1 else node.attributes.get("scales")
    scales = [float(each) for each in (stated if stated is not None else ())]
    if len(scales) != builder.rank(x) or scales[:2] != [1, 1]:
        raise NetworkError("its scales are not those of the axes of space")
    function = f"aten.upsample_nearest{builder.rank(x) - 2}d.vec"
    return builder.add(function, input=x, output_size=None, scale_factors=scales[2:])


RULES: Rules = {"Resize": _resize, "Upsample": _upsample}
