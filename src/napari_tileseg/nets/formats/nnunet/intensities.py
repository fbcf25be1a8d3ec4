"""The normalization schemes of nnU-Net as steps, each for the channels that it is for."""

from __future__ import annotations

from collections.abc import Iterator

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.nnunet.plans import Configuration
from napari_tileseg.nets.formats.nnunet.values import Values
from napari_tileseg.nets.intensities import MOST_STEPS, Clip, Linear, Percentiles, Step, ZeroMean
from napari_tileseg.nets.spec import InputNormalization

#: Least divisor.
_LEAST = 1e-8
_NAMED = 3


def normalization_of(said: Configuration) -> tuple[InputNormalization | None, tuple[str, ...]]:
    """Return how intensities are prepared, and a sentence for what has no counterpart here.

    Parameters
    ----------
    said : Configuration
        The configuration that is in force.

    Returns
    -------
    normalization : InputNormalization or None
        None where a scheme is not known.
    notes : tuple of str
        What the user should know.

    Raises
    ------
    NetworkError
        If the statistics that a scheme needs are missing.
    """
    unknown = sorted({scheme for scheme in said.schemes if scheme not in _KNOWN})
    if unknown:
        return None, (
            f"The plans prepare intensities by {few([each[:60] for each in unknown], _NAMED)}, which is "
            "code of its own and not known here.",
        )
    steps = tuple(_steps(said))
    if len(steps) > MOST_STEPS:
        return None, (
            f"The plans prepare intensities in {len(steps)} steps; {MOST_STEPS} are taken at most.",
        )
    return InputNormalization.of_steps(steps), ()


_KNOWN = (
    "ZScoreNormalization",
    "CTNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
    "NoNormalization",
)


def _steps(said: Configuration) -> Iterator[Step]:
    def of(scheme: str, masked: bool | None = None) -> tuple[int, ...]:
        pairs = enumerate(zip(said.schemes, said.masked, strict=True))
        return tuple(n for n, (name, mask) in pairs if name == scheme and masked in {None, mask})

    def chosen(channels: tuple[int, ...]) -> tuple[int, ...] | None:
        return None if len(channels) == len(said.schemes) else channels

    # All statistics are of the image as it is, cut to the box of what is not zero.
    if within := of("ZScoreNormalization", True):
        yield ZeroMean(eps=_LEAST, floor=True, over="mask", channels=chosen(within))
    if others := of("ZScoreNormalization", False):
        yield ZeroMean(eps=_LEAST, floor=True, over="box", channels=chosen(others))
    if ranges := of("RescaleTo01Normalization"):
        yield Percentiles(eps=_LEAST, floor=True, over="box", channels=chosen(ranges))
    if bytes_ := of("RGBTo01Normalization"):
        yield Linear(gain=1 / 255, channels=chosen(bytes_))
    for channel in of("CTNormalization"):
        measured = said.intensities[channel]
        if measured is None:
            raise NetworkError(
                f"plans.json of nnU-Net should have the intensities of channel {channel}, which "
                "CTNormalization needs; there are none. Copy the trained folder again."
            )
        yield from _of_training(measured, chosen((channel,)))


def _of_training(measured: Values, channels: tuple[int, ...] | None) -> Iterator[Step]:
    """Yield the steps by the statistics of the training set."""
    gain = 1 / max(measured.number("std"), _LEAST)
    low, high = measured.number("percentile_00_5"), measured.number("percentile_99_5")
    yield Clip(low=low, high=high, channels=channels)
    yield Linear(gain=gain, offset=-measured.number("mean") * gain, channels=channels)
