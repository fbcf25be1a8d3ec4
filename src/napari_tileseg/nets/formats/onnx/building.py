"""What rules for ONNX's operators build with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.model import Node, Stated
from napari_tileseg.nets.formats.onnx.tensors import dtype_of
from napari_tileseg.nets.listed.listing import Named
from napari_tileseg.nets.listed.recorder import Recorder

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


class Builder(Recorder):
    """Operations of torch that stand for ONNX's, with the constants and sizes that these compute with.

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
        super().__init__(image)
        self.opset = opset
        self.weights: dict[str, Stated | torch.Tensor] = {}
        #: Whether a window covers the whole of what it looks at, so that it belongs to one size of image.
        self.covers = False
        self.load = load

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
