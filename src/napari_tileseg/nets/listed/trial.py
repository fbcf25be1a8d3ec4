"""Trying a list of operations on shapes alone, before any memory is taken for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

import torch

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.listed.carrying import DEVICE, call_of, carry_out, last_uses
from napari_tileseg.nets.listed.listing import Listing, Named, Operation

#: How many times as large as the image a tensor of a network can be, and all of them; and small ones at any
#: rate.
_GROWTH, _ALL, _SMALL = 2**14, 2**20, 2**22
#: Parts into which a tensor is split.
_MOST_PARTS = 2**12
#: Images that are tried at once.
_SEVERAL = 2


def shapes_in(listing: Listing, source: str) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of all that a network computes from the image of its example, by name.

    Raises
    ------
    NetworkError
        If the operations do not fit each other, or take far more memory than a network does.
    """
    return _shapes_of(listing, source, batch=1)


def takes_batches(listing: Listing, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether several images can be given at once, each of which is computed by itself.

    All that is made of the image then is as many times as long along its first axis, and otherwise the same.
    A file states one image at a time, and some have that number in their shapes.

    Parameters
    ----------
    listing : Listing
        The operations.
    shapes : mapping of str to tuple of int
        What `shapes_in` found.
    """
    try:
        found = _shapes_of(listing, "", batch=_SEVERAL)
    except NetworkError:
        return False
    made = {listing.image}
    for operation in listing.operations:
        if made.intersection(operation.taken()):
            made.update(name for name in operation.results if name is not None)
    return all(_is_longer(shapes[name], found[name], needed=name in made) for name in shapes)


def _is_longer(one: tuple[int, ...], several: tuple[int, ...], *, needed: bool) -> bool:
    if one == several:
        return not needed
    return several[:1] == (_SEVERAL * one[0] if one else 0,) and several[1:] == one[1:]


def _shapes_of(listing: Listing, source: str, *, batch: int) -> dict[str, tuple[int, ...]]:
    image = torch.empty(batch, listing.channels, *listing.sizes.example, device="meta")
    weights = {name: listing.weights[path] for name, path in listing.names.items()}
    values: dict[str, Any] = {DEVICE: image.device, listing.image: image, **weights}
    room, shapes = Room(image.numel()), {name: tuple(each.shape) for name, each in weights.items()}
    shapes[listing.image] = tuple(image.shape)

    def tried(operation: Operation, values: dict[str, Any]) -> Any:
        """Carry an operation out on shapes, and note what it gives."""
        _check_parts(operation, values)
        try:
            given = call_of(operation)(values)
            room.take(given)
        except Exception as error:
            raise NetworkError(
                f"{source} cannot be carried out on an image of {'x'.join(map(str, image.shape))}: its "
                f"{operation.function} fails ({reason_of(error)}). Export it again."
            ) from error
        parts = given if isinstance(given, (list, tuple)) else (given,)
        named = zip(operation.results, parts, strict=False)
        shapes.update((n, tuple(p.shape)) for n, p in named if n and isinstance(p, torch.Tensor))
        return given

    with torch.no_grad():
        calls = [partial(tried, each) for each in listing.operations]
        carry_out(calls, values, listing.operations, last_uses(listing.operations, listing.result))
    found = values[listing.result]
    if not isinstance(found, torch.Tensor) or not found.is_floating_point():
        raise NetworkError(f"{source} should give one tensor of real numbers. Export it again.")
    return shapes


class Room:
    """What the tensors of a network may take, counted in numbers."""

    def __init__(self, image: int) -> None:
        self._most, self._left = max(_SMALL, _GROWTH * image), max(2**6 * _SMALL, _ALL * image)

    def take(self, given: Any) -> None:
        """Raise `ValueError` if what an operation gives is more than there is room for."""
        for each in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(each, torch.Tensor):
                count = prod(each.shape)
                self._left -= count
                if count > self._most or self._left < 0:
                    raise ValueError(f"it gives {count} numbers, more than a network does")


def _check_parts(operation: Operation, values: Mapping[str, Any]) -> None:
    """Raise `NetworkError` where a tensor would fall into more parts than any network has."""
    if not operation.several:
        return
    if len(operation.results) > _MOST_PARTS:
        raise NetworkError(f"{operation.function} gives {len(operation.results)} parts")
    source, size = operation.arguments.get("self"), operation.arguments.get("split_size")
    dim = operation.arguments.get("dim", 0)
    if isinstance(source, Named) and isinstance(dim, int):
        shape = values[source.name].shape
        length = shape[dim] if -len(shape) <= dim < len(shape) else 0
        one = 1 if operation.function.startswith("aten.unbind") else size
        if isinstance(one, int) and length > max(one, 1) * _MOST_PARTS:
            raise NetworkError(f"{operation.function} gives more than {_MOST_PARTS} parts")
