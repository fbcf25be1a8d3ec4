"""Kill a training at random moments, and see that its checkpoint is whole and its end as if undisturbed.

    python benchmarks/kill.py [--kills 20] [--steps 1500]

Starts ``tileseg finetune`` on a synthetic image with a checkpoint after every step, kills it (SIGKILL), reads
all checkpoints that are there, resumes it, and so on; at last lets it end, and compares its network with that
of a run that nobody disturbed. Writes ``benchmarks/results/kill.json``.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from safetensors.torch import load_file

from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures.registry import build

RESULTS = Path(__file__).parent / "results" / "kill.json"


def make_inputs(folder: Path) -> None:
    """A flat image of bright discs, strokes on it, and a small network with instance normalization."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    inside = ((rows % 24 - 12) ** 2 + (columns % 24 - 12) ** 2) < 49
    tifffile.imwrite(folder / "image.tif", (rng.normal(100, 10, (96, 96)) + 80 * inside).astype(np.uint16))
    strokes = np.zeros((96, 96), np.uint8)
    for place in range(0, 96, 24):
        strokes[place + 12, 8:17], strokes[place, 8:17] = 1, 2
    tifffile.imwrite(folder / "strokes.tif", strokes)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 1, "features": (4, 8), "norm": "instance"}
    torch.manual_seed(0)
    path = folder / "network.safetensors"
    save_network(
        build("unet", **arguments),
        path,
        Description(architecture="unet", arguments=arguments, classes=("disc",)),
    )


def command(folder: Path, out: str, steps: int) -> list[str]:
    """The command line that is killed."""
    inputs = [str(folder / name) for name in ("image.tif", "strokes.tif", "network.safetensors")]
    flags = ["--labels-kind", "strokes", "--steps", str(steps), "--patch", "32,32", "--device", "cpu"]
    often = ["--checkpoint-every", "0", "--json"]
    tileseg = [sys.executable, "-m", "napari_tileseg.cli", "finetune"]
    return [*tileseg, *inputs, "-o", str(folder / out), *flags, *often]


def begun(process: subprocess.Popen[str], curve: Path, lines: int) -> bool:
    """Wait until a run has taken a step; False if it ended before."""
    while process.poll() is None:
        if curve.exists() and curve.read_bytes().count(b"\n") > lines:
            return True
        time.sleep(0.005)
    return False


def kill_once(folder: Path, steps: int, rng: np.random.Generator, *, resume: bool) -> dict[str, Any]:
    """Start or resume, kill after a random time, and read the checkpoints."""
    curve = folder / "killed.run" / "curve.csv"
    lines = curve.read_bytes().count(b"\n") if curve.exists() else 0
    more = ["--resume"] if resume else []
    process = subprocess.Popen([*command(folder, "killed.safetensors", steps), *more], text=True)
    if begun(process, curve, lines):
        time.sleep(float(rng.uniform(0, 0.5)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    checkpoints = sorted(curve.parent.glob("*.pt"))
    loaded = {path.name: torch.load(path, weights_only=True) for path in checkpoints}
    return {"code": process.returncode, "read": sorted(loaded), "lines": lines}


def main() -> None:
    """Kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder)
        kills = []
        for number in range(given.kills):
            kills.append(kill_once(folder, given.steps, rng, resume=number > 0))
            print(f"kill {number + 1}: {kills[-1]}", flush=True)
        for out, more in (("killed.safetensors", ["--resume"]), ("whole.safetensors", [])):
            subprocess.run([*command(folder, out, given.steps), *more], check=True, stdout=subprocess.DEVNULL)
        killed, whole = (load_file(folder / f"{each}.safetensors") for each in ("killed", "whole"))
    found = {
        "kills": kills,
        "killed_while_running": sum(each["code"] == -signal.SIGKILL for each in kills),
        "largest_difference": max(float((killed[key] - whole[key]).abs().max()) for key in whole),
        "steps": given.steps,
    }
    print(f"largest difference of weights: {found['largest_difference']}")
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
