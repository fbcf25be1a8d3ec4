"""Trying the cure of a finding, and keeping what comes of it as a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg.session.diagnosis.run import Request, masks_of
from napari_tileseg.session.project.recent import record_recent

if TYPE_CHECKING:
    from napari_tileseg.diagnosis import Diagnosis
    from napari_tileseg.diagnosis.trial import Trial
    from napari_tileseg.nets import Network


@dataclass(frozen=True, slots=True)
class Tried:
    """What is in view was predicted in both ways.

    Parameters
    ----------
    trial : Trial
        What came of it.
    """

    trial: Trial


@dataclass(frozen=True, slots=True)
class Kept:
    """A network that holds statistics was written, and opened.

    Parameters
    ----------
    path : Path
        Where it is.
    network : Network
        It.
    trial : Trial
        Whose statistics they are.
    """

    path: Path
    network: Network
    trial: Trial


def carry_out_trial(request: Request, diagnosis: Diagnosis) -> Iterator[Progress | Tried]:
    """Predict what is in view in both ways.

    Parameters
    ----------
    request : Request
        The prediction, the labels, and what is in view.
    diagnosis : Diagnosis
        What was found of the prediction; tiles differ.

    Yields
    ------
    Progress or Tried
        How far it is, and what came of it at the end.
    """
    from napari_tileseg.diagnosis.trial import part_to_try, try_statistics

    worst = diagnosis.mismatch.worst
    part = part_to_try(request.plan, request.part, worst[0])
    trial = yield from try_statistics(request.plan, part, worst, masks_of(request))
    yield Tried(trial)


def keep(trial: Trial, path: Path) -> Iterator[Progress | Kept]:
    """Write a network that holds the statistics of a trial.

    Parameters
    ----------
    trial : Trial
        Has the numbers already.
    path : Path
        File to write.

    Yields
    ------
    Progress or Kept
        How far it is, and the network at the end.

    Raises
    ------
    NetworkError
        If something that the network computes over all of space is not a layer that can hold numbers.
    StoreError
        If the file cannot be written.
    """
    from napari_tileseg.nets import open_network, save_described
    from napari_tileseg.training import freeze_network

    network = yield from freeze_network([trial.plan])
    path = save_described(network.module, network.description, path)
    network = open_network(path)
    record_recent(network.reference.path)
    yield Kept(path, network, trial)
