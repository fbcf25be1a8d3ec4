"""Transforms of intensities as steps of ours, with what MONAI does where an argument is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari_tileseg.nets.formats.bioimageio.values import number
from napari_tileseg.nets.formats.monai_bundle.config import Expression
from napari_tileseg.nets.formats.monai_bundle.transforms import NotKnownError, Transform
from napari_tileseg.nets.intensities import Clip, Linear, Over, Percentiles, Step, ZeroMean

#: Least divisor: an image of one value becomes 0 then, as it does for MONAI.
_LEAST = 1e-8
_FULL, _HALF = ("float32", "float", "float64", "double", "None"), ("float16", "half", "bfloat16")
_SHOWN = 40


def half_type(transform: Transform) -> str:
    """Return the half precision to which a transform rounds; "" where it does not.

    Raises
    ------
    NotKnownError
        If it brings values to a type that is no floating one.
    """
    given = transform.said("dtype")
    text = given.text if isinstance(given, Expression) else str(given)
    kind = text.rpartition(".")[2].strip("$ ")
    if kind not in (*_FULL, *_HALF):
        raise NotKnownError(f" to {kind[:_SHOWN]}")
    return kind if kind in _HALF else ""


def steps_of(transform: Transform, over: Callable[[Over], Over]) -> Iterator[Step]:
    """Yield the steps that do what a transform of intensities does.

    Parameters
    ----------
    transform : Transform
        One of `STEPS`.
    over : callable
        Says of which voxels something is measured that is to be measured of all, or of those not zero.

    Raises
    ------
    NotKnownError
        If an argument has no counterpart.
    """
    half_type(transform)
    code = [
        key for key, each in transform.arguments.items() if isinstance(each, Expression) and key != "dtype"
    ]
    if code:
        raise NotKnownError(f" with an expression as {code[0][:_SHOWN]}")
    yield from STEPS[transform.name](transform, over)


def _range(transform: Transform, _: Callable[[Over], Over]) -> Iterator[Step]:
    low, high = _need(transform, "a_min"), _need(transform, "a_max")
    if low == high:
        raise NotKnownError(" of no extent")
    first, last = _end(transform, "b_min"), _end(transform, "b_max")
    start, stop = (0.0, 1.0) if first is None or last is None else (first, last)
    gain = (stop - start) / (high - low)
    yield Linear(gain=gain, offset=start - low * gain)
    if _flag(transform, "clip") and not first is last is None:
        yield Clip(low=first, high=last)


def _percentiles(transform: Transform, over: Callable[[Over], Over]) -> Iterator[Step]:
    low, high = _need(transform, "lower"), _need(transform, "upper")
    first, last = _end(transform, "b_min"), _end(transform, "b_max")
    clip = _flag(transform, "clip")
    if first is None or last is None:
        if clip and not first is last is None:
            raise NotKnownError(" with one end alone")
        clip, first, last = False, 0.0, 1.0
    if _flag(transform, "relative"):
        extent, start = last - first, first
        first, last = start + extent * low / 100, start + extent * high / 100
    yield Percentiles(
        low=low,
        high=high,
        per_channel=_flag(transform, "channel_wise"),
        eps=_LEAST,
        floor=True,
        clip=clip,
        to=(first, last),
        over=over("all"),
    )


def _scale(transform: Transform, over: Callable[[Over], Over]) -> Iterator[Step]:
    first, last = _end(transform, "minv", 0.0), _end(transform, "maxv", 1.0)
    if first is last is None:
        factor = 0.0 if transform.said("factor") is None else _need(transform, "factor")
        yield Linear(gain=1 + factor)
        return
    yield Percentiles(
        per_channel=_flag(transform, "channel_wise"),
        eps=_LEAST,
        floor=True,
        to=(0.0, 1.0) if first is None or last is None else (first, last),
        over=over("all"),
    )


def _normalize(transform: Transform, over: Callable[[Over], Over]) -> Iterator[Step]:
    about: Over = "nonzero" if _flag(transform, "nonzero") else "all"
    per_channel = _flag(transform, "channel_wise")
    mean, deviation = transform.whole("subtrahend"), transform.whole("divisor")
    if mean is deviation is None:
        yield ZeroMean(per_channel=per_channel, eps=_LEAST, floor=True, over=over(about))
        return
    means, deviations = _numbers(mean), _numbers(deviation)
    if not means or len(means) != len(deviations):
        raise NotKnownError(" with a subtrahend or divisor alone, or what is no number")
    if len(means) > 1 and not per_channel:
        raise NotKnownError(" with several numbers, but not by channel")
    # MONAI divides by 1 where it was to divide by 0.
    gain = tuple(1 / (each or 1.0) for each in deviations)
    offset = tuple(-each * factor for each, factor in zip(means, gain, strict=True))
    if len(means) == 1:
        yield Linear(gain=gain[0], offset=offset[0], over=about)
    else:
        yield Linear(gain=gain, offset=offset, over=about)


def _shift(transform: Transform, _: Callable[[Over], Over]) -> Iterator[Step]:
    if _flag(transform, "safe"):
        raise NotKnownError(" within a type of whole numbers")
    yield Linear(offset=_need(transform, "offset"))


#: What is known of intensities, by MONAI's names.
STEPS: dict[str, Callable[[Transform, Callable[[Over], Over]], Iterator[Step]]] = {
    "ScaleIntensityRange": _range,
    "ScaleIntensityRangePercentiles": _percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalize,
    "ShiftIntensity": _shift,
}


def _need(transform: Transform, key: str) -> float:
    found = number(transform.said(key))
    if found is None:
        raise NotKnownError(f" with a {key} that is no number")
    return found


def _end(transform: Transform, key: str, usual: float | None = None) -> float | None:
    """Return one end of a range, None where it is stated so."""
    if transform.said(key, usual) is None:
        return None
    return usual if usual is not None and key not in transform.arguments else _need(transform, key)


def _flag(transform: Transform, key: str) -> bool:
    value = transform.said(key, False)
    if not isinstance(value, (bool, type(None))):
        raise NotKnownError(f" with a {key} that is neither true nor false")
    return value is True


def _numbers(value: Any) -> list[float]:
    """Return a number or a list of numbers as a list; an empty one for anything else."""
    found = [number(each) for each in (value if isinstance(value, list) else [value])]
    return [each for each in found if each is not None] if None not in found else []
