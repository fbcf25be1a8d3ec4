"""What the description of a bioimage.io package says of a network whose file lies beside it.

Only data is read. Whatever has no counterpart here becomes a note, and whatever makes no sense too: a value
in somebody else's description is no reason not to open a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from napari_tileseg._yaml import read_yaml
from napari_tileseg.errors import NetworkError, answering, reason_of
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.spec import Activation, InputNormalization

NAMES = ("bioimageio.yaml", "rdf.yaml", "bioimageio.yml", "rdf.yml")
#: Steps that change nothing here: numbers are float32 anyway.
_IDLE = ("ensure_dtype",)
_AXES = {"x": "bcx", "yx": "bcyx", "zyx": "bczyx"}
_MICROMETERS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "angstrom": 1e-4}


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of processing: its name, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


def described_beside(path: Path, sha256: str) -> Description | None:
    """Return what a package's description beside a network's file says of it.

    Parameters
    ----------
    path : Path
        The network's file.
    sha256 : str
        Hash of its bytes.

    Returns
    -------
    Description or None
        None where there is none, or it is about other files. What could not be taken stands in its `notes`.
    """
    for beside in (path.with_name(name) for name in NAMES):
        if not beside.is_file():
            continue
        try:
            with answering(NetworkError, f"{beside.name} should describe a bioimage.io model", "Mend it."):
                said = read_yaml(beside)
                return _described(said, beside.name) if _is_about(said, path.name, sha256) else None
        except NetworkError as error:
            return Description(notes=(f"{beside.name} beside the network is not used: {reason_of(error)}.",))
    return None


def _is_about(said: Any, name: str, sha256: str) -> bool:
    """Return whether one of the weights that a description names is this file, by its name or its hash."""
    weights = [_mapping(each) for each in _mapping(_mapping(said).get("weights")).values()]
    return any(
        PurePosixPath(str(each.get("source"))).name == name or each.get("sha256") == sha256
        for each in weights
    )


def _described(said: Any, source: str) -> Description:
    inputs, outputs = _list(_mapping(said).get("inputs")), _list(_mapping(said).get("outputs"))
    notes: list[str] = []
    if len(inputs) != 1 or len(outputs) != 1:
        notes.append(f"{source} describes {len(inputs)} inputs and {len(outputs)} outputs; the first count.")
    first, last = (_mapping(next(iter(each), None)) for each in (inputs, outputs))
    letters, axes = _letters(first.get("axes")), None
    if letters in _AXES.values():
        axes = letters[2:]
    elif letters:
        notes.append(f"{source} gives the axes {letters}, which are not taken: bcyx or bczyx are expected.")
    channels = _channels(first, letters)
    normalization, about = _normalization(_steps(first.get("preprocessing")), channels, source)
    activation, more = _activation(_steps(last.get("postprocessing")), source)
    return Description(
        axes=axes,
        in_channels=channels,
        classes=_names(last),
        input_normalization=normalization,
        activation=activation,
        voxel_size=_voxel_size(first, axes),
        halo=_halo(last),
        notes=(*notes, *about, *more),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """Return a finite number, also as the only entry of a list; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and isfinite(value) else None


def _steps(value: Any) -> list[_Step]:
    """Return the steps of processing by either version's key, without those that change nothing."""
    entries = [_mapping(each) for each in _list(value)]
    steps = (_Step(str(each.get("id") or each.get("name")), _mapping(each.get("kwargs"))) for each in entries)
    return [step for step in steps if step.name not in _IDLE]


def _letters(axes: Any) -> str:
    """Return the axes as letters: a string in version 0.4, a list of mappings in 0.5."""
    if isinstance(axes, str):
        return axes
    return "".join(_letter(_mapping(each)) for each in _list(axes))


def _letter(axis: Mapping[str, Any]) -> str:
    kind = str(axis.get("type"))
    return {"batch": "b", "channel": "c", "index": "i", "time": "t"}.get(kind) or str(axis.get("id", "x"))[:1]


