"""Plain values in somebody else's description: each is checked as it is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a finite number, also as the only entry of a list; None for anything else.

    Examples
    --------
    >>> number([2]), number("1e-06"), number(True), number(float("nan"))
    (2.0, 1e-06, None, None)
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        # YAML reads 1e-06 as text, for the want of a point.
        value = float(value)
    plain = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if plain and isfinite(value) else None


def count(value: Any) -> int | None:
    """Return a whole number from 0 on; None for anything else."""
    return value if type(value) is int and 0 <= value < 2**31 else None
