"""Labels that are painted, and how far they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from napari_tileseg._types import ImageSource
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session.painting.autosave import Autosave, Saved
from napari_tileseg.session.painting.counts import Painted
from napari_tileseg.session.painting.record import StrokeClass, StrokeRecord
from napari_tileseg.tiling import Box


class Watcher(Protocol):
    """Whoever follows an array of labels in a viewer."""

    def close(self) -> None:
        """Follow it no more."""


class Painting:
    """One array of labels, and how far it is saved.

    Parameters
    ----------
    array : ImageSource
        What is painted.
    image : Image
        What it is painted on.
    kind : {"strokes", "classes", "instances"} or None
        What it holds; None if that is unknown.
    classes : tuple of StrokeClass
        What its values mean.
    fixed : bool
        Whether kind and classes are those with which it was made, and cannot be changed.
    save : callable
        Begins to save it.
    """

    def __init__(
        self,
        array: ImageSource,
        image: Image,
        kind: str | None,
        classes: tuple[StrokeClass, ...],
        *,
        fixed: bool,
        save: Callable[[Painting], Autosave],
    ) -> None:
        self.array = array
        self.image = image
        self.kind = kind
        self.classes = classes
        self.fixed = fixed
        #: The last time that all was on disk; None if never.
        self.saved: Saved | None = None
        #: Why the last try failed; None if it did not.
        self.error: StoreError | None = None
        self._watcher: Watcher | None = None
        self._autosave = save(self)
        if isinstance(array, SparseArray):
            array.changed = self._autosave.mark

    @property
    def painted(self) -> dict[int, Painted]:
        """Voxels and strokes of each value, as they were saved last."""
        return self.saved.painted if self.saved else {}

    @property
    def folder(self) -> Path | None:
        """Where it is saved; None until something is."""
        files = self._autosave.files
        return files.path if files else None

    @property
    def record(self) -> StrokeRecord | None:
        """What is saved with it of image and meaning; None until something is saved."""
        files = self._autosave.files
        return files.record if files else None

    @property
    def settled(self) -> bool:
        """Whether all that was painted is on disk."""
        return self._autosave.settled

    def watch_with(self, watcher: Watcher | None) -> None:
        """Hold the watcher that reports changes the array cannot report; replaces the previous one."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = watcher

    def touch(self, box: Box) -> None:
        """Mark a box as changed, for arrays without change notification."""
        if self.folder is None:
            self._autosave.mark(Box.of_shape(self.array.shape))
        self._autosave.mark(box)

    def touch_all(self) -> None:
        """Queue all of a sparse array that is not saved yet for saving."""
        if isinstance(self.array, SparseArray):
            for index in self.array.written:
                self._autosave.mark(self.array.chunk_box(index))

    def explain(self, kind: str | None, classes: tuple[StrokeClass, ...]) -> None:
        """Set what labels from elsewhere hold; it is saved with them."""
        if not self.fixed and (kind, classes) != (self.kind, self.classes):
            self.kind, self.classes = kind, classes
            self._autosave.mark_meaning(kind, classes)

    def recheck(self) -> None:
        """Mark all voxels that were touched before as possibly changed again, such as by undoing."""
        self._autosave.mark_known()

    def wait(self, seconds: float) -> bool:
        """Wait until all is saved, for at most `seconds`; return whether it is."""
        return self._autosave.wait(seconds)

    def finish(self) -> None:
        """Stop saving once all is saved, however often that has to be tried; returns at once."""
        self._autosave.finish()

    def close(self, seconds: float = 10.0) -> bool:
        """Try once more to save what is left, within some seconds; return whether all is saved."""
        return self._autosave.close(seconds)
