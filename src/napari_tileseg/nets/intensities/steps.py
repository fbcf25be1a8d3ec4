"""Steps of the preparation of intensities, in plain values: what a package states, checked as untrusted."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isclose
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from napari_tileseg.errors import NetworkError

#: Steps of one preparation at most, channels that a step names, and how large its numbers are.
MOST_STEPS = 16
_MOST_CHANNELS, _LARGEST, _FARTHEST = 4096, 2**20, 1e30
#: Ends that a clip has at most: those of 32 bits.
_END = 3.5e38

#: Voxels that a step is about:
#: - ``all``;
#: - ``box``: measured in the smallest box around all voxels that are not zero in some channel of the image
#:   itself, done everywhere;
#: - ``mask``: those voxels and, in a volume, the holes that they enclose; the others are left as they are;
#: - ``nonzero``: values that are not zero when the step begins; zeros are left as they are.
Over: TypeAlias = Literal["all", "box", "mask", "nonzero"]
#: One number, or one for each channel that the step is about.
Numbers: TypeAlias = float | tuple[float, ...]


class _Stated:
    """What all steps have in common: a name in JSON, plain values, and the channels that they are about."""

    __slots__ = ()
    name: ClassVar[str]
    channels: tuple[int, ...] | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: the name as ``step``, and what is not as by default."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        usual = {each.name: each.default for each in fields(self)}  # type: ignore[arg-type]
        plain = {key: _plain(value) for key, value in said.items() if value != usual[key]}
        return {"step": self.name, **plain}

    def indices(self, channels: int) -> tuple[int, ...]:
        """Return the channels that it is about, of an image with so many."""
        return tuple(range(channels)) if self.channels is None else self.channels

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_channels(self) -> None:
        if self.channels is None:
            return
        given = self.channels
        if not (
            isinstance(given, (tuple, list))
            and 0 < len(given) <= _MOST_CHANNELS
            and all(type(each) is int and 0 <= each <= _LARGEST for each in given)
            and len(set(given)) == len(given)
        ):
            raise self._wrong("channels", "different whole numbers from 0 on", given)
        self._set("channels", tuple(given))

    def _check_number(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not (_is_number(value) and least <= value <= most):
            raise self._wrong(name, f"a number from {least:g} to {most:g}", value)
        self._set(name, float(value))

    def _check_numbers(self, name: str) -> None:
        value = getattr(self, name)
        single = not isinstance(value, (tuple, list))
        given = (value,) if single else tuple(value)
        count = _MOST_CHANNELS if self.channels is None else len(self.channels)
        fits = 0 < len(given) <= count and (single or self.channels is None or len(given) == count)
        if not (fits and all(_is_number(each) and abs(each) <= _FARTHEST for each in given)):
            raise self._wrong(name, "a number, or one for each of its channels", value)
        self._set(name, float(value) if single else tuple(map(float, given)))

    def _check_flag(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)

    def _check_over(self, allowed: tuple[str, ...]) -> None:
        value = getattr(self, "over", None)
        if value not in allowed:
            raise self._wrong("over", f"one of {', '.join(allowed)}", value)

    def _wrong(self, name: str, expected: str, value: Any) -> NetworkError:
        return NetworkError(
            f"In a network's input_normalization, {name} of the step {self.name} is {expected}; got "
            f"{reprlib.repr(value)}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(_Stated):
    """``x * gain + offset``.

    Parameters
    ----------
    gain, offset : float or tuple of float
        One number, or one for each channel; no gain is 0.
    over : {"all", "nonzero"}
        Whether zeros stay zero.
    channels : tuple of int, optional
        Channels that it is about; all by default.

    Raises
    ------
    NetworkError
        If a value is of the wrong kind or out of its range, as for every step.
    """

    name: ClassVar[str] = "linear"
    gain: Numbers = 1.0
    offset: Numbers = 0.0
    over: Over = "all"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._check_channels()
        self._check_numbers("gain")
        self._check_numbers("offset")
        self._check_over(("all", "nonzero"))
        if 0 in _as_tuple(self.gain):
            raise self._wrong("gain", "not 0", self.gain)
        counts = {len(each) for each in (self.gain, self.offset) if isinstance(each, tuple)}
        if len(counts) > 1:
            raise self._wrong("offset", "a number for each that gain has", self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(_Stated):
    """Values outside of two ends become these.

    Parameters
    ----------
    low, high : float, optional
        The ends; one may be left out.
    channels : tuple of int, optional
        Channels that it is about; all by default.
    """

    name: ClassVar[str] = "clip"
    low: float | None = None
    high: float | None = None
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._check_channels()
        for end in ("low", "high"):
            if getattr(self, end) is not None:
                self._check_number(end, -_END, _END)
        if self.low is None and self.high is None:
            raise self._wrong("low", "a number where high is none", None)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise self._wrong("low", f"not above high ({self.high:g})", self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroMean(_Stated):
    """Zero mean and unit variance: ``(x - mean) / (deviation + eps)``, the deviation that of all (ddof 0).

    Parameters
    ----------
    per_channel : bool
        Whether each channel is measured by itself; all of them together otherwise.
    eps : float
        What is added to the deviation, 0 to 1e30.
    floor : bool
        Whether `eps` is the smallest divisor instead: ``(x - mean) / max(deviation, eps)``.
    over : {"all", "box", "mask", "nonzero"}
        Voxels that are measured and changed, see `Over`.
    channels : tuple of int, optional
        Channels that it is about; all by default.
    """

    name: ClassVar[str] = "zero_mean"
    per_channel: bool = True
    eps: float = 0.0
    floor: bool = False
    over: Over = "all"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._check_channels()
        self._check_number("eps", 0.0, _FARTHEST)
        for flag in ("per_channel", "floor"):
            self._check_flag(flag)
        self._check_over(get_args(Over))


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles(_Stated):
    """From two percentiles to a range: ``(x - lower) / (upper - lower + eps)``, then from 0..1 to `to`.

    Parameters
    ----------
    low, high : float
        Percentiles, 0 to 100; these two are minimum and maximum.
    per_channel : bool
        Whether each channel is measured by itself; all of them together otherwise.
    eps : float
        What is added to the distance of the two, 0 to 1e30.
    floor : bool
        Whether `eps` is the smallest divisor instead.
    clip : bool
        Whether values outside of the percentiles become the ends of `to`.
    to : tuple of float
        What the percentiles become.
    over : {"all", "box", "mask", "nonzero"}
        Voxels that are measured and changed, see `Over`.
    channels : tuple of int, optional
        Channels that it is about; all by default.
    """

    name: ClassVar[str] = "percentiles"
    low: float = 0.0
    high: float = 100.0
    per_channel: bool = True
    eps: float = 0.0
    floor: bool = False
    clip: bool = False
    to: tuple[float, float] = (0.0, 1.0)
    over: Over = "all"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._check_channels()
        self._check_number("low", 0.0, 100.0)
        self._check_number("high", 0.0, 100.0)
        if not self.low < self.high:
            raise self._wrong("low", f"below high ({self.high:g})", self.low)
        self._check_number("eps", 0.0, _FARTHEST)
        for flag in ("per_channel", "floor", "clip"):
            self._check_flag(flag)
        ends = self.to
        if not (
            isinstance(ends, (tuple, list))
            and len(ends) == 2
            and all(_is_number(each) and abs(each) <= _FARTHEST for each in ends)
            and ends[0] != ends[1]
        ):
            raise self._wrong("to", "two different numbers", ends)
        self._set("to", (float(ends[0]), float(ends[1])))
        self._check_over(get_args(Over))


Step: TypeAlias = Linear | Clip | ZeroMean | Percentiles
_KINDS: dict[str, type[Step]] = {each.name: each for each in (Linear, Clip, ZeroMean, Percentiles)}


def read_step(values: Any) -> Step:
    """Read a step from what `as_dict` returned, lists in place of tuples allowed.

    Parameters
    ----------
    values : object
        Untrusted.

    Raises
    ------
    NetworkError
        If it is no such mapping, or a value is of the wrong kind or out of its range.
    """
    given = dict(values) if isinstance(values, Mapping) else {}
    name = given.pop("step", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise NetworkError(
            f"A step of a network's input_normalization has a step of {', '.join(_KINDS)}; got "
            f"{reprlib.repr(values)}."
        )
    if unknown := given.keys() - {each.name for each in fields(kind)}:
        raise NetworkError(
            f"A step {name} of a network's input_normalization has "
            f"{', '.join(each.name for each in fields(kind))}; got {reprlib.repr(sorted(map(str, unknown)))}."
        )
    return kind(**given)


def read_steps(values: Any) -> tuple[Step, ...]:
    """Read steps from a list of what `read_step` takes.

    Raises
    ------
    NetworkError
        If it is no list of such, or longer than `MOST_STEPS`.
    """
    if not isinstance(values, (list, tuple)) or len(values) > MOST_STEPS:
        raise NetworkError(
            f"The steps of a network's input_normalization are a list, of {MOST_STEPS} at most; got "
            f"{reprlib.repr(values)}."
        )
    return tuple(each if isinstance(each, get_args(Step)) else read_step(each) for each in values)


def check_steps(steps: Sequence[Step], channels: int) -> None:
    """Raise `NetworkError` where steps are about other channels than a network with so many has."""
    for step in steps:
        if step.channels is not None and max(step.channels) >= channels:
            raise NetworkError(
                f"A network's input_normalization has a step {step.name} for channel {max(step.channels)}; "
                f"the network takes {channels}, counted from 0. Correct its channels."
            )
        for key in ("gain", "offset"):
            given = getattr(step, key, None)
            if isinstance(given, tuple) and len(given) != len(step.indices(channels)):
                raise NetworkError(
                    f"A network's input_normalization has {len(given)} numbers as {key} of a step "
                    f"{step.name}; it is about {len(step.indices(channels))} channels. Give one for each."
                )


def single_kind(step: Step) -> dict[str, Any] | None:
    """Return what makes the `InputNormalization` of a simple kind that does what one step does, if any.

    Examples
    --------
    >>> single_kind(Linear(gain=0.25, offset=-0.5))
    {'kind': 'range', 'low': 2.0, 'high': 6.0}
    >>> single_kind(ZeroMean(eps=0.1)) is None
    True
    """
    if isinstance(step, Linear):
        plain = step == Linear(gain=step.gain, offset=step.offset)
        return _as_range(step.gain, step.offset) if plain else None
    if step == ZeroMean():
        return {"kind": "zero_mean"}
    if isinstance(step, Percentiles) and step == Percentiles(low=step.low, high=step.high, clip=True):
        return {"kind": "quantiles", "low": step.low, "high": step.high}
    return None


def _as_range(gain: Numbers, offset: Numbers) -> dict[str, Any] | None:
    if (gain, offset) == (1, 0):
        return {"kind": "none"}
    if isinstance(gain, tuple) or isinstance(offset, tuple) or gain <= 0:
        return None
    low = -offset / gain + 0.0
    high = low + 1 / gain
    # Not where the two ends lie so close together, for their size, that rounding changes the gain.
    exact = high > low and isclose(high - low, 1 / gain, rel_tol=1e-12)
    return {"kind": "range", "low": low, "high": high} if exact else None


def _is_number(value: Any) -> bool:
    # Compared, not converted: a whole number of JSON may have more digits than a float takes.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_END <= value <= _END


def _as_tuple(value: Numbers) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
