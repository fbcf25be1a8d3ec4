"""Keeps the layers of a viewer up with a session's predictions, and the predictions with the view."""

from __future__ import annotations

from pathlib import Path

from napari.components import ViewerModel
from qtpy.QtCore import QObject

from napari_tileseg._napari.grid_layer import GridLayer
from napari_tileseg._napari.layer_image import placement_beside, placement_of_image
from napari_tileseg._napari.placement import Placement
from napari_tileseg._napari.results import ResultLayers
from napari_tileseg._napari.view import box_in_view, view_events
from napari_tileseg._qt.connections import Connections
from napari_tileseg._qt.timers import timer
from napari_tileseg._qt.turns import Turns
from napari_tileseg.predict.events import Started, TileDone
from napari_tileseg.session import Ended, Result, Session
from napari_tileseg.tiling import Box, TileGrid

#: Least time between two drawings of finished tiles, and from a change of the view to its effect.
REFRESH_MS = 150
VIEW_MS = 80


class LiveLayers(QObject):
    """Layers of a session's results, while they are made and afterwards.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    session : Session
        Whose results they are.
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._probabilities, self._labels, self._grid_shown = True, False, False
        self._layers: dict[Path, ResultLayers] = {}
        self._image_placement: Placement | None = None
        self._run: _Run | None = None
        self._grid = GridLayer(viewer)
        self._turns = Turns()
        self._drawing = timer(REFRESH_MS, self._draw, once=False)
        self._looking = timer(VIEW_MS, self._look)
        self._connections = Connections(
            *((emitter, self._view_changed) for emitter in view_events(viewer)),
            (session.run_told, self._hear),
            (session.tile_written, self._tile_written),
            (session.result_moved, self._move),
            (session.results_changed, self._follow),
            (session.plan_changed, self._show_grid),
        )

    def close(self) -> None:
        """Follow nothing any more; the layers stay."""
        self._drawing.stop()
        self._looking.stop()
        self._turns.close()
        self._connections.close()

    def place_image(self, placement: Placement | None) -> None:
        """Say where the session's image lies in the viewer."""
        self._image_placement = placement

    def show(self, *, probabilities: bool, labels: bool, grid: bool) -> None:
        """Choose what of the results is shown."""
        self._probabilities, self._labels, self._grid_shown = probabilities, labels, grid
        for layers in self._layers.values():
            self._apply(layers)
        self._show_grid()

    def start(self) -> Result:
        """Predict the session's image, what is in view first."""
        placement = self._tiles_placement()
        tiles = self._session.tiles
        in_view = None
        if tiles is not None and placement is not None:
            in_view = box_in_view(self._viewer, placement, tiles.image.shape)
        result = self._session.start(in_view)
        assert tiles is not None
        assert placement is not None
        self._run = _Run(result, tiles.grid, placement)
        return result

    def _tiles_placement(self) -> Placement | None:
        image, tiles = self._session.image, self._session.tiles
        if image is None or tiles is None or self._image_placement is None:
            return None
        return placement_beside(self._image_placement, image, tiles.image)

    def _hear(self, event: object) -> None:
        if self._run is None:
            return
        if isinstance(event, Started):
            self._begin(self._run)
        elif isinstance(event, Ended):
            self._drawing.stop()
            if self._run.layers is not None:
                self._run.layers.finish()
            self._run = None

    def _begin(self, run: _Run) -> None:
        run.layers = self._layers.get(run.result.path)
        if run.layers is None or not run.layers.wanted:
            run.layers = self._open(
                run.result, run.placement.regridded((1,) * run.grid.ndim, run.grid.box.start)
            )
            # Tiles that were written after the layers looked which are done, and before the run knew them.
            run.layers.tiles_written(run.written)
            self._apply(run.layers)
        self._drawing.start()

    def _open(self, result: Result, placement: Placement | None = None) -> ResultLayers:
        from napari_tileseg.predict import open_prediction

        store = open_prediction(result.path)
        placement = placement or placement_of_image(store.image)
        activation = store.provenance["activation"]
        layers = ResultLayers(self._viewer, result.name, store, placement, activation, self._turns)
        self._layers[result.path] = layers
        return layers

    def _apply(self, layers: ResultLayers) -> None:
        layers.show_probabilities(self._probabilities)
        layers.show_labels(self._labels)

    def _tile_written(self, event: TileDone) -> None:
        """Runs in the prediction's thread: only reads the tile into memory."""
        run = self._run
        if run is None:
            return
        box = run.grid.placed(event.tile)
        run.written.append(box)
        if run.layers is not None:
            run.layers.tile_written(box)

    def _draw(self) -> None:
        if self._run is not None and self._run.layers is not None:
            start = self._run.grid.box.start
            in_view = box_in_view(self._viewer, self._run.placement, self._run.grid.shape)
            self._run.layers.refresh(in_view.shift(tuple(-n for n in start)))

    def _view_changed(self, event: object = None) -> None:
        del event
        self._looking.start()

    def _look(self) -> None:
        self._grid.follow()
        if self._run is not None:
            run = self._run
            self._session.prioritize(box_in_view(self._viewer, run.placement, run.grid.shape))

    def _show_grid(self) -> None:
        tiles, placement = self._session.tiles, self._tiles_placement()
        if self._grid_shown and tiles is not None and placement is not None:
            self._grid.show(tiles.grid, placement)
        else:
            self._grid.hide()

    def _move(self, old: Result, new: Result) -> None:
        """Read a result that was saved elsewhere from its new place."""
        from napari_tileseg.predict import open_prediction

        layers = self._layers.pop(old.path, None)
        if layers is not None:
            layers.moved_to(open_prediction(new.path))
            self._layers[new.path] = layers

    def _follow(self, results: tuple[Result, ...]) -> None:
        """Take away the layers of results that are gone."""
        kept = {result.path for result in results}
        for path in [path for path in self._layers if path not in kept]:
            self._layers.pop(path).remove()

    def show_stored(self, results: tuple[Result, ...]) -> None:
        """Show results of a project that was opened again.

        Raises
        ------
        StoreError
            If one is gone or broken.
        """
        for result in results:
            if result.path not in self._layers:
                self._apply(self._open(result))


class _Run:
    """What is known of the running prediction here."""

    def __init__(self, result: Result, grid: TileGrid, placement: Placement) -> None:
        self.result = result
        self.grid = grid
        self.placement = placement
        self.layers: ResultLayers | None = None
        #: Boxes of the store that this run has written; appended to by its thread.
        self.written: list[Box] = []
