"""What a diagnosis found, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.tiling import Box
from napari_tileseg.workflows.differences import Profile

if TYPE_CHECKING:
    from napari_tileseg.prediction import Plan


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
    """The numbers of one class; see `napari_tileseg.diagnosis.ClassMismatch` and `ClassDisparity`.

    Parameters
    ----------
    name : str
        The class.
    largest : float
        Largest absolute difference of a voxel between two tiles.
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
    largest: float
    mismatch: float
    interval: tuple[float, float] | None
    worst: float
    disparity: float | None
    dice: float | None = None
    dice_train: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Which prediction something was found of.

    Parameters
    ----------
    image : str
        Its name.
    shape : tuple of int
        Voxels of the grid that was tiled.
    fingerprint : str
        Of the image's voxels; empty where it was not known.
    network, network_sha256 : str
        Name and hash of the network.
    settings : tuple of (str, str)
        Name and value, as text, of each setting that the result depends on; core and halo as they came out.
    """

    image: str
    shape: Shape
    fingerprint: str
    network: str
    network_sha256: str
    settings: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, plan: Plan, reference: ImageReference | None) -> Subject:
        """Return what is remembered of a plan."""
        image, network, grid = plan.tiles.image, plan.network, plan.grid
        chosen = {
            each.name: getattr(plan.settings, each.name) for each in knobs(PredictSettings) if each.identity
        }
        chosen |= {"core": grid.core, "halo": grid.halo, "box": (grid.box.start, grid.box.stop)}
        return cls(
            image=image.name,
            shape=image.shape,
            fingerprint="" if reference is None else reference.fingerprint,
            network=network.spec.name,
            network_sha256=network.sha256,
            settings=tuple((name, str(value)) for name, value in chosen.items()),
        )

    def changes(self, now: Subject) -> tuple[str, ...]:
        """What is another one now, in a word each."""
        known = self.fingerprint and now.fingerprint
        other = self.fingerprint != now.fingerprint if known else self.image != now.image
        if other or self.shape != now.shape:
            return ("image", *(("network",) if self.network_sha256 != now.network_sha256 else ()))
        then = dict(self.settings)
        settings = (name for name, value in now.settings if name in then and then[name] != value)
        return (*(("network",) if self.network_sha256 != now.network_sha256 else ()), *settings)


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
    core : tuple of int
        Core of the prediction's tiles.
    compared : str
        What was compared with what, as part of a sentence.
    subject : Subject
        The prediction.
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
    core: Shape
    compared: str
    subject: Subject

    @property
    def heatmap(self) -> Path:
        """Array ``(classes, *grid)`` of the absolute differences, NaN where nothing was compared."""
        return self.folder / "pairs.zarr"
