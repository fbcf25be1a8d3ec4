"""The heatmap is what pairs of tiles say, voxel for voxel."""

import pickle
from dataclasses import replace

import dask
import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import (
    coarse_map,
    disparity_heatmap,
    heatmap_pairs,
    measure_mismatch,
    mismatch_heatmap,
    moved_grid,
    network_regions,
    pairs_between,
    with_batch_statistics,
)
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import SettingsError
from napari_tileseg.prediction import lay_plan, plan_prediction, predict
from napari_tileseg.prediction.lazy import predict_lazily
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import TileGrid

HOW = PredictSettings(device="cpu", core=(24, 32), statistics="tile")
CLASSES = ("foreground", "boundary")


@pytest.fixture(params=[None, ((10, 51), (20, 131))], ids=["all", "box"])
def how(request: pytest.FixtureRequest) -> PredictSettings:
    """Give settings for the whole image, or a box of it."""
    return replace(HOW, box=request.param)


def compute(lazy) -> np.ndarray:
    return lazy.compute(scheduler="synchronous")


def test_its_mean_is_the_mean_of_its_pairs(make_network, picture, how) -> None:
    network = make_network("instance")
    plan = drain(plan_prediction(picture, network, how, route=WHOLE_TILES))
    pairs = heatmap_pairs(plan.tiles)
    mismatch = drain(measure_mismatch(network_regions(plan), pairs, CLASSES))
    heatmap = compute(mismatch_heatmap(picture, network, how))
    assert heatmap.shape == (2, *plan.grid.box.shape)
    assert heatmap.mean(dtype=float) == pytest.approx(mismatch.mean_abs_difference, rel=1e-5)
    assert heatmap.max() == pytest.approx(mismatch.max_abs_difference, abs=1e-6)
    assert heatmap.max() > 0.01


def test_over_a_sample_of_pairs_its_mean_is_the_sampled_mean(make_network, picture, how) -> None:
    network = make_network("instance")
    plan = drain(plan_prediction(picture, network, how, route=WHOLE_TILES))
    pairs = heatmap_pairs(plan.tiles, sample=5, seed=2)
    assert pairs.sampled
    mismatch = drain(measure_mismatch(network_regions(plan), pairs, CLASSES))
    heatmap = compute(mismatch_heatmap(picture, network, how))
    start = tuple(-a for a in plan.grid.box.start)
    parts = [heatmap[(slice(None), *pair.valid.shift(start).slices)] for pair in pairs.pairs]
    seen = np.concatenate([part.ravel() for part in parts])
    assert seen.mean(dtype=float) == pytest.approx(mismatch.mean_abs_difference, rel=1e-5)


def test_its_pairs_hold_every_voxel_of_the_box_once(make_network, picture, how) -> None:
    network = make_network("instance")
    tiles = drain(plan_prediction(picture, network, how, route=WHOLE_TILES)).tiles
    grid, times = tiles.grid, np.zeros(picture.shape, int)
    for pair in heatmap_pairs(tiles).pairs:
        times[pair.valid.slices] += 1
    assert (times[grid.box.slices] == 1).all()
    assert times.sum() == grid.box.size


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "identity"])
def test_it_is_dark_for_fixed_statistics(norm, make_network, picture) -> None:
    assert compute(mismatch_heatmap(picture, make_network(norm), HOW)).max() <= 1e-5


def test_a_part_is_computed_alone_and_is_that_part(make_network, picture) -> None:
    lazy = mismatch_heatmap(picture, make_network("instance"), HOW)
    np.testing.assert_array_equal(compute(lazy[:, 20:30, 60:90]), compute(lazy)[:, 20:30, 60:90])


def predict_moved(picture, network, offset, change=None):
    plan = lay_plan(picture, network, HOW)
    return predict_lazily(plan, grid=replace(plan.grid, offset=offset), change=change)


def test_an_offset_prediction_is_the_same_function_with_other_tiles(make_network, picture) -> None:
    network = make_network("batch")
    usual, moved = predict(picture, network, HOW), predict_moved(picture, network, (12, 16))
    assert usual.name != moved.name
    assert moved.chunks == ((2,), (12, 24, 24, 1), (16, 32, 32, 32, 31))
    np.testing.assert_allclose(compute(usual), compute(moved), atol=1e-5)


def test_it_travels_to_another_process(make_network, picture) -> None:
    network = make_network("batch")
    lazy = predict_moved(picture, network, (12, 0), with_batch_statistics)
    assert lazy.name != predict_moved(picture, network, (12, 0)).name
    there = pickle.loads(pickle.dumps(dask.delayed(lazy)))
    np.testing.assert_allclose(compute(there), compute(lazy), atol=1e-6)


def test_half_a_core_is_on_the_stride_and_only_where_it_matters() -> None:
    assert moved_grid(TileGrid((90, 20), (28, 20), ((4, 4),) * 2, (4, 4))).offset == (12, 0)
    assert moved_grid(TileGrid((90,), (96,), ((4, 4),), (4,))) is None
    longer = moved_grid(TileGrid((90,), (4,), ((4, 4),), (4,)))
    assert (longer.core, longer.offset) == ((8,), (4,))
    with pytest.raises(SettingsError, match="two strides"):
        moved_grid(TileGrid((90,), (4,), ((4, 4),), (4,)), fixed=True)
    assert moved_grid(TileGrid((5, 20), (1, 20), ((0, 0),) * 2, (1, 4)), lead=1) is None


def test_a_coarse_map_is_the_mean_over_each_core(make_network, picture) -> None:
    network = make_network("instance")
    plan = drain(plan_prediction(picture, network, HOW, route=WHOLE_TILES))
    regions = network_regions(plan)
    *done, _ = measure_mismatch(regions, heatmap_pairs(plan.tiles), CLASSES)
    heatmap, coarse = compute(mismatch_heatmap(picture, network, HOW)), coarse_map(plan.grid, done, 2)
    assert coarse.shape == (2, *plan.grid.counts)
    for tile in plan.grid:
        part = heatmap[(slice(None), *plan.grid.placed(tile).slices)]
        np.testing.assert_allclose(coarse[(slice(None), *tile.index)], part.mean(axis=(1, 2)), atol=1e-6)
    few = coarse_map(plan.grid, done[:1], 2)
    assert np.isfinite(few).all(axis=0).sum() == 1


def test_pairs_between_grids_know_along_which_axis_they_moved() -> None:
    grid = TileGrid((90, 90), (24, 24), ((4, 4),) * 2, (4, 4))
    along = pairs_between(grid, replace(grid, offset=(0, 12)))
    assert {pair.axis for pair in along.pairs if pair.first != pair.second} == {1}
    both = pairs_between(grid, replace(grid, offset=(12, 12)))
    assert None in {pair.axis for pair in both.pairs}


def test_the_disparity_is_mapped_too(make_network, picture) -> None:
    network = make_network("batch")
    heatmap = compute(disparity_heatmap(picture, network, HOW))
    usual = compute(predict(picture, network, HOW))
    switched = compute(predict_lazily(lay_plan(picture, network, HOW), change=with_batch_statistics))
    np.testing.assert_array_equal(heatmap, np.abs(usual - switched))
    assert heatmap.max() > 0.05
    assert not compute(disparity_heatmap(picture, make_network("identity"), HOW)).any()
