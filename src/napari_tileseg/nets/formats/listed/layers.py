"""Normalization in a list of operations as layers of torch, which are recognised and can be replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from napari_tileseg.nets.formats.listed.listing import Listing, Named, Operation

_BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}
_WEIGHTS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that stands for an operation.

    Parameters
    ----------
    path : str
        Where it is in the network.
    empty : torch.nn.Module
        The layer, on the meta device.
    weights : mapping of str to str
        Paths of its weights in the file, by the layer's own names.
    """

    path: str
    empty: nn.Module
    weights: Mapping[str, str]

    def build(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """Return the layer with its weights; counts of batches begin at nothing."""
        layer = self.empty.to_empty(device=next(iter(weights.values())).device if weights else "cpu")
        layer.load_state_dict({name: weights[path] for name, path in self.weights.items()}, strict=False)
        counted = getattr(layer, "num_batches_tracked", None)
        if isinstance(counted, Tensor) and not counted.is_meta:
            counted.zero_()
        return layer


def layers_of(listing: Listing, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Layer]:
    """Return the layers of a network by the name of what each gives.

    A normalization whose weights are computed, or used twice, stays an operation.

    Parameters
    ----------
    listing : Listing
        The network.
    shapes : mapping of str to tuple of int
        Shapes of all values, by name.
    """
    uses = Counter(name for each in listing.operations for name in each.taken())
    shared = Counter(listing.names.values())
    found: dict[str, Layer] = {}
    taken = {*listing.weights}
    for operation in listing.operations:
        names = dict(_weights_of(operation))
        own = all(
            name in listing.names and uses[name] == 1 and shared[listing.names[name]] == 1
            for name in names.values()
        )
        result = operation.results[0]
        empty = _layer_of(operation, shapes, names) if own and result is not None else None
        if empty is None or result is None:
            continue
        paths = {name: listing.names[each] for name, each in names.items()}
        path = _path(paths, taken, f"normalization_{len(found)}")
        found[result] = Layer(path, empty, paths)
    return found


def _weights_of(operation: Operation) -> Iterator[tuple[str, str]]:
    for name in _WEIGHTS:
        value = operation.arguments.get(name)
        if isinstance(value, Named):
            yield name, value.name


def _path(weights: Mapping[str, str], others: set[str], otherwise: str) -> str:
    """Return where the layer's weights lie together and nothing else does; else another path."""
    parents = {path.rpartition(".")[0] for path in weights.values()}
    parent = next(iter(parents), "")
    beside = {path for path in others if path.startswith(f"{parent}.")} - {*weights.values()}
    strangers = {path for path in beside if not path.endswith("num_batches_tracked")}
    return parent if len(parents) == 1 and parent and not strangers else otherwise


def _layer_of(
    operation: Operation, shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]
) -> nn.Module | None:
    """Return the layer of torch that does the same, without numbers; None where there is none."""
    said = operation.arguments
    image = said.get("input")
    shape = shapes.get(image.name) if isinstance(image, Named) else None
    if shape is None or ("weight" in names) != ("bias" in names):
        return None
    affine, tracked = "weight" in names, {"running_mean", "running_var"} <= names.keys()
    common: dict[str, Any] = {"eps": said.get("eps", 1e-5), "device": "meta"}
    kind = operation.function
    if kind == "aten.batch_norm.default" and len(shape) in _BATCH:
        return _BATCH[len(shape)](shape[1], affine=affine, track_running_stats=tracked, **common)
    if kind == "aten.instance_norm.default" and len(shape) in _INSTANCE and len(shape) > 2:
        return _INSTANCE[len(shape)](shape[1], affine=affine, track_running_stats=tracked, **common)
    if kind == "aten.group_norm.default":
        return nn.GroupNorm(said["num_groups"], shape[1], affine=affine, **common)
    if kind == "aten.layer_norm.default" and all(type(each) is int for each in said["normalized_shape"]):
        return nn.LayerNorm(said["normalized_shape"], elementwise_affine=affine, **common)
    return None
