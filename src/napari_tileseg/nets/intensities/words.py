"""Steps of the preparation of intensities in words."""

from __future__ import annotations

from collections.abc import Sequence

from napari_tileseg._words import few
from napari_tileseg.nets.intensities.steps import Clip, Linear, Numbers, Over, Percentiles, Step, ZeroMean

_OVER: dict[Over, str] = {
    "all": "",
    "box": " of the box around what is not zero",
    "mask": " of what is not zero and the holes in it, the rest left as it is",
    "nonzero": " of the values that are not zero, zeros left as they are",
}


def steps_words(steps: Sequence[Step]) -> str:
    """Return all steps in their order, as part of a sentence.

    Examples
    --------
    >>> steps_words([Clip(low=0, high=255), ZeroMean(eps=1e-6)])
    'clipped to 0 - 255, then zero mean and unit variance (1e-06 added to the deviation)'
    """
    return ", then ".join(map(step_words, steps)) or "as they are"


def step_words(step: Step) -> str:
    """Return what one step does.

    Examples
    --------
    >>> step_words(Percentiles(low=1, high=99, per_channel=False, channels=(0, 1)))
    'percentiles 1 and 99 to 0 - 1, channels together (channels 0, 1)'
    """
    about = "" if step.channels is None else _channels(step.channels)
    return f"{_done(step)}{about}"


def _channels(channels: tuple[int, ...]) -> str:
    names = few([str(each) for each in channels], 8)
    return f" (channel{'s' if len(channels) > 1 else ''} {names})"


def _done(step: Step) -> str:
    if isinstance(step, Linear):
        return f"times {_numbers(step.gain)} plus {_numbers(step.offset)}{_OVER[step.over]}"
    if isinstance(step, Clip):
        if step.high is None:
            return f"clipped to {step.low:g} at least"
        return (
            f"clipped to {step.high:g} at most"
            if step.low is None
            else (f"clipped to {step.low:g} - {step.high:g}")
        )
    return _measured(step)


def _measured(step: ZeroMean | Percentiles) -> str:
    if isinstance(step, ZeroMean):
        what, divisor = "zero mean and unit variance", "deviation"
    else:
        ends = (
            "minimum and maximum"
            if (step.low, step.high) == (0, 100)
            else (f"percentiles {step.low:g} and {step.high:g}")
        )
        what = f"{ends} to {step.to[0]:g} - {step.to[1]:g}{', clipped' if step.clip else ''}"
        divisor = "distance"
    together = "" if step.per_channel else ", channels together"
    if step.floor:
        eps = f" ({divisor} at least {step.eps:g})"
    else:
        eps = f" ({step.eps:g} added to the {divisor})" if step.eps else ""
    return f"{what}{_OVER[step.over]}{together}{eps}"


def _numbers(values: Numbers) -> str:
    return f"{values:g}" if isinstance(values, float) else few([f"{each:g}" for each in values], 4)
