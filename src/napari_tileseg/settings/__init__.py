"""Every knob, written once: type, bounds, unit, help, default.

The form in napari, the flags of the command line, the saved file and the reference in the docs are
derived from these dataclasses by `knobs`.
"""

from napari_tileseg.settings.declaring import LARGEST_SEED, Kind, Knob, Settings, knob, knobs
from napari_tileseg.settings.diagnosing import DiagnoseSettings
from napari_tileseg.settings.opening import ImageSettings, NetworkSettings
from napari_tileseg.settings.predicting import PredictSettings
from napari_tileseg.settings.training import LabelSettings, TrainSettings

__all__ = [
    "LARGEST_SEED",
    "DiagnoseSettings",
    "ImageSettings",
    "Kind",
    "Knob",
    "LabelSettings",
    "NetworkSettings",
    "PredictSettings",
    "Settings",
    "TrainSettings",
    "knob",
    "knobs",
]
