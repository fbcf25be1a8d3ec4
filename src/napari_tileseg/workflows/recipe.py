"""What is needed to train a network from scratch: labelled images, an architecture, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_tileseg.nets.spec import Activation, InputNormalization
from napari_tileseg.settings import ImageSettings, LabelSettings, PredictSettings, TrainSettings

#: Steps of the paper's recipe (arXiv 2503.19545).
STEPS = 25_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledVolume:
    """An image and its labels, both anything that can be opened.

    Parameters
    ----------
    image, labels : str
        Where they are.
    validation : bool, optional
        Whether it is held out for validation; None where that is drawn at random.
    """

    image: str
    labels: str
    validation: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained from scratch.

    Parameters
    ----------
    output : Path
        Network file to write.
    folder : Path
        Folder of the run.
    name : str
        What to call the network.
    pairs : tuple of LabelledVolume
        What it learns from. Where none states whether it is for validation, a part of them is drawn.
    classes : tuple of str
        Name of each output channel.
    architecture : str
        Registered name.
    arguments : mapping
        What it is built with.
    activation : {"none", "sigmoid", "softmax"}
        What turns outputs into probabilities.
    input_normalization : InputNormalization
        How intensities are prepared.
    each_tile : bool
        Whether each patch is normalized by itself, which makes seams; for comparison.
    image : ImageSettings
        What the image files do not state.
    labels : LabelSettings
        What the values of labels mean.
    training : TrainSettings
        How it is trained.
    """

    output: Path
    folder: Path
    name: str
    pairs: tuple[LabelledVolume, ...]
    classes: tuple[str, ...]
    architecture: str = "unet"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    activation: Activation = "sigmoid"
    input_normalization: InputNormalization = field(default_factory=InputNormalization)
    each_tile: bool = False
    image: ImageSettings = field(default_factory=ImageSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    training: TrainSettings = field(default_factory=lambda: TrainSettings(steps=STEPS))

    @property
    def predict(self) -> PredictSettings:
        """Settings with which images are read in training, and must be in prediction."""
        # Images to train on are full of what is to be learned: no region is looked for.
        whole = PredictSettings(statistics="tile", device=self.training.device)
        if not self.each_tile:
            return whole
        ends = (self.input_normalization.low, self.input_normalization.high)
        return replace(whole, normalize="tile", quantiles=ends)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain = {"output": str(self.output), "folder": str(self.folder)}
        return {**asdict(self), **plain, "input_normalization": self.input_normalization.as_dict()}
