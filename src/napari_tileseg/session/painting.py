"""Labels that are painted, and how far they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_tileseg._types import ImageSource
from napari_tileseg.errors import StoreError
from napari_tileseg.session.autosave import Autosave, Saved
from napari_tileseg.session.sparse_array import SparseArray
from napari_tileseg.session.stroke_counts import Painted
from napari_tileseg.session.stroke_record import StrokeClass
from napari_tileseg.tiling import Box


class Painting:
    """One array of labels, and how far it is saved.

    Parameters
    ----------
    array : ImageSource
        What is painted.
    kind : {"strokes", "classes", "instances"}
        What it holds.
    classes : tuple of StrokeClass
        What its values mean.
    name : str
        Of the image it belongs to.
    save : callable
        Begins to save it.
    """

    def __init__(
        self,
        array: ImageSource,
        kind: str,
        classes: tuple[StrokeClass, ...],
        name: str,
        save: Callable[[Painting], Autosave],
    ) -> None:
        self.array = array
        self.kind = kind
        self.classes = classes
        self.name = name
        #: The last time that all was on disk; None if never.
        self.saved: Saved | None = None
        #: Why the last try failed; None if it did not.
        self.error: StoreError | None = None
        #: Whoever tells of changes that the array does not tell of; kept alive with what it tells about.
        self.teller: object = None
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
    def settled(self) -> bool:
        """Whether all that was painted is on disk."""
        return self._autosave.settled

    def touch(self, box: Box) -> None:
        """Say that voxels of an array that does not tell of changes itself have changed."""
        if self.folder is None:
            self._autosave.mark(Box.of_shape(self.array.shape))
        self._autosave.mark(box)

    def suspect(self) -> None:
        """Say that voxels that were touched before may have changed again, such as by undoing."""
        self._autosave.mark_known()

    def finish(self) -> None:
        """Stop saving once all is saved; returns at once."""
        self._autosave.finish()

    def close(self, seconds: float = 10.0) -> bool:
        """Save what is left, within some seconds, and stop saving; tell whether all is saved."""
        return self._autosave.close(seconds)
