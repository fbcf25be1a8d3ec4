"""The paper's comparison of normalizations on mouse embryos, from scratch, and its networks moved to plants.

    python benchmarks/from_scratch.py train [NORM SEED]
    python benchmarks/from_scratch.py table
    python benchmarks/from_scratch.py transfer [NORM SEED]

``train`` trains one small U-Net, or all that are missing, with the same steps, patches and learning rate
for each normalization: about four minutes each on one core. Networks are kept in ``benchmarks/.cache``;
what was interrupted is gone on with. ``table`` scores those that are there on an embryo that none of them has
seen; ``transfer`` applies them to the nuclei of an ovule before and after fine-tuning on painted strokes.
Results go to ``benchmarks/results/from_scratch.json``. Real volumes need ``TILESEG_DATA``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from embryos import (
    CACHE,
    CLASSES,
    CPU,
    HERE,
    VOXEL_SIZE,
    Volume,
    both_modes,
    class_dice,
    embryo,
    means,
    ovule,
    seams,
    tiled_prediction,
    whole_prediction,
    write_results,
)
from painting import paint

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.labels import read_targets
from napari_tileseg.nets import Network, open_network
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.training import (
    StepDone,
    TrainingImage,
    open_training,
    resume_training,
    scratch_network,
)
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_request import TuneRequest

RESULTS = HERE / "results" / "from_scratch.json"
NORMS = ("batch", "instance", "batch_renorm", "identity")
SEEDS = (0, 1)
#: Dice with running statistics, with batch statistics, and from tiles as large as patches, without halo.
DICE = ("dice_eval", "dice_train", "dice_tiles")
TRAINED_ON = (
    *("Emb01_t301", "Emb01_t401", "Emb01_t501"),
    *("Emb02_t401", "Emb02_t501"),
    *("Emb04_t301", "Emb04_t401", "Emb04_t501"),
)
SCORED_ON = ("Emb08_t401", "Emb08_t501")
#: Voxels of a patch: small, so that a processor takes many steps in a minute.
PATCH = (24, 48, 48)
STEPS = 1500
#: The same for all networks; less than the paper's recipe, which takes days without a graphics card.
SETTINGS = TrainSettings(
    steps=STEPS, accumulate=2, patch=PATCH, learning_rate=1e-3, held_out=0.0, device="cpu"
)
INSTANCES, STROKES = LabelSettings(labels_kind="instances"), LabelSettings(labels_kind="strokes")
#: Strokes painted on the ovule, and how long a network learns from them.
PAINTED, MINUTES = 30, 1.0
#: Slices of the ovule that are painted on, and those that are scored: it is one specimen only.
PAINTED_SLICES, SCORED_SLICES = slice(0, 44), slice(56, 100)


def path_of(norm: str, seed: int, steps: int = STEPS) -> Path:
    """Where a network is kept."""
    return CACHE / f"scratch_{norm}_{seed}_{steps}.safetensors"


def train(norm: str, seed: int, steps: int = STEPS) -> Path:
    """Train one network, unless it is there."""
    path = path_of(norm, seed, steps)
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    arguments = {"ndim": 3, "in_channels": 1, "features": [8, 16, 32], "norm": norm}
    network = scratch_network(
        "unet",
        arguments,
        classes=CLASSES,
        name=f"embryos, {norm}",
        activation="sigmoid",
        voxel_size=VOXEL_SIZE,
        seed=seed,
    )
    data = [_labelled(embryo(name), network) for name in TRAINED_ON]
    settings = replace(SETTINGS, steps=steps, seed=seed)
    folder = path.with_suffix(".run")
    if (folder / "last.pt").exists():
        training = resume_training(folder, data)
    else:
        training = open_training(data, network, settings, folder, from_scratch=True)

    def report(event: Any) -> None:
        if isinstance(event, StepDone) and event.step % 20 == 0:
            left = f"{event.seconds_left:.0f} s left"
            print(
                f"{norm} {seed}: step {event.step}, {event.phase}, loss {event.loss:.3f}, {left}", flush=True
            )

    trained = drain(training.run(), report)
    print(f"{norm} {seed}: {trained.reason} after {trained.seconds:.0f} s {trained.message}", flush=True)
    return training.save("last", path)


def _labelled(volume: Volume, network: Network) -> TrainingImage:
    targets = read_targets(volume.labels, CLASSES, INSTANCES, volume.image.shape)
    return TrainingImage(drain(plan_prediction(volume.image, network, CPU, route=WHOLE_TILES)), targets)


def table() -> None:
    """Score all networks that are there, and write the table."""
    rows = {}
    for norm, seed in there():
        network = open_network(path_of(norm, seed))
        found = [_scored(embryo(name), network) for name in SCORED_ON]
        rows[f"{norm} {seed}"] = {
            **{key: means([each[key] for each in found]) for key in DICE},
            "disparity": round(max(each["disparity"] for each in found), 4),
            "tile_mismatch": round(max(each["tile_mismatch"] for each in found), 4),
            "max_abs_difference": max(each["max_abs_difference"] for each in found),
            "mismatch": "yes" if any(each["mismatch"] == "yes" for each in found) else "no",
        }
        print(f"{norm} {seed}: {rows[f'{norm} {seed}']}", flush=True)
    settings = {**SETTINGS.as_dict(), "trained_on": TRAINED_ON, "scored_on": SCORED_ON}
    write_results(RESULTS, networks=rows, summary=_summary(rows), settings=settings)


def _scored(volume: Volume, network: Network) -> dict[str, Any]:
    """Dice of the whole volume in both modes, and from tiles as large as what the network was trained on."""
    tiles = class_dice(tiled_prediction(volume, network, PATCH), volume)
    return {**both_modes(volume, network), "dice_tiles": tiles, **seams(volume, network)}


def _summary(rows: dict[str, Any]) -> dict[str, Any]:
    """Mean over seeds, with the spread of the foreground and boundary between them."""
    summary = {}
    for norm in NORMS:
        found = [row for key, row in rows.items() if key.split()[0] == norm]
        if found:
            summary[norm] = {
                **{key: means([row[key] for row in found]) for key in DICE},
                "dice_eval_range": np.ptp([row["dice_eval"] for row in found], axis=0).round(4).tolist(),
                **{key: max(row[key] for row in found) for key in ("disparity", "tile_mismatch")},
                "mismatch": "yes" if any(row["mismatch"] == "yes" for row in found) else "no",
                "seeds": len(found),
            }
    return summary


def transfer(norm: str, seed: int) -> dict[str, Any]:
    """Apply a network to the ovule, before and after fine-tuning on strokes painted in one half of it."""
    volume, network = ovule(), open_network(path_of(norm, seed))
    usual = whole_prediction(volume, network)
    truth = volume.truth[PAINTED_SLICES]
    strokes = np.zeros(volume.labels.shape, np.uint8)
    strokes[PAINTED_SLICES], voxels = paint(usual[:, PAINTED_SLICES], truth, strokes[PAINTED_SLICES], PAINTED)
    begun = time.monotonic()
    request = TuneRequest(
        image=volume.image,
        labels=strokes,
        network=network,
        folder=CACHE / f"transfer_{norm}_{seed}.run",
        training=TrainSettings(minutes=MINUTES, patch=PATCH, device="cpu", seed=seed),
        meaning=STROKES,
        predict=CPU,
        which="last",
    )
    job = FineTuning(request)
    tuned = drain(job.run())
    seconds = time.monotonic() - begun
    path = job.trainer.save("last", CACHE / f"transfer_{norm}_{seed}.safetensors")
    after = open_network(path)
    return {
        "before": _half(volume, network, usual),
        "after": _half(volume, after, whole_prediction(volume, after)),
        "steps": tuned.trained.steps,
        "seconds_trained": round(tuned.trained.seconds, 1),
        "seconds_in_all": round(seconds, 1),
        "strokes": PAINTED,
        "voxels_painted": voxels,
    }


def _half(volume: Volume, network: Network, predicted: np.ndarray) -> dict[str, Any]:
    half = Volume(volume.name, volume.image, volume.labels[SCORED_SLICES])
    dice = [round(value, 4) for value in class_dice(predicted[:, SCORED_SLICES], half)]
    return {"dice": dice, **seams(volume, network, pairs=2)}


def there() -> Iterator[tuple[str, int]]:
    """Networks that have been trained."""
    return ((n, s) for n, s in itertools.product(NORMS, SEEDS) if path_of(n, s).exists())


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["train", "table", "transfer"])
    parser.add_argument("norm", nargs="?", choices=NORMS)
    parser.add_argument("seed", nargs="?", type=int)
    given = parser.parse_args()
    one = [(given.norm, given.seed or 0)] if given.norm else None
    if given.part == "train":
        # Seed by seed: a table of one seed is there early.
        for seed, norm in itertools.product(SEEDS, NORMS) if one is None else [one[0][::-1]]:
            train(norm, seed)
    elif given.part == "table":
        table()
    else:
        for norm, seed in one or there():
            found = transfer(norm, seed)
            print(f"{norm} {seed}: {found}", flush=True)
            write_results(RESULTS, **{f"transfer {norm} {seed}": found})


if __name__ == "__main__":
    main()
