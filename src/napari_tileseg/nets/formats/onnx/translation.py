"""From an ONNX model to a list of torch's operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx import layers, pointwise, rearranging, resizing
from napari_tileseg.nets.formats.onnx.building import MOST_NUMBERS, Builder, Rules, Value
from napari_tileseg.nets.formats.onnx.model import Model, Node, Stated
from napari_tileseg.nets.formats.onnx.tensors import Numbers
from napari_tileseg.nets.listed.listing import Listing, Named, Sizes
from napari_tileseg.nets.listed.paths import module_paths
from napari_tileseg.nets.listed.recorder import IMAGE

_RULES: Rules = {**layers.RULES, **pointwise.RULES, **rearranging.RULES, **resizing.RULES}
#: Types of whole numbers and of truth, whose tensors are computed with here where they are small.
_WHOLE = (6, 7, 9)
_LARGEST = 2**20
#: Voxels along an axis with which a network of free sizes is tried.
_EDGES = (64, 96, 32, 128, 160, 256, 48, 16, 512)


def listing_of(model: Model, numbers: Numbers, source: str) -> tuple[Listing, dict[str, Any], bool]:
    """Return the list of operations, where its weights lie by path, and whether it is bound to its size.

    Parameters
    ----------
    model : Model
        What a file states.
    numbers : Numbers
        Reads its tensors.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If it has several inputs or outputs, or an operator that is not carried out here, which is named.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise NetworkError(
            f"{source} is an ONNX network of {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "networks of one image and one output are opened. Export it with the output that is wanted alone."
        )
    ((image, stated),) = model.inputs.items()
    channels, sizes = _input(model, image, stated, source)
    declared = [size or 0 for size in sizes]
    failure: NetworkError | None = None
    for edge in _EDGES if 0 in declared else (0,):
        shape = tuple(size or edge for size in declared)
        try:
            return _translated(model, numbers, image, (channels, shape), source)
        except NetworkError as error:
            failure = failure or error
    raise failure or NetworkError(f"{source} takes no image.")


def _input(model: Model, image: str, stated: list[int | None], source: str) -> tuple[int, list[int | None]]:
    """Return the channels and the sizes of the image, by the first convolution where they are not stated."""
    first = next(
        (
            (model.tensors[node.inputs[1]].shape, int(node.attributes.get("group", 1)))
            for node in model.nodes
            if node.operator == "Conv" and node.inputs[0] == image and node.inputs[1] in model.tensors
        ),
        None,
    )
    if not stated and first is not None:
        stated = [None] * len(first[0])
    if len(stated) > 1 and stated[1] is None and first is not None:
        stated = [stated[0], first[0][1] * first[1], *stated[2:]]
    if not 3 <= len(stated) <= 5 or not 1 <= (stated[1] or 0) <= _LARGEST:
        raise NetworkError(
            f"{source} takes an input of {len(stated)} axes; a batch of channels, whose number is stated, "
            "with 1 to 3 spatial axes was expected. Export the network with such an input."
        )
    if any(size is not None and size > _LARGEST for size in stated):
        raise NetworkError(f"{source} states an input of {by_axis([n or 0 for n in stated])} voxels.")
    return int(stated[1] or 0), stated[2:]


def _translated(
    model: Model, numbers: Numbers, image: str, example: tuple[int, Shape], source: str
) -> tuple[Listing, dict[str, Any], bool]:
    channels, shape = example
    builder = Builder(model.opset, torch.empty(1, channels, *shape, device="meta"), numbers.load)
    values: dict[str, Value] = {image: Named(IMAGE)}
    for name, each in model.tensors.items():
        small = each.kind in _WHOLE and torch.Size(each.shape).numel() <= MOST_NUMBERS
        values[name] = numbers.load(each).numpy() if small else each
    for node in model.nodes:
        with_words = f"{source} holds the operator {node.operator[:60]}"
        try:
            _take(node, builder, values)
        except NetworkError as error:
            raise NetworkError(f"{with_words}: {error}.") from error
        except (ValueError, TypeError, LookupError, ArithmeticError, OverflowError) as error:
            raise NetworkError(f"{with_words} with arguments that do not fit it ({error}).") from error
    if model.outputs[0] not in values:
        raise NetworkError(f"{source} does not compute the output that it names. Export it again.")
    result = builder.tensor(values[model.outputs[0]])
    return _listing(builder, result, channels, shape)


def _take(node: Node, builder: Builder, values: dict[str, Value]) -> None:
    rule = _RULES.get(node.operator) if not node.domain else None
    if rule is None:
        named = f"{node.domain}.{node.operator}" if node.domain else node.operator
        raise NetworkError(f"{named[:80]} is not carried out here; write the network as TorchScript")
    missing = [name for name in node.inputs if name and name not in values]
    if missing:
        raise NetworkError(f"it takes {missing[0][:80]}, which is not computed before it")
    given = rule(builder, node, [values[name] if name else None for name in node.inputs])
    parts = given if isinstance(given, list) else [given]
    values.update((name, part) for name, part in zip(node.outputs, parts, strict=False) if name)


def _listing(
    builder: Builder, result: Named, channels: int, shape: Shape
) -> tuple[Listing, dict[str, Any], bool]:
    paths = module_paths(_name(each, key) for key, each in builder.weights.items())
    by_key = {key: paths[_name(each, key)] for key, each in builder.weights.items()}
    whole = Listing(
        operations=tuple(builder.operations),
        weights={path: builder.known[key] for key, path in by_key.items()},
        sources={path: path for path in by_key.values()},
        names=by_key,
        image=IMAGE,
        result=result.name,
        channels=channels,
        sizes=Sizes(shape),
    ).needed()
    stored: Mapping[str, Any] = {by_key[key]: each for key, each in builder.weights.items()}
    return whole, {path: stored[path] for path in whole.weights}, builder.covers


def _name(stored: Stated | torch.Tensor, key: str) -> str:
    return stored.name if isinstance(stored, Stated) else key
