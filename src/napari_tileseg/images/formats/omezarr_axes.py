"""What OME-Zarr metadata state about the axes of a level: names, sizes, positions, units, in each version.

Versions 0.1 to 0.3 name axes at most; 0.4 and 0.5 place levels by scales and translations, one after the
other; 0.6 places them in coordinate systems. Nothing here raises but for a version that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_tileseg.errors import ImageError
from napari_tileseg.images.axes import letter_of
from napari_tileseg.images.measures import AxisCalibration
from napari_tileseg.images.metadata import items, mapping, number, quoted, text

_TYPES = {"time": "t", "channel": "c"}
#: Versions such as 0.4, 0.6.dev4 and 0.6rc0.
_VERSION = re.compile(r"(\d+)\.(\d+)")
_NEWEST = (0, 6)
#: Sequences in sequences that are followed.
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class LevelAxes:
    """What is stated about the axes of one level.

    Parameters
    ----------
    letters : str
        Name of each axis, ``?`` where none is stated.
    calibration : mapping
        Sizes, positions and units by axis.
    notes : tuple of str
        What is not taken.
    """

    letters: str
    calibration: Mapping[str, AxisCalibration]
    notes: tuple[str, ...]


def check_version(attributes: Mapping[str, Any], multiscale: Mapping[str, Any], where: object) -> None:
    """Refuse a version of which nothing is known.

    Raises
    ------
    ImageError
        That names it.
    """
    version = text(attributes.get("version")) or text(multiscale.get("version"))
    found = _VERSION.match(version)
    if found and (int(found[1]), int(found[2])) > _NEWEST:
        raise ImageError(
            f"{where} is OME-Zarr {version}; this version of napari-tileseg reads OME-Zarr 0.1 to 0.6. Save "
            "it as OME-Zarr 0.5, or install a newer version."
        )


def level_axes(multiscale: Mapping[str, Any], level: int, ndim: int) -> LevelAxes:
    """Read what is stated about the axes of a level.

    Parameters
    ----------
    multiscale : mapping
        Entry of ``multiscales``.
    level : int
        Index in its ``datasets``.
    ndim : int
        Number of axes of the level's array.
    """
    datasets = items(multiscale.get("datasets"))
    own = [mapping(each) for each in items(mapping(datasets[level]).get("coordinateTransformations"))]
    shared = [mapping(each) for each in items(multiscale.get("coordinateTransformations"))]
    if "coordinateSystems" not in multiscale:
        axes, notes = items(multiscale.get("axes")), []
        steps = [*own, *shared]
    else:
        system = _intrinsic(multiscale, datasets)
        axes = items(system.get("axes"))
        named = [each for each in own if _system(each) == text(system.get("name"))]
        steps, notes = (named[:1] or own[:1]), _unapplied(shared)
        if len(own) > 1 and not any(_system(each) for each in own):
            steps = own
    letters = _letters(axes, ndim)
    if axes and len(axes) != ndim:
        notes = [*notes, f"The metadata name {len(axes)} axes of an array of {ndim}; they are not used."]
    calibration, more = _placed(steps, letters, axes)
    return LevelAxes(letters, calibration, (*notes, *more, *_unnamed(letters, axes)))


def _system(transformation: Mapping[str, Any]) -> str:
    """Name of the coordinate system that a transformation leads to."""
    output = transformation.get("output")
    return text(output) or text(mapping(output).get("name"))


def _intrinsic(multiscale: Mapping[str, Any], datasets: Sequence[Any]) -> Mapping[str, Any]:
    """Return the system to which all levels lead; an empty one where that is in doubt."""
    systems = [mapping(each) for each in items(multiscale.get("coordinateSystems"))]
    outputs = [
        {_system(mapping(each)) for each in items(mapping(dataset).get("coordinateTransformations"))} - {""}
        for dataset in datasets
    ]
    common = set.intersection(*outputs) if outputs else set()
    fitting = [each for each in systems if text(each.get("name")) in common]
    if not any(outputs) and len(systems) == 1:
        return systems[0]
    return fitting[0] if len(fitting) == 1 else {}


def _unapplied(transformations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the ways to other coordinate systems: the intrinsic one alone is always valid."""
    if not transformations:
        return []
    kinds = ", ".join(dict.fromkeys(text(each.get("type")) or "unknown" for each in transformations))
    return [
        f"The image is placed by its scale and translation; what leads to its other coordinate systems "
        f"({kinds}) is not applied."
    ]


def _letters(axes: Sequence[Any], ndim: int) -> str:
    if len(axes) != ndim:
        return "?" * ndim
    letters = [_letter(axis) for axis in axes]
    given = [letter for letter in letters if letter != "?"]
    return "".join(letters) if len(set(given)) == len(given) else "?" * ndim


def _letter(axis: Any) -> str:
    named = axis if isinstance(axis, Mapping) else {"name": axis}
    return letter_of(text(named.get("name"))) or _TYPES.get(text(named.get("type")), "?")


def _unnamed(letters: str, axes: Sequence[Any]) -> list[str]:
    """Name the axes whose sizes are given to none."""
    if not axes or len(axes) != len(letters) or "?" not in letters:
        return []
    unknown = [axis for letter, axis in zip(letters, axes, strict=True) if letter == "?"]
    names = ", ".join(quoted(mapping(axis).get("name", axis)) for axis in unknown)
    return [f"The metadata name axes {names}; sizes are taken of t, c, z, y and x alone."]


def _placed(
    steps: Sequence[Mapping[str, Any]], letters: str, axes: Sequence[Any]
) -> tuple[dict[str, AxisCalibration], list[str]]:
    """Return the sizes and positions that scales and translations give one after the other."""
    flat = _flat(steps, _DEPTH)
    ndim = len(letters)
    wrong = next((each for each in flat if not _is_simple(each, ndim)), None)
    if wrong is not None:
        kind = text(wrong.get("type")) or "transformation"
        return {}, [
            f"The level is placed by a {kind} that is no scale or translation of {ndim} numbers: its voxel "
            "size and position are not taken."
        ]
    if not flat:
        return {}, []
    units = [mapping(axis).get("unit") for axis in axes] if len(axes) == ndim else [None] * ndim
    found = {
        letter: _along(flat, index, unit)
        for index, (letter, unit) in enumerate(zip(letters, units, strict=True))
        if letter not in {"?", "c"}
    }
    return found, []


def _flat(steps: Sequence[Mapping[str, Any]], depth: int) -> list[Mapping[str, Any]]:
    """Return the steps with those of sequences inserted."""
    found: list[Mapping[str, Any]] = []
    for step in steps:
        inner = [mapping(each) for each in items(step.get("transformations"))]
        found += _flat(inner, depth - 1) if text(step.get("type")) == "sequence" and depth else [step]
    return found


def _is_simple(step: Mapping[str, Any], ndim: int) -> bool:
    kind = text(step.get("type"))
    return kind == "identity" or (kind in {"scale", "translation"} and len(items(step.get(kind))) == ndim)


def _along(steps: Sequence[Mapping[str, Any]], index: int, unit: object) -> AxisCalibration:
    """Return the size and position along one axis; a value that is no number is handed on, to be named."""
    size: Any = 1.0
    start: Any = 0.0
    for step in steps:
        kind = text(step.get("type"))
        value = items(step.get(kind))[index] if kind != "identity" else 1.0
        known = number(value)
        if kind == "translation":
            start = start + known if isinstance(start, float) and known is not None else value
        elif known is None or not isinstance(size, float):
            size = size if not isinstance(size, float) else value
        else:
            size, start = size * known, start * known if isinstance(start, float) else start
    return AxisCalibration(size, start, unit)
