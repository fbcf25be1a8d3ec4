"""Training networks on painted labels and labelled volumes: iterators of events, reproducible, resumable.

Importing this package loads no torch: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.train.calibrate import convert_network
    from napari_tileseg.train.data import TrainingImage
    from napari_tileseg.train.events import (
        Calibrated,
        Checkpointed,
        Phase,
        StepDone,
        Trained,
        TrainEvent,
        Validated,
    )
    from napari_tileseg.train.opening import open_training, resume_training
    from napari_tileseg.train.scratch import scratch_network
    from napari_tileseg.train.training import Training, Which

_HOMES = {
    "Calibrated": "events",
    "Checkpointed": "events",
    "Phase": "events",
    "StepDone": "events",
    "TrainEvent": "events",
    "Trained": "events",
    "Training": "training",
    "TrainingImage": "data",
    "Validated": "events",
    "Which": "training",
    "convert_network": "calibrate",
    "open_training": "opening",
    "resume_training": "opening",
    "scratch_network": "scratch",
}
__all__ = [
    "Calibrated",
    "Checkpointed",
    "Phase",
    "StepDone",
    "TrainEvent",
    "Trained",
    "Training",
    "TrainingImage",
    "Validated",
    "Which",
    "convert_network",
    "open_training",
    "resume_training",
    "scratch_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
