"""What a diagnosis found, and how it reads as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from napari_tileseg.diagnosis.causes.causes import Audit
from napari_tileseg.diagnosis.measures.disparity import Disparity
from napari_tileseg.diagnosis.measures.mismatch import Mismatch
from napari_tileseg.diagnosis.measures.statistics import TileStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDiagnosis:
    """What was found of one class.

    Parameters
    ----------
    name : str
        The class.
    tile_mismatch, tile_mismatch_thresholded : float
        Mean over pairs of 1 - Dice of probabilities and of masks.
    interval : tuple of float or None
        95 % confidence interval of `tile_mismatch`, where pairs are a sample.
    empty_pairs : int
        Pairs whose masks are both empty.
    train_eval_disparity, train_eval_disparity_thresholded : float or None
        Mean over tiles of 1 - Dice; None where the network cannot be switched.
    dice_eval, dice_train : float or None
        Dice with the labels with running and with batch statistics; None without labels, or where the
        network cannot be switched.
    """

    name: str
    tile_mismatch: float
    tile_mismatch_thresholded: float
    interval: tuple[float, float] | None
    empty_pairs: int
    train_eval_disparity: float | None
    train_eval_disparity_thresholded: float | None
    dice_eval: float | None = None
    dice_train: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was found.

    Parameters
    ----------
    image, network : str
        Names.
    classes : tuple of ClassDiagnosis
        One for each class.
    mismatch : Mismatch
        Of the pairs of tiles.
    disparity : Disparity
        Of the tiles.
    statistics : TileStatistics
        Of the normalization layers in the tiles of the pairs.
    audit : Audit
        Why tiles disagree.
    labelled : bool
        Whether there were labels.
    voxels : int
        Voxels that went through the network at most (a tile that two pairs share is predicted once; labels
        cost their tiles again).
    prediction_voxels, image_voxels : int
        Those that the prediction of what is looked at takes, with the context of its tiles, and those of the
        image or its box.
    """

    image: str
    network: str
    classes: tuple[ClassDiagnosis, ...]
    mismatch: Mismatch
    disparity: Disparity
    statistics: TileStatistics
    audit: Audit
    labelled: bool
    voxels: int
    prediction_voxels: int
    image_voxels: int

    @property
    def seam_free(self) -> bool:
        """Whether all tiles that were compared agree, those of the audit included."""
        return self.mismatch.seam_free and self.audit.seam_free

    @property
    def max_abs_difference(self) -> float:
        """Largest absolute difference of two tiles, those of the audit included."""
        return max(self.mismatch.max_abs_difference, self.audit.largest_difference or 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `dice_eval` and `dice_train` only with labels."""
        mismatch = self.mismatch
        return {
            "image": self.image,
            "network": self.network,
            "classes": [self._class(each) for each in self.classes],
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
        }

    def _class(self, found: ClassDiagnosis) -> dict[str, Any]:
        values = asdict(found)
        return values if self.labelled else {k: v for k, v in values.items() if not k.startswith("dice_")}
