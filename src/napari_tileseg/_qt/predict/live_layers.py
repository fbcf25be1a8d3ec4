"""Keeps the layers of a viewer up with a session's predictions, and the predictions with the view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_tileseg._napari.drawing.grid_layer import GridLayer
from napari_tileseg._napari.images.image_place import placement_over
from napari_tileseg._napari.images.layer_image import placement_beside
from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.depth_display import fit_to_display
from napari_tileseg._napari.results.live_prediction import LivePrediction
from napari_tileseg._napari.results.result_layers import ResultLayers, is_ours, network_title
from napari_tileseg._napari.view import box_drawn, box_in_view, deepened, view_events
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.gui_queue import Turns
from napari_tileseg._qt.common.timers import timer
from napari_tileseg.prediction.events import Started, TileDone
from napari_tileseg.session import Ended, Result, Session
from napari_tileseg.session.prediction.first_look import Looked
from napari_tileseg.session.prediction.run_story import VoxelsChanged
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.prediction import Plan

#: Least time between two drawings of finished tiles, and from a change of the view to its effect.
REFRESH_MS = 150
VIEW_MS = 80
#: What layers of a first look are called.
_FIRST = "first numbers:"


class LiveLayers(QObject):
    """Layers of a session's results, while they are made and afterwards.

    Of results that lie over each other one is in front, and what is chosen to be shown concerns those in
    front. What the user does to a layer stays; layers come again only for a result that is asked for again.

    Parameters
    ----------
    viewer : ViewerModel
        Where to show them.
    session : Session
        Whose results they are.
    """

    #: The user has removed the tile grid's layer.
    grid_removed = Signal()
    #: The result that was put in front.
    brought_forward = Signal(object)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._probabilities, self._labels, self._grid_shown = True, False, False
        self._layers: dict[Path, ResultLayers] = {}
        self._image_placement: Placement | None = None
        self._image_layer: Layer | None = None
        self._run: _Run | None = None
        self._grid = GridLayer(viewer)
        self._turns = Turns()
        self._first = LivePrediction(viewer, self._turns, _FIRST)
        self._drawing = timer(REFRESH_MS, self._draw, once=False)
        self._looking = timer(VIEW_MS, self._look)
        # The plan changes while napari walks through its list of layers, which must not change meanwhile.
        self._gridding = timer(0, self._show_grid)
        self._connections = Connections(
            *((emitter, self._view_changed) for emitter in view_events(viewer)),
            (viewer.dims.events.ndisplay, self._fit_to_display),
            (session.prediction.reported, self._receive),
            (session.prediction.tile_written, self._tile_written),
            (session.results.moved, self._move),
            (session.results.changed, self._follow),
            (session.plan.changed, self._grid_changed),
            (viewer.layers.events.removed, self._grid_changed),
        )

    def close(self) -> None:
        """Follow nothing any more; the layers stay."""
        self._drawing.stop()
        self._looking.stop()
        self._gridding.stop()
        self._turns.close()
        self._connections.close()

    def place_image(self, placement: Placement | None, layer: Layer | None = None) -> None:
        """Set where the session's image lies in the viewer, and which layer shows it."""
        self._image_placement, self._image_layer = placement, layer

    def show(self, *, probabilities: bool, labels: bool, grid: bool) -> None:
        """Choose what of the results is shown."""
        self._probabilities, self._labels, self._grid_shown = probabilities, labels, grid
        for layers in self._layers.values():
            if layers.in_front and not layers.removed_by_user:
                self._apply(layers)
        self._grid_changed()

    def in_view(self) -> Box | None:
        """Return the voxels of the tiled image that are in view; None where nobody knows where it lies."""
        placement, tiles = self._tiles_placement(), self._session.plan.tiles
        if placement is None or tiles is None:
            return None
        return box_in_view(self._viewer, placement, tiles.image.shape)

    def region(self, *, drawn: bool) -> Box | None:
        """Return the voxels of the image in view, or those in the box around what is drawn.

        Along axes on which that is flat, as a slice is, it is as deep as a tile.

        Parameters
        ----------
        drawn : bool
            Whether what is drawn counts.

        Returns
        -------
        Box or None
            None where there is nothing of the image, or nobody knows where it lies.
        """
        image, plan, placement = self._session.image, self._session.plan.laid, self._image_placement
        if image is None or plan is None or placement is None:
            return None
        look = box_drawn if drawn else box_in_view
        box = look(self._viewer, placement, image.shape)
        if box is None or not box.size:
            return None
        return deepened(box, image.shape, plan.grid.core[-plan.source.spec.ndim :])

    def follow_run(self, result: Result) -> None:
        """Show the tiles of a prediction that has just been started, of the tiles that are planned now."""
        placement, plan = self._tiles_placement(), self._session.plan.laid
        assert plan is not None
        assert placement is not None
        self._run = _Run(result, plan, placement, self._image_layer)

    def _tiles_placement(self) -> Placement | None:
        image, tiles = self._session.image, self._session.plan.tiles
        if image is None or tiles is None or self._image_placement is None:
            return None
        return placement_beside(self._image_placement, image, tiles.image)

    def _receive(self, event: object) -> None:
        if self._run is None:
            return
        if isinstance(event, VoxelsChanged):
            self._run.result = event.result
        elif isinstance(event, Looked):
            self._show_first(self._run, event)
        elif isinstance(event, Started):
            self._begin(self._run)
        elif isinstance(event, TileDone):
            # What is in view comes first, so that it does not vanish before.
            self._first.remove()
        elif isinstance(event, Ended):
            self._first.remove()
            self._drawing.stop()
            if self._run.layers is not None:
                self._run.layers.finish()
            self._run = None

    def _show_first(self, run: _Run, looked: Looked) -> None:
        """Show what is in view with first numbers, until there is something of those that are asked for."""
        if not looked.tiles:
            return
        if looked.tiles == 1:
            self._first.open(
                looked.probabilities, looked.probabilities, run.title, run.classes, run.placement
            )
            self._first.show(self._probabilities)
        self._first.refresh()

    def _begin(self, run: _Run) -> None:
        run.layers = self._wanted(run.result)
        if run.layers is None:
            placement = run.placement.regridded((1,) * run.grid.ndim, run.grid.box.start)
            run.layers = self._open(run.result, placement, run.layer)
            # Tiles that were written after the layers looked which are done, and before the run knew them.
            run.layers.tiles_written(run.written)
        self._bring_forward(run.result, run.layers)
        self._drawing.start()

    def _wanted(self, result: Result) -> ResultLayers | None:
        """Return the layers of a result, unless the user has removed them all."""
        layers = self._layers.get(result.path)
        return None if layers is None or layers.removed_by_user else layers

    def _open(
        self, result: Result, placement: Placement | None = None, image: Layer | None = None
    ) -> ResultLayers:
        from napari_tileseg.prediction import open_prediction

        store = open_prediction(result.path)
        network = network_title(result.network or str(store.provenance["network"]["name"]), store.provenance)
        placement = placement or placement_over(self._viewer, store.image)
        activation = store.provenance["activation"]
        layers = ResultLayers(self._viewer, network, store, placement, activation, self._turns, image)
        self._layers[result.path] = layers
        return layers

    def _bring_forward(self, result: Result, layers: ResultLayers) -> None:
        """Show a result, and hide those that one would see through its holes."""
        layers.in_front = True
        for other in list(self._layers.values()):
            if other is not layers and other.in_front and other.overlaps(layers):
                layers.take_over(other)
        self._apply(layers)
        self.brought_forward.emit(result)

    def _apply(self, layers: ResultLayers) -> None:
        layers.show_probabilities(self._probabilities)
        layers.show_labels(self._labels)

    def _tile_written(self, event: TileDone) -> None:
        """Read the tile into memory; this runs in the prediction's thread."""
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

    def _fit_to_display(self, event: object = None) -> None:
        del event
        ours = [layer for layer in self._viewer.layers if is_ours(layer)]
        fit_to_display(ours, self._viewer.dims.ndisplay)

    def _look(self) -> None:
        self._grid.follow()
        if self._run is not None:
            run = self._run
            self._session.prediction.prioritize(box_in_view(self._viewer, run.placement, run.grid.shape))

    def _grid_changed(self, event: object = None) -> None:
        del event
        self._gridding.start()

    def _show_grid(self) -> None:
        tiles, placement = self._session.plan.tiles, self._tiles_placement()
        if self._grid_shown and self._grid.removed_by_user:
            self._grid_shown = False
            self.grid_removed.emit()
        if not self._grid_shown:
            self._grid.hide()
        elif tiles is not None and placement is not None:
            self._grid.show(tiles.grid, placement)
        elif self._session.image is not None:
            self._grid.blank()
        if self._session.image is None:
            self._grid.remove()

    def _move(self, old: Result, new: Result) -> None:
        """Read a result that was saved elsewhere from its new path."""
        from napari_tileseg.prediction import open_prediction

        layers = self._layers.pop(old.path, None)
        if layers is not None:
            layers.moved_to(open_prediction(new.path))
            self._layers[new.path] = layers

    def _follow(self, results: tuple[Result, ...]) -> None:
        """Take away the layers of results that are gone, and show again what stepped back for them."""
        stored = {result.path: result for result in results}
        gone = [self._layers.pop(path) for path in list(self._layers) if path not in stored]
        left = {path: each for path, each in self._layers.items() if not each.removed_by_user}
        for layers in gone:
            layers.remove()
            if layers.in_front:
                behind = [(path, each) for path, each in left.items() if each.overlaps(layers)]
                if behind and not any(each.in_front for _, each in behind):
                    path, latest = behind[-1]
                    self._bring_forward(stored[path], latest)

    def show_stored(self, result: Result) -> None:
        """Put a result in front that was made before; layers that the user has left stay as they are.

        Raises
        ------
        StoreError
            If it is gone or broken.
        """
        self._bring_forward(result, self._wanted(result) or self._open(result))


class _Run:
    """What is known of the running prediction here."""

    def __init__(self, result: Result, plan: Plan, placement: Placement, layer: Layer | None) -> None:
        self.result = result
        self.layer = layer
        self.grid = plan.grid
        self.title, self.classes = plan.image.name, plan.classes
        self.placement = placement
        self.layers: ResultLayers | None = None
        #: Boxes of the store that this run has written; appended to by its thread.
        self.written: list[Box] = []
