"""What is diagnosed is the prediction's own tiles: laws over many shapes, cores and networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.diagnosis import diagnose, diagnose_plan
from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.pairs.grid_pairs import GridPairs, moved_grid, tiles_meet
from napari_tileseg.engine import WHOLE_TILES, route_of
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import network_in_memory
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box, TileGrid

EVERY = DiagnoseSettings(everything=True)
CPU = PredictSettings(device="cpu", statistics="tile")


def image_of(shape, axes):
    rng = np.random.default_rng(sum(shape))
    uneven = np.linspace(0, 4, shape[-1], dtype=np.float32)
    return Image(rng.normal(size=shape).astype(np.float32) + uneven, axes, name="picture")


def run(events):
    steps = []
    found = drain(events, steps.append)
    return [step for step in steps if isinstance(step, PairDone)], found


def map_of(done, plan):
    """Differences voxel by voxel as they were told; NaN where nothing was compared."""
    found = np.full((len(plan.classes), *plan.grid.shape), np.nan)
    for event in done:
        part = found[(slice(None), *event.pair.valid.slices)]
        assert np.isnan(part).all()
        part[:] = np.abs(event.first - event.second)
    return found


def predicted(plan, network, grid):
    """The prediction tile by tile, by nothing but the module itself."""
    whole = np.full((len(plan.classes), *plan.grid.shape), np.nan)
    for tile in grid:
        kept = grid.kept(tile)
        values = torch.from_numpy(plan.prepared.read(tile.read))
        lead = plan.tiles.lead
        batch = values.movedim(0, lead).reshape(-1, 1, *values.shape[1 + lead :])
        with torch.inference_mode():
            out = network.module(batch).sigmoid().movedim(1, 0)
        out = out.reshape(len(out), *tile.read.shape).numpy()
        whole[(slice(None), *kept.slices)] = out[(slice(None), *kept.within(tile.read))]
    return whole


CASES = [
    ((61, 143), "yx", (32, 32), 2),
    ((40, 40), "yx", (20, 20), 2),
    ((9, 90), "yx", (8, 24), 2),
    ((90, 9), "yx", (24, 8), 2),
    ((33, 33), "yx", (2, 32), 2),
    ((2, 50, 60), "tyx", (32, 32), 2),
    ((3, 50, 60), "zyx", (50, 32), 2),
    ((12, 34, 20), "zyx", (8, 20, 20), 3),
    ((5, 40, 22), "zyx", (6, 16, 24), 3),
    ((2, 12, 40, 14), "tzyx", (12, 16, 14), 3),
]


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("shape", "axes", "core", "ndim"), CASES)
def test_the_numbers_are_those_of_two_predictions_with_moved_tiles(
    make_network, norm, shape, axes, core, ndim
):
    image, network = image_of(shape, axes), make_network(norm, ndim)
    how = replace(CPU, core=core)
    done, found = run(diagnose(image, network, how, EVERY))
    plan = drain(plan_prediction(image, network, how, route=WHOLE_TILES))
    moved = moved_grid(plan.grid, plan.tiles.lead)
    expected = np.abs(predicted(plan, network, plan.grid) - predicted(plan, network, moved))
    seen = map_of(done, plan)
    np.testing.assert_allclose(seen, expected, atol=2e-5)
    assert found.mismatch.pairs == found.mismatch.total == len(done) > 1
    assert found.max_abs_difference == pytest.approx(float(seen.max()), rel=1e-4)
    assert found.seam_free == (norm == "batch")
    if norm == "instance":
        worst = found.mismatch.worst[0]
        number = plan.classes.index(worst.class_name)
        assert seen[(number, *worst.point)] == pytest.approx(seen.max(), rel=1e-4)
        assert found.audit.largest_difference == pytest.approx(found.max_abs_difference, rel=1e-4)
        assert found.audit.causes[0].name == "feature normalization"


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(
    ("shape", "axes", "core", "ndim"),
    [
        ((5, 6), "yx", None, 2),
        ((61, 143), "yx", None, 2),
        ((40, 40), "yx", (40, 40), 2),
        ((24, 26), "yx", (16, 16), 2),
        ((3, 24, 30), "tyx", None, 2),
        ((6, 20, 22), "zyx", None, 3),
        ((6, 20, 22), "zyx", None, 2),
    ],
)
@pytest.mark.parametrize("how", [DiagnoseSettings(), EVERY])
def test_where_one_tile_holds_all_there_is_no_seam_and_nothing_fails(
    make_network, norm, shape, axes, core, ndim, how
):
    image, network = image_of(shape, axes), make_network(norm, ndim)
    done, found = run(diagnose(image, network, replace(CPU, core=core), how))
    assert done == []
    assert found.seam_free
    assert (found.mismatch.pairs, found.max_abs_difference) == (0, 0)
    assert "there can be no seam" in found.audit.cause
    assert found.audit.cause.startswith(
        "Every tile sees" if shape == (24, 26) else "One tile holds the whole"
    )
    assert ("at each" in found.audit.cause) == (len(shape) > ndim)
    assert ("InstanceNorm" in found.audit.cure) == (norm == "instance")
    assert len(found.classes) == 2


@pytest.mark.parametrize("box", [((10, 51), (20, 131)), ((0, 61), (100, 143)), ((8, 24), (8, 24))])
def test_a_box_is_diagnosed_with_the_tiles_of_that_box(make_network, picture, box):
    network, how = make_network("instance"), replace(CPU, core=(16, 16), box=box)
    done, found = run(diagnose(picture, network, how, EVERY))
    plan = drain(plan_prediction(picture, network, how, route=WHOLE_TILES))
    seen = map_of(done, plan)
    assert np.isfinite(seen[(slice(None), *plan.grid.box.slices)]).all() or not found.mismatch.pairs
    assert np.isfinite(seen).sum() in {2 * plan.grid.box.size, 0}


@pytest.mark.parametrize("view", [Box((5, 5), (6, 143)), Box((30, 60), (61, 100)), Box((0, 0), (3, 3))])
def test_a_view_is_compared_on_the_tiles_of_the_whole_image(make_network, picture, view):
    network, how = make_network("instance"), replace(CPU, core=(16, 32))
    plan = drain(plan_prediction(picture, network, how, route=WHOLE_TILES))
    everywhere = map_of(run(diagnose_plan(plan, EVERY))[0], plan)
    seen = map_of(run(diagnose_plan(plan, EVERY, part=view))[0], plan)
    inside = np.zeros(seen.shape, bool)
    inside[(slice(None), *view.slices)] = True
    np.testing.assert_allclose(seen[inside], everywhere[inside], atol=1e-6)
    assert np.isnan(seen[~inside]).all()


def test_a_view_beside_the_box_is_refused(make_network, picture):
    network, how = make_network("instance"), replace(CPU, core=(16, 32), box=((0, 32), (0, 64)))
    plan = drain(plan_prediction(picture, network, how, route=WHOLE_TILES))
    with pytest.raises(SettingsError, match="Move it"):
        list(diagnose_plan(plan, EVERY, part=Box((40, 70), (50, 80))))


def test_without_flags_the_tiles_are_those_that_a_prediction_lays(make_network):
    image, network = image_of((700, 720), "yx"), make_network("batch")
    tiles = lay_plan(image, network, CPU, route_of(network)).tiles
    _, found = run(diagnose(image, network, CPU))
    assert found.mismatch.tile == tiles.grid.read_shape
    assert (found.mismatch.pairs == 0) == (len(tiles.grid) == 1)


def test_a_cut_by_regions_is_compared_without_whole_tiles(make_network):
    image, network = image_of((160, 180), "yx"), make_network("batch")
    how = replace(CPU, core=(80, 90))
    tiles = lay_plan(image, network, how, route_of(network)).tiles
    assert tiles.regions is not None
    seen = []
    handle = network.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0].numel()))
    try:
        _, found = run(diagnose(image, network, how, EVERY))
    finally:
        handle.remove()
    assert found.seam_free
    assert found.statistics.layers
    assert all(each.disparity.train_eval_disparity > 0 for each in found.classes)
    assert max(seen) <= 80 * 90 * 4


@pytest.mark.parametrize(
    ("shape", "shift"), [((61, 143), 64), ((61, 143), 7), ((30, 60), 64), ((90, 90), 200)]
)
def test_a_shift_without_room_is_lowered_and_what_was_compared_is_named(make_network, shape, shift):
    image, network = image_of(shape, "yx"), make_network("instance")
    _, found = run(diagnose(image, network, CPU, DiagnoseSettings(shift=shift)))
    assert found.mismatch.pairs
    assert max(found.mismatch.shift) <= max(shift, 2)
    assert f"moved by {max(found.mismatch.shift)} in" in found.mismatch.compared
    assert not found.seam_free


class _Noisy(torch.nn.Module):
    """A convolution, and dropout that is always on."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return torch.nn.functional.dropout(self.first(x), 0.5, training=True)


