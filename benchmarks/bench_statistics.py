"""Ways to predict with a network that takes statistics over all of space, for `bench_methods`.

They are timed with all that a prediction of an image that nobody has looked at takes: planning, gathering,
and computing tiles with the numbers in place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from math import prod
from tempfile import gettempdir
from typing import Any

import numpy as np
from bench_subjects import Subject

from napari_tileseg.engine import open_engine
from napari_tileseg.engine.regions.cores.core_planner import length_of
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.order.column_sweep import Columns
from napari_tileseg.prediction.plan.measuring import measure_plan
from napari_tileseg.prediction.plan.plan import Plan, find_way, lay_plan
from napari_tileseg.settings import PredictSettings

Run = Callable[[], np.ndarray]
#: Bytes that all tensors of a pass over the whole image take, for a voxel, and the part of it that is given.
WHOLE_PASS, SHARE = 672, 1 / 4


def gathered(way: str, *, scratch: float = 0, memory: float = SHARE * WHOLE_PASS) -> Callable[[Subject], Run]:
    """Statistics had in some way, then tiles; bytes for each voxel. A region is the middle one of windows."""

    def prepare(subject: Subject) -> Run:
        voxels = prod(subject.shape)
        settings = PredictSettings(
            device="cpu",
            normalize="none",
            statistics=way,
            region=_middle(subject) if way == "region" else None,
            memory=memory * voxels / 1e9,
            scratch=scratch * voxels / 1e9 or None,
            scratch_folder=gettempdir() if scratch else None,
        )
        image = Image(subject.image[0], subject.network.spec.axes)
        route = find_way(subject.network, settings)

        def run() -> np.ndarray:
            return _predict(_result(measure_plan(lay_plan(image, subject.network, settings, route))))

        return run

    return prepare


def _predict(plan: Plan) -> np.ndarray:
    """Compute the tiles of a plan in the order of a prediction that nobody looks at."""
    assert plan.statistics is not None
    engine = open_engine(plan.network, plan.device, plan.dtype, kept=plan.statistics.kept)
    grid = plan.grid
    columns = Columns(engine, plan.prepared, grid, lead=0, length=length_of(grid.core[0]))
    result = np.empty((plan.network.spec.out_channels, *plan.image.shape), "f4")
    for tile in sorted(grid, key=lambda tile: (*tile.index[1:], tile.index[0])):
        swept = columns.sweep(tile)
        core = engine.compute(plan.prepared, [tile])[0] if swept is None else swept
        kept = grid.kept(tile)
        result[(slice(None), *kept.slices)] = core[(slice(None), *kept.within(tile.core))]
    engine.close()
    return result


def _middle(subject: Subject) -> tuple[tuple[int, int], ...]:
    return tuple(((n - w) // 2, (n + w) // 2) for n, w in zip(subject.shape, subject.window, strict=True))


def _result(steps: Generator[Any, None, Plan]) -> Plan:
    """Go through all steps; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
