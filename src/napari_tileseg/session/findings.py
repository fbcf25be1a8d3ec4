"""What a diagnosis found, as it is shown and kept in a project folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._types import Shape
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.session.home import write_text
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.diagnose.diagnosis import Diagnosis

FOLDER = "diagnoses"
FILE = "diagnosis.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Two predictions of the same voxels along a line.

    Parameters
    ----------
    axis : str
        Name of the axis that the line follows.
    start : int
        Voxel of the image at which it starts.
    first, second : tuple of float
        Probabilities that both tiles give, voxel by voxel.
    """

    axis: str
    start: int
    first: tuple[float, ...]
    second: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One of the places where two tiles differ most.

    Parameters
    ----------
    point : tuple of int
        Voxel of the image.
    class_name : str
        The class.
    difference : float
        Absolute difference there.
    first, second : Box
        The two tiles, in voxels of the image.
    profile : Profile, optional
        Both predictions along a line through the point.
    """

    point: Shape
    class_name: str
    difference: float
    first: Box
    second: Box
    profile: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFinding:
    """The numbers of one class; see `napari_tileseg.diagnose.ClassMismatch` and `ClassDisparity`.

    Parameters
    ----------
    name : str
        The class.
    mismatch : float
        Mean over pairs of tiles of 1 - Dice of the probabilities.
    interval : tuple of float, optional
        95 % confidence interval of it, where pairs were drawn at random.
    worst : float
        Largest 1 - Dice of a pair.
    disparity : float, optional
        Mean over tiles of 1 - Dice between batch and running statistics; None where it cannot be measured.
    dice, dice_train : float, optional
        Dice with the labels, with running and with batch statistics; None without labels.
    """

    name: str
    mismatch: float
    interval: tuple[float, float] | None
    worst: float
    disparity: float | None
    dice: float | None = None
    dice_train: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a diagnosis found.

    Parameters
    ----------
    folder : Path
        Where it is kept.
    when : str
        Local time, to the second, as ISO 8601 writes it.
    look_at : str
        ``view``, ``sample`` or ``everything``.
    image, network : str
        Names.
    axes : str
        Names of the axes of the grid that was tiled.
    shape : tuple of int
        Voxels of it.
    seam_free : bool
        Whether all tiles that were compared agree, to `tolerance`.
    largest : float
        Largest absolute difference.
    tolerance : float
        Difference that rounding explains.
    pairs, total : int
        Pairs compared, and pairs in all.
    cause, cure : str
        One sentence each.
    causes : tuple of (str, float or None)
        Name and share of each cause, largest first.
    disparity_words : str
        What was switched, or why the disparity is 0, or why it was not measured.
    notes : tuple of str
        Axes along which no tiles were compared, and why.
    classes : tuple of ClassFinding
        One for each class.
    places : tuple of Place
        Worst first.
    counts, edges : tuple
        Histogram of the absolute differences.
    """

    folder: Path
    when: str
    look_at: str
    image: str
    network: str
    axes: str
    shape: Shape
    seam_free: bool
    largest: float
    tolerance: float
    pairs: int
    total: int
    cause: str
    cure: str
    causes: tuple[tuple[str, float | None], ...]
    disparity_words: str
    notes: tuple[str, ...]
    classes: tuple[ClassFinding, ...]
    places: tuple[Place, ...]
    counts: tuple[int, ...]
    edges: tuple[float, ...]

    @property
    def heatmap(self) -> Path:
        """Array ``(classes, *grid)`` of the absolute differences, NaN where nothing was compared."""
        whole = self.folder / "map.zarr"
        return whole if whole.exists() else self.folder / "pairs.zarr"


