"""A volume of a billion voxels, made where it is read, predicted into a store without a screen.

Run ``python benchmarks/billion.py``; it prints, and writes ``benchmarks/results/billion.json``: time,
anonymous memory in the course of the run, bytes read over bytes of the image, and the largest difference to
direct predictions on sampled boxes, each by one run of the network on the box and twice its context. The
source behaves as if stored in chunks: a part of one costs all of it. Needs about 6 GB of disk (``--folder``).
"""

from __future__ import annotations

import argparse
import json
import time
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from bench_subjects import settle, texture
from measuring import AnonymousPeak, about_machine

from napari_tileseg.cli.run.heap import share_heap
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import Started, TileDone, open_prediction, plan_tiles, predict_to_store
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

RESULT = Path(__file__).parent / "results" / "billion.json"
CHUNK = 64
#: A small U-Net, not trained: a billion voxels should take minutes on two cores.
NETWORK = {"ndim": 3, "out_channels": 1, "features": (4, 8), "blocks": 1, "norm": "batch"}
SETTINGS = {"device": "cpu", "normalize": "range", "range": (0.0, 255.0)}
#: Boxes that are checked, and voxels along each axis of one.
BOXES, EDGE = 12, 24
#: Parts of the run for which the peak of memory is told.
PARTS = 10


class Procedural:
    """Bytes that are made where they are read: waves along each axis, and a texture.

    What it counts as read is whole chunks, as if they were stored.
    """

    dtype = np.dtype("u1")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.chunks = (min(CHUNK, *shape),) * len(shape)
        self.bytes_read = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        ranges = [range(n)[part] for part, n in zip(key, self.shape, strict=True)]
        self.bytes_read += prod(
            min(-(-r.stop // c) * c, n) - r.start // c * c
            for r, c, n in zip(ranges, self.chunks, self.shape, strict=True)
        )
        z, y, x = (np.arange(r.start, r.stop).reshape(s) for r, s in zip(ranges, _ALONG, strict=True))
        periods = ((z, 7), (y, 9), (x, 11))
        waves = sum((40 + 40 * np.sin(axis / period)).astype("u1") for axis, period in periods)
        texture = (z * 37 ^ y * 57 ^ x * 73).astype("u1") >> 4
        return waves + texture


_ALONG = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


def main() -> None:
    """Predict, check and report; as the command does, in one heap."""
    share_heap()
    options = _options()
    source = Procedural((options.size,) * 3)
    image = Image(source, "zyx", name="procedural")
    with TemporaryDirectory(dir=options.folder) as folder:
        network, store = _network(Path(folder)), Path(folder, "prediction.ome.zarr")
        report = {"machine": about_machine(), "network": NETWORK, **_predict(image, network, store)}
        report |= _check(image, network, store)
        report["store_bytes"] = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    print(json.dumps(report, indent=2))
    options.out.parent.mkdir(exist_ok=True, parents=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="voxels along each axis")
    parser.add_argument("--folder", type=Path, help="where to put the prediction, which is removed again")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def _network(folder: Path) -> Network:
    torch.manual_seed(0)
    module = build("unet", **NETWORK)
    settle(module, texture((CHUNK,) * 3), CHUNK)
    path = save_network(
        module, folder / "small.safetensors", Description(architecture="unet", arguments=NETWORK)
    )
    return open_network(path)


def _predict(image: Image, network: Network, store: Path) -> dict[str, Any]:
    """Time, memory in each part of the run, and bytes read while tiles were done."""
    parts: list[int] = []
    before = 0
    begun = time.perf_counter()
    with AnonymousPeak(0.02) as memory:
        for event in predict_to_store(image, network, PredictSettings(**SETTINGS), store):
            if isinstance(event, Started):
                before = image.data.bytes_read
                print(f"{event.total} tiles")
            elif isinstance(event, TileDone):
                tiles_read, tiles_seconds = image.data.bytes_read - before, event.seconds
                if event.done * PARTS // event.total > len(parts):
                    parts.append(memory.restart())
                    print(f"{event.done} of {event.total} tiles, {event.seconds:.0f} s, {parts[-1]:,} bytes")
        parts.append(memory.restart())
    voxels = prod(image.shape)
    # The first part is left out: chunks for later tiles come to be kept in it.
    steady = parts[1:-1] or parts
    return {
        "size": image.shape,
        "voxels": voxels,
        "chunk": image.data.chunks,
        "core": open_prediction(store).grid.core,
        "seconds": time.perf_counter() - begun,
        "tile_seconds": tiles_seconds,
        "voxels_per_second": voxels / tiles_seconds,
        "bytes_read_over_image": tiles_read / voxels,
        "peak_memory_bytes_of_parts": parts,
        "memory_flatness": max(steady) / min(steady),
    }


def _check(image: Image, network: Network, store: Path) -> dict[str, Any]:
    """Compare sampled boxes of the store, the corners among them, with direct predictions."""
    prediction, generator = open_prediction(store).view(), np.random.default_rng(0)
    last = tuple(n - EDGE for n in image.shape)
    starts = [(0, 0, 0), last] + [tuple(generator.integers(0, last, 3).tolist()) for _ in range(BOXES - 2)]
    differences = []
    for start in starts:
        box = Box(start, tuple(a + EDGE for a in start))
        direct = _directly(image, network, box)
        differences.append(float(np.abs(prediction[(slice(None), *box.slices)] - direct).max()))
    return {
        "boxes": starts,
        "box_edge": EDGE,
        "max_abs_difference": max(differences),
        "spread_of_the_last_box": float(np.ptp(direct)),
    }


def _directly(image: Image, network: Network, box: Box) -> np.ndarray:
    """The network on a box and twice its context, as the whole image would have it."""
    grid = plan_tiles(image, network.spec, PredictSettings(**SETTINGS)).grid
    wide = box.grow(tuple((2 * a, 2 * b) for a, b in grid.aligned_halo)).clip(Box.of_shape(image.shape))
    start = tuple(a // step * step for a, step in zip(wide.start, grid.stride, strict=True))
    stop = tuple(min(-(-b // s) * s, n) for b, s, n in zip(wide.stop, grid.stride, image.shape, strict=True))
    seen = Box(start, stop)
    values = image.read(seen).astype("f4") / 255
    with torch.inference_mode():
        logits = network.module(torch.from_numpy(values[np.newaxis]))[0]
    return torch.sigmoid(logits).numpy()[(slice(None), *box.within(seen))]


if __name__ == "__main__":
    main()
