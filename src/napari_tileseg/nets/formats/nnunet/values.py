"""Values of JSON that somebody else wrote, each checked where it is taken."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from napari_tileseg.errors import NetworkError

#: Largest whole number, and entries of a list.
_LARGEST, _LONGEST = 2**16, 100


@dataclass(frozen=True, slots=True)
class Values:
    """A mapping, and what to call it in messages.

    Parameters
    ----------
    held : mapping
        Untrusted values by name.
    source : str
        Where they are, as the start of a sentence: "plans.json".
    """

    held: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, value: Any, source: str) -> Values:
        """Return values of what should be a mapping.

        Raises
        ------
        NetworkError
            If it is none, or its names are no text.
        """
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise NetworkError(
                f"{source} of nnU-Net should hold names with values; got {reprlib.repr(value)}. Copy the "
                "trained folder again."
            )
        return cls(value, source)

    def has(self, name: str) -> bool:
        """Return whether there is a value that is not null."""
        return self.held.get(name) is not None

    def inside(self, name: str) -> Values:
        """Return the mapping of a name."""
        return Values.of(self.held.get(name), f"{name} in {self.source}")

    def text(self, name: str) -> str:
        """Return a value that should be text."""
        value = self.held.get(name)
        return value if isinstance(value, str) else self._fail(name, "text")

    def flag(self, name: str, usual: bool) -> bool:
        """Return a value that should be true or false, or the usual one where there is none."""
        value = self.held.get(name, usual)
        return value if isinstance(value, bool) else self._fail(name, "true or false")

    def number(self, name: str, usual: float | None = None) -> float:
        """Return a value that should be a finite number, or the usual one where there is none."""
        value = self.held.get(name, usual)
        return float(value) if is_number(value) else self._fail(name, "a number")

    def numbers(self, name: str, count: int | None = None) -> tuple[float, ...]:
        """Return a value that should be a list of finite numbers."""
        found = self._list(name, count)
        return tuple(map(float, found)) if all(map(is_number, found)) else self._fail(name, "numbers")

    def whole(self, name: str, count: int | None = None) -> tuple[int, ...]:
        """Return a value that should be a list of whole numbers from 0 on."""
        found = self._list(name, count)
        return tuple(found) if all(map(_is_count, found)) else self._fail(name, "whole numbers")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a value that should be a list of texts."""
        found = self._list(name, None)
        return tuple(found) if all(isinstance(each, str) for each in found) else self._fail(name, "texts")

    def flags(self, name: str) -> tuple[bool, ...]:
        """Return a value that should be a list of true and false."""
        found = self._list(name, None)
        return tuple(found) if all(isinstance(each, bool) for each in found) else self._fail(name, "flags")

    def _list(self, name: str, count: int | None) -> list[Any]:
        value = self.held.get(name)
        if not isinstance(value, (list, tuple)) or len(value) > _LONGEST or count not in {None, len(value)}:
            self._fail(name, "a list" if count is None else f"a list of {count}")
        return list(value)  # type: ignore[arg-type]

    def _fail(self, name: str, expected: str) -> Any:
        raise NetworkError(
            f"{name} in {self.source} of nnU-Net should be {expected}; got "
            f"{reprlib.repr(self.held.get(name))}. Copy the trained folder again."
        )


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, and no digits without end."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and abs(value) <= 1e30 and isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
