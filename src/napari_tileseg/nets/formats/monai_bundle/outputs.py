"""What a bundle does after its network: its activation, and what is not done here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from napari_tileseg._words import by_axis, few
from napari_tileseg.nets.formats.bioimageio.values import number
from napari_tileseg.nets.formats.monai_bundle.config import Config
from napari_tileseg.nets.formats.monai_bundle.transforms import NotKnownError, Reading, Transform
from napari_tileseg.nets.spec import Activation

_KEY, _EVALUATOR = "postprocessing", "evaluator"
#: Entries of a dictionary that are no output.
_ASIDE = ("image", "images", "label", "labels")
_BACK = "Invert"
#: What writes, or changes how values are stored; the program does that by itself.
_IDLE = (
    *("SaveImage", "EnsureType", "CastToType", "ToTensor", "ToDevice", "Identity", "EnsureChannelFirst"),
    *("CopyItems", "SelectItems", "DeleteItems", "FromMetaTensor", "ToMetaTensor", "SqueezeDim"),
)
_KNOWN = (*_IDLE, _BACK, "Activations", "AsDiscrete")
_NAMED, _SHOWN = 6, 12


def activation_of(config: Config) -> tuple[Activation | None, tuple[str, ...]]:
    """Return what turns outputs into probabilities, and sentences.

    Parameters
    ----------
    config : Config
        The configuration.

    Returns
    -------
    activation : {"none", "sigmoid", "softmax"} or None
        None where nothing says it.
    notes : tuple of str
        What is not done here, and what was concluded.

    Raises
    ------
    NetworkError
        If it stands for more values than any configuration holds.
    """
    value = config.value(_KEY)
    if value is None:
        evaluator = config.value(_EVALUATOR)
        value = evaluator.get(_KEY) if isinstance(evaluator, Mapping) else None
    if value is None:
        return None, ()
    try:
        listed = Reading(_KNOWN, _ASIDE).transforms(value)
    except NotKnownError as error:
        return None, (f"{config.source} processes the network's output by {error}, which is not done here.",)
    activation, notes = _chosen(listed)
    return activation, (*notes, *_left_out(listed))


def _chosen(listed: Sequence[Transform]) -> tuple[Activation | None, tuple[str, ...]]:
    """Return the first activation; where there is none, what making classes of outputs says of them."""
    for each in listed:
        if each.name == "Activations":
            if each.said("softmax", False) is True:
                return "softmax", ()
            if each.said("sigmoid", False) is True:
                return "sigmoid", ()
            return "none", (f"Its {each.written} is a function of its own, which is not done here.",)
        if each.name == "AsDiscrete" and each.said("argmax", False) is True:
            return "softmax", (
                f"Its {each.written} takes the class of the largest output; a softmax, which does not change "
                "which that is, makes probabilities of them.",
            )
        if each.name == "AsDiscrete" and number(each.said("threshold")) is not None:
            threshold = number(each.said("threshold"))
            return "none", (f"Its {each.written} cuts outputs as they are at {threshold:g}.",)
    return None, ()


def _left_out(listed: Sequence[Transform]) -> Iterator[str]:
    """Yield a sentence about steps that are not done."""
    back = next((each.written for each in listed if each.name == _BACK), None)
    if back is not None:
        yield f"Its {back} brings results back to the image's own grid, on which they are here at any rate."
    others = [each.written for each in listed if each.name not in _KNOWN]
    if others:
        yield f"It processes its output by {few(others, _NAMED)}, which is not done here."


def window_of(config: Config) -> tuple[str, ...]:
    """Return a sentence about the windows in which a bundle runs its network.

    Raises
    ------
    NetworkError
        If it stands for more values than any configuration holds.
    """
    said = config.value("inferer")
    said = said if isinstance(said, Mapping) else {}
    size = said.get("roi_size")
    if size is None or "SlidingWindow" not in str(said.get("_target_")):
        return ()
    words = by_axis(_shown(each) for each in (size if isinstance(size, list) else [size])[:3])
    overlap, mode = (_shown(said.get(key, usual)) for key, usual in (("overlap", 0.25), ("mode", "constant")))
    return (
        f"MONAI runs it in windows of {words} voxels that overlap by {overlap}, with {mode} weights; here "
        "tiles do not overlap, and are given the context that it needs.",
    )


def _shown(value: Any) -> str:
    return str(value)[:_SHOWN]
