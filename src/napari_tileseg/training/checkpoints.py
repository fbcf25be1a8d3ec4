"""Checkpoints: one file, replaced as a whole, that runs no code when it is opened."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from napari_tileseg._files import json_text, ordinary_file, read_ordinary, write_bytes
from napari_tileseg.errors import NetworkError, StoreError, answering

#: Version of what a checkpoint holds.
VERSION = 3
LAST, RUN, CURVE = "last.pt", "run.json", "curve.csv"
#: Bytes that the description of a training has at most, and its checkpoint.
_LARGEST, _LARGEST_CHECKPOINT = 2**26, 2**40


def write_checkpoint(folder: Path, values: dict[str, Any]) -> Path:
    """Replace the checkpoint of a folder; a kill at any moment leaves the former one or this one.

    Parameters
    ----------
    folder : Path
        That of the training.
    values : dict
        Tensors and plain values.

    Raises
    ------
    StoreError
        If it cannot be written; the former one is still there.
    """
    data = io.BytesIO()
    torch.save({"version": VERSION, **values}, data)
    return _write(folder / LAST, data.getvalue())


def remove_checkpoint(folder: Path) -> None:
    """Remove a former training's checkpoint, so that nothing can be resumed from it.

    Raises
    ------
    StoreError
        If that cannot be done.
    """
    try:
        (folder / LAST).unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(
            f"{folder} holds a training whose {LAST} cannot be removed: {error.strerror or error}. Choose "
            "another folder."
        ) from error


def write_about(folder: Path, about: dict[str, Any]) -> Path:
    """Write what a training is, for people and for resuming.

    Raises
    ------
    StoreError
        If the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} should be a folder for checkpoints and cannot be made: {error}. Choose another one."
        ) from error
    return _write(folder / RUN, (json_text(about, indent=2, sort_keys=True) + "\n").encode())


def write_curve(folder: Path, rows: list[list[Any]]) -> Path:
    """Write losses and scores as comma-separated values."""
    lines = ["step,loss,phase,r_max,d_max,validation_loss,validation_score"]
    lines += [",".join("" if value is None else str(value) for value in row) for row in rows]
    return _write(folder / CURVE, ("\n".join(lines) + "\n").encode())


def _write(path: Path, data: bytes) -> Path:
    try:
        write_bytes(path, data)
    except OSError as error:
        raise StoreError(
            f"{path.name} could not be written to {path.parent}: {error.strerror or error}. Free some space; "
            "what was written before is still there."
        ) from error
    return path


def read_about(folder: Path) -> dict[str, Any]:
    """Return what describes a training.

    Raises
    ------
    StoreError
        If there is none in the folder.
    """
    path = folder / RUN
    with reading_run(folder):
        if not path.exists():
            raise StoreError(
                f"{folder} should hold a training ({RUN} and {LAST}); there is no {RUN}. Choose its folder, "
                "or start anew."
            )
        about: dict[str, Any] = json.loads(read_ordinary(path, _LARGEST))
        if not isinstance(about, dict):
            raise TypeError(f"{RUN} should be an object")
    return about


@contextmanager
def reading_run(folder: Path) -> Iterator[None]:
    """Turn whatever reading a training's files raises into a `StoreError` that names a cure."""
    what, cure = f"{folder} holds a training that is damaged", "Start it anew, or choose another folder."
    try:
        with answering(StoreError, what, cure):
            yield
    except NetworkError as error:
        # The reason for which a checkpoint cannot be made into a network.
        raise StoreError(f"{what}: {error} {cure}") from error


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the last checkpoint of a training, on the CPU.

    Raises
    ------
    StoreError
        If there is none, it is broken, or of another version.
    """
    path = folder / LAST
    what, cure = f"{path} should be a checkpoint", "Start the training anew."
    with answering(StoreError, what, cure), ordinary_file(path, _LARGEST_CHECKPOINT) as (file, _):
        values: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        version = values["version"]
    if version != VERSION:
        raise StoreError(
            f"{path} is a checkpoint of version {version!r}; this program reads version {VERSION}. "
            "Use the program that wrote it."
        )
    return values