def keep_diagnosis(
    folder: Path,
    diagnosis: Diagnosis,
    look_at: str,
    tiled: Image,
    profiles: Mapping[tuple[Box, Box, str], Profile],
) -> Finding:
    """Write a diagnosis into its folder, and give what is shown of it.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    mismatch = diagnosis.mismatch
    values = diagnosis.as_dict() | {
        "format": _FORMAT,
        "when": datetime.now().astimezone().isoformat(timespec="seconds"),
        "look_at": look_at,
        "grid": {"axes": tiled.grid_axes, "shape": list(tiled.shape)},
        "histogram": {"counts": list(mismatch.histogram.counts), "edges": list(mismatch.histogram.edges)},
        "worst_of_class": [each.worst for each in mismatch.classes],
        "worst": [
            {
                "point": list(place.point),
                "class_name": place.class_name,
                "difference": place.difference,
                "first": _box_values(place.first),
                "second": _box_values(place.second),
                "profile": _profile_values(profiles.get((place.first, place.second, place.class_name))),
            }
            for place in mismatch.worst
        ],
    }
    try:
        write_text(folder / FILE, json.dumps(values, indent=1))
    except OSError as error:
        raise StoreError(
            f"The diagnosis should be written to {folder}; {error}. Free some space, or choose another "
            "folder with TILESEG_HOME."
        ) from error
    return read_finding(folder)


def read_finding(folder: Path) -> Finding:
    """Read what a diagnosis found.

    Raises
    ------
    StoreError
        If there is none, or it is damaged or of a later format.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise StoreError(
                f"{path} should be of format {_FORMAT}; it is of {values['format']!r}. "
                "Update napari-tileseg to open it."
            )
        return _finding(values, folder)
    except (OSError, json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} should hold a diagnosis; it cannot be read ({error}). Remove {folder}, and diagnose "
            "again."
        ) from error


def read_findings(project: Path) -> tuple[Finding, ...]:
    """Findings that a project folder holds, oldest first; those that cannot be read are left out."""
    found = []
    for path in sorted((project / FOLDER).glob(f"*/{FILE}")):
        try:
            found.append(read_finding(path.parent))
        except StoreError:
            continue  # a damaged or newer one does not keep the others from being shown
    return tuple(found)


def new_folder(project: Path) -> Path:
    """Make the folder of the next diagnosis."""
    parent = project / FOLDER
    taken = [int(path.name) for path in parent.glob("[0-9]*") if path.name.isdigit()]
    folder = parent / f"{max(taken, default=0) + 1:04}"
    folder.mkdir(parents=True)
    return folder


def _finding(values: Mapping[str, Any], folder: Path) -> Finding:
    rows = zip(values["classes"], values["worst_of_class"], strict=True)
    return Finding(
        folder=folder,
        axes=values["grid"]["axes"],
        shape=tuple(values["grid"]["shape"]),
        largest=values["max_abs_difference"],
        total=values["pairs_in_all"],
        causes=tuple((cause["name"], cause["share"]) for cause in values["causes"]),
        disparity_words=values["disparity"]["reason"],
        notes=tuple(f"{each['axis']}: {each['reason']}" for each in values["skipped"]),
        classes=tuple(_class(row, worst) for row, worst in rows),
        places=tuple(_place(each) for each in values["worst"]),
        counts=tuple(values["histogram"]["counts"]),
        edges=tuple(values["histogram"]["edges"]),
        **{
            name: values[name]
            for name in (
                "when",
                "look_at",
                "image",
                "network",
                "seam_free",
                "tolerance",
                "pairs",
                "cause",
                "cure",
            )
        },
    )


def _class(row: Mapping[str, Any], worst: float) -> ClassFinding:
    interval = row["interval"]
    return ClassFinding(
        name=row["name"],
        mismatch=row["tile_mismatch"],
        interval=None if interval is None else (interval[0], interval[1]),
        worst=worst,
        disparity=row["train_eval_disparity"],
        dice=row.get("dice_eval"),
        dice_train=row.get("dice_train"),
    )


def _place(values: Mapping[str, Any]) -> Place:
    profile = values["profile"]
    return Place(
        point=tuple(values["point"]),
        class_name=values["class_name"],
        difference=values["difference"],
        first=_box(values["first"]),
        second=_box(values["second"]),
        profile=None
        if profile is None
        else Profile(
            axis=profile["axis"],
            start=profile["start"],
            first=tuple(profile["first"]),
            second=tuple(profile["second"]),
        ),
    )


def _box_values(box: Box) -> dict[str, list[int]]:
    return {"start": list(box.start), "stop": list(box.stop)}


def _box(values: Mapping[str, Any]) -> Box:
    return Box(tuple(values["start"]), tuple(values["stop"]))


def _profile_values(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "axis": profile.axis,
        "start": profile.start,
        "first": list(profile.first),
        "second": list(profile.second),
    }
