"""A quick look at whether tiles agree: the same few pairs of tiles before and after training."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.diagnose.disparity import Disparity, DisparityMeasured, measure_disparity
from napari_tileseg.diagnose.events import PairDone, TileCompared
from napari_tileseg.diagnose.mismatch import Measured, Mismatch, measure_mismatch
from napari_tileseg.diagnose.pairs import PairPlan, network_pairs
from napari_tileseg.diagnose.regions import network_regions
from napari_tileseg.engine import Lattice
from napari_tileseg.errors import ImageError
from napari_tileseg.predict.events import Progress
from napari_tileseg.predict.plan import Plan

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Pairs of tiles that are compared.
PAIRS = 2
#: Distances between the tiles of a pair, tried in this order: a small image has room for a short one only.
_SHIFTS = (64, 32, 16, 8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class SeamCheck:
    """The pairs of tiles to compare on an image.

    Parameters
    ----------
    plan : Plan
        How the image is predicted.
    pairs : PairPlan or None
        The pairs; None where the image has no room for two tiles.
    """

    plan: Plan
    pairs: PairPlan | None

    def measure(self, network: Network) -> Generator[Progress, None, tuple[Mismatch, Disparity] | None]:
        """Compare the tiles of each pair, then batch with running statistics.

        Parameters
        ----------
        network : Network
            The network, or one with the same classes and stride.

        Raises
        ------
        NetworkError
            If a prediction is NaN or infinite.
        """
        if self.pairs is None:
            return None
        regions = network_regions(self.plan, network)
        mismatch: Mismatch | None = None
        for event in measure_mismatch(regions, self.pairs, network.spec.classes):
            if isinstance(event, Measured):
                mismatch = event.mismatch
            else:
                yield _progress("Comparing tiles", event)
        disparity: Disparity | None = None
        for told in measure_disparity(self.plan, network, self.pairs.tiles):
            if isinstance(told, DisparityMeasured):
                disparity = told.disparity
            else:
                yield _progress("Comparing statistics", told)
        assert mismatch is not None
        assert disparity is not None
        return mismatch, disparity


def check_seams(plan: Plan, network: Network, seed: int = 0) -> SeamCheck:
    """Choose the pairs: as far apart as the image has room for.

    Parameters
    ----------
    plan : Plan
        How the image is predicted.
    network : Network
        The network.
    seed : int
        Same seed, same pairs.
    """
    fixed = Lattice.of(network.spec, plan.grid.ndim).fixed
    for shift in _SHIFTS:
        try:
            pairs = network_pairs(plan, shift=shift, sample=PAIRS, seed=seed, fixed=fixed)
        except ImageError:
            continue
        return SeamCheck(plan, pairs)
    return SeamCheck(plan, None)


def _progress(what: str, event: PairDone | TileCompared) -> Progress:
    return Progress(what, event.done / event.total)