class _Strewn(_Noisy):
    def forward(self, x):
        return self.first(x) + torch.rand_like(x)


class _Sampled(_Noisy):
    def forward(self, x):
        return torch.bernoulli(torch.sigmoid(self.first(x)))


@pytest.mark.parametrize("kind", [_Noisy, _Strewn, _Sampled])
def test_a_network_that_draws_random_numbers_is_called_so(kind):
    torch.manual_seed(0)
    network = network_in_memory(kind().eval(), Description(axes="yx", in_channels=1))
    _, found = run(
        diagnose(image_of((60, 70), "yx"), network, replace(CPU, core=(16, 16)), DiagnoseSettings())
    )
    assert not found.seam_free
    assert [cause.name for cause in found.audit.causes] == ["chance"]
    assert "random" in found.audit.cause
    assert "ttention" not in found.audit.cause


@st.composite
def grids(draw):
    ndim = draw(st.integers(1, 3))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    shape = tuple(draw(st.integers(1, 40)) for _ in range(ndim))
    core = tuple(step * draw(st.integers(1, 6)) for step in stride)
    halo = tuple((draw(st.integers(0, 9)), draw(st.integers(0, 9))) for _ in range(ndim))
    return TileGrid(shape, core, halo, stride)


@settings(max_examples=60, deadline=None)
@given(grids())
def test_moved_tiles_always_fit_and_hold_every_voxel_once(grid):
    moved = moved_grid(grid)
    meet = [axis for axis in range(grid.ndim) if tiles_meet(grid, axis)]
    assert (moved is None) == (not meet)
    if moved is None:
        return
    assert [axis for axis in range(grid.ndim) if moved.offset[axis]] == meet
    pairs = GridPairs(grid, moved)
    times = np.zeros(grid.shape, int)
    for pair in pairs:
        times[pair.valid.slices] += 1
        assert pair.first.contains(pair.cores[0].clip(Box.of_shape(grid.padded_shape)))
        assert pair.cores[0].contains(pair.valid)
        assert pair.cores[1].contains(pair.valid)
    assert (times == 1).all()
    assert pairs.tiles == (len(grid), len(moved))
    assert list(pairs)[-1] == pairs[-1]


def test_a_plan_keeps_the_normalization_of_the_prediction(make_network, picture):
    network, how = make_network("batch"), replace(CPU, core=(16, 32), normalize="tile")
    plan = drain(plan_prediction(picture, network, how))
    _, found = run(diagnose_plan(plan, DiagnoseSettings(sample=4)))
    assert found.audit.causes[0].name == "input normalization"
