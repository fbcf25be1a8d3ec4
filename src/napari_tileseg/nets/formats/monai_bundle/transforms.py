"""Transforms of a configuration in their order, as names and arguments; none is built."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from napari_tileseg.nets.formats.monai_bundle.config import Expression

#: Transforms of one list, and compositions in compositions.
_MOST, _DEEPEST = 64, 4
_NAME = re.compile(r"(?:monai\.transforms\.(?:[a-z_]+\.)*)?(?P<name>\w+)")
_COMPOSITION = "Compose"
#: What MONAI puts behind names of transforms that take a dictionary.
_OF_DICTIONARIES = ("Dict", "D", "d")
_SHOWN = 60


class NotKnownError(ValueError):
    """A transform, or an argument of it, has no counterpart here; the message goes on after its name."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A transform.

    Parameters
    ----------
    name : str
        Its class, without what says that it takes a dictionary.
    written : str
        The class as it is written, for messages.
    arguments : mapping
        Plain values, and expressions that are not run.
    keys : int
        Entries of a dictionary that it is about.
    key : int
        Which of them is the one that matters here.
    """

    name: str
    written: str
    arguments: Mapping[str, Any]
    keys: int
    key: int

    def whole(self, name: str, usual: Any = None) -> Any:
        """Return an argument as it is."""
        return self.arguments.get(name, usual)

    def said(self, name: str, usual: Any = None) -> Any:
        """Return an argument; where there is one for each key, that of the key that matters."""
        value = self.arguments.get(name, usual)
        return value[self.key] if isinstance(value, list) and len(value) == self.keys else value


@dataclass(frozen=True, slots=True)
class Reading:
    """How a list of transforms is read.

    Parameters
    ----------
    known : collection of str
        Names that are understood, without what says that they take a dictionary.
    aside : collection of str
        Entries of a dictionary that play no part: a transform of these alone is left out.
    """

    known: Collection[str]
    aside: Collection[str]

    def transforms(self, value: Any) -> tuple[Transform, ...]:
        """Return transforms in their order, compositions resolved, without those that are disabled.

        Parameters
        ----------
        value : object
            What a configuration says, references followed.

        Raises
        ------
        NotKnownError
            If it is no list of transforms, but code, or there are more than in any bundle.
        """
        found = tuple(islice(self._in_order(value, 0), _MOST + 1))
        if len(found) > _MOST:
            raise NotKnownError(f"more than {_MOST} transforms")
        return found

    def _in_order(self, value: Any, depth: int) -> Iterator[Transform]:
        if depth > _DEEPEST:
            raise NotKnownError("lists of transforms in lists")
        if isinstance(value, list):
            for each in value:
                yield from self._in_order(each, depth + 1)
            return
        if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
            code = isinstance(value, Expression)
            raise NotKnownError(f"what is not read ({value.words})" if code else "what names no class")
        if value.get("_disabled_") is True:
            return
        written = value["_target_"]
        named = _NAME.fullmatch(written) if len(written) <= _SHOWN else None
        name = self._plain(named["name"]) if named else written[:_SHOWN]
        if name == _COMPOSITION:
            yield from self._in_order(value.get("transforms", []), depth + 1)
            return
        keys = _listed(value.get("keys", []))
        mattering = [number for number, key in enumerate(keys) if key not in self.aside]
        if mattering or not keys:
            arguments = {
                key: each for key, each in value.items() if key != "keys" and not key.startswith("_")
            }
            yield Transform(name, written[:_SHOWN], arguments, len(keys), next(iter(mattering), 0))

    def _plain(self, name: str) -> str:
        """Return a known name without what says that it takes a dictionary; others as they are."""
        plain = (name.removesuffix(ending) for ending in ("", *_OF_DICTIONARIES))
        return next((each for each in plain if each in self.known or each == _COMPOSITION), name)


def _listed(value: Any) -> list[Any]:
    """Return keys as text; those that only code knows are none of those that play no part."""
    listed = value if isinstance(value, list) else [value]
    return [each if isinstance(each, str) else "" for each in listed]
