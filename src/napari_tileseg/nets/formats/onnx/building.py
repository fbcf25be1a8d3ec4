"""Building a list of torch's operations, each tried on shapes as soon as it is added."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.formats.listed.carrying import DEVICE, call_of
from napari_tileseg.nets.formats.listed.checks import MOST_OPERATIONS
from napari_tileseg.nets.formats.listed.listing import Named, Operation
from napari_tileseg.nets.formats.listed.trial import Room
from napari_tileseg.nets.formats.onnx.model import Node, Stated
from napari_tileseg.nets.formats.onnx.tensors import dtype_of

#: Numbers of a constant that is computed with here.
MOST_NUMBERS = 2**16
_LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class Sizes:
    """Whole numbers, of which some are sizes of the image: a list of them, or one alone."""

    values: tuple[Any, ...]
    alone: bool = False


#: What an input of an operator can be: computed from the image, a weight, numbers that are known, or sizes.
Value: TypeAlias = Named | Stated | np.ndarray[Any, Any] | Sizes | None


class Builder:
    """Operations of torch, added one by one.

    Parameters
    ----------
    opset : int
        Version of ONNX's operators.
    image : Tensor
        An image, on the meta device.
    load : callable
        Returns the numbers of a small tensor.
    """

    def __init__(self, opset: int, image: torch.Tensor, load: Callable[[Stated], torch.Tensor]) -> None:
        self.opset = opset
        self.operations: list[Operation] = []
        self.weights: dict[str, Stated | torch.Tensor] = {}
        self.known: dict[str, Any] = {DEVICE: image.device, IMAGE: image}
        #: Whether a window covers the whole of what it looks at, so that it belongs to one size of image.
        self.covers = False
        self._room = Room(image.numel())
        self.load = load

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

    def tensor(self, value: Value) -> Named:
        """Return a value as a tensor: a weight is added where it is first used.

        Raises
        ------
        NetworkError
            If it is left out, or made of sizes.
        """
        if isinstance(value, Named):
            return value
        if isinstance(value, Stated):
            name = value.name
            stored: Stated | torch.Tensor = value
            empty = torch.empty(value.shape, dtype=dtype_of(value.kind), device="meta")
        elif isinstance(value, np.ndarray):
            name = f"constant {len(self.weights)}"
            stored = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
            stored = stored.float() if stored.is_floating_point() else stored
            empty = stored.to("meta")
        else:
            raise NetworkError("it computes with sizes of the image in a way that is not read here")
        key = f"weight {name}"
        if key not in self.known:
            self.weights[key], self.known[key] = stored, empty
        return Named(key)

    def operand(self, value: Value) -> Any:
        """Return a value for arithmetic: one number as such, anything else as a tensor."""
        if isinstance(value, Sizes) and len(value.values) == 1:
            return value.values[0]
        numbers = self.numbers(value) if isinstance(value, (Stated, np.ndarray)) else None
        if numbers is not None and numbers.size == 1 and numbers.ndim <= 1:
            return numbers.reshape(()).item()
        return self.tensor(value)

    def numbers(self, value: Value) -> np.ndarray[Any, Any] | None:
        """Return the numbers of a constant that has few; None for what else there is."""
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, Stated) and int(np.prod(value.shape, dtype=np.float64)) <= MOST_NUMBERS:
            return np.asarray(self.load(value).numpy())
        if isinstance(value, Sizes) and not any(isinstance(each, Named) for each in value.values):
            array = np.asarray(value.values)
            return array[0] if value.alone else array
        return None

    def sizes(self, value: Value, what: str) -> list[Any]:
        """Return whole numbers, or sizes of the image, as a list.

        Raises
        ------
        NetworkError
            If they are computed from the image itself.
        """
        if isinstance(value, Sizes):
            return list(value.values)
        numbers = self.numbers(value)
        if numbers is None or numbers.ndim > 1:
            raise NetworkError(f"its {what} depends on the image")
        return [max(-_LARGEST, min(_LARGEST, int(each))) for each in np.atleast_1d(numbers)]

    def integers(self, value: Value, what: str) -> list[int]:
        """Return whole numbers that do not depend on the image; as `sizes`."""
        found = self.sizes(value, what)
        if any(isinstance(each, Named) for each in found):
            raise NetworkError(f"its {what} depends on the image's size")
        return found


#: Name of the image among the values.
IMAGE = "image"


def ints(node: Node, name: str, default: Sequence[int]) -> list[int]:
    """Return an attribute that is a list of whole numbers."""
    found = node.attributes.get(name, [*default])
    if not isinstance(found, list) or not all(isinstance(each, int) for each in found):
        raise NetworkError(f"its {name} are no whole numbers")
    return [max(-_LARGEST, min(_LARGEST, each)) for each in found]


def number(node: Node, name: str, default: float) -> Any:
    """Return an attribute that is a number."""
    found = node.attributes.get(name, default)
    if not isinstance(found, (int, float)):
        raise NetworkError(f"its {name} is no number")
    return found


def word(node: Node, name: str, default: str, known: Sequence[str]) -> str:
    """Return an attribute that is a word, one of those that are known."""
    found = node.attributes.get(name, default)
    if found not in known:
        raise NetworkError(f"its {name} is {str(found)[:40]!r}; {', '.join(known)} are carried out here")
    return str(found)


#: An operator: from the builder, the node and its inputs to what it gives.
Rule: TypeAlias = Callable[[Builder, Node, Sequence[Value]], "Value | list[Value]"]
Rules: TypeAlias = Mapping[str, Rule]
