"""Ways to predict an image, each on its own terms: ours, a whole pass, and what others do.

A method is prepared for a subject, which is not timed, and gives a call that predicts the image:
``(channels, *shape)``. Where a package is missing, preparing raises `ImportError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bench_peers
import bench_statistics
import numpy as np
import torch
from bench_subjects import Subject

from napari_tileseg.engine import PlainEngine, open_engine
from napari_tileseg.engine.device import DTYPES
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.regions.cores.core_planner import Limits, Planner, length_of
from napari_tileseg.engine.regions.cores.cost import cost_of
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.prediction.order.column_sweep import Columns
from napari_tileseg.tiling import Box

Run = Callable[[], np.ndarray]
WHOLE, MONAI_GAUSSIAN, NNUNET, PLAIN = (
    "whole image",
    "MONAI 0.5 gaussian",
    "nnU-Net, no mirroring",
    "plain exact crop",
)
#: Bytes of memory for a voxel in which slabs of some planes fit and hardly a feature map is kept.
LITTLE = 42


@dataclass(frozen=True)
class Method:
    """A way to predict an image.

    Parameters
    ----------
    name : str
        What it is called.
    prepare : callable
        Gives the call to measure.
    core : callable
        Voxels along each axis that one run of the network adds to the result.
    dtype : str
        Number format.
    """

    name: str
    prepare: Callable[[Subject], Run]
    core: Callable[[Subject], tuple[int, ...]]
    dtype: str = "float32"


def _whole(subject: Subject) -> Run:
    def run() -> np.ndarray:
        with torch.inference_mode():
            return subject.network.module(torch.from_numpy(subject.image[np.newaxis]))[0].numpy()

    return run


def _tile_by_tile(subject: Subject, engine: Any, core: tuple[int, ...]) -> Run:
    grid, classes = subject.grid(core), subject.network.spec.out_channels

    def run() -> np.ndarray:
        result = np.empty((classes, *subject.shape), "f4")
        for tile in grid:
            result[(slice(None), *tile.core.slices)] = engine.compute(subject, [tile])[0]
        return result

    return run


def _plain(subject: Subject) -> Run:
    return _tile_by_tile(subject, PlainEngine(subject.network, "cpu", "float32", 1), subject.window)


def _on_demand(dtype: str) -> Callable[[Subject], Run]:
    def prepare(subject: Subject) -> Run:
        engine = open_engine(subject.network, "cpu", dtype)
        engine.verify(subject, subject.grid(subject.window)[(0,) * len(subject.shape)])
        return _tile_by_tile(subject, engine, subject.window)

    return prepare


#: Gives, for a number format, the core of tiles.
Cut = Callable[[Subject, str], tuple[int, ...]]


def _swept(dtype: str, cut: Cut) -> Callable[[Subject], Run]:
    """As a prediction into a store computes tiles that nobody waits for."""

    def prepare(subject: Subject) -> Run:
        engine = open_engine(subject.network, "cpu", dtype)
        engine.verify(subject, subject.grid(subject.window)[(0,) * len(subject.shape)])
        grid, classes = subject.grid(cut(subject, dtype)), subject.network.spec.out_channels
        first, *others = range(len(subject.shape))
        order = sorted(grid, key=lambda tile: [tile.index[axis] for axis in (*others, first)])

        def run() -> np.ndarray:
            columns = Columns(engine, subject, grid, lead=0, length=length_of(grid.core[0]))
            result = np.empty((classes, *subject.shape), "f4")
            for tile in order:
                swept = columns.sweep(tile)
                core = engine.compute(subject, [tile])[0] if swept is None else swept
                result[(slice(None), *tile.core.slices)] = core
            return result

        return run

    return prepare


def _planned(subject: Subject, dtype: str) -> tuple[int, ...]:
    """What the planner chooses within a quarter of the memory that the whole image takes at once."""
    network, box = subject.network, Box.of_shape(subject.shape)
    program = Program(
        PROCESS_CACHE.graph_of(network), network.module, "meta", DTYPES[dtype], channels_last=True
    )
    whole = cost_of(program, subject.shape, box)
    planner = Planner(program, subject.shape, box, network.spec.geometry.stride)
    return planner.best(Limits(whole.peak // 4)).core


def _shape(subject: Subject) -> tuple[int, ...]:
    return subject.shape


def _window(subject: Subject) -> tuple[int, ...]:
    return subject.window


def _without_halo(subject: Subject) -> tuple[int, ...]:
    return tuple(n - 2 * halo for n, halo in zip(subject.window, subject.halo, strict=True))


def _part(numerator: int, denominator: int) -> Callable[[Subject], tuple[int, ...]]:
    return lambda subject: tuple(n * numerator // denominator for n in subject.window)


METHODS = (
    Method(WHOLE, _whole, _shape),
    Method("engine, on demand", _on_demand("float32"), _window),
    Method("engine, on demand", _on_demand("bfloat16"), _window, "bfloat16"),
    Method("engine, whole volume", _swept("float32", _planned), lambda each: _planned(each, "float32")),
    Method(
        "engine, whole volume",
        _swept("bfloat16", _planned),
        lambda each: _planned(each, "bfloat16"),
        "bfloat16",
    ),
    Method("engine, columns of windows", _swept("float32", lambda each, _: each.window), _window),
    Method(PLAIN, _plain, _window),
    Method("MONAI 0.25 constant", bench_peers.monai(0.25, "constant"), _part(3, 4)),
    Method(MONAI_GAUSSIAN, bench_peers.monai(0.5, "gaussian"), _part(1, 2)),
    Method("bioimageio.core, blockwise", bench_peers.bioimageio, _without_halo),
    Method("dask map_overlap", bench_peers.map_overlap, _window),
    Method(NNUNET, bench_peers.nnunet, _part(1, 2)),
    Method("PlantSeg's recipe", bench_peers.averaged_patches, _part(bench_peers.STEP, 96)),
)
#: With networks that compute something over all of space: as others do, and with one statistic for all tiles.
OVER_SPACE = (
    *(each for each in METHODS if each.name in {WHOLE, PLAIN, MONAI_GAUSSIAN, NNUNET}),
    Method("statistics of a region", bench_statistics.gathered("region"), _shape),
    Method("statistics of a sample", bench_statistics.gathered("sample"), _shape),
    Method("statistics of the whole image, in memory", bench_statistics.gathered("whole"), _shape),
    *(
        Method(
            f"statistics of the whole image, {scratch} bytes a voxel on disk",
            bench_statistics.gathered("whole", scratch=scratch, memory=LITTLE),
            _shape,
        )
        for scratch in (300, 80)
    ),
    Method(
        "statistics of the whole image, nothing kept",
        bench_statistics.gathered("whole", memory=LITTLE),
        _shape,
    ),
)
