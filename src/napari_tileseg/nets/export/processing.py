"""Steps of intensities in the words of bioimage.io, and what those cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, Step, ZeroMean, steps_words

#: What is added to divisors at least, and at most, in a package.
_LEAST_EPS, _MOST_EPS = 1e-6, 0.1


@dataclass(frozen=True, slots=True)
class Processing:
    """How a package states the preparation of intensities.

    Parameters
    ----------
    steps : list of dict
        Entries of ``preprocessing``; none where a step cannot be said, as a part of them would be wrong.
    notes : tuple of str
        A sentence for each thing that it does not say.
    """

    steps: list[dict[str, Any]]
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the package prepares intensities itself."""
        return bool(self.steps)


def processing_of(steps: Sequence[Step], axes: str, channels: int) -> Processing:
    """Return how a package states the preparation of intensities.

    Parameters
    ----------
    steps : sequence of Step
        In their order.
    axes : str
        Spatial axes, ``yx`` or ``zyx``.
    channels : int
        Channels of the image.
    """
    if not steps:
        return Processing([_as_float()], ())
    said: list[dict[str, Any]] = [_as_float()]
    for step in steps:
        found = _said(step, axes, channels)
        if found is None:
            words = steps_words(steps)
            note = (
                "Intensities are not prepared by this package, as its format cannot say how: prepare them "
                f"before, like this: {words}."
            )
            return Processing([], (note,))
        said += found
    measured = any(isinstance(step, (Percentiles, ZeroMean)) for step in steps)
    note = (
        "Intensities are measured in what the network is given. Measured in each tile, they make seams: "
        "measure them once, in the whole image or in the part that holds content, and give tiles that are "
        "prepared."
    )
    return Processing(said, (note,) if measured else ())


def _as_float() -> dict[str, Any]:
    return {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}


def _said(step: Step, axes: str, channels: int) -> list[dict[str, Any]] | None:
    """Return a step in the words of a package; None where they do not say it."""
    chosen = step.channels is not None and set(step.channels) != set(range(channels))
    if chosen or getattr(step, "over", "all") != "all" or getattr(step, "floor", False):
        return None
    if isinstance(step, Clip):
        ends = {"min": step.low, "max": step.high}
        return [{"id": "clip", "kwargs": {key: end for key, end in ends.items() if end is not None}}]
    if isinstance(step, Linear):
        return [_linear(step, channels)]
    if step.eps > _MOST_EPS:
        return None
    over = [*(() if step.per_channel else ("channel",)), *axes]
    measured = {"axes": over, "eps": max(step.eps, _LEAST_EPS)}
    if isinstance(step, ZeroMean):
        return [{"id": "zero_mean_unit_variance", "kwargs": measured}]
    if step.low >= 100 or step.high <= 1:
        return None
    ends = {"min_percentile": step.low, "max_percentile": step.high}
    found: list[dict[str, Any]] = [{"id": "scale_range", "kwargs": {**measured, **ends}}]
    if step.clip:
        found.append({"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}})
    low, high = step.to
    if (low, high) != (0.0, 1.0):
        found.append({"id": "scale_linear", "kwargs": {"gain": high - low, "offset": low}})
    return found


def _linear(step: Linear, channels: int) -> dict[str, Any]:
    gain, offset = step.gain, step.offset
    if isinstance(gain, float) and isinstance(offset, float):
        return {"id": "scale_linear", "kwargs": {"gain": gain, "offset": offset}}
    order = step.indices(channels)
    numbers = {}
    for name, value in (("gain", gain), ("offset", offset)):
        each = value if isinstance(value, tuple) else (value,) * channels
        # Numbers stand in the order in which the step names its channels.
        numbers[name] = [dict(zip(order, each, strict=False)).get(at, each[0]) for at in range(channels)]
    return {"id": "scale_linear", "kwargs": {"axis": "channel", **numbers}}
