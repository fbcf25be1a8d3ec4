"""Rules that translate what looks at all of space."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari_tileseg.graphs.call import Call, Made, Rule
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.layouts.layout import Axis
from napari_tileseg.graphs.layouts.voxelwise_rules import voxelwise
from napari_tileseg.graphs.operations.reductions import GlobalNorm, Joined, Reduced, Weighed
from napari_tileseg.graphs.operations.voxelwise import Voxelwise

_DIMENSIONS = (1, 2, 3)
#: Functions that make one value of many, and how values of parts make up that of the whole.
_JOINED: dict[str, Joined] = {
    **dict.fromkeys(("mean.dim", "mean.default", "sum.dim_IntList", "sum.default"), "sum"),
    **dict.fromkeys((f"adaptive_avg_pool{n}d.default" for n in _DIMENSIONS), "sum"),
    **dict.fromkeys(("amax.default", "max.default"), "max"),
    **dict.fromkeys(("amin.default", "min.default"), "min"),
    **dict.fromkeys(
        (f"{name}.{form}" for name in ("std", "var") for form in ("default", "dim", "correction")), "moments"
    ),
    **dict.fromkeys(("linalg_vector_norm.default", "norm.Scalar", "norm.ScalarOpt_dim"), "norm"),
}
#: The same of functions of which the first of several tensors that they give is meant.
_FIRST: dict[str, Joined] = {
    "max.dim": "max",
    "min.dim": "min",
    **dict.fromkeys((f"adaptive_max_pool{n}d.default" for n in _DIMENSIONS), "max"),
}
#: Functions along an axis that give as many values as they take.
_ALONG = frozenset(
    {"softmax.int", "log_softmax.int", "_softmax.default", "_log_softmax.default", "cumsum.default"}
)
_NORMS = frozenset({"batch_norm.default", "instance_norm.default", "group_norm.default"})
#: Functions that make many equal voxels of one.
SPREADS = frozenset(
    {
        "expand.default",
        "expand_as.default",
        *(f"upsample_{kind}.vec" for kind in ("linear1d", "bilinear2d", "trilinear3d")),
        *(f"{kind}{n}d.vec" for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in _DIMENSIONS),
    }
)


def find_reduction(name: str) -> Rule | None:
    """Find the rule of a function that looks at all of space, such as ``mean.dim``; None for others."""
    if name in _JOINED:
        return partial(_reduced, joined=_JOINED[name])
    if name in _ALONG:
        return _weighed
    return _normalized if name in _NORMS else None


def find_several_reductions(name: str) -> Callable[[Call], list[Made]] | None:
    """Find the rule of one that gives several tensors."""
    if name not in _FIRST:
        return None
    return lambda call: [_reduced(call, _FIRST[name], part) for part in range(2)]


def _reduced(call: Call, joined: Joined, part: int | None = None) -> Made:
    layout = call.arranged(next(iter(call.arguments.values()))).layout
    if "output_size" in call.arguments:
        if set(call.ints("output_size")) != {1}:
            raise NoRuleError(f"there is no rule for its operation {call.name}")
        dims: Any = list(range(-call.ndim, 0))
        stays = True
    else:
        dims, stays = call.arguments.get("dim"), bool(call.arguments.get("keepdim", False))
    found = dict(layout.labels(None if dims == [] else dims))
    over = tuple((axis,) in found.values() for axis in range(call.ndim))
    axes: list[Axis] = [
        axis if i not in found or isinstance(axis, tuple) else 1
        for i, axis in enumerate(layout.axes)
        if stays or i not in found
    ]
    if not any(over) or any(isinstance(axis, tuple) and len(axis) > 1 for axis in found.values()):
        raise NoRuleError(f"its {call.name} mixes voxels")
    operation, inputs, weights = voxelwise(call, axes, part)
    assert isinstance(operation, Voxelwise)
    obstacle = _obstacle(call, mixes="dim" in call.arguments)
    freedom = _freedom(call) if joined == "moments" else 0.0
    return Reduced(operation, over, joined, obstacle, freedom), inputs, weights


def _freedom(call: Call) -> float:
    """Return what a spread subtracts from the number of values: 1 where nothing else is said."""
    said = call.arguments.get("correction", call.arguments.get("unbiased"))
    return 1.0 if said is None else float(said)


def _weighed(call: Call) -> Made:
    layout = call.arranged(call.arguments["self"]).layout
    ((_, along),) = layout.labels(call.arguments["dim"])
    over = tuple(along == (axis,) for axis in range(call.ndim))
    if not any(over):
        raise NoRuleError(f"its {call.name} mixes voxels")
    operation, inputs, weights = voxelwise(call, layout.axes)
    assert isinstance(operation, Voxelwise)
    return Weighed(operation, over, _obstacle(call, mixes=True)), inputs, weights


def _normalized(call: Call) -> Made:
    """Translate a normalization by statistics of what it is given."""
    arguments: dict[str, Any] = call.arguments
    if "num_groups" in arguments:
        groups, obstacle = arguments["num_groups"], _obstacle(call, mixes=False)
    else:
        groups = int(arguments["input"].meta["val"].shape[1])
        obstacle = f"its {call.name} uses the mean and spread of what it is given"
    scaled, shifted = (arguments[each] is not None for each in ("weight", "bias"))
    operation = GlobalNorm(groups, arguments["eps"], scaled, shifted, call.ndim, obstacle)
    return operation, [call.map_of(arguments["input"])], call.weights("weight", "bias")


def _obstacle(call: Call, *, mixes: bool) -> str:
    return f"its {call.name} mixes voxels" if mixes else f"there is no rule for its operation {call.name}"
