"""The project folder: what a session refers to, written so that it can be come back to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from napari_tileseg._drafts import drafted
from napari_tileseg._files import as_tuples, json_text, read_ordinary, write_text
from napari_tileseg._outputs import PREDICTION, check_output, check_room
from napari_tileseg._progress import Clock, Progress
from napari_tileseg.errors import SettingsError, StoreError, answering
from napari_tileseg.session.project.own_files import PREDICTIONS, check_folders
from napari_tileseg.settings import ImageSettings, PredictSettings, knobs

#: Format 2 adds to each result which image and which network it is of.
FORMAT = 2
_READ = (1, FORMAT)
FILE = "project.json"
#: Bytes that its file has at most.
_LARGEST = 2**26
#: Seconds between two reports of how far a copy is.
_TELL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Where an image is to be found again.

    Parameters
    ----------
    name : str
        What it is called.
    uri : str
        Path or address; empty for an array that was only in memory.
    settings : ImageSettings
        Which part of the file it is.
    fingerprint : str
        Tells whether the image is still the same one.
    voxel_size, translation : tuple of float
        Where a viewer shows it, along each grid axis; empty to take that from its file.
    units : tuple of str
        Unit of each grid axis; empty as above.
    affine : tuple of tuple of float, optional
        As that of `napari_tileseg.images.Image`.
    """

    name: str
    uri: str
    settings: ImageSettings = field(default_factory=ImageSettings)
    fingerprint: str = ""
    voxel_size: tuple[float, ...] = ()
    translation: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    affine: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A prediction stored in the project or saved elsewhere.

    Parameters
    ----------
    name : str
        What it is called.
    path : Path
        Its OME-Zarr store.
    complete : bool
        Whether every tile is done.
    saved : bool
        Whether the user has saved it at a path of their choice.
    image : ImageReference, optional
        The image that was predicted; None in a project that does not record it.
    network : str
        What the network is called; empty in a project that does not record it.
    network_sha256 : str
        Hash of the network's file, 64 hexadecimal digits; empty as above. It distinguishes networks,
        and is no sign of trust.
    """

    name: str
    path: Path
    complete: bool = False
    saved: bool = False
    image: ImageReference | None = None
    network: str = ""
    network_sha256: str = ""

    def is_of(self, image: ImageReference | None) -> bool:
        """Return whether it is a prediction of the voxels of a reference, whatever they are called."""
        return image is not None and self.image is not None and self.image.fingerprint == image.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """All that `project.json` holds.

    Parameters
    ----------
    image : ImageReference, optional
        The image that was chosen last.
    network : mapping, optional
        The reference of the network that was chosen last, as plain values: path, hash, architecture.
    settings : PredictSettings
        How to predict.
    results : tuple of Result
        Predictions, oldest first.
    """

    image: ImageReference | None = None
    network: Mapping[str, Any] | None = None
    settings: PredictSettings = field(default_factory=PredictSettings)
    results: tuple[Result, ...] = ()


def latest_of(results: Sequence[Result], image: ImageReference | None) -> Result | None:
    """Return the latest of the results of an image.

    Parameters
    ----------
    results : sequence of Result
        Oldest first.
    image : ImageReference, optional
        Which image; any if None.

    Returns
    -------
    Result or None
        Where no result records its image, as in projects of the first format, the latest of all.
    """
    if image is None or not any(result.image for result in results):
        return results[-1] if results else None
    return next((result for result in reversed(results) if result.is_of(image)), None)


def write_project(folder: Path, project: Project) -> None:
    """Write `project` into `folder`, which is made if need be.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    values = {"format": FORMAT, **asdict(project)}
    values["results"] = [asdict(r) | {"path": _relative(r.path, folder)} for r in project.results]
    try:
        write_text(folder / FILE, json_text(values))
    except OSError as error:
        raise StoreError(
            f"The project should be written to {folder}; {error}. Nothing else is lost: free some space or "
            "choose another folder with TILESEG_HOME."
        ) from error


def read_project(folder: Path) -> Project:
    """Read the project in `folder`.

    Raises
    ------
    StoreError
        If there is none, it is damaged or of a later format, or one of its folders leads elsewhere.
    """
    path = folder / FILE
    if not path.exists():
        raise StoreError(f"A project folder holds {FILE}; {folder} does not. Choose another folder.")
    own = folder / PREDICTIONS
    with answering(StoreError, f"{path} should describe a project", f"Results open one by one from {own}."):
        values = json.loads(read_ordinary(path, _LARGEST))
        _check_format(values["format"], path)
        project = _project(values, folder)
    check_folders(folder)
    return project


