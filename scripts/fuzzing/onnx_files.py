"""An ONNX network as bytes, written without any package."""

from __future__ import annotations

from typing import Any

import numpy as np

#: A message of a protocol buffer: numbers of fields, and what each holds.
Fields = list[tuple[int, Any]]
#: What ONNX calls numbers of 32 bits.
_FLOAT = 1


def message(fields: Fields) -> bytes:
    """Return a message of a protocol buffer: numbers, bytes, text, and messages in it."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = message(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = [value >> shift & 127 for shift in range(0, 64, 7) if value >> shift or not shift]
    return bytes([*(part | 128 for part in parts[:-1]), parts[-1]])


def onnx_network(beside: str = "") -> tuple[bytes, bytes]:
    """Return a network of two levels and one class, and the weights that lie beside it.

    Parameters
    ----------
    beside : str
        File in which its weights lie; in the network itself by default, and none beside it.
    """
    random, offset, numbers = np.random.default_rng(0), 0, b""
    shapes = {"w": (3, 1, 3, 3), "b": (3,), "deep": (3, 3, 3, 3), "head": (1, 3, 1, 1)}
    tensors: list[Fields] = []
    for name, shape in shapes.items():
        data = random.normal(0.1, 0.3, shape).astype("<f4").tobytes()
        about: Fields = [*((1, size) for size in shape), (2, _FLOAT), (8, name)]
        if beside:
            place = {"location": beside, "offset": str(offset), "length": str(len(data))}
            about += [(13, [(1, key), (2, value)]) for key, value in place.items()]
            numbers, offset = numbers + data, offset + len(data)
        tensors.append([*about, (14, 1) if beside else (9, data)])
    tensors.append([(1, 4), (2, _FLOAT), (8, "scale"), (9, np.asarray([1, 1, 2, 2], "<f4").tobytes())])
    nodes = [
        _node("Conv", ["x", "w", "b"], "a", pads=[1, 1, 1, 1]),
        _node("InstanceNormalization", ["a", "b", "b"], "n"),
        _node("Relu", ["n"], "r"),
        _node("MaxPool", ["r"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Conv", ["p", "deep"], "d", pads=[1, 1, 1, 1]),
        _node("Resize", ["d", "", "scale"], "u", mode="nearest"),
        _node("Add", ["u", "r"], "s"),
        _node("Conv", ["s", "head"], "y", kernel_shape=[1, 1]),
    ]
    graph = [
        *((1, node) for node in nodes),
        (2, "graph"),
        *((5, tensor) for tensor in tensors),
        (11, _image("x", (1, 1, "height", "width"))),
        (12, _image("y", (1, 1, "height", "width"))),
    ]
    return message([(1, 9), (2, "fuzzer"), (7, graph), (8, [(1, ""), (2, 20)])]), numbers


def _node(operator: str, inputs: list[str], output: str, **attributes: Any) -> Fields:
    return [
        *((1, name) for name in inputs),
        (2, output),
        (4, operator),
        *((5, _attribute(name, value)) for name, value in attributes.items()),
    ]


def _attribute(name: str, value: Any) -> Fields:
    if isinstance(value, str):
        return [(1, name), (4, value), (20, 3)]
    return [(1, name), *((8, each) for each in value), (20, 7)]


def _image(name: str, shape: tuple[int | str, ...]) -> Fields:
    sizes: Fields = [(1, [(1 if isinstance(size, int) else 2, size)]) for size in shape]
    return [(1, name), (2, [(1, [(1, _FLOAT), (2, sizes)])])]
