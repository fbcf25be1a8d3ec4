"""What a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.labels.targets import Targets
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.training.data.distillation import TeacherOutputs


@dataclass(frozen=True, slots=True, eq=False)
class TrainingImage:
    """An image, prepared as it would be predicted, and what is labelled in it.

    Parameters
    ----------
    plan : Plan
        How the image is prepared; not resampled.
    targets : Targets
        On the grid of the image.
    held_out : bool
        Whether it is for validation only. Where no image of a training is, a part of the strokes, or of the
        images, is held out.
    teacher : TeacherOutputs, optional
        Probabilities that the teacher network gives where nobody has labelled, for distillation.
    """

    plan: Plan
    targets: Targets
    held_out: bool = False
    teacher: TeacherOutputs | None = None