def _check_format(found: Any, path: Path) -> None:
    if found not in _READ:
        raise StoreError(
            f"{path} should be of format {FORMAT} or older; it is of {found!r}. Update napari-tileseg to "
            "open it."
        )


def _project(values: Mapping[str, Any], folder: Path) -> Project:
    return Project(
        image=_image(values["image"]),
        network=_mapping(values["network"]),
        settings=_settings(PredictSettings, values["settings"]),
        results=tuple(_result(r, folder) for r in values["results"]),
    )


def _mapping(values: Any) -> Mapping[str, Any] | None:
    if not isinstance(values, (Mapping, type(None))):
        raise TypeError(f"a network is named by path and hash, not by {type(values).__name__}")
    return values


def _result(values: Mapping[str, Any], folder: Path) -> Result:
    result = Result(**{**values, "path": folder / values["path"], "image": _image(values.get("image"))})
    if not isinstance(result.name, str) or {type(result.complete), type(result.saved)} != {bool}:
        raise TypeError("a result has a name, and is complete and saved, or not")
    return result


def _image(values: Mapping[str, Any] | None) -> ImageReference | None:
    if values is None:
        return None
    plain = {name: as_tuples(value) for name, value in values.items() if name != "settings"}
    reference = ImageReference(**plain, settings=_settings(ImageSettings, values["settings"]))
    texts = (reference.name, reference.uri, reference.fingerprint, *reference.units)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("an image has a name, a path and a fingerprint")
    rows = () if reference.affine is None else reference.affine
    numbers = (*reference.voxel_size, *reference.translation, *chain(*rows))
    if not np.isfinite(numbers).all():
        raise ValueError("an image lies at finite numbers")
    return reference


def _settings(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return settings from JSON, where tuples have become lists; an older version left out what was added."""
    given = {
        each.name: as_tuples(values[each.name]) if each.name in values else each.unsaid
        for each in knobs(kind)
    }
    try:
        return kind(**given)
    except SettingsError as error:
        # Nobody has typed them here: the file is what is wrong.
        raise ValueError(str(error)) from error


def _relative(path: Path, folder: Path) -> str:
    """Return the path as seen from the project, so that the folder can be moved."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path.absolute())


class ProjectFolder:
    """A project and its folder.

    Parameters
    ----------
    path : Path
        The folder, made when it is first written to.

    Attributes
    ----------
    path : Path
        The folder.
    project : Project
        The project as it is now; its file may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = Project()

    def write(self, **values: Any) -> None:
        """Change entries of the project; its file is made with the first result.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        self.project = replace(self.project, **values)
        if self.project.results or (self.path / FILE).exists():
            write_project(self.path, self.project)

    def ensure_file(self) -> None:
        """Write the project's file if there is none yet, so that what lies in the folder can be opened again.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        if not (self.path / FILE).exists():
            write_project(self.path, self.project)

    def switch(self, path: Path, project: Project) -> None:
        """Continue with the project that another folder holds."""
        self.path, self.project = path, project


def size_on_disk(path: Path) -> int:
    """Return the bytes of all files under `path`; 0 if there are none."""
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue  # replaced by its writer between listing and looking
    return total


def copy_store(source: Path, target: Path) -> Iterator[Progress]:
    """Copy a store to a new path; whatever happens, nothing half-written is left there.

    Yields
    ------
    Progress
        In bytes, several times a second; whoever stops there has the copy removed.

    Raises
    ------
    StoreError
        If something is there already, the name ends like something else, or it cannot be written.
    """
    check_output(target, PREDICTION)
    try:
        with drafted(target) as draft:
            if target.exists():
                raise StoreError(
                    f"The result should go to a new path; {target} exists already. Choose another name or "
                    "remove it."
                )
            total = size_on_disk(source)
            check_room(target, total, "The copy", "or discard what is not needed")
            yield from _copied(source, draft, total)
    except OSError as error:
        raise StoreError(
            f"The result should be copied to {target}; {error}. It is still at {source}: choose another path."
        ) from error


def _fail(error: OSError) -> None:
    raise error


def _copied(source: Path, target: Path, total: int) -> Iterator[Progress]:
    """Copy a folder file by file. Links stay links: what they point to was never part of the result."""
    clock, done, told = Clock(), 0, 0.0
    for folder, folders, files in os.walk(source, onerror=_fail):
        here = target / Path(folder).relative_to(source)
        here.mkdir()
        for path in (Path(folder, name) for name in (*files, *folders)):
            if not path.is_symlink() and path.is_dir():
                continue
            shutil.copy2(path, here / path.name, follow_symlinks=False)
            done += path.lstat().st_size
            if clock.elapsed - told >= _TELL:
                told = clock.elapsed
                yield clock.estimate(Progress("Saving", done, max(done, total)))
