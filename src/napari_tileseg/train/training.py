"""A training run: an object that is driven by asking for its next event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_tileseg.settings import TrainSettings
from napari_tileseg.train.data import TrainingImage
from napari_tileseg.train.events import TrainEvent

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: The newest weights, those of the best validation score, or those of the last checkpoint.
Which: TypeAlias = Literal["now", "best", "last"]


def open_training(
    data: Sequence[TrainingImage],
    network: Network,
    settings: TrainSettings,
    folder: str | Path,
    *,
    from_scratch: bool = False,
) -> Training:
    """Lay out a training and write its first checkpoint; nothing is computed before an event is asked for.

    Parameters
    ----------
    data : sequence of TrainingImage
        What to learn from, and what is held out. Where nothing is, a part of the strokes, or of several
        densely labelled images, is.
    network : Network
        Where to start: an opened network, or one that `scratch_network` made. It is not changed.
    settings : TrainSettings
        How. Without steps and minutes, one minute, or 25,000 steps from scratch.
    folder : str or Path
        Where checkpoints go; made if it is not there. A former training in it is replaced.
    from_scratch : bool
        Whether the weights are fresh: other defaults hold, and the architecture's own normalization stays.

    Raises
    ------
    NetworkError
        If the network cannot be trained: TorchScript, or nothing in it to learn.
    SettingsError
        If settings contradict each other, or patches are so small that statistics are of one voxel.
    ImageError
        If labels and images do not fit each other or the network.
    StoreError
        If the folder cannot be written.
    DeviceError
        If the device is absent.
    """
    raise NotImplementedError


def resume_training(folder: str | Path, data: Sequence[TrainingImage]) -> Training:
    """Open a training where its last checkpoint left it; the same data give the same result as not stopping.

    Parameters
    ----------
    folder : str or Path
        That of the training.
    data : sequence of TrainingImage
        As it was given to `open_training`.

    Raises
    ------
    StoreError
        If there is no training in the folder, or its checkpoint is broken.
    ImageError
        If the labels are others than before.
    """
    raise NotImplementedError


class Training:
    """Module, optimizer, schedule and all else that decides the next step.

    Made by `open_training` and `resume_training`. It is used from one thread at a time: between two events
    the same thread may predict with `network`. Not asking for an event pauses; `stop` ends.
    """

    @property
    def step(self) -> int:
        """Steps taken."""
        raise NotImplementedError

    @property
    def total(self) -> int:
        """Steps planned; 0 until minutes are turned into steps."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        raise NotImplementedError

    def events(self) -> Iterator[TrainEvent]:
        """Train, one event at a time, until all steps are taken.

        Yields
        ------
        TrainEvent
            `Noted` for what the user should know; `Progress` and `Calibrated` where layers are converted;
            then `StepDone`, `Validated` and `Checkpointed`; `Trained` at the end. Closing the iterator leaves
            the last checkpoint; asking again goes on.

        Raises
        ------
        DeviceError
            If memory does not suffice for the smallest patch.
        ImageError
            If a patch cannot be read.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Let the next event begin the end: a checkpoint and `Trained` that says so. From any thread."""
        raise NotImplementedError

    def network(self, which: Which = "now") -> Network:
        """Copy of the network in evaluation mode, to predict with; later steps do not change it.

        Parameters
        ----------
        which : {"now", "best", "last"}
            The newest weights, those of the best validation score (the newest where nothing is held out or
            nothing is validated yet), or those of the last checkpoint.
        """
        raise NotImplementedError

    def save(self, which: Which, path: str | Path) -> Path:
        """Write the network as a file of our own, with where it comes from.

        Parameters
        ----------
        which : {"now", "best", "last"}
            As `network` takes it.
        path : str or Path
            Where to, ``.safetensors``.

        Returns
        -------
        Path
            Absolute path of the file. Its provenance holds the parent's hash, the labels' hash, the
            settings, the curve, and where the schedule was.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give memory back. It cannot train afterwards."""
        raise NotImplementedError
