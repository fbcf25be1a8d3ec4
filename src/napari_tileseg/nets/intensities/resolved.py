"""Steps with their numbers, and what they make of voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array
from napari_tileseg.errors import ImageError, NetworkError
from napari_tileseg.nets.intensities.foreground import not_zero
from napari_tileseg.nets.intensities.steps import Clip, Linear, Over, Percentiles, Step, ZeroMean, read_step
from napari_tileseg.nets.intensities.words import step_words


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedStep:
    """A step with the numbers that were measured for it.

    Parameters
    ----------
    step : Step
        What is stated.
    offset, scale : tuple of float
        For each of its channels, an intensity becomes ``(intensity - offset) / scale``: mean and divisor, or
        low percentile and divisor. Empty where nothing has to be measured, or was not yet.
    """

    step: Step
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def known(self) -> bool:
        """Whether its numbers are there."""
        return bool(self.offset) or not is_measured(self.step)

    def fits(self, channels: int) -> bool:
        """Return whether its numbers are those of an image with so many channels."""
        return self.known and len(self.offset) in {0, len(self.step.indices(channels))}

    def agrees(self, other: ResolvedStep) -> bool:
        """Return whether another is the same but for rounding."""
        ours, theirs = self.offset + self.scale, other.offset + other.scale
        same = self.step == other.step and len(ours) == len(theirs)
        return same and bool(np.allclose(ours, theirs, rtol=1e-9, atol=1e-12))

    @property
    def words(self) -> str:
        """What is done, with the numbers."""
        if not self.offset:
            return step_words(self.step)
        first, second = ("mean", "divisor") if isinstance(self.step, ZeroMean) else ("low end", "divisor")
        pairs = dict.fromkeys(zip(self.offset, self.scale, strict=True))
        numbers = "; ".join(f"{first} {a:.6g}, {second} {b:.6g}" for a, b in pairs)
        return f"{step_words(self.step)}: {numbers}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        numbers = {"offset": list(self.offset), "scale": list(self.scale)} if is_measured(self.step) else {}
        return {**self.step.as_dict(), **numbers}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ResolvedStep:
        """Read what `as_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no step, or its numbers are missing or do not belong to it.
        """
        stated = dict(values)
        measured = stated.get("step") in {ZeroMean.name, Percentiles.name}
        # Earlier versions wrote both for every step, empty where nothing is measured.
        numbers = {
            name: stated.pop(name) for name in ("offset", "scale") if measured or stated.get(name) == []
        }
        offset, scale = (tuple(map(finite_number, numbers.get(name, ()))) for name in ("offset", "scale"))
        try:
            step = read_step(stated)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        count = len(offset) if step.channels is None else len(step.channels)
        wanted = {count} if is_measured(step) else {0}
        if {len(offset), len(scale)} != wanted or 0 in scale or (is_measured(step) and not offset):
            raise ValueError(f"offset and scale of the step {step.name} do not belong together")
        return cls(step=step, offset=offset, scale=scale)


def is_measured(step: Step) -> bool:
    """Return whether a step needs numbers of the image."""
    return isinstance(step, (ZeroMean, Percentiles))


def apply_steps(
    values: Array, steps: Sequence[ResolvedStep], holes: Array | None = None
) -> npt.NDArray[np.float32]:
    """Prepare voxels by steps that have their numbers.

    Parameters
    ----------
    values : ndarray
        ``(channels, *shape)``: a part of an image, or all of it, as it is stored.
    steps : sequence of ResolvedStep
        In their order.
    holes : ndarray of bool, optional
        ``(*shape)``: which of the voxels lie in holes of what is not zero.

    Returns
    -------
    ndarray of float32
        Of the same shape.

    Raises
    ------
    ImageError
        If an intensity becomes larger than 32 bits can hold.
    """
    working = run_steps(values, steps, holes)
    with np.errstate(over="ignore"):
        prepared = working.astype(np.float32)
    if not np.isfinite(prepared).all():
        raise ImageError(
            "Intensities should stay finite while they are prepared for the network; some become too large "
            f"for 32 bits. They are prepared like this: {', then '.join(each.words for each in steps)}."
        )
    return prepared


def run_steps(
    values: Array, steps: Sequence[ResolvedStep], holes: Array | None = None
) -> npt.NDArray[np.float64]:
    """Return voxels after some steps, in double precision; what becomes too large is infinite."""
    masked = any(over_of(each.step) == "mask" for each in steps)
    mask = foreground_of(values, holes) if masked else None
    working = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for each in steps:
            index = list(each.step.indices(len(values)))
            every = each.step.channels is None
            part = working if every else working[index]
            selected = _selected(each.step, part, mask)
            if selected is None:
                _change(part, each)
            else:
                changed = part.copy()
                _change(changed, each)
                np.copyto(part, changed, where=selected)
            if not every:
                working[index] = part
    return working


def foreground_of(values: Array, holes: Array | None) -> npt.NDArray[np.bool_]:
    """Return which voxels ``(*shape)`` of ``(channels, *shape)`` are not zero somewhere, or in holes."""
    return not_zero(values) if holes is None else not_zero(values) | holes


def over_of(step: Step) -> Over:
    """Return of which voxels a step is."""
    return "all" if isinstance(step, Clip) else step.over


def _selected(step: Step, part: Array, mask: npt.NDArray[np.bool_] | None) -> Array | None:
    """Return which voxels a step changes; None for all."""
    over = over_of(step)
    if over in {"all", "box"}:
        return None
    return mask if over == "mask" else part != 0


def _change(part: Array, each: ResolvedStep) -> None:
    """Do one step in place."""
    step = each.step
    if isinstance(step, Clip):
        np.clip(part, step.low, step.high, out=part)
    elif isinstance(step, Linear):
        part *= _column(step.gain, part)
        part += _column(step.offset, part)
    else:
        part -= _column(each.offset, part)
        part /= _column(each.scale, part)
    if isinstance(step, Percentiles):
        if step.clip:
            np.clip(part, 0, 1, out=part)
        low, high = step.to
        part *= high - low
        part += low


def _column(numbers: float | tuple[float, ...], part: Array) -> Array:
    """Return one number for each channel, or for all, to compute with ``(channels, *shape)``."""
    listed = numbers if isinstance(numbers, tuple) else (numbers,)
    return np.reshape(np.asarray(listed, np.float64), (-1,) + (1,) * (part.ndim - 1))


def finite_number(value: Any) -> float:
    """Return a stored number.

    Raises
    ------
    TypeError, ValueError
        If it is none, or not finite.
    """
    number = float(value)
    if isinstance(value, (str, bool)) or not isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number
