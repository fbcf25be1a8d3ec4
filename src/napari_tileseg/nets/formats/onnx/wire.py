"""Protocol buffers, read as far as ONNX needs them, with a limit on everything."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

#: A number, or the bytes of a text, a list or a message.
Value: TypeAlias = int | memoryview
_NUMBER, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_TEXT = 4096


def fields(data: memoryview, most: int) -> Iterator[tuple[int, int, Value]]:
    """Yield number, kind and value of each field of a message.

    Parameters
    ----------
    data : memoryview
        The message.
    most : int
        Fields that it may have.

    Raises
    ------
    ValueError
        If it is cut off, has more fields, or holds what no such message does.
    """
    at, count = 0, 0
    while at < len(data):
        count += 1
        if count > most:
            raise ValueError(f"a message of more than {most} fields")
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _NUMBER:
            value, at = _varint(data, at)
            yield key >> 3, kind, value
            continue
        length = {_EIGHT: 8, _FOUR: 4}.get(kind, -1)
        if kind == _BYTES:
            length, at = _varint(data, at)
        if length < 0 or at + length > len(data):
            raise ValueError("a field that ends behind its message")
        yield key >> 3, kind, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a message that is cut off")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value & (2**64 - 1), at
    raise ValueError("a number without an end")


def signed(value: Value) -> int:
    """Return a number as one of 64 bits with a sign.

    Examples
    --------
    >>> signed(2**64 - 1)
    -1
    """
    if not isinstance(value, int):
        raise TypeError("a number was expected")
    return value - 2**64 if value >= 2**63 else value


def integers(kind: int, value: Value, most: int) -> list[int]:
    """Return the numbers of a repeated field: one, or many that are packed."""
    if isinstance(value, int):
        return [signed(value)]
    if kind != _BYTES:
        raise ValueError("a whole number was expected")
    found: list[int] = []
    at = 0
    while at < len(value):
        if len(found) >= most:
            raise ValueError(f"more than {most} numbers")
        number, at = _varint(value, at)
        found.append(signed(number))
    return found


def reals(value: Value, most: int) -> list[float]:
    """Return the numbers of 32 bits of a repeated field: one, or many that are packed."""
    data = message(value)
    if len(data) % 4 or len(data) // 4 > most:
        raise ValueError(f"up to {most} real numbers were expected")
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def message(value: Value) -> memoryview:
    """Return the bytes of a field that holds some."""
    if isinstance(value, int):
        raise TypeError("a message was expected")
    return value


def text(value: Value) -> str:
    """Return a text; it has some thousand bytes at most."""
    data = message(value)
    if len(data) > _LONGEST_TEXT:
        raise ValueError("a name that is too long")
    return bytes(data).decode()
