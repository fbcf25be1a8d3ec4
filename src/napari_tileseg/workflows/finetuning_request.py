"""All that a fine-tuning needs to know."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._types import ImageSource
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.workflows.finetuning_events import FinalWeights

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.prediction.input.normalization import Normalization


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TuneRequest:
    """All that fine-tuning needs to know.

    Parameters
    ----------
    image : Image
        The image.
    labels : array of int
        What is labelled, over the image's grid axes: anything that is read by slicing. It is read once, when
        the work begins; strokes take memory for what is painted only.
    network : Network
        The opened network; it is not changed.
    folder : Path
        Folder of the run.
    training : TrainSettings
        How it is trained, and on which device.
    meaning : LabelSettings
        What the labels' values mean.
    predict : PredictSettings
        How intensities are normalized; core and halo define which tiles are compared.
    normalization : Normalization, optional
        That of the image for the network and `predict`, where it is measured already.
    which : {"best", "last"}
        Which weights are measured after training.
    both : bool
        Whether the last weights are scored too, where they are not those that are chosen.
    resume : bool
        Whether to resume the training that the folder holds.
    """

    image: Image
    labels: ImageSource
    network: Network
    folder: Path
    training: TrainSettings = field(default_factory=TrainSettings)
    meaning: LabelSettings = field(default_factory=LabelSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    normalization: Normalization | None = None
    which: FinalWeights = "best"
    both: bool = False
    resume: bool = False

    def prediction_settings(self) -> PredictSettings:
        """Return how the whole image is predicted while it is learned from.

        Raises
        ------
        SettingsError
            If it would be resampled.
        """
        if self.predict.resample:
            raise SettingsError(
                "Labels lie on the voxels of the image, so it is trained on as it is; resample should be "
                "false. Resample image and labels yourself, where their voxel size is far from the network's."
            )
        predict = replace(self.predict, box=None, device=self.training.device, dtype="float32")
        if predict.statistics == "auto" and self.training.norm == "batch_renorm":
            # Intensities are prepared as for what it becomes, which needs no statistics of a region.
            predict = replace(predict, statistics="tile")
        return predict
