"""A configuration of a bundle as data: references are followed, and what is code stays text."""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from napari_tileseg._yaml import parse_yaml
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.packages.package import Package

#: Bytes of a configuration.
_LARGEST = 2**20
#: References that lead to each other, lists in lists, and values that one stands for.
_DEEPEST, _MOST_VALUES = 24, 10_000
#: Letters of an expression that is a plain value, of one in a message, and of a name.
_LONGEST, _SHOWN = 200, 80
#: "@" and the names that lead to a value, also as an expression of nothing else; "%" means its text.
_REFERENCE = re.compile(r"\$?@(?P<path>\w+(?:(?:::|#)\w+)*)|%(?:::|#)?(?P<text>\w+(?:(?:::|#)\w+)*)")
_SEPARATOR = re.compile("::|#")


@dataclass(frozen=True, slots=True)
class Expression:
    """What a configuration holds and is not read: Python, which is not run, or a reference to nothing.

    Parameters
    ----------
    text : str
        As it is written.
    where : str
        The names that lead to it, joined by ``::``.
    why : str
        Why it is not read, as the end of a sentence.
    """

    text: str
    where: str
    why: str = "is code"

    @property
    def words(self) -> str:
        """What it is and where, as part of a sentence."""
        shown = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}..."
        return f"{self.where} is {shown!r}, which {self.why}"


class Config:
    """What a configuration holds.

    Parameters
    ----------
    held : mapping
        Untrusted values by name.
    source : str
        Its file, for messages.
    """

    def __init__(self, held: Mapping[str, Any], source: str) -> None:
        self.held, self.source = held, source

    def has(self, name: str) -> bool:
        """Return whether there is a value of that name that is not null."""
        return self.held.get(name) is not None

    def value(self, name: str) -> Any:
        """Return what a name stands for: plain values, and an `Expression` for each that is none.

        Raises
        ------
        NetworkError
            If it stands for more values, or deeper ones, than any configuration holds.
        """
        return _Following(self).value(self.held.get(name), name, ())


class _Following:
    """Follows references, and counts what comes of it."""

    def __init__(self, config: Config) -> None:
        self._config, self._left = config, _MOST_VALUES

    def value(self, given: Any, where: str, met: tuple[str, ...], depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise NetworkError(
                f"{self._config.source} should be a configuration of a MONAI bundle; {where[:_SHOWN]} stands "
                "for more values, or deeper ones, than any has. Take the bundle as it was published."
            )
        if isinstance(given, Mapping):
            return {
                str(key): self.value(each, f"{where}::{key}"[-4 * _SHOWN :], met, depth + 1)
                for key, each in given.items()
            }
        if isinstance(given, list):
            return [
                self.value(each, f"{where}::{number}"[-4 * _SHOWN :], met, depth + 1)
                for number, each in enumerate(given)
            ]
        return self._text(given, where, met, depth) if isinstance(given, str) else given

    def _text(self, given: str, where: str, met: tuple[str, ...], depth: int) -> Any:
        referred = _REFERENCE.fullmatch(given) if len(given) <= _LONGEST else None
        if referred is not None:
            names = _SEPARATOR.split(referred["path"] or referred["text"])
            return self._referred(names, Expression(given, where), met, depth)
        if given.startswith("%"):
            return Expression(given, where, "is the text of another file")
        return _plain(given, Expression(given, where)) if given.startswith("$") else given

    def _referred(self, names: list[str], unread: Expression, met: tuple[str, ...], depth: int) -> Any:
        target = "::".join(names)
        if target in met:
            return replace(unread, why="refers back to itself")
        found: Any = self._config.held
        for name in names:
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name[:9]) < len(found):
                found = found[int(name)]
            else:
                return replace(unread, why="refers to nothing")
        return self.value(found, target, (*met, target), depth + 1)


def _plain(text: str, unread: Expression) -> Any:
    """Return the value of an expression that is a mere number, word or list of such."""
    if len(text) > _LONGEST:
        return unread
    try:
        found = literal_eval(text[1:].strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return unread
    return list(found) if isinstance(found, tuple) else found


def read_config(package: Package, name: str) -> Config:
    """Return a configuration of a bundle.

    Raises
    ------
    NetworkError
        If it is broken, or too large.
    """
    source = str(package.content(name, _LARGEST).path)
    with answering(NetworkError, f"{source} should be a configuration of a MONAI bundle", "Copy it again."):
        data = package.read(name, _LARGEST)
        held = json.loads(data) if PurePosixPath(name).suffix == ".json" else parse_yaml(data)
    if not isinstance(held, Mapping):
        raise NetworkError(
            f"{source} should be a configuration of a MONAI bundle: names with values; it is a "
            f"{type(held).__name__}. Copy it again."
        )
    return Config(held, source)


def expressions_in(value: Any) -> Iterator[Expression]:
    """Yield the expressions in a value that was followed."""
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, (Mapping, list)):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from expressions_in(each)
