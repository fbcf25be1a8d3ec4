"""The project of a session in its folder, and the files of its results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from psygnal import Signal

from napari_tileseg.session.background.tasks import Tasks
from napari_tileseg.session.project.own_files import is_own, remove_own
from napari_tileseg.session.project.project import (
    FILE,
    Project,
    Result,
    copy_store,
    size_on_disk,
    write_project,
)


class Keeping:
    """Writes down what changes, and does with results' files what the user decides.

    Parameters
    ----------
    folder : Path
        Project folder, made when there is a result to keep.
    tasks : Tasks
        Copies and removes files, as work of the kinds "save", "size" and "remove ...".
    """

    #: Tuple of Result.
    results_changed = Signal(object)
    #: A Result as it was, and as it is at its new place.
    result_moved = Signal(object, object)
    #: A Result and its bytes on disk.
    size_measured = Signal(object, int)

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        self.folder = folder
        self.project = Project()
        self._tasks = tasks

    @property
    def results(self) -> tuple[Result, ...]:
        """Predictions of this project, oldest first."""
        return self.project.results

    def write(self, **values: Any) -> None:
        """Change entries of the project; its file is made with the first result."""
        self.project = replace(self.project, **values)
        if self.project.results or (self.folder / FILE).exists():
            write_project(self.folder, self.project)

    def keep(self) -> None:
        """Make the project's file, if there is none yet."""
        if not (self.folder / FILE).exists():
            write_project(self.folder, self.project)

    def take_up(self, folder: Path, project: Project) -> None:
        """Go on with the project that another folder holds."""
        self.folder, self.project = folder, project
        self.results_changed.emit(self.results)

    def add(self, result: Result) -> None:
        """Keep a result, unless it is kept already."""
        if all(kept.path != result.path for kept in self.results):
            self._set_results((*self.results, result))

    def change(self, result: Result, **values: Any) -> None:
        """Note what is new about a result."""
        self._set_results(tuple(replace(r, **values) if r.path == result.path else r for r in self.results))

    def save(self, result: Result, target: Path) -> None:
        """Copy a result to a place of the user's in the background, and remove the one in the project."""

        def copied() -> Iterator[Path]:
            copy_store(result.path, target)
            yield target

        def settle(path: Path) -> None:
            self.result_moved.emit(result, replace(result, path=path, saved=True))
            self.change(result, path=path, saved=True)
            if not result.saved:
                self._remove(result.path)

        self._tasks.begin("save", copied, settle)

    def measure_size(self, result: Result) -> None:
        """Count the bytes of a result of the project in the background; `size_measured` tells them."""
        if not is_own(result.path, self.folder):
            return
        self._tasks.begin(
            "size", lambda: [size_on_disk(result.path)], lambda size: self.size_measured.emit(result, size)
        )

    def discard(self, result: Result) -> None:
        """Forget a result, and remove it if it is the project's own; `Tasks.failed` tells if it is not."""
        self._set_results(tuple(r for r in self.results if r.path != result.path))
        if not result.saved:
            self._remove(result.path)

    def _remove(self, path: Path) -> None:
        folder = self.folder

        def removed() -> Iterator[None]:
            remove_own(path, folder)
            yield None

        self._tasks.begin(f"remove {path}", removed, lambda _: None)

    def _set_results(self, results: tuple[Result, ...]) -> None:
        self.write(results=results)
        self.results_changed.emit(results)
