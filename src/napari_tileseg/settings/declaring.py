"""What a knob is: type, bounds, unit, help, default; and dataclasses made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, TypeAlias, TypeVar

from napari_tileseg.errors import SettingsError

#: What a knob holds. Kinds that end in "s" have one value for each spatial axis.
Kind: TypeAlias = Literal["int", "float", "text", "flag", "choice", "ints", "floats", "pairs", "map"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as a form or a command line sees it.

    Parameters
    ----------
    name : str
        Field of the settings class.
    kind : str
        What it holds; see `Kind`.
    help : str
        One plain sentence.
    default : object
        Value when nobody says otherwise; None stands for "derived".
    unit : str
        Unit of the value, or "".
    minimum, maximum : float or None
        Closed bounds of each number.
    length : int or None
        How many numbers "ints" or "floats" have, where that does not depend on the image's axes.
    choices : tuple of str
        Allowed words of a "choice".
    identity : bool
        Whether another value gives another result, so that a started result cannot be resumed.
    """

    name: str
    kind: Kind
    help: str
    default: Any = None
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    length: int | None = None
    choices: tuple[str, ...] = ()
    identity: bool = True

    @property
    def flag(self) -> str:
        """Its flag on the command line, such as ``--voxel-size``."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Raise `SettingsError` unless `value` fits."""
        if value is None and self.default is None:
            return
        if self.kind == "choice" and value not in self.choices:
            raise SettingsError(f"{self.name} is one of {', '.join(self.choices)}; got {value!r}.")
        if self.length is not None and len(value) != self.length:
            raise SettingsError(f"{self.name} should be {self.length} numbers; got {value!r}.")
        numbers = _flat(value) if self.kind in {"int", "float", "ints", "floats", "pairs"} else ()
        for number in numbers:
            low = self.minimum is not None and number < self.minimum
            high = self.maximum is not None and number > self.maximum
            if low or high or not isfinite(number):
                raise SettingsError(f"{self.name} should be {self.bounds or 'finite'}; got {value}.")

    @property
    def bounds(self) -> str:
        """The closed range in words, such as "0 to 100 %" or "1 or more voxels"; "" where there is none."""
        if self.minimum is None or self.maximum is None:
            low = "" if self.minimum is None else f"{self.minimum:g} or more"
            words = low if self.maximum is None else f"{self.maximum:g} or less"
        else:
            words = f"{self.minimum:g} to {self.maximum:g}"
        return f"{words} {self.unit}".strip()

    def parse(self, text: str) -> Any:
        """Value from its text on a command line.

        ``ints`` and ``floats`` are separated by commas, as in ``32,64,64``; ``pairs`` are
        ``before:after`` or one number for both, as in ``8:12,22,22``.

        Raises
        ------
        SettingsError
            If the text is not of the knob's kind, or its value out of bounds.
        """
        try:
            value = _PARSERS[self.kind](text)
        except ValueError as error:
            raise SettingsError(
                f"{self.name} should read like {_EXAMPLES[self.kind]}; got {text!r}."
            ) from error
        self.check(value)
        return value

    def format(self, value: Any) -> str:
        """Text that `parse` turns back into `value`."""
        if self.kind == "pairs":
            return ",".join(f"{a}:{b}" for a, b in value)
        if self.kind == "map":
            return ",".join(f"{number}={name}" for number, name in value)
        if self.kind in {"ints", "floats"}:
            return ",".join(str(number) for number in value)
        return str(value).lower() if self.kind == "flag" else str(value)


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _flag(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        return words[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _pair(text: str) -> tuple[int, int]:
    before, _, after = text.partition(":")
    return int(before), int(after or before)


def _meaning(part: str) -> tuple[int, str]:
    value, _, name = part.partition("=")
    if not name.strip():
        raise ValueError(part)
    return int(value), name.strip()


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "text": str,
    "choice": str,
    "flag": _flag,
    "ints": lambda text: tuple(int(part) for part in text.split(",")),
    "floats": lambda text: tuple(float(part) for part in text.split(",")),
    "pairs": lambda text: tuple(_pair(part) for part in text.split(",")),
    "map": lambda text: tuple(_meaning(part) for part in text.split(",")),
}
_EXAMPLES = {
    "int": "4",
    "float": "0.5",
    "text": "words",
    "choice": "one of its words",
    "flag": "true or false",
    "ints": "32,64,64",
    "floats": "1.75,0.8,0.8",
    "pairs": "8:12,22,22",
    "map": "127=myelin,255=axon",
}


def knob(kind: Kind, default: T, help: str, **about: Any) -> T:
    """Dataclass field that carries its `Knob`; `about` holds the knob's further entries."""
    return field(default=default, metadata={"kind": kind, "help": help, **about})


def knobs(settings: type[Any]) -> tuple[Knob, ...]:
    """Knobs of a settings class, in the order of its fields."""
    return tuple(
        Knob(name=f.name, default=None if f.default is MISSING else f.default, **f.metadata)
        for f in fields(settings)
    )


class Settings:
    """Settings that check each knob when they are made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in knobs(type(self)):
            each.check(getattr(self, each.name))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]
