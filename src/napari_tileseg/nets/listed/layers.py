"""Convolutions and normalization in a list of operations as layers of torch, which are recognised as such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from napari_tileseg.nets.listed.listing import Listing, Named, Operation

_BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}
_CONVOLUTIONS = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
_TRANSPOSED = {3: nn.ConvTranspose1d, 4: nn.ConvTranspose2d, 5: nn.ConvTranspose3d}
_WEIGHTS = ("weight", "bias", "running_mean", "running_var")
_ON_META = {"device": "meta"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that stands for an operation.

    Parameters
    ----------
    path : str
        Where it is in the network.
    empty : torch.nn.Module
        The layer, on the meta device.
    image : str
        Name of the value that it is given.
    weights : mapping of str to str
        Paths of its weights in the file, by the layer's own names.
    """

    path: str
    empty: nn.Module
    image: str
    weights: Mapping[str, str]

    def build(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """Return the layer with its weights; counts of batches begin at nothing."""
        layer = self.empty.to_empty(device=next(iter(weights.values())).device if weights else "cpu")
        layer.load_state_dict({name: weights[path] for name, path in self.weights.items()}, strict=False)
        counted = getattr(layer, "num_batches_tracked", None)
        if isinstance(counted, Tensor) and not counted.is_meta:
            counted.zero_()
        return layer


@dataclass(frozen=True, slots=True)
class _Call:
    """An operation of a function for which there is a layer.

    Parameters
    ----------
    said : mapping
        Its arguments.
    image, weight : tuple of int, or None
        Shapes of what it is given, and of its weight.
    names : collection of str
        Which of its weights are tensors of their own.
    """

    said: Mapping[str, Any]
    image: tuple[int, ...]
    weight: tuple[int, ...] | None
    names: frozenset[str]


def layers_of(listing: Listing, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Layer]:
    """Return the layers of a network by the name of what each gives.

    An operation whose weights are computed, or used twice, stays an operation.

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
        kind = _KINDS.get(operation.function)
        if kind is None:
            continue
        names = dict(_weights_of(operation))
        own = all(
            name in listing.names and uses[name] == 1 and shared[listing.names[name]] == 1
            for name in names.values()
        )
        result, image = operation.results[0], operation.arguments.get("input")
        if not own or result is None or not isinstance(image, Named) or image.name not in shapes:
            continue
        weight = shapes.get(names.get("weight", ""))
        call = _Call(operation.arguments, shapes[image.name], weight, frozenset(names))
        empty = kind.made(call)
        if empty is None:
            continue
        paths = {name: listing.names[each] for name, each in names.items()}
        path = _path(paths, taken, f"{kind.name}_{len(found)}")
        found[result] = Layer(path, empty, image.name, paths)
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


def _batch_norm(call: _Call) -> nn.Module | None:
    kind = _BATCH.get(len(call.image))
    return None if kind is None else _with_statistics(kind, call)


def _instance_norm(call: _Call) -> nn.Module | None:
    kind = _INSTANCE.get(len(call.image))
    return None if kind is None else _with_statistics(kind, call)


def _with_statistics(kind: Any, call: _Call) -> nn.Module | None:
    tracked = {"running_mean", "running_var"} <= call.names
    return _of_norm(call, lambda **common: kind(call.image[1], track_running_stats=tracked, **common))


def _group_norm(call: _Call) -> nn.Module | None:
    return _of_norm(call, lambda **common: nn.GroupNorm(call.said["num_groups"], call.image[1], **common))


def _layer_norm(call: _Call) -> nn.Module | None:
    shape = call.said["normalized_shape"]
    if not all(type(each) is int for each in shape):
        return None
    return _of_norm(call, lambda affine, **common: nn.LayerNorm(shape, elementwise_affine=affine, **common))


def _of_norm(call: _Call, made: Callable[..., nn.Module]) -> nn.Module | None:
    """Return a normalization layer; None where it has but one of weight and bias."""
    affine = "weight" in call.names
    if affine != ("bias" in call.names):
        return None
    return made(affine=affine, eps=call.said.get("eps", 1e-5), **_ON_META)


def _convolution(call: _Call) -> nn.Module | None:
    kind = (_TRANSPOSED if call.said.get("transposed") else _CONVOLUTIONS).get(len(call.image))
    return None if kind is None else _of_convolution(call, kind)


def _transposed(call: _Call) -> nn.Module | None:
    kind = _TRANSPOSED.get(len(call.image))
    return None if kind is None else _of_convolution(call, kind)


def _of_convolution(call: _Call, kind: Any) -> nn.Module | None:
    """Return a convolution; None where its weight or what else it is told does not come as numbers."""
    weight, groups = call.weight, call.said.get("groups", 1)
    options = {key: call.said[key] for key in ("stride", "padding", "dilation") if key in call.said}
    if kind in _TRANSPOSED.values() and "output_padding" in call.said:
        options["output_padding"] = call.said["output_padding"]
    if weight is None or len(weight) != len(call.image) or not all(map(_is_plain, options.values())):
        return None
    if ("bias" in call.names) != (call.said.get("bias") is not None):
        return None
    first, second = weight[0], weight[1] * groups
    channels = (first, second) if kind in _TRANSPOSED.values() else (second, first)
    options = {key: _tuple(value, len(weight) - 2) for key, value in options.items()}
    made: nn.Module = kind(
        *channels, weight[2:], groups=groups, bias="bias" in call.names, **options, **_ON_META
    )
    return made


def _is_plain(value: Any) -> bool:
    numbers = value if isinstance(value, (list, tuple)) else (value,)
    return value in ("same", "valid") or all(type(each) is int for each in numbers)


def _tuple(value: Any, count: int) -> Any:
    """Return a number for each axis; one stands for all."""
    if isinstance(value, str):
        return value
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return numbers * count if len(numbers) == 1 else numbers


@dataclass(frozen=True, slots=True)
class _Kind:
    """Which layer stands for a function: its path where its weights do not say, and how it is made."""

    name: str
    made: Callable[[_Call], nn.Module | None]


_KINDS: Mapping[str, _Kind] = {
    "aten.batch_norm.default": _Kind("normalization", _batch_norm),
    "aten.instance_norm.default": _Kind("normalization", _instance_norm),
    "aten.group_norm.default": _Kind("normalization", _group_norm),
    "aten.layer_norm.default": _Kind("normalization", _layer_norm),
    "aten.convolution.default": _Kind("convolution", _convolution),
    **{
        f"aten.conv{n}d.{overload}": _Kind("convolution", _convolution)
        for n in (1, 2, 3)
        for overload in ("default", "padding")
    },
    **{
        f"aten.conv_transpose{n}d.{overload}": _Kind("convolution", _transposed)
        for n, overload in ((1, "default"), (2, "input"), (3, "input"))
    },
}
