"""A large volume in a zarr with statistics of the whole image: memory, scratch, reading, exactness.

    python benchmarks/whole_volume.py [--planes N] [--size N] [--folder F] [--scratch BYTES]

A small network with InstanceNorm predicts the volume, and half of it, within the same memory. It prints and
writes ``benchmarks/results/whole_volume.json``: the peak of anonymous memory and of scratch, bytes read over
those of the image, passes, and the largest difference of sampled boxes to runs of the network with the stored
numbers on the box and twice its context. A small corner is predicted in the same way, and compared with one
run of the bare network on all of it. Each volume is predicted in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import zarr
from bench_subjects import settle, texture
from billion import CHUNK, Procedural
from measuring import AnonymousPeak, about_machine

from napari_tileseg.cli.run.heap import share_heap
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import Started, open_prediction, predict_to_store
from napari_tileseg.prediction.plan.forecast import forecast
from napari_tileseg.prediction.plan.numbers.statistics import Gathered
from napari_tileseg.prediction.plan.plan import Plan, find_way, lay_plan
from napari_tileseg.prediction.store.store import own_attributes
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

RESULT = Path(__file__).parent / "results" / "whole_volume.json"
NETWORK = {"ndim": 3, "out_channels": 1, "features": (4, 8), "blocks": 1, "norm": "instance"}
#: Gigabytes for tensors and kept maps, whatever the size of the volume.
MEMORY = 0.3
BOXES, EDGE, CORNER = 12, 24, 96


class Counted:
    """An array whose chunks are counted when they are read.

    Parameters
    ----------
    array : zarr.Array
        The array.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.dtype, self.shape, self.chunks = array.dtype, array.shape, array.chunks
        self.bytes_read = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        ranges = [range(n)[part] for part, n in zip(key, self.shape, strict=True)]
        self.bytes_read += prod(
            min(-(-r.stop // c) * c, n) - r.start // c * c
            for r, c, n in zip(ranges, self.chunks, self.shape, strict=True)
        )
        return np.asarray(self._array[key])


class ScratchPeak:
    """Largest size of the scratch files that this process has while it is entered, in bytes."""

    def __enter__(self) -> ScratchPeak:
        self.bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.05):
            # They have no name any more, and live as long as they are mapped.
            lines = re.findall(r"^(\w+)-(\w+) .*tileseg-", Path("/proc/self/maps").read_text(), re.MULTILINE)
            self.bytes = max(self.bytes, sum(int(stop, 16) - int(start, 16) for start, stop in lines))


def main() -> None:
    """Predict the volume, half of it, and a corner."""
    options = _options()
    if options.child:
        share_heap()
        print(json.dumps(_predicted(Path(options.child), options)))
        return
    with TemporaryDirectory(dir=options.folder) as folder:
        report: dict[str, Any] = {"machine": about_machine(), "network": NETWORK, "volumes": []}
        for planes in (options.planes // 2, options.planes):
            path = _stored(Path(folder, f"{planes}.zarr"), (planes, options.size, options.size))
            report["volumes"].append(_in_a_process_of_its_own(path, options))
            print(json.dumps(report["volumes"][-1], indent=1), flush=True)
        corner = _stored(Path(folder, "corner.zarr"), (CORNER,) * 3)
        report["corner"] = _compared(corner, options)
    half, whole = report["volumes"]
    report["memory_of_twice_the_size"] = whole["peak_memory_bytes"] / half["peak_memory_bytes"]
    report["scratch_of_twice_the_size"] = whole["scratch_bytes"] / max(1, half["scratch_bytes"])
    options.out.parent.mkdir(exist_ok=True, parents=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({key: value for key, value in report.items() if key != "volumes"}, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=640)
    parser.add_argument("--size", type=int, default=640, help="voxels along y and x")
    parser.add_argument("--scratch", type=float, default=40, help="bytes for each voxel")
    parser.add_argument("--folder", type=Path, help="where volumes, results and scratch lie for a while")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _stored(path: Path, shape: tuple[int, ...]) -> Path:
    """A volume of waves and a texture, written to a zarr slab by slab."""
    made = Procedural(shape)
    array = zarr.create_array(str(path), shape=shape, chunks=(min(CHUNK, *shape),) * 3, dtype="u1")
    for first in range(0, shape[0], CHUNK):
        slab = slice(first, min(first + CHUNK, shape[0]))
        array[slab] = made[slab, slice(None), slice(None)]
    return path


def _network(folder: Path) -> Network:
    torch.manual_seed(0)
    module = build("unet", **NETWORK)
    settle(module, texture((CHUNK,) * 3), CHUNK)
    said = Description(architecture="unet", arguments=NETWORK)
    return open_network(save_network(module, folder / "small.safetensors", said))


def _settings(voxels: int, options: argparse.Namespace, folder: Path) -> PredictSettings:
    return PredictSettings(
        device="cpu",
        normalize="range",
        range=(0.0, 255.0),
        statistics="whole",
        memory=MEMORY,
        scratch=options.scratch * voxels / 1e9,
        scratch_folder=str(folder),
    )


def _in_a_process_of_its_own(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(path), "--scratch", str(options.scratch)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def _opened(path: Path) -> Image:
    return Image(Counted(zarr.open_array(str(path), mode="r")), "zyx", name=path.stem)


def _predicted(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Predict a volume and compare sampled boxes."""
    image = _opened(path)
    voxels = prod(image.shape)
    with TemporaryDirectory(dir=path.parent) as folder:
        network, store = _network(Path(folder)), Path(folder, "prediction.ome.zarr")
        settings = _settings(voxels, options, Path(folder))
        begun = time.perf_counter()
        gathered_after = 0.0
        with AnonymousPeak(0.02) as memory, ScratchPeak() as scratch:
            for event in predict_to_store(image, network, settings, store):
                if isinstance(event, Started):
                    gathered_after = time.perf_counter() - begun
        seconds = time.perf_counter() - begun
        read = image.data.bytes_read
        plan = _with_stored_numbers(image, network, settings, store)
        differences = _differences(image, plan, store)
        return {
            "size": image.shape,
            "voxels": voxels,
            "passes": _planned_passes(image, network, settings),
            "peak_memory_bytes": memory.grown,
            "scratch_bytes": scratch.bytes,
            "scratch_bytes_a_voxel": scratch.bytes / voxels,
            "bytes_read_over_image": read / voxels,
            "seconds": seconds,
            "seconds_of_gathering": gathered_after,
            "boxes": BOXES,
            "max_abs_difference_of_boxes": max(differences),
        }


def _planned_passes(image: Image, network: Network, settings: PredictSettings) -> float:
    """Operations of gathering and predicting, over those of one pass over the image."""
    forecasted = forecast(lay_plan(image, network, settings, find_way(network, settings)))
    assert forecasted is not None
    return forecasted.passes


def _with_stored_numbers(image: Image, network: Network, settings: PredictSettings, store: Path) -> Plan:
    """The plan with the network whose statistics are the numbers that were stored."""
    plan = lay_plan(image, network, settings, find_way(network, settings))
    assert plan.statistics is not None
    stored = own_attributes(zarr.open_group(str(store), mode="r"))["statistics"]
    fixed = replace(plan.statistics, gathered=Gathered.from_dict(stored))
    return replace(plan, statistics=fixed, network=fixed.network())


def _differences(image: Image, plan: Plan, store: Path) -> list[float]:
    prediction, generator = open_prediction(store).view(), np.random.default_rng(0)
    last = tuple(n - EDGE for n in image.shape)
    starts = [(0, 0, 0), last] + [tuple(generator.integers(0, last, 3).tolist()) for _ in range(BOXES - 2)]
    boxes = [Box(start, tuple(a + EDGE for a in start)) for start in starts]
    return [_difference(prediction, _directly(image, plan, box), box) for box in boxes]


def _difference(prediction: Any, direct: np.ndarray, box: Box) -> float:
    return float(np.abs(prediction[(slice(None), *box.slices)] - direct).max())


def _directly(image: Image, plan: Plan, box: Box) -> np.ndarray:
    """The network with the stored numbers on a box and twice its context."""
    grid = plan.grid
    wide = box.grow(tuple((2 * a, 2 * b) for a, b in grid.aligned_halo)).clip(Box.of_shape(image.shape))
    start = tuple(a // step * step for a, step in zip(wide.start, grid.stride, strict=True))
    stop = tuple(min(-(-b // s) * s, n) for b, s, n in zip(wide.stop, grid.stride, image.shape, strict=True))
    seen = Box(start, stop)
    return _run(plan.network.module, image.read(seen))[(slice(None), *box.within(seen))]


def _run(module: Callable[[torch.Tensor], torch.Tensor], voxels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.sigmoid(module(torch.from_numpy(voxels.astype("f4") / 255)[None]))[0].numpy()


def _compared(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Predict a small volume with little memory, and compare it with the bare network on all of it."""
    image = _opened(path)
    with TemporaryDirectory() as folder:
        network, store = _network(Path(folder)), Path(folder, "prediction.ome.zarr")
        settings = replace(_settings(prod(image.shape), options, Path(folder)), memory=0.02)
        for _ in predict_to_store(image, network, settings, store):
            pass
        whole = _run(network.module, image.read(Box.of_shape(image.shape)))
        difference = np.abs(open_prediction(store).view()[:] - whole).max()
    return {"size": image.shape, "max_abs_difference": float(difference), "spread": float(np.ptp(whole))}


if __name__ == "__main__":
    main()
