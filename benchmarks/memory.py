"""Peak anonymous memory of ``tileseg predict`` from zarr to OME-Zarr, for images of growing size.

Run ``python benchmarks/memory.py``; it prints, and writes ``benchmarks/results/memory.json``. Each image is
twice as large as the one before; ``growth`` is the peak over that of the one before. The tiles are those that
are chosen for each image, and then the same for all. File-backed pages are not counted: the system takes them
back when it likes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import about_machine

#: Million voxels to the shape of a volume.
SIZES = {
    64: (256, 500, 500),
    128: (256, 1000, 500),
    256: (256, 1000, 1000),
    512: (256, 2000, 1000),
}
#: Core of the tiles of all images: what is chosen for the large ones.
CORE = "32,250,250"
#: A small U-Net, as anybody may save one and predict with it. Its weights do not matter here.
NETWORK = {
    "architecture": "unet",
    "arguments": {"ndim": 3, "features": (4,), "blocks": 1, "norm": "batch"},
    "activation": "softmax",
}
RESULT = Path(__file__).parent / "results" / "memory.json"


def write_volume(folder: Path, shape: tuple[int, ...]) -> Path:
    """Write a volume chunk by chunk: noise on a gradient."""
    import numpy as np
    import zarr

    path = folder / "volume.zarr"
    array = zarr.create_array(path, shape=shape, chunks=(64, 128, 128), dtype="u2")
    rng = np.random.default_rng(0)
    for z in range(0, shape[0], 64):
        for y in range(0, shape[1], 128):
            part = array[z : z + 64, y : y + 128]
            gradient = np.linspace(0, 2000, part.shape[2], dtype="u2")
            array[z : z + 64, y : y + 128] = gradient + rng.integers(0, 500, part.shape, dtype="u2")
    return path


def make_network(folder: Path) -> Path:
    """Save the network, not trained."""
    import torch

    from napari_tileseg.nets import Description, save_network
    from napari_tileseg.nets.architectures.registry import build

    torch.manual_seed(0)
    module = build(NETWORK["architecture"], **NETWORK["arguments"])
    return save_network(module, folder / "small.safetensors", Description(**NETWORK))


def measure(volume: Path, network: Path, out: Path, *more: str) -> dict[str, Any]:
    """Peak memory, seconds and tiles of the command, as it tells them."""
    command = [sys.executable, "-m", "napari_tileseg.cli", "predict", str(volume), str(network)]
    options = ["--axes", "zyx", "--device", "cpu", "-o", str(out), "--json"]
    told = json.loads(subprocess.run([*command, *options, *more], check=True, capture_output=True).stdout)
    return {name: told[name] for name in ("peak_memory_bytes", "seconds", "tiles", "core")}


def main() -> None:
    """Measure every size with each kind of tiles, and how memory grows from one size to the next."""
    tiles: dict[str, tuple[str, ...]] = {"chosen": (), "the same": ("--core", CORE)}
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in tiles}
    with tempfile.TemporaryDirectory() as place:
        network = make_network(Path(place))
        for millions, shape in SIZES.items():
            with tempfile.TemporaryDirectory(dir=place) as folder:
                volume = write_volume(Path(folder), shape)
                for kind, options in tiles.items():
                    told = measure(volume, network, Path(folder, f"{kind}.ome.zarr"), *options)
                    before = rows[kind][-1]["peak_memory_bytes"] if rows[kind] else None
                    growth = before and told["peak_memory_bytes"] / before
                    rows[kind].append({"million_voxels": millions, "shape": shape, **told, "growth": growth})
                    print(kind, rows[kind][-1], flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    report = {"machine": about_machine(), "network": NETWORK, "tiles": rows}
    RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
