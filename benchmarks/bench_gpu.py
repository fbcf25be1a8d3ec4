"""Voxels a second of the region engine on a GPU, and the share of the rate that its matrix units attain.

Run ``python benchmarks/bench_gpu.py``; it prints, and writes ``benchmarks/results/bench_gpu.json``. The rate
depends on the network, so the share is what can be compared: operations of one pass over the whole image
(those that cannot be saved), over time and over the rate of a large product of matrices in the same number
format, measured in the same run. The volume lies in memory as bytes, and the result, the first class, too.
``--device cpu --size 64 --network quick`` runs it anywhere.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import bench_subjects
import numpy as np
import torch
from bench_subjects import Subject
from measuring import AnonymousPeak, about_machine, count_flops

from napari_tileseg.engine import open_engine
from napari_tileseg.engine.device import DTYPES
from napari_tileseg.tiling import Box

RESULT = Path(__file__).parent / "results" / "bench_gpu.json"
#: Side of the matrices whose product shows what a device attains, and the times that it is computed.
SIDE, PRODUCTS = {"cuda": 8192, "cpu": 512}, 10


def main() -> None:
    """Predict the volume and report."""
    options = _options()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here. Try --device cpu --size 64 --network quick.")
    report = {"machine": about_machine(), **_device(options.device), **_measure(options)}
    options.out.parent.mkdir(exist_ok=True, parents=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=bench_subjects.SUBJECTS, default="unet_3d")
    parser.add_argument("--size", type=int, default=1024, help="voxels along each axis of the volume")
    parser.add_argument("--core", type=int, default=256, help="voxels along two axes of a column")
    parser.add_argument("--planes", type=int, default=32, help="planes of a slab of it")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def _device(device: str) -> dict[str, Any]:
    if not device.startswith("cuda"):
        return {"device": device}
    about = torch.cuda.get_device_properties(device)
    return {"device": about.name, "device_memory_bytes": about.total_memory, "cuda": torch.version.cuda}


class _Bytes:
    """A volume of bytes, as an engine sees it: between 0 and 1."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.padded_shape = shape
        planes = np.random.default_rng(0).integers(0, 256, (16, *shape[1:]), dtype="u1")
        self.voxels = np.concatenate([planes] * -(-shape[0] // 16))[: shape[0]]

    def read(self, box: Box) -> np.ndarray:
        """Voxels of a box, float32."""
        return self.voxels[box.slices][np.newaxis] * np.float32(1 / 255)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    subject = bench_subjects.make(options.network, min(options.size, 64), 16)
    image = _Bytes((options.size,) * 3)
    engine = open_engine(subject.network, options.device, options.dtype)
    core = min(options.core, options.size)
    grid = subject.grid((options.size, core, core), image.padded_shape)
    engine.verify(image, grid[(0, 0, 0)])
    result = np.empty(image.padded_shape, "f2")
    seconds = []
    with AnonymousPeak() as memory:
        for _ in range(options.rounds):
            begun = time.perf_counter()
            for tile in grid:
                for part, values in engine.sweep(image, tile.core, options.planes):
                    result[part.slices] = values[0]
            seconds.append(time.perf_counter() - begun)
    return {
        "network": options.network,
        "dtype": options.dtype,
        "path": engine.route.kind,
        "size": image.padded_shape,
        "core": grid.core,
        "planes": options.planes,
        "seconds": min(seconds),
        "all_seconds": seconds,
        **_rates(subject, options, result.size / min(seconds)),
        "host_memory_bytes": memory.grown,
        "device_memory_bytes_used": _device_peak(options.device),
        "notes": engine.take_notes(),
    }


def _rates(subject: Subject, options: argparse.Namespace, voxels_per_second: float) -> dict[str, float]:
    inputs = torch.from_numpy(subject.image[np.newaxis])
    flops = count_flops(lambda: subject.network.module(inputs)) / inputs.numel()
    attainable = _attainable(options.device, DTYPES[options.dtype])
    return {
        "voxels_per_second": voxels_per_second,
        "flops_per_voxel": flops,
        "attainable_flops_per_second": attainable,
        "share_of_attainable": voxels_per_second * flops / attainable,
    }


def _attainable(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a product of large matrices."""
    side = SIDE[device.split(":")[0]]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(PRODUCTS):
        _wait(device)
        begun = time.perf_counter()
        left @ right
        _wait(device)
        seconds.append(time.perf_counter() - begun)
    return 2 * side**3 / min(seconds)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _device_peak(device: str) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else None


if __name__ == "__main__":
    main()
