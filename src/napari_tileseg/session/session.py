"""Image, network, settings and results of one viewer, and the prediction that is running."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import SettingsError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.predict.events import PredictEvent, Progress, Saved, Started, TileDone
from napari_tileseg.session.home import new_project_folder, remember_network
from napari_tileseg.session.jobs import Dispatch, Jobs, at_once
from napari_tileseg.session.project import (
    FILE,
    ImageReference,
    Project,
    Result,
    copy_store,
    read_project,
    size_on_disk,
    write_project,
)
from napari_tileseg.session.references import refer, reopen_image
from napari_tileseg.session.work import Ended
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings, knobs
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets import Network
    from napari_tileseg.predict import TileOrder, TilePlan
    from napari_tileseg.predict.normalization import Normalization

logger = logging.getLogger(__name__)


class Session:
    """The one mutable noun: what one viewer works on, kept in a project folder.

    All of it is used from one thread, its owner's. Long work runs in threads of its own and tells the owner
    through `dispatch`, so that every signal but `tile_written` is emitted in the owner's thread.

    Parameters
    ----------
    folder : Path, optional
        Project folder; a new one in the user's data folder by default. It is made when first written to.
    dispatch : callable, optional
        Runs a callable in the owner's thread; called from other threads. By default it runs it at once.
    """

    #: Image or None.
    image_changed = Signal(object)
    #: Network or None.
    network_changed = Signal(object)
    #: PredictSettings.
    settings_changed = Signal(object)
    #: Tiles, normalization, or readiness have changed.
    plan_changed = Signal()
    #: A `Progress` of measuring intensities.
    progressed = Signal(object)
    #: Tuple of Result.
    results_changed = Signal(object)
    #: A Result as it was, and as it is at its new place.
    result_moved = Signal(object, object)
    #: A Result and its bytes on disk.
    size_measured = Signal(object, int)
    #: An Image that a project refers to, opened again.
    image_reopened = Signal(object)
    #: An event of the running prediction, at last an `Ended`.
    run_told = Signal(object)
    #: A `TileDone`, emitted in the prediction's thread as soon as the tile is on disk.
    tile_written = Signal(object)
    #: Kind of work and whether it is under way.
    busy_changed = Signal(str, bool)
    #: Kind of work and what went wrong with it.
    failed = Signal(str, Exception)

    def __init__(self, folder: Path | None = None, dispatch: Dispatch = at_once) -> None:
        self.folder = folder or new_project_folder()
        self._jobs = Jobs(dispatch)
        self._image: Image | None = None
        self._reference: ImageReference | None = None
        self._network: Network | None = None
        self._project = Project()
        self._tiles: TilePlan | None = None
        self._normalization: Normalization | None = None
        self._measuring: tuple[Any, ...] | None = None
        self._order: TileOrder | None = None

    @property
    def image(self) -> Image | None:
        """The image to predict."""
        return self._image

    @property
    def network(self) -> Network | None:
        """The network to predict with."""
        return self._network

    @property
    def settings(self) -> PredictSettings:
        """How to predict."""
        return self._project.settings

    @property
    def tiles(self) -> TilePlan | None:
        """How the image is cut for the network; None where they, or the settings, do not fit."""
        return self._tiles

    @property
    def normalization(self) -> Normalization | None:
        """How intensities are prepared, with its numbers; None while they are measured."""
        return self._normalization

    @property
    def ready(self) -> bool:
        """Whether a prediction can start."""
        return None not in (self._tiles, self._normalization, self._reference)

    @property
    def results(self) -> tuple[Result, ...]:
        """Predictions of this project, oldest first."""
        return self._project.results

    @property
    def project(self) -> Project:
        """What is kept in the project folder."""
        return self._project

    def running(self, kind: str = "predict") -> bool:
        """Whether work of a kind ("network", "image", "measure", "predict", "save") is under way."""
        return self._jobs.running(kind)

    def set_image(self, image: Image | None, settings: ImageSettings | None = None) -> None:
        """Choose the image. A reference to it is looked for in the background."""
        self._image = image
        self._reference = None
        self.image_changed.emit(image)
        self._replan()
        if image is None:
            self._drop("image")
            return
        self._begin("image", lambda: [refer(image, settings or ImageSettings())], self._keep_image)

    def _keep_image(self, reference: ImageReference) -> None:
        self._reference = reference
        self._write(image=reference)
        self.plan_changed.emit()

    def set_settings(self, settings: PredictSettings) -> None:
        """Choose how to predict."""
        if settings != self.settings:
            self._write(settings=settings)
            self.settings_changed.emit(settings)
            self._replan()

    def set_network(self, network: Network | None) -> None:
        """Choose an opened network."""
        self._network = network
        if network is not None:
            # Trust is remembered for the user elsewhere; a project folder may come from somebody else.
            self._write(network=asdict(replace(network.reference, trust_sha256=None)))
        self.network_changed.emit(network)
        self._replan()

    def open_network(self, source: str, settings: NetworkSettings | None = None) -> None:
        """Open a network in the background; `network_changed` or `failed` tells how it went."""

        def opened() -> Iterator[Network]:
            from napari_tileseg.nets import open_network

            network = open_network(source, settings)
            remember_network(network.reference.path)
            yield network

        self._begin("network", opened, self.set_network)

    def _replan(self) -> None:
        """Lay the tiles at once, for which no voxel is read, and measure intensities in the background."""
        self._tiles = None
        problem = None
        if self._image is not None and self._network is not None:
            from napari_tileseg.predict import plan_tiles

            try:
                self._tiles = plan_tiles(self._image, self._network.spec, self.settings)
            except TilesegError as error:
                problem = error
        if self._tiles is not None:
            self.plan_changed.emit()
            self._measure(self._tiles)
            return
        self._measuring = None
        self._drop("measure")
        self._set_normalization(None)
        if problem is not None:
            self.failed.emit("plan", problem)

    def _measure(self, tiles: TilePlan) -> None:
        """Measure again only where something that counts has changed; a later call makes this one late."""
        assert self._network is not None
        spec, settings = self._network.spec, self.settings
        names = ("normalize", "quantiles", "range", "nonfinite", "resample")
        counts = (self._image, spec, *(getattr(settings, name) for name in names))
        if self._measuring == counts:
            return
        self._measuring = counts
        self._set_normalization(None)

        def measured() -> Iterator[Progress | Normalization]:
            from napari_tileseg.predict.normalization import measure_normalization

            yield (yield from measure_normalization(tiles.image, spec, settings))

        self._begin("measure", measured, self._hear_measure)

    def _hear_measure(self, event: Progress | Normalization) -> None:
        if isinstance(event, Progress):
            self.progressed.emit(event)
        else:
            self._set_normalization(event)

    def _set_normalization(self, normalization: Normalization | None) -> None:
        self._normalization = normalization
        self.plan_changed.emit()

    def start(self, first: Box | None = None) -> Result:
        """Predict in the background; `run_told` tells of it.

        Parameters
        ----------
        first : Box, optional
            Voxels of the image whose tiles come first.

        Returns
        -------
        Result
            Where the prediction is written: the same place for the same image, network and settings, so
            that tiles which are done already are not done again.

        Raises
        ------
        SettingsError
            If image, network, tiles or normalization are not there yet.
        """
        image, network, tiles, settings = self._image, self._network, self._tiles, self.settings
        if image is None or network is None or tiles is None or not self.ready:
            raise SettingsError(
                "A prediction needs an image, a network that fits it, and measured intensities; choose an "
                "image and a network, and wait until the panel shows the tiles and the input's range."
            )
        from napari_tileseg.predict import TileOrder

        order = TileOrder(tiles.grid)
        if first is not None:
            order.prioritize(first)
        result = self._result_of(image, network, tiles)
        self._order = order

        def predicted() -> Iterator[PredictEvent]:
            from napari_tileseg.predict import predict_to_store

            for event in predict_to_store(image, network, settings, result.path, order=order):
                if isinstance(event, TileDone):
                    self.tile_written.emit(event)
                yield event

        self._begin("predict", predicted, lambda event: self._hear(event, result))
        return result

    def _hear(self, event: PredictEvent | Ended, result: Result) -> None:
        if isinstance(event, Started) and all(r.path != result.path for r in self.results):
            self._set_results((*self.results, result))
        elif isinstance(event, Saved):
            self._replace_result(result, complete=True)
        elif isinstance(event, Ended):
            self._order = None
        self.run_told.emit(event)

    def prioritize(self, box: Box) -> None:
        """Let the tiles that meet a box of the image come next."""
        if self._order is not None:
            self._order.prioritize(box)

    def cancel(self) -> None:
        """Stop the prediction after the tile it is at; returns at once. What is done stays."""
        self._jobs.cancel("predict")

    def _result_of(self, image: Image, network: Network, tiles: TilePlan) -> Result:
        """Where a prediction belongs: a name for people, and a digest of all that its values depend on."""
        depends = {k.name: getattr(self.settings, k.name) for k in knobs(PredictSettings) if k.identity}
        about = [
            self._reference and self._reference.fingerprint,
            [image.voxel_size, image.translation, image.units, image.affine],
            [network.sha256, network.reference.architecture],
            tiles.grid.core,
            depends,
        ]
        digest = hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:8]
        name = f"{image.name} {network.spec.name}"
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "prediction"
        return Result(name=name, path=self.folder / "predictions" / f"{stem}-{digest}.ome.zarr")

    def save_result(self, result: Result, target: Path) -> None:
        """Put a result at a place of the user's in the background, and let go of the one in the project."""

        def copied() -> Iterator[Path]:
            copy_store(result.path, target)
            yield target

        def settle(path: Path) -> None:
            self.result_moved.emit(result, replace(result, path=path, saved=True))
            self._replace_result(result, path=path, saved=True)
            if not result.saved:
                self._remove(result.path)

        self._begin("save", copied, settle)

    def measure_size(self, result: Result) -> None:
        """Count a result's bytes in the background; `size_measured` tells them."""
        self._begin(
            "size", lambda: [size_on_disk(result.path)], lambda size: self.size_measured.emit(result, size)
        )

    def discard_result(self, result: Result) -> None:
        """Forget a result, and remove it unless the user has put it at a place of their own."""
        self._set_results(tuple(r for r in self.results if r.path != result.path))
        if not result.saved:
            self._remove(result.path)

    def _remove(self, path: Path) -> None:
        def removed() -> Iterator[None]:
            shutil.rmtree(path)
            yield None

        self._begin(f"remove {path}", removed, lambda _: None)

    def _replace_result(self, result: Result, **values: Any) -> None:
        self._set_results(tuple(replace(r, **values) if r.path == result.path else r for r in self.results))

    def _set_results(self, results: tuple[Result, ...]) -> None:
        self._write(results=results)
        self.results_changed.emit(results)

    def command(self, out: str = "prediction.ome.zarr") -> str:
        """Give the same prediction as one line for the shell.

        Raises
        ------
        SettingsError
            If image or network are missing, or the image was only in memory.
        """
        from napari_tileseg.predict.command import predict_command

        image, network = self._reference, self._network
        if image is None or network is None:
            raise SettingsError("A command needs an image and a network; choose both first.")
        if not image.uri:
            raise SettingsError(
                f"A command needs an image on disk; {image.name} is only in memory. Save it (File > Save "
                "Selected Layers), open the file, and choose it."
            )
        return predict_command(image.uri, network.reference, out, image.settings, self.settings)

    def reopen(self, folder: Path) -> None:
        """Take up a project again; its network and image are opened in the background.

        `image_reopened` gives the image, for a viewer to show and to choose; `failed` says what is missing
        or has changed. Results and settings are there in any case.

        Raises
        ------
        StoreError
            If the folder holds no project, or a damaged one; nothing changes then.
        """
        project = read_project(folder)
        self.close()
        self.folder, self._project = folder, project
        self.settings_changed.emit(project.settings)
        self.results_changed.emit(project.results)
        if project.network is not None:
            self._reopen_network(project.network)
        reference = project.image
        if reference is not None:
            self._begin("reopen", lambda: [reopen_image(reference)], self.image_reopened.emit)

    def _reopen_network(self, values: Mapping[str, Any]) -> None:
        def opened() -> Iterator[Network]:
            from napari_tileseg.nets import NetworkReference, open_network

            yield open_network(NetworkReference(**values))

        self._begin("network", opened, self.set_network)

    def close(self) -> None:
        """Stop all work, wait for its threads, and leave the project folder as it is."""
        self._jobs.close()

    def _write(self, **values: Any) -> None:
        project = replace(self._project, **values)
        self._project = project
        if project.results or (self.folder / FILE).exists():
            write_project(self.folder, project)

    def _begin(self, kind: str, events: Callable[[], Iterable[Any]], receive: Callable[[Any], None]) -> None:
        """Start work; all but the prediction tell of their end by `failed` and `busy_changed` alone."""

        def heard(event: Any) -> None:
            if not isinstance(event, Ended) or kind == "predict":
                receive(event)
            if isinstance(event, Ended):
                self._ended(kind, event)

        self.busy_changed.emit(kind, True)
        self._jobs.begin(kind, events, heard)

    def _drop(self, kind: str) -> None:
        self._jobs.drop(kind)
        self.busy_changed.emit(kind, False)

    def _ended(self, kind: str, ended: Ended) -> None:
        self.busy_changed.emit(kind, False)
        if ended.error is None:
            return
        if not isinstance(ended.error, TilesegError):
            logger.error("%s failed", kind, exc_info=ended.error)
        self.failed.emit(kind, ended.error)
