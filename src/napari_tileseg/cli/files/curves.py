"""Curves of a training for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.training.events import StepDone, Validated


class Curves:
    """Writes training events as files that TensorBoard reads, if that is asked for.

    Parameters
    ----------
    kind : {"csv", "tensorboard"}
        Whether: the run writes its CSV itself.
    folder : Path
        Folder of the run; the files go into ``tensorboard`` in it.

    Raises
    ------
    SettingsError
        If TensorBoard is not installed.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._folder = folder / "tensorboard" if kind == "tensorboard" else None
        self._writer: Any = None
        if self._folder is not None:
            _writer_class()

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, event: object) -> None:
        """Write the values of one training event."""
        if self._folder is None:
            return
        match event:
            case StepDone():
                for name in ("loss", "r_max", "d_max"):
                    self._draw(f"training/{name}", getattr(event, name), event.step)
            case Validated():
                self._draw("validation/loss", event.loss, event.step)
                self._draw("validation/score", event.score, event.step)

    def _draw(self, name: str, value: float, step: int) -> None:
        # Opened with the first value: before that, the run may yet be refused, and leave no folder behind.
        if self._writer is None:
            self._writer = _open_writer(self._folder)
        self._writer.add_scalar(name, value, step)


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SettingsError(
            "Curves for TensorBoard need it to be installed: pip install napari-tileseg[tensorboard]. Or "
            "leave --curves at csv."
        ) from error
    return SummaryWriter


def _open_writer(folder: Path | None) -> Any:
    try:
        return _writer_class()(str(folder))
    except OSError as error:
        raise StoreError(f"Curves cannot be written to {folder}: {error}. Choose another --run.") from error
