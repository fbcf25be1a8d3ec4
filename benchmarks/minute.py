"""Whether a minute of fine-tuning is a minute: from the start to the decision, on real images.

    python benchmarks/minute.py [--minutes 1.0] [--runs 1] [--out benchmarks/results/minute.json]

Each training is one command of the shell, in a process of its own, timed from outside: so that what is
loaded before the first line runs is counted, too. Its parts are those that the command tells. The images are
a mouse embryo (3D; needs ``TILESEG_DATA``, left out where that is not set) and synthetic cells (2D), with
strokes along every few lines of what is right. The load of the machine is noted: on a busy one other
programs decide.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from measuring import about_machine

from napari_tileseg.labels import read_targets
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import LabelSettings

RESULTS = Path(__file__).parent / "results" / "minute.json"
CLASSES = ("foreground", "boundary")
#: Lines between two strokes, planes between two that have some, and voxels of a stroke.
LINES, PLANES, LENGTH = 12, 8, 10


def strokes_on(labels: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
    """Short strokes of what is right: 1 foreground, 2 boundary, 3 background."""
    right = read_targets(labels, CLASSES, LabelSettings(labels_kind="instances"), labels.shape)
    volume = np.asarray(right.index).reshape(-1, *labels.shape[-2:])
    painted = np.zeros(volume.shape, np.uint8)
    plane, line, column = PLANES // 2 if len(volume) > 1 else 0, LINES // 2, LENGTH
    place = np.s_[plane::PLANES, line::LINES]
    every = np.arange(volume.shape[-1]) % (4 * column) < column
    painted[place] = np.where(every, volume[place] + 1, 0)
    return painted.reshape(labels.shape)


def examples() -> dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any], str, tuple[str, ...]]]:
    """Image, labels, network and flags of each training."""
    cells = cells_image((512, 512), seed=3)
    found = {"cells 2D": (cells.image, cells.labels, "sample:cells_2d_batch_renorm", ("--axes", "yx"))}
    if "TILESEG_DATA" in os.environ:
        from embryos import VOXEL_SIZE, embryo

        volume = embryo("Emb01_t401")
        size = ",".join(map(str, VOXEL_SIZE))
        flags = ("--axes", "zyx", "--voxel-size", size)
        found["embryo 3D"] = (
            np.asarray(volume.image.data),
            volume.labels,
            "sample:nuclei_3d_instance",
            flags,
        )
    return found


def measure(folder: Path, name: str, minutes: float) -> dict[str, Any]:
    """Train once, and time it."""
    image, labels, network, flags = examples()[name]
    tifffile.imwrite(folder / "image.tif", image)
    tifffile.imwrite(folder / "strokes.tif", strokes_on(labels))
    command = [sys.executable, "-m", "napari_tileseg.cli", "finetune", "image.tif", "strokes.tif", network]
    command += ["-o", "new.safetensors", "--restart", "--labels-kind", "strokes", "--minutes", str(minutes)]
    begun, load = time.monotonic(), os.getloadavg()[0]
    done = subprocess.run(
        [*command, *flags, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - begun
    told = json.loads(done.stdout)
    if done.returncode:
        return {"error": told["error"], "seconds": seconds, "load": load}
    return {
        "seconds": round(seconds, 1),
        "of_the_time_asked_for": round(seconds / (60 * minutes), 3),
        "told_seconds": round(told["seconds"], 1),
        "steps": told["steps"],
        "parts": {part: round(took, 1) for part, took in told["parts"].items()},
        "better": told["better"],
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", default="", help="part of the name of the trainings to run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in examples():
        if asked.only in name:
            with tempfile.TemporaryDirectory() as folder:
                runs[name] = [measure(Path(folder), name, asked.minutes) for _ in range(asked.runs)]
    report = {"minutes": asked.minutes, "machine": about_machine(), "runs": runs}
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
