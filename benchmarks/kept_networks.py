"""Networks of other packages, kept by their graph: fine-tuned, saved, and opened where nobody knows them.

    python benchmarks/kept_networks.py [--only WORD ...] [--out FILE]

Each network is taken as Python code, learns 20 steps on noise with strokes, as BatchRenorm where it has
normalization to replace, and is written as one file. A process in which the packages of the networks cannot
be imported opens that file: "apart" is the largest difference of its output to the one before, and "seams" is
what still depends on tiles there. Weights are random, as in `third_party_networks`. What cannot be kept has
the reason; so has a package that is absent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from third_party_subjects import Subject, more_with_statistics, subjects
from third_party_table import Row, built, left_out, make_table

from napari_tileseg._progress import drain
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Network, open_module
from napari_tileseg.nets.formats.description import axes_of
from napari_tileseg.nets.spec import Activation
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.tiling.rounding import round_up
from napari_tileseg.workflows import finetune

RESULT = Path(__file__).parent / "results" / "kept_networks.json"
STEPS = 20
_ACTIVATION: Activation = "sigmoid"
#: Voxels along each axis of a patch, at least, by number of axes.
PATCH = {2: 64, 3: 24}
#: Opens a network without the packages that made it, and says what it gives.
_ELSEWHERE = """
import json, sys
import numpy as np, torch

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages}:
            raise ImportError(name)

sys.meta_path.insert(0, Nowhere())
from napari_tileseg.nets import open_network
network = open_network(sys.argv[1])
with torch.inference_mode():
    found = network.module(torch.from_numpy(np.load(sys.argv[2]))).numpy()
np.save(sys.argv[3], found)
spec = network.spec
print(json.dumps([spec.seam_free, list(spec.seam_layers), dict(spec.norm_counts)]))
"""
_PACKAGES = (
    "dynamic_network_architectures",
    "segmentation_models_pytorch",
    "timm",
    "torch_em",
    "pytorch3dunet",
    "careamics",
    "monai",
    "torchvision",
)


def tried(subject: Subject) -> Row:
    """Return what became of one network."""
    try:
        module, axes = built(subject), axes_of(subject.ndim)
        network = open_module(module, axes=axes, in_channels=subject.channels, activation=_ACTIVATION)
    except (ImportError, RuntimeError, TilesegError) as error:
        return left_out(error)
    row: Row = {"seam-free before": network.spec.seam_free}
    begun = time.perf_counter()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tuned.safetensors"
        try:
            result = drain(_training(network, path))
        except TilesegError as error:
            return row | {"refused": str(error)[:300]}
        row["seconds"] = round(time.perf_counter() - begun, 1)
        return row | _elsewhere(result, path, Path(folder))


def _training(network: Network, out: Path) -> Any:
    spec = network.spec
    step = np.lcm(spec.geometry.stride, spec.geometry.read.step).tolist()
    least = zip(spec.geometry.read.minimum, step, strict=True)
    patch = tuple(round_up(max(n, PATCH[spec.ndim]), s) for n, s in least)
    shape = tuple(2 * n for n in patch)
    image = Image(np.random.default_rng(0).normal(100, 40, shape).astype("f4"), spec.axes)
    strokes = np.zeros(shape, "u1")
    lines = strokes[..., 4:-4:6, 5:-5]
    lines[:] = np.arange(1, 3)[np.arange(lines.shape[-2]) % 2][:, None]
    settings = TrainSettings(steps=STEPS, patch=patch, device="cpu", validate_every=STEPS)
    names = spec.classes if spec.out_channels > 1 else ("background", *spec.classes)
    meaning = LabelSettings(labels_kind="strokes", map=((1, names[0]), (2, names[1])))
    return finetune(image, strokes, network, settings, meaning=meaning, out=out)


def _elsewhere(network: Network, path: Path, folder: Path) -> Row:
    """Open the file in a process without the packages, and compare."""
    spec = network.spec
    sizes = spec.padded_sizes
    shape = [round_up(max(n, PATCH[spec.ndim]), s) for n, s in zip(sizes.minimum, sizes.step, strict=True)]
    values = np.random.default_rng(1).normal(size=(1, spec.in_channels, *shape)).astype("f4")
    np.save(folder / "in.npy", values)
    with torch.inference_mode():
        before = network.module(torch.from_numpy(values)).numpy()
    code = _ELSEWHERE.replace("{packages}", repr(set(_PACKAGES)))
    command = [sys.executable, "-W", "ignore", "-c", code, path, folder / "in.npy", folder / "out.npy"]
    said = subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, text=True).stdout
    seam_free, layers, norms = json.loads(said.splitlines()[-1])
    return {
        "apart": float(np.abs(np.load(folder / "out.npy") - before).max()),
        "largest": float(np.abs(before).max()),
        "seam-free": seam_free,
        "seams": layers[:3],
        "norms": norms,
        "bytes of graph": len(json.dumps(network.description.arguments.get("graph"))),
        "bytes": path.stat().st_size,
    }


def line(row: Row) -> str:
    """Say what became of one network."""
    seams = "seam-free" if row["seam-free"] else f"seams by {', '.join(row['seams'])}"
    return f"apart {row['apart']:.1e} of {row['largest']:.1e}  {row['seconds']:6.1f} s  {seams}"


if __name__ == "__main__":
    whole = [each for each in (*subjects(), *more_with_statistics()) if not each.name.startswith("part:")]
    make_table(__doc__, whole, tried, line, RESULT)
