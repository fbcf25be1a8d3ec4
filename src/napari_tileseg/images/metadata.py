"""Reading metadata *about* voxels, so that nothing in them can prevent the voxels from being read.

Values come out of JSON, XML, tags and attributes that anything may have written. Each function takes a value
of any type and answers None, or an empty container, for one that makes no sense; none of them raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
#: A comma for the point, as in "0,5". What might be a thousand, as in "1,000", is neither.
_DECIMAL_COMMA = re.compile(r"^(?![+-]?[1-9]\d{0,2},\d{3}$)([+-]?\d+),(\d+)$")
#: Largest size or distance that is believed. What is computed from it, in whatever unit, stays finite.
_LARGEST = 1e30


def attempt(read: Callable[[], T]) -> T | None:
    """Return what a library makes of a file's metadata; None where it fails.

    A gate, like `napari_tileseg.errors.answering`, for what the voxels can be read without.
    """
    try:
        return read()
    except Exception:  # noqa: BLE001 - libraries raise anything on metadata that they did not write
        return None


def number(value: object) -> float | None:
    """Return a finite number, as a number or as a text, alone or as the only one of an array.

    Examples
    --------
    >>> number(2), number(" 0.5 "), number("0,5"), number(np.array([3.0]))
    (2.0, 0.5, 0.5, 3.0)
    >>> [number(odd) for odd in (None, True, "NaN", float("inf"), 10**400, [1], {})]
    [None, None, None, None, None, None, None]
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = text(value)
    if isinstance(value, str):
        value = _DECIMAL_COMMA.sub(r"\1.\2", value.strip())
    elif not isinstance(value, (int, float, np.number)) or isinstance(value, (bool, np.complexfloating)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= _LARGEST else None


def size(value: object) -> float | None:
    """Return a number that can be a size: above zero, and such that nothing computed from it is infinite.

    Examples
    --------
    >>> size("0.3"), size(0), size(-1), size(float("nan")), size(5e-324)
    (0.3, None, None, None, None)
    """
    found = number(value)
    return found if found is not None and found >= 1 / _LARGEST else None


def integer(value: object) -> int | None:
    """Return a whole number.

    Examples
    --------
    >>> integer("3"), integer(3.0), integer(3.5), integer("three")
    (3, 3, None, None)
    """
    found = number(value)
    return int(found) if found is not None and found == math.floor(found) else None


def text(value: object) -> str:
    """Return a text, also from bytes; empty for anything else.

    Examples
    --------
    >>> text(" um"), text(b"um"), text(np.array(["um"], object)), text(5), text(None)
    ('um', 'um', 'um', '', '')
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip().rstrip("\0") if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[Any]:
    """Return the entries of a list, tuple or array; none of anything else, a text included.

    Examples
    --------
    >>> items([1, 2]), items(np.array([1, 2])), items("ab"), items({"a": 1}), items(None)
    ([1, 2], [1, 2], (), (), ())
    """
    if isinstance(value, np.ndarray):
        return list(value.tolist()) if value.ndim == 1 else ()
    return value if isinstance(value, (list, tuple)) else ()


def from_json(value: object) -> Any:
    """Return what a JSON text holds; None where it is none."""
    try:
        return json.loads(text(value))
    except (ValueError, RecursionError):
        return None


def quoted(value: object) -> str:
    """Return a value as a sentence can show it, shortened.

    Examples
    --------
    >>> quoted(None), quoted("furlong"), quoted([1] * 50)
    ('null', "'furlong'", '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ...')
    """
    shown = "null" if value is None else (attempt(lambda: repr(value)) or type(value).__name__)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
