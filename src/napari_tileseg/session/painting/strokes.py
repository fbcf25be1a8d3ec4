"""The painted labels of a session's image: begun, saved while they are painted, and found again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from time import monotonic
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal

from napari_tileseg._types import ImageSource
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.background.jobs import Dispatch, Jobs, at_once
from napari_tileseg.session.painting.autosave import RETRY_AFTER, Autosave, NotSaved, Saved, SaveEvent
from napari_tileseg.session.painting.files import FOLDER, StrokeFiles, find_strokes, stroke_chunks
from napari_tileseg.session.painting.painting import Painting
from napari_tileseg.session.painting.reading import ReadStrokes, read_strokes
from napari_tileseg.session.painting.record import StrokeClass, StrokeRecord
from napari_tileseg.session.project.folders import claim_folder
from napari_tileseg.session.project.image_reference import voxels_fingerprint
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.session.session import Session

logger = logging.getLogger(__name__)
#: Seconds to wait for labels that were left to be saved, before others are looked for.
_PATIENCE = 10.0
#: Most values that fit into the small type.
_SMALL = 255


class Strokes:
    """The painted labels of a session. Used from the thread that owns the session.

    Parameters
    ----------
    session : Session
        Whose image is painted on.
    dispatch : callable, optional
        Runs a callable in the owner's thread; at once by default.
    retry_after : float
        Seconds after which what could not be saved is tried again.
    """

    #: A `Painting`, whose changes are all on disk now.
    saved = Signal(object)
    #: A `Painting` that could not be saved; it is tried again.
    not_saved = Signal(object)
    #: Tuple of (datetime, `StrokeFiles`) of the session's image from elsewhere, the latest first.
    offered = Signal(object)
    #: A `Painting` that was painted earlier.
    opened = Signal(object)
    #: What went wrong.
    failed = Signal(Exception)

    def __init__(
        self, session: Session, dispatch: Dispatch = at_once, retry_after: float = RETRY_AFTER
    ) -> None:
        self._session = session
        self._dispatch = dispatch
        self._retry_after = retry_after
        self._jobs = Jobs(dispatch)
        self._jobs.failed.connect(self._fail)
        self._paintings: list[Painting] = []
        # Those that are not shown any more, until their last changes are on disk.
        self._left: list[Painting] = []
        #: Where paintings were opened from, which may be another project's folder.
        self._sources: WeakKeyDictionary[Painting, Path] = WeakKeyDictionary()
        self._looked_for: ImageReference | None = None
        session.plan.changed.connect(self._follow_image)
        self._follow_image()

    @property
    def paintings(self) -> tuple[Painting, ...]:
        """All labels that are saved here."""
        return tuple(self._paintings)

    def begin(self, classes: tuple[StrokeClass, ...]) -> Painting:
        """Make empty labels over the session's image; nothing is written before something is painted.

        Raises
        ------
        SettingsError
            If there is no image.
        """
        image = self._image()
        dtype = np.uint8 if max((c.value for c in classes), default=0) <= _SMALL else np.uint16
        array = SparseArray(image.shape, stroke_chunks(image.shape, image.grid_axes), dtype)
        return self._begin(array, image, "strokes", classes, fixed=True)

    def adopt(
        self, array: ImageSource, kind: str | None = None, classes: tuple[StrokeClass, ...] = ()
    ) -> Painting:
        """Save labels that were made elsewhere, from the first `Painting.touch` on.

        A sparse array, such as a copy of labels painted here, is saved at once.

        Parameters
        ----------
        array : ndarray or SparseArray
            The labels, over the grid axes of the session's image.
        kind : {"strokes", "classes", "instances"}, optional
            What they hold, if that is known.
        classes : tuple of StrokeClass
            What their values mean.

        Raises
        ------
        SettingsError
            If there is no image.
        ImageError
            If they are on another grid than the image, or not in memory.
        """
        image = self._image()
        if not isinstance(array, (np.ndarray, SparseArray)):
            raise ImageError(
                "Labels should be in memory to be saved while they are painted; these are an array of "
                f"{type(array).__module__.partition('.')[0]}. Paint on a copy in memory, or on new ones."
            )
        if tuple(array.shape) != image.shape:
            raise ImageError(
                f"Labels should have the shape of the image, {by_axis(image.shape)}; they have "
                f"{by_axis(array.shape)}. "
                "Make new ones for this image."
            )
        painting = self._begin(array, image, kind, classes, fixed=False)
        painting.touch_all()
        return painting

    def _begin(
        self,
        array: ImageSource,
        image: Image,
        kind: str | None,
        classes: tuple[StrokeClass, ...],
        *,
        fixed: bool,
    ) -> Painting:
        project, chunks = self._session.folder, stroke_chunks(image.shape, image.grid_axes)

        def save(painting: Painting) -> Autosave:
            make = _new_files(painting, project)
            return Autosave(
                array,
                make,
                lambda event: self._dispatch_event(painting, event),
                chunks,
                retry_after=self._retry_after,
            )

        painting = Painting(array, image, kind, classes, fixed=fixed, save=save)
        self._paintings.append(painting)
        return painting

    def open(self, files: StrokeFiles) -> None:
        """Open labels that were painted earlier, in the background; `opened` or `failed` reports how it went.

        Those of another project are copied into the session's first.
        """
        image, project = self._image(), self._session.folder

        def read() -> Iterator[ReadStrokes]:
            self._wait_for_left()
            yield read_strokes(files, image, project)

        self._jobs.begin("open", read, lambda read: self._take_opened(read, files.path))

    def _take_opened(self, read: ReadStrokes, source: Path) -> None:
        painting = self._go_on(read)
        self._paintings.append(painting)
        self._sources[painting] = source
        self.opened.emit(painting)
        self._keep_project()
        self.look()

    def _go_on(self, read: ReadStrokes) -> Painting:
        """Save from now on what is painted on labels that were read."""
        array, files, record = read.array, read.files, read.files.record

        def save(painting: Painting) -> Autosave:
            def report(event: SaveEvent) -> None:
                self._dispatch_event(painting, event)

            return Autosave(
                array, lambda: files, report, array.chunks, files, read.on_disk, self._retry_after
            )

        painting = Painting(array, read.image, record.kind, record.classes, fixed=record.fixed, save=save)
        if read.when is not None:
            painting.saved = Saved(read.when, read.on_disk.counted())
        return painting

    def painting_of(self, array: object) -> Painting | None:
        """Return the painting of an array, if it is saved here."""
        return next((painting for painting in self._paintings if painting.array is array), None)

    def leave(self, painting: Painting) -> None:
        """Save what is left of labels that are not shown any more, and offer them again; returns at once."""
        if painting in self._paintings:
            self._paintings.remove(painting)
            self._left = [*(left for left in self._left if not left.settled), painting]
            painting.watch_with(None)
            painting.finish()
            self.look()

    def close(self, seconds: float = 10.0) -> bool:
        """Save what is left, within some seconds; return whether all is saved."""
        self._session.plan.changed.disconnect(self._follow_image)
        self._jobs.close()
        closed = [painting.close(seconds) for painting in (*self._paintings, *self._left)]
        if not all(closed):
            logger.error("Painted labels could not be saved before the end")
        self._paintings.clear()
        self._left.clear()
        return all(closed)

    def settle(self, seconds: float = 2.0) -> bool:
        """Wait until all that was painted is on disk, unless that has failed; return whether it is."""
        end = monotonic() + seconds
        every = (*self._paintings, *self._left)
        return all(p.wait(0.0 if p.error is not None else max(0.0, end - monotonic())) for p in every)

    def _image(self) -> Image:
        if self._session.image is None:
            raise SettingsError("Labels are painted on an image; choose one first.")
        return self._session.image

    def _dispatch_event(self, painting: Painting, event: SaveEvent) -> None:
        self._dispatch(lambda: self._receive(painting, event))

    def _receive(self, painting: Painting, event: SaveEvent) -> None:
        if isinstance(event, NotSaved):
            painting.error = event.error
            self.not_saved.emit(painting)
            return
        # Labels count as saved once the project is there that they are found with.
        self._keep_project()
        painting.saved = event
        painting.error = None
        self.saved.emit(painting)

    def _keep_project(self) -> None:
        """Create the project around the labels, so that it can be opened again."""
        try:
            self._session.project_folder.ensure_file()
        except StoreError as error:
            self.failed.emit(error)

    def _follow_image(self) -> None:
        """Look for earlier labels once it is known which image it is."""
        if self._session.image_choice.reference != self._looked_for:
            self._looked_for = self._session.image_choice.reference
            self.look()

    def look(self) -> None:
        """Look again for earlier labels of the image, in the background; `offered` gives them."""
        reference, project = self._looked_for, self._session.folder
        if reference is None:
            self._jobs.drop("offers")
            self.offered.emit(())
            return

        def find() -> Iterator[tuple[tuple[datetime, StrokeFiles], ...]]:
            self._wait_for_left()
            yield find_strokes(reference.fingerprint, project)

        self._jobs.begin("offers", find, self._offer)

    def _wait_for_left(self) -> None:
        """Wait, in a thread, until nothing of labels that were left is still to be written."""
        for painting in tuple(self._left):
            if painting.error is None:
                painting.wait(_PATIENCE)

    def _offer(self, found: tuple[tuple[datetime, StrokeFiles], ...]) -> None:
        known = {painting.folder for painting in self._paintings}
        known |= {self._sources.get(painting) for painting in self._paintings}
        self.offered.emit(tuple((when, files) for when, files in found if files.path not in known))

    def _fail(self, kind: str, error: Exception) -> None:
        del kind
        self.failed.emit(error)


def _new_files(painting: Painting, project: Path) -> Callable[[], StrokeFiles]:
    """Return what makes files once there is something to save; a second call resumes after a failure."""
    folder: list[Path] = []
    image = painting.image

    def make() -> StrokeFiles:
        fingerprint = voxels_fingerprint(image)
        if not folder:
            folder.append(claim_folder(project, FOLDER))
        record = StrokeRecord.of(image, fingerprint, painting.kind, painting.classes, fixed=painting.fixed)
        files = StrokeFiles(folder[0], record, np.dtype(painting.array.dtype))
        files.create()
        return files

    return make
