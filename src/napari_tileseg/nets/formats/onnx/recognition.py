"""Telling ONNX by its structure: the first fields of its protocol buffer are walked, and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_tileseg._files import ordinary_file

#: Fields of a model by number, and how each is written: 0 a number, 2 bytes of a stated length.
_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_VERSION, _GRAPH = 1, 7
#: Versions of the format that have been, and some to come.
_VERSIONS = range(1, 50)
_HEAD = 2**16
#: Bytes of a file that is looked at for its sake alone.
_LARGEST = 2**40


def recognises(head: bytes, size: int) -> bool:
    """Return whether a file begins like an ONNX model: its fields alone, its version, a graph that fits.

    Parameters
    ----------
    head : bytes
        First bytes, some thousand or all.
    size : int
        Bytes in all.
    """
    version = graph = False
    for number, kind, value, end in _walk(head):
        if _FIELDS.get(number) != kind or end > size:
            return False
        version = version or (number == _VERSION and value in _VERSIONS)
        graph = graph or (number == _GRAPH and value > 0)
        if end >= min(len(head), size):
            return version and graph and (end == size or end > len(head))
    return False


def is_one(path: Path) -> bool:
    """Return whether there is an ONNX model at a path."""
    try:
        with ordinary_file(path, _LARGEST) as (file, size):
            return recognises(file.read(_HEAD), size)
    except OSError:
        return False


def _walk(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, kind, value or length, and end, of one field after the other."""
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        value, at = _number(data, at)
        kind = key & 7
        if at > len(data) or kind not in {0, 2}:
            yield key >> 3, -1, 0, at
            return
        at += value if kind == 2 else 0
        yield key >> 3, kind, value, at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends; past the data if it is cut off."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return value, len(data) + 1
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    return value, len(data) + 1
