"""A simulated annotator: paints at the worst errors, trains for a minute, looks again.

    python benchmarks/annotator.py [--rounds 5] [--strokes 10] [--minutes 1.0] [--keep best]

Each round paints a few strokes on one embryo, at most 20 voxels long, one voxel wide, each in one slice, at
the worst errors of the present prediction. The same strokes then teach

- ``tuned``: the shipped network with instance normalization, converted to batch renormalization on the way;
- ``scratch``: the same architecture with fresh weights, for the same time;
- ``forest``: a random forest on multiscale features of single voxels.

After each round all are scored on whole volumes of other embryos, of which nothing was ever painted. Rounds
are written to ``benchmarks/results/annotator.json`` as they end, or to ``annotator_last.json`` with ``--keep
last``. Real volumes need ``TILESEG_DATA``, and the forest what ``pip install -e .[bench]`` installs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from embryos import (
    CACHE,
    CLASSES,
    CPU,
    HERE,
    VOXEL_SIZE,
    Volume,
    class_dice,
    embryo,
    means,
    seams,
    whole_prediction,
    write_results,
)
from painting import paint
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.labels import read_targets
from napari_tileseg.nets import open_network
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.training import TrainingImage, open_training, scratch_network
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_events import FinalWeights
from napari_tileseg.workflows.finetuning_request import TuneRequest

RESULTS: dict[FinalWeights, Path] = {
    "best": HERE / "results" / "annotator.json",
    "last": HERE / "results" / "annotator_last.json",
}
START = "sample:nuclei_3d_instance"
PAINTED_ON = "Emb01_t401"
SCORED_ON = ("Emb08_t401", "Emb08_t501", "Emb04_t401")
STROKES = LabelSettings(labels_kind="strokes")
#: Smaller than usual: without a graphics card many small steps teach more in a minute than few large ones.
PATCH = (24, 48, 48)


class Tuned:
    """The shipped network, fine-tuned round after round by the job that shell and panel use."""

    def __init__(self, minutes: float, keep: FinalWeights) -> None:
        self.network = open_network(START)
        self._minutes, self._keep = minutes, keep

    def learn(self, volume: Volume, strokes: np.ndarray, number: int) -> dict[str, Any]:
        """Learn from all strokes so far, beginning where the round before ended."""
        request = TuneRequest(
            image=volume.image,
            labels=strokes,
            network=self.network,
            folder=CACHE / f"annotator_tuned_{number}.run",
            training=TrainSettings(minutes=self._minutes, patch=PATCH, device="cpu"),
            meaning=STROKES,
            predict=CPU,
            which=self._keep,
        )
        job = FineTuning(request)
        trained = drain(job.run()).trained
        self.network = open_network(
            job.trainer.save(self._keep, CACHE / f"annotator_tuned_{number}.safetensors")
        )
        job.close()
        return {"steps": trained.steps, "seconds": round(trained.seconds, 1), "phase": trained.phase}

    def predict(self, volume: Volume) -> np.ndarray:
        """Probabilities of the whole volume."""
        return whole_prediction(volume, self.network)


class Scratch:
    """The same architecture with fresh weights, trained on round after round."""

    def __init__(self, minutes: float, keep: FinalWeights) -> None:
        self.network = scratch_network(
            "unet",
            {"ndim": 3, "in_channels": 1, "features": [8, 16, 32], "norm": "batch_renorm"},
            classes=CLASSES,
            activation="sigmoid",
            voxel_size=VOXEL_SIZE,
        )
        self._minutes, self._keep = minutes, keep

    def learn(self, volume: Volume, strokes: np.ndarray, number: int) -> dict[str, Any]:
        """Learn from all strokes so far, beginning where the round before ended."""
        settings = TrainSettings(
            minutes=self._minutes, patch=PATCH, learning_rate=1e-3, accumulate=2, device="cpu"
        )
        targets = read_targets(strokes, CLASSES, STROKES, volume.image.shape)
        data = [
            TrainingImage(drain(plan_prediction(volume.image, self.network, CPU, route=WHOLE_TILES)), targets)
        ]
        folder = CACHE / f"annotator_scratch_{number}.run"
        training = open_training(data, self.network, settings, folder, from_scratch=number == 1)
        trained = drain(training.run())
        self.network = open_network(
            training.save(self._keep, CACHE / f"annotator_scratch_{number}.safetensors")
        )
        training.close()
        return {"steps": trained.steps, "seconds": round(trained.seconds, 1), "phase": trained.phase}

    def predict(self, volume: Volume) -> np.ndarray:
        """Probabilities of the whole volume."""
        return whole_prediction(volume, self.network)


class Forest:
    """Random forest on features of single voxels (scikit-image's multiscale features)."""

    def __init__(self) -> None:
        self._features: dict[str, np.ndarray] = {}
        self._forest = RandomForestClassifier(
            n_estimators=100, class_weight="balanced", n_jobs=2, random_state=0
        )

    def learn(self, volume: Volume, strokes: np.ndarray, number: int) -> dict[str, Any]:
        """Learn from all strokes so far."""
        del number
        painted, begun = strokes > 0, time.monotonic()
        self._forest.fit(self._of(volume)[painted], strokes[painted])
        return {"seconds": round(time.monotonic() - begun, 1)}

    def predict(self, volume: Volume) -> np.ndarray:
        """Whether each voxel is of each class, ``(classes, *shape)``: the most probable one."""
        features = self._of(volume)
        found = self._forest.predict(features.reshape(-1, features.shape[-1])).reshape(features.shape[:-1])
        return np.stack([found == number + 1 for number in range(len(CLASSES))]).astype(np.float32)

    def _of(self, volume: Volume) -> np.ndarray:
        if volume.name not in self._features:
            low, high = np.percentile(volume.image.data, (1.0, 99.8))
            scaled = np.clip((np.asarray(volume.image.data, np.float32) - low) / (high - low), 0, 1)
            self._features[volume.name] = multiscale_basic_features(scaled, workers=2)
        return self._features[volume.name]


def score(learner: Tuned | Scratch | Forest) -> dict[str, Any]:
    """Dice of each class, mean over the volumes that were never painted on; and seams, if it is a network."""
    volumes = [embryo(name) for name in SCORED_ON]
    dice = means([class_dice(learner.predict(volume), volume) for volume in volumes])
    tiles = {} if isinstance(learner, Forest) else seams(volumes[0], learner.network)
    return {"dice": dice, "mean_dice": round(float(np.mean(dice)), 4), **tiles}


def play(rounds: int, strokes: int, minutes: float, keep: FinalWeights) -> None:
    """Paint, train and score, round after round."""
    CACHE.mkdir(exist_ok=True)
    volume = embryo(PAINTED_ON)
    labels = np.zeros(volume.labels.shape, np.uint8)
    learners = {
        "tuned": Tuned(minutes, keep),
        "scratch": Scratch(minutes, keep),
        "forest": Forest(),
    }
    history: list[dict[str, Any]] = [{"round": 0, "tuned": score(learners["tuned"])}]
    print(history[0], flush=True)
    about = {"start": START, "painted_on": PAINTED_ON, "scored_on": SCORED_ON, "strokes": strokes}
    for number in range(1, rounds + 1):
        labels, voxels = paint(learners["tuned"].predict(volume), volume.truth, labels, strokes)
        entry: dict[str, Any] = {"round": number, "voxels_painted": voxels}
        for name, learner in learners.items():
            entry[name] = {**learner.learn(volume, labels, number), **score(learner)}
            print(f"round {number}, {name}: {entry[name]}", flush=True)
        history.append(entry)
        write_results(RESULTS[keep], rounds=history, minutes=minutes, kept=keep, **about)


def main() -> None:
    """Read the arguments and play."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strokes", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1.0, help="of training in each round")
    parser.add_argument("--keep", choices=list(RESULTS), default="best", help="after each round")
    given = parser.parse_args()
    torch.set_num_threads(2)
    play(given.rounds, given.strokes, given.minutes, given.keep)


if __name__ == "__main__":
    main()
