"""What a knob is: type, bounds, unit, help, default; and dataclasses made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, TypeVar

from napari_tileseg._words import as_typed
from napari_tileseg.errors import SettingsError

#: What a knob holds. Kinds that end in "s" have one value for each spatial axis.
Kind: TypeAlias = Literal["int", "float", "text", "flag", "choice", "ints", "floats", "pairs", "map"]
T = TypeVar("T")
#: Bounds of numbers that have no tighter ones: real counts and measures stay well within.
_LARGEST = {"int": 2**31 - 1, "ints": 2**31 - 1, "pairs": 2**31 - 1, "map": 2**63 - 1}
_LARGEST_FLOAT = 1e30
#: What every generator of random numbers takes.
LARGEST_SEED = 2**32 - 1
#: Longest text of a value that is repeated in an error.
_SHOWN = 60


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
        Value where none is given; None stands for "derived".
    unit : str
        Unit of the value, or "".
    minimum, maximum : float or None
        Closed bounds of each number; None where only the ends that all numbers have hold.
    length : int or None
        How many numbers "ints" or "floats" have, where that does not depend on the image's axes.
    choices : tuple of str
        Allowed words of a "choice".
    identity : bool
        Whether another value gives another result, so that a started result cannot be resumed.
    added : bool
        Whether there have been results before it.
    before : object
        What such results were made with; None where that is the default.
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
    added: bool = False
    before: Any = None

    @property
    def unsaid(self) -> Any:
        """What holds where a result does not say it, as one of a version that had no such knob."""
        return self.default if self.before is None else self.before

    def decides(self, value: Any) -> bool:
        """Whether a value is part of what a result is known by; older ones know nothing of an added knob."""
        return self.identity and not (self.added and value == self.unsaid)

    @property
    def flag(self) -> str:
        """Its flag on the command line, such as ``--voxel-size``."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Raise `SettingsError` unless `value` fits, whatever it is."""
        if value is None and self.default is None:
            return
        if self.kind == "choice" and value not in self.choices:
            raise SettingsError(f"{self.name} is one of {', '.join(self.choices)}; got {_short(value)}.")
        if not _CHECKS[self.kind](value):
            like = _EXAMPLES[self.kind]
            raise SettingsError(f"{self.name} should be like {like}; got {_short(value)} of another kind.")
        if self.length is not None and len(value) != self.length:
            raise SettingsError(f"{self.name} should be {self.length} numbers; got {_short(value)}.")
        low, high = self.ends
        # Never taken as a float, which an integer of many digits is too large for; NaN fails here, too.
        if not all(low <= number <= high for number in _numbers(self.kind, value)):
            raise SettingsError(f"{self.name} should be {self._range_words()}; got {_short(value)}.")

    @property
    def ends(self) -> tuple[float, float]:
        """Least and largest number that is taken."""
        largest = _LARGEST.get(self.kind, _LARGEST_FLOAT)
        low = -largest if self.minimum is None else self.minimum
        return low, largest if self.maximum is None else self.maximum

    def _range_words(self) -> str:
        if self.maximum is not None:
            return self.bounds
        return f"{self.bounds or 'finite'}, and {_digits(self.ends[1])} at most"

    @property
    def bounds(self) -> str:
        """The closed range in words, such as "0 to 100 %" or "1 or more voxels"; "" where there is none."""
        if self.minimum is None or self.maximum is None:
            low = "" if self.minimum is None else f"{_digits(self.minimum)} or more"
            words = low if self.maximum is None else f"{_digits(self.maximum)} or less"
        else:
            words = f"{_digits(self.minimum)} to {_digits(self.maximum)}"
        return f"{words} {self.unit}".strip()

    def parse(self, text: str) -> Any:
        """Read the value from its text on a command line.

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
                f"{self.name} should read like {_EXAMPLES[self.kind]}; got {_short(text)}."
            ) from error
        self.check(value)
        return value

    def format(self, value: Any) -> str:
        """Return the text that `parse` turns back into `value`."""
        if self.kind == "pairs":
            return ",".join(f"{a}:{b}" for a, b in value)
        if self.kind == "map":
            return ",".join(f"{number}={name}" for number, name in value)
        if self.kind in {"ints", "floats"}:
            return ",".join(str(number) for number in value)
        return str(value).lower() if self.kind == "flag" else str(value)


def _digits(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _short(value: Any) -> str:
    """Return a value as an error shows it, whatever its size."""
    try:
        text = as_typed(value)
    except ValueError:  # Python writes no integers of more than some thousand digits
        return "a number of very many digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _numbers(kind: str, value: Any) -> Iterator[float]:
    """Yield all numbers of a value of a kind."""
    if kind in {"int", "float"}:
        yield value
    elif kind in {"ints", "floats"}:
        yield from value
    elif kind == "pairs":
        for pair in value:
            yield from pair
    elif kind == "map":
        yield from (number for number, _ in value)


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _all(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (tuple, list)) and all(map(check, value))


def _pair_of(first: Callable[[Any], bool], second: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, (tuple, list)) and len(value) == 2 and first(value[0]) and second(value[1])

    return check


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": _is_float,
    "text": _is_text,
    "choice": _is_text,
    "flag": lambda value: isinstance(value, bool),
    "ints": _all(_is_int),
    "floats": _all(_is_float),
    "pairs": _all(_pair_of(_is_int, _is_int)),
    "map": _all(_pair_of(_is_int, _is_text)),
}


def _flag(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        return words[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _pair(text: str) -> tuple[int, int]:
    before, colon, after = text.partition(":")
    return int(before), int(after if colon else before)


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
    """Return a dataclass field that carries its `Knob`; `about` holds the knob's further entries."""
    return field(default=default, metadata={"kind": kind, "help": help, **about})


def knobs(settings: type[Any]) -> tuple[Knob, ...]:
    """Return the knobs of a settings class, in the order of its fields."""
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
        """Return plain values, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]
