"""Steps that bring the intensities of an image to what a network expects: what they are, and their words."""

from napari_tileseg.nets.intensities.measuring import Measuring, Subject, prepare_array
from napari_tileseg.nets.intensities.resolved import ResolvedStep, apply_steps
from napari_tileseg.nets.intensities.steps import (
    MOST_STEPS,
    Clip,
    Linear,
    Over,
    Percentiles,
    Step,
    ZeroMean,
    check_steps,
    read_step,
    read_steps,
    single_kind,
)
from napari_tileseg.nets.intensities.words import step_words, steps_words

__all__ = [
    "MOST_STEPS",
    "Clip",
    "Linear",
    "Measuring",
    "Over",
    "Percentiles",
    "ResolvedStep",
    "Step",
    "Subject",
    "ZeroMean",
    "apply_steps",
    "check_steps",
    "prepare_array",
    "read_step",
    "read_steps",
    "single_kind",
    "step_words",
    "steps_words",
]
