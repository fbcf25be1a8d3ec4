"""An ONNX model as plain data: nodes, tensors that are stated, inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.wire import Value, fields, integers, message, reals, signed, text
from napari_tileseg.nets.listed.checks import MOST_OPERATIONS, MOST_WEIGHTS

#: Fields of a message, entries of an attribute, and attributes or inputs of a node.
_MOST_FIELDS, _MOST_NUMBERS, _MOST_OF_NODE = 2**17, 2**16, 2**12
_STANDARD = ("", "ai.onnx")
#: Versions of the operators that are read: what came later may mean something else.
OPSETS = range(7, 24)


@dataclass(frozen=True, slots=True)
class Stated:
    """A tensor as a file states it; its numbers are bytes of the file, or of another one.

    Parameters
    ----------
    name : str
        Its name.
    shape : tuple of int
        Its shape.
    kind : int
        Number of its type.
    raw : memoryview or None
        Its numbers as they lie in memory.
    numbers : tuple
        Its numbers one by one, where they are written so.
    external : mapping of str to str
        Where its numbers lie in another file: ``location``, ``offset`` and ``length``.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    raw: memoryview | None
    numbers: tuple[float, ...] = ()
    external: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator with its inputs and outputs by name; "" stands for one that is left out."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its file states it.

    Parameters
    ----------
    opset : int
        Version of the operators.
    nodes : sequence of Node
        In order.
    tensors : mapping of str to Stated
        Initializers by name.
    inputs : mapping of str to list of int or None
        Shapes of inputs; None for sizes that are free.
    outputs : sequence of str
        Names of outputs.
    """

    opset: int
    nodes: Sequence[Node]
    tensors: Mapping[str, Stated]
    inputs: Mapping[str, list[int | None]]
    outputs: Sequence[str]


def read_model(data: memoryview, source: str) -> Model:
    """Return what a file states.

    Raises
    ------
    NetworkError
        If its operators are too new, or it holds a graph in its graph.
    ValueError
        If it is broken, or larger than any network.
    """
    opset, graph = 0, memoryview(b"")
    for number, _, value in fields(data, _MOST_FIELDS):
        if number == 7:
            graph = message(value)
        elif number == 8:
            domain, version = _opset(message(value))
            opset = version if domain in _STANDARD else opset
    if opset not in OPSETS:
        raise NetworkError(
            f"{source} uses version {opset} of ONNX's operators; versions {OPSETS[0]} to {OPSETS[-1]} are "
            f"read. Export it with opset_version={OPSETS[-1]} or an earlier one."
        )
    return _graph(graph, opset, source)


def _opset(data: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in fields(data, 16):
        if number == 1:
            domain = text(value)
        elif number == 2:
            version = signed(value)
    return domain, version


def _graph(data: memoryview, opset: int, source: str) -> Model:
    nodes: list[Node] = []
    tensors: dict[str, Stated] = {}
    inputs: dict[str, list[int | None]] = {}
    outputs = []
    for number, _, value in fields(data, _MOST_FIELDS):
        if number == 1:
            nodes.append(_node(message(value), source))
        elif number == 5:
            tensor = read_tensor(message(value))
            tensors[tensor.name] = tensor
        elif number == 11:
            name, shape = _value_info(message(value))
            inputs[name] = shape
        elif number == 12:
            outputs.append(_value_info(message(value))[0])
        elif number == 15:
            raise NetworkError(f"{source} holds sparse weights, which are not read here.")
        if len(nodes) > MOST_OPERATIONS or len(tensors) > MOST_WEIGHTS:
            raise NetworkError(
                f"{source} has more than {MOST_OPERATIONS} operators or {MOST_WEIGHTS} weights; networks "
                "with fewer are opened."
            )
    free = {name: shape for name, shape in inputs.items() if name not in tensors}
    return Model(opset, nodes, tensors, free, outputs)


def _node(data: memoryview, source: str) -> Node:
    texts: dict[int, str] = {4: "", 7: ""}
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Any] = {}
    for number, _, value in fields(data, _MOST_OF_NODE):
        if number in {1, 2}:
            (inputs if number == 1 else outputs).append(text(value))
        elif number in texts:
            texts[number] = text(value)
        elif number == 5:
            name, attribute = _attribute(message(value))
            attributes[name] = attribute
    if any(attribute is _GRAPH for attribute in attributes.values()):
        raise NetworkError(
            f"{source} holds the operator {texts[4][:60]} with a graph of its own, for what depends on the "
            "image; networks that compute the same for every image are opened."
        )
    return Node(texts[4], "" if texts[7] in _STANDARD else texts[7], (*inputs,), (*outputs,), attributes)


_GRAPH = object()


def _attribute(data: memoryview) -> tuple[str, Any]:
    """Return the name and the value of an attribute; `_GRAPH` for one that is a graph."""
    name, kind = "", 0
    found: dict[int, Any] = {2: 0.0, 3: 0, 4: "", 7: [], 8: [], 9: []}
    for number, wire, value in fields(data, _MOST_NUMBERS):
        if number == 1:
            name = text(value)
        elif number == 20:
            kind = signed(value)
        elif number in {6, 11}:
            return name, _GRAPH
        elif number in _LISTS:
            found[number] += _LISTS[number](wire, value)
        elif number in _SINGLE:
            found[number] = _SINGLE[number](value)
    return name, found.get(_FIELD_OF_KIND.get(kind, 0))


#: How each field of an attribute is read: those that hold one value, and those that hold some.
_SINGLE: Mapping[int, Callable[[Value], Any]] = {
    2: lambda value: reals(value, 1)[0],
    3: signed,
    4: lambda value: bytes(message(value)).decode(errors="replace"),
    5: lambda value: read_tensor(message(value)),
}
_LISTS: Mapping[int, Callable[[int, Value], list[Any]]] = {
    7: lambda _, value: reals(value, _MOST_NUMBERS),
    8: lambda wire, value: integers(wire, value, _MOST_NUMBERS),
    9: lambda _, value: [text(value)],
}
#: Fields by the kinds of attributes.
_FIELD_OF_KIND = {1: 2, 2: 3, 3: 4, 4: 5, 6: 7, 7: 8, 8: 9}


def read_tensor(data: memoryview) -> Stated:
    """Return a tensor as it is stated.

    Raises
    ------
    ValueError
        If it is broken.
    """
    shape: list[int] = []
    numbers: list[float] = []
    kind, name, raw, elsewhere = 0, "", None, 0
    external: dict[str, str] = {}
    for number, wire, value in fields(data, _MOST_FIELDS):
        if number == 1:
            shape += integers(wire, value, 16)
        elif number == 2:
            kind = signed(value)
        elif number in _NUMBERS:
            numbers += _NUMBERS[number](wire, value, len(data))
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = message(value)
        elif number == 13:
            external.update([_entry(message(value))])
        elif number == 14:
            elsewhere = signed(value)
    if len(shape) > 16 or any(not 0 <= n < 2**40 for n in shape):
        raise ValueError(f"a tensor of the shape {str(shape)[:80]}")
    return Stated(name, tuple(shape), kind, raw, tuple(numbers), external if elsewhere else {})


def _doubles(_: int, value: Value, __: int) -> list[float]:
    return [*memoryview(bytes(message(value))).cast("d")]


#: How numbers are read that are written one by one, by the field in which they stand.
_NUMBERS: Mapping[int, Callable[[int, Value, int], list[Any]]] = {
    4: lambda _, value, most: reals(value, most),
    5: integers,
    7: integers,
    10: _doubles,
    11: integers,
}


def _entry(data: memoryview) -> tuple[str, str]:
    parts = {number: text(value) for number, _, value in fields(data, 16)}
    return parts.get(1, ""), parts.get(2, "")


def _value_info(data: memoryview) -> tuple[str, list[int | None]]:
    name, shape = "", memoryview(b"")
    for number, _, value in fields(data, 64):
        if number == 1:
            name = text(value)
        elif number == 2:
            for way in (1, 2):
                value = next((v for n, _, v in fields(message(value), 64) if n == way), memoryview(b""))
            shape = message(value)
    sizes = []
    for number, _, value in fields(shape, 64):
        if number == 1:
            stated = [signed(v) for n, _, v in fields(message(value), 16) if n == 1]
            sizes.append(stated[0] if stated and stated[0] > 0 else None)
    return name, sizes