def _axes_of(tensor: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """Return the axes of one kind, as version 0.5 lists them."""
    return (_mapping(each) for each in _list(tensor.get("axes")) if _mapping(each).get("type") == kind)


def _channels(tensor: Mapping[str, Any], letters: str) -> int | None:
    for axis in _axes_of(tensor, "channel"):
        return len(_list(axis.get("channel_names"))) or None
    shape = _list(_mapping(tensor.get("shape")).get("min")) or _list(tensor.get("shape"))
    place = letters.find("c")
    found = shape[place] if 0 <= place < len(shape) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _names(tensor: Mapping[str, Any]) -> tuple[str, ...] | None:
    for axis in _axes_of(tensor, "channel"):
        names = _list(axis.get("channel_names"))
        if names and all(isinstance(each, str) and each for each in names):
            return tuple(names)
    return None


def _voxel_size(tensor: Mapping[str, Any], axes: str | None) -> tuple[float, ...] | None:
    """Return the voxel size in micrometers, where every axis of space has a size with a known unit."""
    sizes = [
        (_number(axis.get("scale")) or 0.0) * _MICROMETERS.get(str(axis.get("unit")), 0.0)
        for axis in _axes_of(tensor, "space")
    ]
    return tuple(sizes) if axes and len(sizes) == len(axes) and all(size > 0 for size in sizes) else None


def _halo(tensor: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the halo that is stated, for each axis of space."""
    stated = [axis.get("halo") for axis in _axes_of(tensor, "space")]
    letters, halo = _letters(tensor.get("axes")), _list(tensor.get("halo"))
    if not stated and len(letters) == len(halo):
        stated = [n for letter, n in zip(letters, halo, strict=True) if letter in "zyx"]
    known = [n for n in stated if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    return tuple(known) if known and len(known) == len(stated) else None


def _normalization(
    steps: list[_Step], channels: int | None, source: str
) -> tuple[InputNormalization | None, list[str]]:
    """Return how intensities are prepared, and what of it could not be taken."""
    if not steps:
        return InputNormalization(kind="none"), []
    if len(steps) == 1:
        found, notes = _one(steps[0], channels, source)
        if found is not None:
            return found, notes
    names = ", ".join(step.name for step in steps)
    return None, [f"{source} prepares intensities by {names} in a way that has no counterpart here."]


def _one(step: _Step, channels: int | None, source: str) -> tuple[InputNormalization | None, list[str]]:
    """Return a single step as our own, if it has a counterpart, and how the two differ."""
    said = step.arguments
    if step.name in {"fixed_zero_mean_unit_variance", "zero_mean_unit_variance"} and "mean" in said:
        mean, deviation = _number(said["mean"]), _number(said.get("std"))
        return (_linear(mean, deviation) if mean is not None and deviation else None), []
    if step.name == "zero_mean_unit_variance":
        jointly = channels != 1 and "c" in (_letters_of(said.get("axes")) or "c")
        whole = [f"{source} normalizes all channels together; here each is normalized by itself."]
        return InputNormalization(kind="zero_mean"), whole if jointly else []
    if step.name == "scale_range":
        low, high = _number(said.get("min_percentile", 0.0)), _number(said.get("max_percentile", 100.0))
        if low is None or high is None or not 0 <= low < high <= 100:
            return None, []
        clipped = [f"{source} does not clip intensities outside of the percentiles; here they are clipped."]
        found = InputNormalization(kind="quantiles", low=low, high=high)
        return found, [] if (low, high) == (0, 100) else clipped
    if step.name == "scale_linear":
        gain, offset = _number(said.get("gain", 1.0)), _number(said.get("offset", 0.0))
        return (_linear(-offset / gain, 1 / gain) if gain and offset is not None else None), []
    return None, []


def _letters_of(axes: Any) -> str:
    """Return the axes of a step: a string in version 0.4, names in 0.5."""
    if isinstance(axes, str):
        return axes
    return "".join({"channel": "c", "batch": "b"}.get(str(each), str(each)[:1]) for each in _list(axes))


def _linear(zero: float, unit: float) -> InputNormalization | None:
    """Return intensities less `zero`, over `unit`."""
    return InputNormalization(kind="range", low=zero, high=zero + unit) if unit > 0 else None


def _activation(steps: list[_Step], source: str) -> tuple[Activation, list[str]]:
    """Return what turns outputs into probabilities, and what is not done after it."""
    first = steps[0].name if steps else ""
    found: Activation = "sigmoid" if first == "sigmoid" else "softmax" if first == "softmax" else "none"
    left = [step.name for step in steps[0 if found == "none" else 1 :]]
    notes = (
        [f"{source} processes the network's output by {', '.join(left)}, which is not done."] if left else []
    )
    return found, notes
