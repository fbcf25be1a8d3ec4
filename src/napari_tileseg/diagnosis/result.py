"""What a whole diagnosis found, from its measures to the panel, the report, the project and the shell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from napari_tileseg._types import Shape
from napari_tileseg.diagnosis.measured import (
    ClassDisparity,
    ClassMismatch,
    Disparity,
    Mismatch,
    TileStatistics,
)

#: Disparity from which running statistics do not fit.
DISPARITY = 0.05

Candidate: TypeAlias = Literal[
    "feature normalization",
    "input normalization",
    "halo",
    "alignment to the stride",
    "chance",
    "the rest",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why tiles disagree.

    Parameters
    ----------
    name : str
        ``feature normalization``, ``input normalization``, ``halo``, ``alignment to the stride``,
        ``chance`` or ``the rest``.
    share : float or None
        Part of the mismatch that it makes, 0 to 1, of all causes 1 together; None where nothing was measured.
    layers : tuple of str
        Paths of the layers to blame, the worst first.
    sentence, cure : str
        What is wrong, and what to do.
    difference_without : float or None
        Largest absolute difference of two tiles once it is taken away; None where nothing was measured.
    """

    name: Candidate
    share: float | None
    layers: tuple[str, ...]
    sentence: str
    cure: str
    difference_without: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEffect:
    """How much one layer does to make tiles disagree.

    Parameters
    ----------
    path, kind : str
        Of the layer.
    distance : float
        Mean distance of its mean in a tile from that in the audited tiles together, in standard deviations.
    gone : float or None
        Part of the first pair's mismatch that goes when this layer alone is held fixed; below 0 where it
        grows, None where that was not tested.
    """

    path: str
    kind: str
    distance: float
    gone: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Why tiles disagree, and what to do.

    Parameters
    ----------
    causes : tuple of Cause
        Largest share first; empty where tiles agree.
    cause, cure : str
        One sentence each, of the first.
    layers : tuple of LayerEffect
        Layers that use the statistics of a tile, the worst first.
    mean_difference, largest_difference : float or None
        Between the audited tiles as they are; None where nothing was measured.
    seam_free : bool
        Whether the audited tiles agree, to float tolerance.
    pairs : int
        Pairs of tiles looked at.
    tile : tuple of int
        Voxels of the first of them.
    voxels : int
        Voxels that went through the network.
    """

    causes: tuple[Cause, ...]
    cause: str
    cure: str
    layers: tuple[LayerEffect, ...] = ()
    mean_difference: float | None = None
    largest_difference: float | None = None
    seam_free: bool
    pairs: int = 0
    tile: Shape = ()
    voxels: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDiagnosis:
    """What was found of one class.

    Parameters
    ----------
    mismatch : ClassMismatch
        Between pairs of tiles.
    disparity : ClassDisparity
        Between running and batch statistics.
    dice_eval, dice_train : float or None
        Dice with the labels with running and with batch statistics; None without labels, or where the
        network cannot be switched.
    """

    mismatch: ClassMismatch
    disparity: ClassDisparity
    dice_eval: float | None = None
    dice_train: float | None = None

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.mismatch.name

    def as_dict(self, *, labelled: bool) -> dict[str, Any]:
        """Return plain values, ready for JSON; Dice only with labels."""
        tiles, modes = self.mismatch, self.disparity
        values = {
            "name": self.name,
            "tile_mismatch": tiles.tile_mismatch,
            "tile_mismatch_thresholded": tiles.tile_mismatch_thresholded,
            "interval": tiles.interval,
            "empty_pairs": tiles.empty_pairs,
            "train_eval_disparity": modes.train_eval_disparity,
            "train_eval_disparity_thresholded": modes.train_eval_disparity_thresholded,
        }
        return values | ({"dice_eval": self.dice_eval, "dice_train": self.dice_train} if labelled else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was found.

    Parameters
    ----------
    image, network : str
        Names.
    axes : str
        Names of the axes of the grid that was tiled.
    shape, core : tuple of int
        Voxels of that grid, and of the core of a tile.
    mismatch : Mismatch
        Of the pairs of tiles.
    disparity : Disparity
        Of the tiles.
    statistics : TileStatistics
        Of the normalization layers in the tiles of the pairs.
    audit : Audit
        Why tiles disagree.
    dice : tuple of (float, float or None), optional
        For each class Dice with the labels with running and with batch statistics; None without labels.
    voxels : int
        Voxels that went through the network at most (a tile that two pairs share is predicted once; labels
        cost their tiles again).
    prediction_voxels, image_voxels : int
        Those that the prediction of what is looked at takes, with the context of its tiles, and those of the
        image or its box.
    intensities : str
        How they were prepared, in words; "" where an earlier version did not record it.
    """

    image: str
    network: str
    axes: str
    shape: Shape
    core: Shape
    mismatch: Mismatch
    disparity: Disparity
    statistics: TileStatistics
    audit: Audit
    dice: tuple[tuple[float | None, float | None], ...] | None
    voxels: int
    prediction_voxels: int
    image_voxels: int
    intensities: str = ""

    @property
    def classes(self) -> tuple[ClassDiagnosis, ...]:
        """Results of each class."""
        unknown = ((None, None),) * len(self.mismatch.classes)
        rows = zip(self.mismatch.classes, self.disparity.classes, self.dice or unknown, strict=True)
        return tuple(
            ClassDiagnosis(mismatch=tiles, disparity=modes, dice_eval=usual, dice_train=batch)
            for tiles, modes, (usual, batch) in rows
        )

    @property
    def labelled(self) -> bool:
        """Whether there were labels."""
        return self.dice is not None

    @property
    def seam_free(self) -> bool:
        """Whether all tiles that were compared agree, those of the audit included."""
        return self.mismatch.seam_free and self.audit.seam_free

    @property
    def of_statistics(self) -> bool:
        """Whether tiles disagree because of layers that may be given numbers which are those of all tiles."""
        guilty = (
            cause.name == "feature normalization" or (cause.name == "the rest" and cause.layers)
            for cause in self.audit.causes
        )
        return bool(self.mismatch.worst) and any(guilty)

    @property
    def max_abs_difference(self) -> float:
        """Largest absolute difference of two tiles, those of the audit included."""
        return max(self.mismatch.max_abs_difference, self.audit.largest_difference or 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; `dice_eval` and `dice_train` only with labels."""
        mismatch = self.mismatch
        return {
            "image": self.image,
            "network": self.network,
            "classes": [each.as_dict(labelled=self.labelled) for each in self.classes],
            "max_dice_mismatch": mismatch.max_dice_mismatch,
            "max_abs_difference": self.max_abs_difference,
            "mean_abs_difference": mismatch.mean_abs_difference,
            "seam_free": self.seam_free,
            "tolerance": mismatch.tolerance,
            "pairs": mismatch.pairs,
            "pairs_in_all": mismatch.total,
            "compared": mismatch.compared,
            "tile": list(mismatch.tile),
            "halo": [list(pair) for pair in mismatch.halo],
            "stride": list(mismatch.stride),
            "shift": list(mismatch.shift),
            "skipped": [{"axis": axis, "reason": reason} for axis, reason in mismatch.skipped],
            "causes": [{**cause.as_dict(), "layers": list(cause.layers)} for cause in self.audit.causes],
            "cause": self.audit.cause,
            "cure": self.audit.cure,
            "disparity": {
                "reason": self.disparity.reason,
                "max_abs_difference": self.disparity.max_abs_difference,
                "tiles": self.disparity.tiles,
            },
            "layers": [asdict(layer) for layer in self.statistics.layers],
            "voxels": self.voxels,
            "prediction_voxels": self.prediction_voxels,
            "image_voxels": self.image_voxels,
            "intensities": self.intensities,
        }
