"""A quick look at whether tiles agree: the same few pairs of tiles before and after training."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress, map_events
from napari_tileseg._words import by_axis
from napari_tileseg.diagnosis.heatmap import heatmap_pairs
from napari_tileseg.diagnosis.measured import Disparity, Mismatch
from napari_tileseg.diagnosis.measures.disparity import measure_disparity
from napari_tileseg.diagnosis.measures.mismatch import measure_mismatch
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan, fitting_pairs
from napari_tileseg.diagnosis.region_predictor import network_regions
from napari_tileseg.errors import SettingsError
from napari_tileseg.prediction.plan.plan import Plan

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Pairs of tiles that are compared.
PAIRS = 2


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

    @property
    def obstacle(self) -> str:
        """Why tiles are not compared, as a sentence; "" where they are."""
        if self.pairs is not None:
            return ""
        size = by_axis(self.plan.grid.shape)
        return (
            f"The image ({size} voxels) has no room for two tiles: whether they agree is not measured. A "
            "larger image tells."
        )

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
        plan = replace(self.plan, network=network)
        regions = network_regions(plan)
        comparing = measure_mismatch(regions, self.pairs, network.spec.classes)
        mismatch = yield from map_events(comparing, lambda pair: pair.progress)
        disparity = yield from measure_disparity(plan, self.pairs.tiles)
        return mismatch, disparity


def check_seams(plan: Plan, seed: int = 0, sample: int = PAIRS) -> SeamCheck:
    """Choose the pairs: as far apart as the image has room for, or else tiles of the prediction itself.

    Parameters
    ----------
    plan : Plan
        How the image is predicted.
    seed : int
        Same seed, same pairs.
    sample : int
        How many pairs, at most.
    """
    fixed = plan.tiles.lattice.fixed
    pairs = fitting_pairs(plan, sample=sample, seed=seed, fixed=fixed)
    if pairs is None:
        with suppress(SettingsError):  # such as tiles of one stride that cannot be moved
            pairs = heatmap_pairs(plan.tiles, sample=sample, seed=seed)
    return SeamCheck(plan, pairs)
