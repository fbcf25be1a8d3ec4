"""The intensities of a configuration of pytorch-3dunet: what its loader does to the raw image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import entries, mapping, number
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, Step, ZeroMean
from napari_tileseg.nets.spec import InputNormalization

#: Phases of a loader, the one like prediction first.
_PHASES = ("test", "val", "train")
#: What is done to images for training alone, or to their type.
_NO_INTENSITIES = {
    *("RandomFlip", "RandomRotate90", "RandomRotate", "ElasticDeformation", "CropToFixed", "RandomContrast"),
    *("AdditiveGaussianNoise", "AdditivePoissonNoise", "GaussianBlur3D", "ToTensor", "Identity"),
}
_EPS = 1e-10
_NAMED = 5


def preparation_of(
    loaders: Mapping[str, Any], in_channels: int, source: str
) -> tuple[InputNormalization | None, tuple[str, ...]]:
    """Return how intensities are prepared, None where that is not stated, and what could not be taken.

    Parameters
    ----------
    loaders : mapping
        That part of the configuration.
    in_channels : int
        Channels of the image.
    source : str
        The configuration, for messages.
    """
    stated = (mapping(mapping(loaders.get(phase)).get("transformer")).get("raw") for phase in _PHASES)
    transforms = next((each for each in stated if isinstance(each, list)), None)
    if transforms is None:
        return None, ()
    steps: list[Step] = []
    left: list[str] = []
    for each in entries(transforms):
        name = str(mapping(each).get("name"))[:60]
        if name in _NO_INTENSITIES:
            continue
        try:
            steps += _STEPS[name](mapping(each), in_channels)
        except (KeyError, NetworkError):
            left.append(name)
    notes = (f"{source} prepares intensities by {few(left, _NAMED)}, which is left out.",) if left else ()
    return InputNormalization.of_steps(steps), (*notes, *_of_what(steps, loaders, source))


def assumed_preparation(in_channels: int) -> tuple[InputNormalization, str]:
    """Return how intensities are prepared where nothing says so, and a sentence that says it is assumed."""
    return InputNormalization.of_steps(_standardize({}, in_channels)), (
        "Intensities are brought to zero mean and unit variance over the whole image, because nothing says "
        "how the network wants them, and PanSeg does so for all of its networks; the setting normalize can."
    )


def _of_what(steps: Sequence[Step], loaders: Mapping[str, Any], source: str) -> Iterator[str]:
    """Say where intensities were not, or perhaps not, measured over the whole image."""
    whole = loaders.get("global_normalization")
    if whole is True or not any(isinstance(step, (ZeroMean, Percentiles)) for step in steps):
        return
    said = "measures intensities in each patch by itself (global_normalization is false)"
    if whole is not False:
        said = (
            "does not say over what intensities are measured (global_normalization): over each patch by "
            "itself in some versions of pytorch-3dunet, over the whole image in others and in PanSeg"
        )
    yield f"{source} {said}. Here it is the whole image, so that tiles agree."


def _standardize(stated: Mapping[str, Any], in_channels: int) -> list[Step]:
    mean, spread, eps = (number(stated.get(key)) for key in ("mean", "std", "eps"))
    if mean is not None and spread is not None:
        divisor = max(spread, _EPS if eps is None else eps)
        return [Linear(gain=1 / divisor, offset=-mean / divisor)]
    alone = in_channels == 1 or stated.get("channelwise") is True
    return [ZeroMean(per_channel=alone) if eps is None else ZeroMean(per_channel=alone, eps=eps, floor=True)]


def _normalize(stated: Mapping[str, Any], in_channels: int) -> list[Step]:
    low, high, eps = (number(stated.get(key)) for key in ("min_value", "max_value", "eps"))
    eps = _EPS if eps is None else eps
    to = (0.0, 1.0) if stated.get("norm01") is True else (-1.0, 1.0)
    if low is None and high is None:
        return [Percentiles(per_channel=in_channels == 1, eps=eps, clip=True, to=to)]
    if low is None or high is None or not low < high:
        raise NetworkError("one end is that of the image")
    gain = (to[1] - to[0]) / (high - low + eps)
    return [Linear(gain=gain, offset=to[0] - low * gain), Clip(low=to[0], high=to[1])]


def _percentiles(stated: Mapping[str, Any], in_channels: int) -> list[Step]:
    low, high, eps = (number(stated.get(key)) for key in ("pmin", "pmax", "eps"))
    return [
        Percentiles(
            low=1.0 if low is None else low,
            high=99.6 if high is None else high,
            eps=_EPS if eps is None else eps,
            per_channel=in_channels == 1 or stated.get("channelwise") is True,
        )
    ]


_STEPS: dict[str, Callable[[Mapping[str, Any], int], list[Step]]] = {
    "Standardize": _standardize,
    "Normalize": _normalize,
    "PercentileNormalizer": _percentiles,
}
