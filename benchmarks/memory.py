"""Peak anonymous memory of a prediction from zarr to OME-Zarr, for images of growing size.

Run ``python benchmarks/memory.py``; it prints, and writes ``benchmarks/results/memory.json``. Each size runs
in its own process. File-backed pages are not counted: the system takes them back when it likes.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import AnonymousPeak

#: Million voxels to the shape of a volume.
SIZES = {64: (256, 500, 500), 128: (256, 1000, 500), 256: (256, 1000, 1000)}
#: Largest peak over the smallest that still counts as flat.
FLAT = 1.10
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

    from napari_tileseg.nets import save_network
    from napari_tileseg.nets.registry import build

    torch.manual_seed(0)
    module = build(NETWORK["architecture"], **NETWORK["arguments"])
    return save_network(module, folder / "small.safetensors", **NETWORK)


def measure(volume: str, network: str, out: str) -> None:
    """Predict in this process, and tell what it took as one line of JSON."""
    from napari_tileseg.images import open_image
    from napari_tileseg.nets import open_network
    from napari_tileseg.predict import predict_to_store
    from napari_tileseg.settings import ImageSettings, PredictSettings

    image = open_image(volume, ImageSettings(axes="zyx"))
    opened = open_network(network)
    begun = time.perf_counter()
    with AnonymousPeak() as watched:
        events = list(predict_to_store(image, opened, PredictSettings(device="cpu"), out))
    seconds = round(time.perf_counter() - begun, 1)
    print(json.dumps({"peak_bytes": watched.peak, "seconds": seconds, "tiles": events[-1].tiles}))


def main() -> int:
    """Measure every size; 1 if memory is not flat."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        network = make_network(Path(place))
        for millions, shape in SIZES.items():
            with tempfile.TemporaryDirectory(dir=place) as folder:
                volume = write_volume(Path(folder), shape)
                command = [sys.executable, __file__, str(volume), str(network), f"{folder}/out.ome.zarr"]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows.append(
                    {"million_voxels": millions, "shape": shape, **json.loads(output.splitlines()[-1])}
                )
                print(f"{millions:4d} M voxels: {rows[-1]['peak_bytes'] / 1e6:7.1f} MB", rows[-1])
    peaks = [row["peak_bytes"] for row in rows]
    ratio = max(peaks) / min(peaks)
    print(f"largest over smallest peak: {ratio:.3f} (flat up to {FLAT})")
    RESULT.parent.mkdir(exist_ok=True)
    about = {
        "machine": platform.platform(),
        "python": platform.python_version(),
        "network": NETWORK,
        "ratio": ratio,
    }
    RESULT.write_text(json.dumps({**about, "runs": rows}, indent=2) + "\n")
    return int(ratio > FLAT)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(*sys.argv[1:])
    else:
        sys.exit(main())
