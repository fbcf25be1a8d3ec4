"""What a running diagnosis yields beside its progress."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg._progress import Progress
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.pairs.pair_plan import TilePair


@dataclass(frozen=True, slots=True, eq=False)
class PairDone:
    """A pair of tiles is predicted and compared.

    Parameters
    ----------
    pair : TilePair
        The pair.
    first, second : ndarray
        Both predictions of the pair's valid voxels: ``(classes, *pair.valid.shape)``.
    progress : Progress
        Pairs compared, this one included, and pairs in all.
    """

    pair: TilePair
    first: Array
    second: Array
    progress: Progress
