"""What the measures of a diagnosis give, as plain values that know neither network nor image."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from napari_tileseg._types import Halo, Shape
from napari_tileseg.diagnosis.pairs.pair_axes import TilePair
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMismatch:
    """Tile mismatch of one class.

    Parameters
    ----------
    name : str
        The class.
    tile_mismatch : float
        Mean over the pairs of 1 - Dice of the probabilities (`soft_dice`), 0 to 1.
    tile_mismatch_thresholded : float
        The same of the masks (`hard_dice`), 0 to 1.
    interval : tuple of float, optional
        95 % confidence interval of `tile_mismatch`, by bootstrap over pairs; None where every pair was
        compared, or one only.
    worst : float
        Largest 1 - Dice of the probabilities.
    largest : float
        Largest absolute difference of a voxel.
    empty_pairs : int
        Pairs in which neither mask has a voxel; their thresholded Dice is 1 by definition.
    """

    name: str
    tile_mismatch: float
    tile_mismatch_thresholded: float
    interval: tuple[float, float] | None
    worst: float
    largest: float
    empty_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstPlace:
    """Where two tiles differ most.

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
    valid : Box, optional
        Voxels that were compared; None where it was read from a file, which does not hold them.
    axis : int, optional
        Axis along which the second tile is moved; None where it is moved along several, or not known.
    """

    point: Shape
    class_name: str
    difference: float
    first: Box
    second: Box
    valid: Box | None = None
    axis: int | None = None

    @property
    def pair(self) -> TilePair:
        """The two tiles as a pair; only of a place that was measured, not read."""
        assert self.valid is not None
        return TilePair(self.axis, self.first, self.second, self.valid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many compared values differ by how much.

    Parameters
    ----------
    counts : tuple of int
        Values, over voxels and classes, whose absolute difference lies in each bin.
    edges : tuple of float
        Edges of the bins, one more than there are bins; the last bin holds all that is larger, too.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Tile mismatch of a network on an image.

    Parameters
    ----------
    classes : tuple of ClassMismatch
        One for each class.
    max_dice_mismatch : float
        Largest 1 - Dice of the probabilities over pairs and classes.
    max_abs_difference : float
        Largest absolute difference over pairs, classes and voxels.
    mean_abs_difference : float
        Mean absolute difference over all compared voxels and classes.
    seam_free : bool
        Whether `max_abs_difference` is within `tolerance`.
    tolerance : float
        Difference that rounding explains: that asked for, times the largest output where that is above 1.
    pairs, total : int
        Pairs compared, and pairs on the whole grid.
    tile, halo, stride, shift, skipped, compared
        Of the `PairPlan`.
    worst : tuple of WorstPlace
        Where the largest differences above the tolerance are, largest first; one a pair and class.
    largest : WorstPlace, optional
        Where the largest difference is, be it rounding; None where nothing was compared.
    histogram : Histogram
        Of the absolute differences.
    """

    classes: tuple[ClassMismatch, ...]
    max_dice_mismatch: float
    max_abs_difference: float
    mean_abs_difference: float
    seam_free: bool
    tolerance: float
    pairs: int
    total: int
    tile: Shape
    halo: Halo
    stride: Shape
    shift: Shape
    skipped: tuple[tuple[str, str], ...]
    worst: tuple[WorstPlace, ...]
    histogram: Histogram
    compared: str = ""
    largest: WorstPlace | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDisparity:
    """Train/eval disparity of one class; its numbers are None where the network cannot be switched.

    Parameters
    ----------
    name : str
        The class.
    train_eval_disparity : float, optional
        Mean over the tiles of 1 - Dice of the probabilities (`soft_dice`), 0 to 1.
    train_eval_disparity_thresholded : float, optional
        The same of the masks (`hard_dice`), 0 to 1.
    worst : float, optional
        Largest 1 - Dice of the probabilities.
    empty_tiles : int
        Tiles in which neither mask has a voxel; their thresholded Dice is 1 by definition.
    """

    name: str
    train_eval_disparity: float | None = None
    train_eval_disparity_thresholded: float | None = None
    worst: float | None = None
    empty_tiles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disparity:
    """Train/eval disparity of a network on an image.

    Parameters
    ----------
    classes : tuple of ClassDisparity
        One for each class.
    switchable : bool
        Whether the network could be switched.
    reason : str
        What was switched, or why the disparity is 0 by construction, or why it cannot be measured.
    layers : tuple of str
        Layers that were switched.
    max_abs_difference : float, optional
        Largest absolute difference over tiles, classes and voxels.
    tiles : int
        Tiles that were predicted both ways.
    """

    classes: tuple[ClassDisparity, ...]
    switchable: bool
    reason: str
    layers: tuple[str, ...]
    max_abs_difference: float | None
    tiles: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """What one normalization layer meets in tiles.

    Parameters
    ----------
    path, kind : str
        Of the layer.
    reference : {"running", "tiles"}
        What tiles are compared with: the layer's running statistics or, where it has none, the mean of the
        statistics of all tiles.
    distances : tuple of float
        For each tile the mean over channels of ``|mean of the tile - reference mean|``, in standard
        deviations of the reference.
    largest : float
        Largest such distance of one channel in one tile.
    spreads : tuple of float
        For each tile the geometric mean over channels of its standard deviation over that of the reference.
    """

    path: str
    kind: str
    reference: Literal["running", "tiles"]
    distances: tuple[float, ...]
    largest: float
    spreads: tuple[float, ...]

    @property
    def distance(self) -> float:
        """Mean over tiles."""
        return float(np.mean(self.distances))


@dataclass(frozen=True, slots=True, kw_only=True)
class TileStatistics:
    """What all normalization layers meet.

    Parameters
    ----------
    layers : tuple of LayerStatistics
        In the network's order.
    tiles : int
        Tiles that were looked at.
    reason : str
        Why there are no layers, or "".
    """

    layers: tuple[LayerStatistics, ...]
    tiles: int
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)
