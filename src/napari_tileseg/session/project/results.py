"""The predictions of a project, and what the user does with their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_tileseg._progress import Progress
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import open_prediction, write_on_image
from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.session.project.own_files import is_own, remove_set_aside, set_aside
from napari_tileseg.session.project.project import ProjectFolder, Result, copy_store, size_on_disk


class Results:
    """The predictions of a project.

    Parameters
    ----------
    folder : ProjectFolder
        The project that lists them.
    jobs : Jobs
        Copies and removes files, as jobs of the kinds "save", "size" and "remove ...".
    """

    #: Tuple of Result.
    changed = Signal(object)
    #: A Result as it was, and as it is at its new path.
    moved = Signal(object, object)
    #: A Result that is being saved, and a `Progress` of that.
    copying = Signal(object, object)
    #: A Result and the path to which it was written on the voxels of its image.
    brought = Signal(object, object)
    #: A Result and its bytes on disk.
    size_measured = Signal(object, int)

    def __init__(self, folder: ProjectFolder, jobs: Jobs) -> None:
        self._folder = folder
        self._jobs = jobs

    @property
    def all(self) -> tuple[Result, ...]:
        """All of them, oldest first."""
        return self._folder.project.results

    def add(self, result: Result) -> None:
        """Add a result, unless there is one at its path already."""
        if all(known.path != result.path for known in self.all):
            self._set((*self.all, result))

    def change(self, result: Result, **values: Any) -> None:
        """Change entries of the result at a path."""
        self._set(tuple(replace(r, **values) if r.path == result.path else r for r in self.all))

    def save(self, result: Result, target: Path) -> None:
        """Copy a result to a path the user chose, in the background, and drop the project's own copy.

        `copying` reports how far it is.
        """

        def copied() -> Iterator[Progress | Path]:
            yield from copy_store(result.path, target)
            yield target

        def receive(event: Progress | Path) -> None:
            if isinstance(event, Progress):
                self.copying.emit(result, event)
                return
            self.moved.emit(result, replace(result, path=event, saved=True))
            self.change(result, path=event, saved=True)
            if not result.saved:
                self._remove(result.path)

        self._jobs.begin("save", copied, receive)

    @property
    def saving(self) -> bool:
        """Whether a result is being copied to where the user saves it."""
        return self._jobs.running("save")

    def cancel_saving(self) -> None:
        """Stop copying, and remove what was copied; returns at once."""
        self._jobs.cancel("save")

    def is_resampled(self, result: Result) -> bool:
        """Return whether a result has the network's voxel size; False where it cannot be read any more."""
        with suppress(StoreError):
            return bool(open_prediction(result.path).provenance["settings"].get("resample"))
        return False

    def write_on_image(self, result: Result, image: Image, target: Path) -> None:
        """Write a result on the voxels of its image to a path the user chose, in the background.

        `copying` reports how far it is, and `brought` that it is there.
        """

        def written() -> Iterator[Progress | Path]:
            yield from write_on_image(open_prediction(result.path), image, target)
            yield target

        def receive(event: Progress | Path) -> None:
            (self.copying if isinstance(event, Progress) else self.brought).emit(result, event)

        self._jobs.begin("save", written, receive)

    def measure_size(self, result: Result) -> None:
        """Count the bytes of a result of the project in the background; `size_measured` gives them."""
        if not is_own(result.path, self._folder.path):
            return
        self._jobs.begin(
            "size", lambda: [size_on_disk(result.path)], lambda size: self.size_measured.emit(result, size)
        )

    def discard(self, result: Result) -> None:
        """Forget a result, and remove its files unless the user has saved it elsewhere.

        `Jobs.failed` reports files that are not the project's own and stay.
        """
        self._set(tuple(r for r in self.all if r.path != result.path))
        if not result.saved:
            self._remove(result.path)

    def _remove(self, path: Path) -> None:
        kind = f"remove {path}"
        try:
            # Not in the background: the same prediction may be started again before that gets to it.
            aside = set_aside(path, self._folder.path)
        except StoreError as error:
            self._jobs.failed.emit(kind, error)
            return

        def removed() -> Iterator[None]:
            remove_set_aside(aside)
            yield None

        self._jobs.begin(kind, removed, lambda _: None)

    def _set(self, results: tuple[Result, ...]) -> None:
        self._folder.write(results=results)
        self.changed.emit(results)
