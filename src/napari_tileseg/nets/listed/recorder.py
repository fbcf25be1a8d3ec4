"""Making a list of operations, each tried on shapes as soon as it is added."""

from __future__ import annotations

from typing import Any

import torch

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.listed.carrying import DEVICE, call_of
from napari_tileseg.nets.listed.checks import MOST_OPERATIONS
from napari_tileseg.nets.listed.listing import Named, Operation
from napari_tileseg.nets.listed.trial import Room

#: Name of the image among the values.
IMAGE = "image"


class Recorder:
    """Operations of torch, added one by one.

    Parameters
    ----------
    image : Tensor
        An image, on the meta device.

    Attributes
    ----------
    operations : list of Operation
        Those that were added.
    known : dict of str to Any
        What each value is for that image: tensors on the meta device, and sizes.
    """

    def __init__(self, image: torch.Tensor) -> None:
        self.operations: list[Operation] = []
        self.known: dict[str, Any] = {DEVICE: image.device, IMAGE: image}
        self._room = Room(image.numel())

    def add(self, function: str, /, **arguments: Any) -> Named:
        """Add an operation and return what it gives.

        Raises
        ------
        NetworkError
            If it does not fit what it is given.
        """
        name = f"value {len(self.operations)}"
        self._add(Operation(function, arguments, (name,)))
        return Named(name)

    def add_parts(self, function: str, count: int, /, **arguments: Any) -> list[Named]:
        """Add an operation that gives so many tensors, and return these; as `add`."""
        names = tuple(f"value {len(self.operations)}.{part}" for part in range(count))
        self._add(Operation(function, arguments, names, several=True))
        return [Named(name) for name in names]

    def _add(self, operation: Operation) -> None:
        if len(self.operations) >= MOST_OPERATIONS:
            raise NetworkError(f"it has more than {MOST_OPERATIONS} operations")
        try:
            given = call_of(operation)(self.known)
            self._room.take(given)
        except Exception as error:
            raise NetworkError(f"it does not fit its input ({reason_of(error)})") from error
        self.operations.append(operation)
        parts = given if operation.several else (given,)
        self.known.update(zip(map(str, operation.results), parts, strict=False))

    def shape(self, value: Named) -> tuple[int, ...]:
        """Return the shape of a value, for the image that it is tried on."""
        return tuple(self.known[value.name].shape)

    def rank(self, value: Named) -> int:
        """Return the axes of a value."""
        return len(self.shape(value))

    def size(self, value: Named, axis: int) -> Any:
        """Return the length of a value along an axis, as a size of the image."""
        return self.add("aten.sym_size.int", self=value, dim=axis)

    def of_sizes(self, function: str, a: Any, b: Any) -> Any:
        """Return arithmetic on two sizes, done at once where both are numbers."""
        if isinstance(a, Named) or isinstance(b, Named):
            return self.add(f"size.{function}", a=a, b=b)
        return call_of(Operation(f"size.{function}", {"a": a, "b": b}, ("",)))({})
