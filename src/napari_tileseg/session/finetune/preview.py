"""What is in view, predicted with the newest weights between two steps of training, a little at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg._progress import Noted
from napari_tileseg._types import Shape
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Tile, TileGrid
from napari_tileseg.tiling.rounding import round_up
from napari_tileseg.workflows.finetuning_events import TileShown

if TYPE_CHECKING:
    from napari_tileseg.diagnosis.region_predictor import RegionPredictor
    from napari_tileseg.nets.network import Network
    from napari_tileseg.prediction import Plan
    from napari_tileseg.prediction.input.normalization import Normalization

#: Voxels of a tile along an axis that the view spans, and along one that it cuts.
_WIDE, _THIN = {2: 256, 3: 96}, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much of the time between steps is spent on predicting.

    Parameters
    ----------
    every : float
        Seconds between the beginnings of two turns, at least.
    turn : float
        Seconds after which a turn begins no other tile.
    share : float
        Part of the time that turns may take, where steps are so long that this is more than `turn`.
    last : float
        As `turn`, of the turn that no other one follows.
    """

    every: float = 3.0
    turn: float = 0.7
    share: float = 0.2
    last: float = 2.0


class Preview:
    """Probabilities of the network as it was, and as it is now, for tiles that are in view.

    Parameters
    ----------
    image : Image
        What is looked at.
    network : Network
        The network as it was.
    settings : PredictSettings
        How intensities are normalized, and where it is computed.
    normalization : Normalization
        Measured already.
    view : Box
        Voxels of the image in view at first; may be set from any thread.
    pace : Pace, optional
        How often, and how long, it predicts.
    """

    def __init__(
        self,
        image: Image,
        network: Network,
        settings: PredictSettings,
        normalization: Normalization,
        view: Box,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self.view = view
        #: Whether it is looked at; may be set from any thread.
        self.wanted = True
        self._network = network
        self._image = image
        self._normalization = normalization
        spec = network.spec
        self._settings = replace(settings, box=None, core=_core(spec, view), batch=1, dtype="float32")
        shape = (len(spec.classes), *image.shape)
        chunks = (1,) * (1 + len(image.shape) - spec.ndim) + (32,) * spec.ndim
        self.before = SparseArray(shape, chunks, np.float32, fill=np.nan)
        self.now = SparseArray(shape, chunks, np.float32, fill=np.nan)
        self._failed = False
        self._plan: Plan | None = None
        self._regions_before: RegionPredictor | None = None
        self._shown: dict[Shape, int] = {}
        self._turn = 0
        self._due = 0.0
        self._ended = monotonic()

    @property
    def last_seconds(self) -> float:
        """Seconds that the last turn may take."""
        return self._pace.last

    def turn(
        self, newest: Callable[[], Network], stop: Callable[[], bool], *, last: bool = False
    ) -> Iterator[TileShown | Noted]:
        """Predict a few tiles, if it is time: those shown longest ago, from the centre of the view outwards.

        What goes wrong is reported once, and nothing is predicted any more; training does not end with it.

        Parameters
        ----------
        newest : callable
            Gives the network with the newest weights.
        stop : callable
            Whether to begin no other tile.
        last : bool
            Whether no other turn follows, so that it is time in any case.
        """
        begun = monotonic()
        if self._failed or not self.wanted or stop() or (begun < self._due and not last):
            return
        pace = self._pace
        budget = pace.last if last else max(pace.turn, pace.share * (begun - self._ended))
        try:
            yield from self._tiles(newest, stop, begun + budget)
        except (TilesegError, MemoryError) as error:
            # It is looked at only; what is learned matters more.
            self._failed = True
            yield Noted(f"The live prediction stopped: {str(error).rstrip('.')}; training goes on.")
        self._ended = monotonic()
        self._due = begun + max(pace.every, (self._ended - begun) / pace.share)

    def _tiles(
        self, newest: Callable[[], Network], stop: Callable[[], bool], end: float
    ) -> Iterator[TileShown]:
        from napari_tileseg.diagnosis.region_predictor import network_regions

        network, plan = newest(), self._laid_plan()
        regions = network_regions(replace(plan, network=network))
        self._turn += 1
        for tile in self._stalest(plan.grid):
            self._predict(plan.grid, tile, regions)
            yield TileShown(plan.grid.kept(tile))
            if stop() or monotonic() > end:
                return

    def _predict(self, grid: TileGrid, tile: Tile, regions: RegionPredictor) -> None:
        core = grid.kept(tile)
        part = (slice(None), *core.within(tile.read))
        if tile.index not in self._shown:
            assert self._regions_before is not None
            self.before[(slice(None), *core.slices)] = self._regions_before(tile.read)[part]
        self.now[(slice(None), *core.slices)] = regions(tile.read)[part]
        self._shown[tile.index] = self._turn

    def _laid_plan(self) -> Plan:
        from napari_tileseg.diagnosis.region_predictor import network_regions
        from napari_tileseg.engine import WHOLE_TILES
        from napari_tileseg.prediction import lay_plan

        if self._plan is None:
            laid = lay_plan(self._image, self._network, self._settings, WHOLE_TILES)
            self._plan = replace(laid, normalization=self._normalization)
            self._regions_before = network_regions(self._plan)
        return self._plan

    def _stalest(self, grid: TileGrid) -> list[Tile]:
        view = self.view
        middle = np.add(view.start, view.stop) / 2

        def key(tile: Tile) -> tuple[int, float]:
            centre = np.add(tile.core.start, tile.core.stop) / 2
            return self._shown.get(tile.index, 0), float(np.square((centre - middle) / tile.core.shape).sum())

        return sorted(grid.tiles_in(view), key=key)


def _core(spec: NetworkSpec, view: Box) -> Shape:
    """Return the core of small tiles, flat where the view is a slice, so that one takes little time."""
    extents = view.shape[len(view.shape) - spec.ndim :]
    sizes = (_THIN if extent == 1 else _WIDE[spec.ndim] for extent in extents)
    return tuple(round_up(size, step) for size, step in zip(sizes, spec.geometry.stride, strict=True))
