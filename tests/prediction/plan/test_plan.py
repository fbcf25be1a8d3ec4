"""Cores that follow from what they cost: in a store, lazily, and where memory is short."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine import WHOLE_TILES, open_planner, route_of, tile_planner
from napari_tileseg.errors import DeviceError, SettingsError, StoreError
from napari_tileseg.graphs.operations.windows import Convolution
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import origin_of
from napari_tileseg.prediction import (
    TileDone,
    TileOrder,
    lay_plan,
    measure_intensities,
    open_prediction,
    plan_prediction,
    plan_tiles,
    predict,
    predict_to_store,
    write_prediction,
)
from napari_tileseg.prediction.input import chunk_cache
from napari_tileseg.prediction.plan import warnings
from napari_tileseg.prediction.store.provenance import settled_by
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

SMALL = PredictSettings(device="cpu", memory=3e-4)
AMPLE = PredictSettings(device="cpu", memory=1.0)


def tiles_of(image, network, settings, begun=None):
    """Lay tiles as `predict_to_store` does; `begun` is the folder of a store."""
    settled = None if begun is None else settled_by(begun)
    return lay_plan(image, network, settings, route_of(network, settings.device), settled=settled).tiles


class Unread:
    """An image's data that must not be read."""

    dtype = np.dtype("u2")

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, key):
        raise AssertionError("planning read the image")


@pytest.mark.parametrize("ndim", [2, 3])
def test_less_memory_makes_smaller_tiles_that_cost_more(make_network, ndim):
    network = make_network(ndim)
    image = Image(
        Unread(*(5, 300, 280, 260)[-ndim - 1 :]), "tzyx"[-ndim - 1 :] if ndim == 3 else "tyx", name="big"
    )
    ample, short = (tiles_of(image, network, settings) for settings in (AMPLE, SMALL))
    assert ample.grid.core[0] == short.grid.core[0] == 1
    assert prod(short.grid.core) < prod(ample.grid.core)
    assert 1 <= ample.cost < short.cost < ample.grid.cost * 10
    assert short.regions.peak <= 3e5 < ample.regions.peak <= 1e9
    assert "KB of memory" in short.core_reason
    assert ample.exact
    assert short.exact


def test_the_least_memory_is_named(make_network):
    image = Image(Unread(300, 280, 260), "zyx")
    with pytest.raises(SettingsError, match=r"least tile, of 4 x 4 x 4 voxels, takes [\d,]+ bytes.*memory"):
        tiles_of(image, make_network(3), PredictSettings(device="cpu", memory=1e-6))


def test_a_machine_that_has_too_little_is_no_wrong_setting(make_network, monkeypatch):
    monkeypatch.setattr(tile_planner, "free_memory", lambda _: 10**4)
    with pytest.raises(DeviceError, match=r"least tile.* are allowed.* Close other programs"):
        tiles_of(Image(Unread(300, 280, 260), "zyx"), make_network(3), PredictSettings(device="cpu"))


def test_a_core_that_was_set_is_kept_and_its_price_told(make_network):
    image = Image(Unread(300, 280, 260), "zyx")
    tiles = tiles_of(image, make_network(3), replace(SMALL, core=(32, 64, 64)))
    assert tiles.grid.core == (32, 64, 64)
    assert tiles.regions.core == (32, 64, 64)
    assert "are allowed" in tiles.warnings[0]
    assert not tiles_of(image, make_network(3), PredictSettings(device="cpu", core=(32, 64, 64))).warnings


def test_a_core_is_warned_of_that_takes_more_than_is_free(tmp_path, make_network, volume, monkeypatch):
    network, free = make_network(3), 10**12
    monkeypatch.setattr(warnings, "free_memory", lambda _: free)
    chosen = PredictSettings(device="cpu", core=(12, 40, 28))
    assert not tiles_of(volume, network, chosen).warnings
    run = predict_to_store(volume, network, PredictSettings(device="cpu"), tmp_path / "out")
    while not isinstance(next(run), TileDone):
        pass
    run.close()
    free = 10**5
    (told,) = tiles_of(volume, network, chosen).warnings
    assert "A core of 12,40,28 takes about" in told
    assert "100 KB are free on cpu" in told
    assert "Leave the core empty" in told
    (told,) = tiles_of(volume, network, PredictSettings(device="cpu"), tmp_path / "out").warnings
    assert "are free on cpu. What was begun keeps its core" in told
    short = replace(chosen, memory=1e-5)
    assert "10 KB are allowed" in tiles_of(volume, network, short).warnings[0]


def test_memory_and_batch_are_said_to_do_nothing_where_they_do_nothing(tmp_path, make_network, volume):
    network, whole = make_network(3), make_network(3, norm="instance")
    small_core = replace(AMPLE, core=(4, 8, 8))

    def notes(chosen, *about):
        return tiles_of(volume, about[0] if about else network, chosen, *about[1:]).notes

    assert notes(AMPLE) == ()
    (told,) = notes(small_core)
    assert "memory is not used" in told
    assert "the core is set" in told
    assert "computed whole" in notes(replace(AMPLE, statistics="tile"), whole)[0]
    (told,) = notes(PredictSettings(device="cpu", batch=4))
    assert "batch is not used" in told
    assert notes(PredictSettings(device="cpu", batch=4, statistics="tile"), whole) == ()
    run = predict_to_store(volume, network, SMALL, tmp_path / "out")
    while not isinstance(next(run), TileDone):
        pass
    run.close()
    (told,) = notes(AMPLE, network, tmp_path / "out")
    assert "what was begun keeps its core" in told
    events = predict_to_store(volume, network, small_core, tmp_path / "other")
    assert [event.message for event in events if isinstance(event, Noted)] == list(notes(small_core))


def test_chunks_that_are_too_large_to_be_kept_are_told_once(make_network, monkeypatch):
    source = Unread(700, 700, 700)
    source.chunks = source.shape
    image, network, free = Image(source, "zyx", name="brain"), make_network(3), 10**9
    monkeypatch.setattr(chunk_cache, "free_memory", lambda _: free)
    (told,) = tiles_of(image, network, SMALL).notes
    assert "A chunk of brain takes 686 MB" in told
    assert "smaller chunks" in told
    free = 10**10
    assert tiles_of(image, network, SMALL).notes == ()


def test_something_else_that_was_begun_there_is_not_taken_up(tmp_path, make_network, volume):
    flat = Image(np.zeros((40, 40), np.uint8), "yx")
    list(predict_to_store(flat, make_network(2), PredictSettings(normalize="none"), tmp_path / "out"))
    with pytest.raises(StoreError, match="another kind"):
        list(predict_to_store(volume, make_network(3), PredictSettings(), tmp_path / "out"))


@pytest.mark.parametrize("settings", [{"halo": ((32, 32),) * 3}, {"normalize": "tile"}])
def test_tiles_that_are_seen_by_themselves_are_laid_for_that(make_network, settings):
    image, network = Image(Unread(300, 280, 260), "zyx"), make_network(3)
    asked = PredictSettings(device="cpu", **settings)
    assert tiles_of(image, network, asked).grid == plan_tiles(image, network.spec, asked).grid


def test_networks_without_rules_are_laid_for_whole_tiles(make_network):
    image, network = Image(Unread(900, 900), "yx"), make_network(2, norm="instance")
    asked = replace(AMPLE, statistics="tile")
    tiles = tiles_of(image, network, asked)
    assert tiles.regions is None
    assert tiles.grid == plan_tiles(image, network.spec, asked).grid
    assert tiles.cost == tiles.grid.cost


def test_a_route_decides_what_is_planned(make_network):
    network = make_network(3, classes=("one", "two"))
    assert open_planner(network, WHOLE_TILES, "cpu") is None
    route = route_of(network)
    assert open_planner(network, route, "cpu", memory=2.0).memory == 2 * 10**9
    default = open_planner(network, route, "cpu").memory
    assert default & (default - 1) == 0, "a power of two"


def test_tiles_are_laid_whole_until_somebody_has_looked_at_the_layers(make_network):
    image, network = Image(Unread(300, 280, 260), "zyx"), make_network(3)
    plan = lay_plan(image, network, SMALL)
    assert plan.route is None
    assert plan.grid == plan_tiles(image, network.spec, SMALL).grid
    assert not plan.tiles.notes, "what has no effect is not known yet"
    assert lay_plan(image, network, SMALL, route_of(network)).tiles.regions is not None


def test_a_plan_is_the_rule_until_intensities_are_measured(make_network, volume):
    network = make_network(3)
    plan = lay_plan(volume, network, SMALL, route_of(network))
    with pytest.raises(ValueError, match="still to be measured"):
        plan.prepared  # noqa: B018
    measured = drain(measure_intensities(plan))
    low, high = np.percentile(volume.data, measured.normalization.percentiles)
    np.testing.assert_allclose(measured.normalization.offset, low)
    np.testing.assert_allclose(measured.normalization.scale, high - low)
    assert measured.tiles is plan.tiles
    assert drain(measure_intensities(measured)) is measured
    assert measured.unmeasured().normalization == plan.normalization
    other = replace(measured.normalization, offset=(1.0,))
    assert drain(measure_intensities(measured, other)).normalization == other


def test_a_plan_goes_over_to_another_source_of_the_same_voxels(make_network, volume):
    network = make_network(3, voxel_size=(1.0, 1.0, 1.0))
    for resample in (False, True):
        plan = lay_plan(volume, network, replace(AMPLE, resample=resample))
        other = plan.over(replace(volume, data=volume.data.copy()))
        assert origin_of(other.tiles.image)[0] is other.image
        assert other.image is not volume
        assert other.tiles.image.shape == plan.tiles.image.shape
        box = Box((2, 3, 4), (6, 7, 8))
        np.testing.assert_array_equal(other.tiles.image.read(box), plan.tiles.image.read(box))


def test_a_plan_that_is_measured_is_written_as_it_is(tmp_path, make_network, volume, monkeypatch):
    """Nothing is laid or measured a second time: the same tiles, intensities and notes come out."""
    network = make_network(3)
    plan = drain(plan_prediction(volume, network, SMALL))
    made_up = replace(plan, normalization=replace(plan.normalization, offset=(1.0,), scale=(3000.0,)))
    # A planner that would give other cores, were it asked again.
    monkeypatch.setattr(tile_planner, "free_memory", lambda _: 10**4)
    list(write_prediction(made_up, tmp_path / "out"))
    store = open_prediction(tmp_path / "out")
    assert store.grid == plan.grid
    assert store.normalization == made_up.normalization
    assert store.provenance["cost"] == plan.tiles.cost


def test_a_store_keeps_its_core_whatever_memory_there_is(tmp_path, make_network, volume):
    network = make_network(3)
    events = predict_to_store(volume, network, SMALL, tmp_path / "out")
    for event in events:
        if getattr(event, "done", 0) == 2:
            break
    events.close()
    begun = open_prediction(tmp_path / "out")
    assert not begun.complete
    assert begun.grid.core != tiles_of(volume, network, AMPLE).grid.core
    last = list(predict_to_store(volume, network, AMPLE, tmp_path / "out"))[-1]
    assert last.tiles_computed < last.tiles == len(begun.grid)
    undisturbed = list(predict_to_store(volume, network, SMALL, tmp_path / "other"))[-1]
    assert undisturbed.tiles == last.tiles
    one, other = (open_prediction(tmp_path / name).view() for name in ("out", "other"))
    np.testing.assert_array_equal(one, other)


def test_an_order_of_other_tiles_is_refused(tmp_path, make_network, volume):
    network = make_network(3)
    plan, other = (lay_plan(volume, network, settings, route_of(network)) for settings in (SMALL, AMPLE))
    with pytest.raises(SettingsError, match="order should be one of the plan's tiles"):
        list(write_prediction(plan, tmp_path / "out", order=TileOrder(other.grid)))
    assert not (tmp_path / "out").exists()


def test_any_memory_gives_the_same_result(make_network, volume):
    network = make_network(3)
    ample, short = (predict(volume, network, settings) for settings in (AMPLE, SMALL))
    assert short.numblocks > ample.numblocks
    np.testing.assert_allclose(short.compute(), ample.compute(), atol=1e-5)


def test_a_store_says_how_its_tiles_were_computed(tmp_path, make_network, volume, monkeypatch):
    list(predict_to_store(volume, make_network(3), AMPLE, tmp_path / "regions"))
    assert open_prediction(tmp_path / "regions").provenance["engine"] == "regions"
    list(predict_to_store(volume, make_network(3, norm="instance"), AMPLE, tmp_path / "plain"))
    assert open_prediction(tmp_path / "plain").provenance["engine"] == "plain"
    network = make_network(3, classes=("a fault", "in a rule"))
    route_of(network)
    run = Convolution.run
    monkeypatch.setattr(Convolution, "run", lambda *given, **how: run(*given, **how) * 1.01)
    events = list(predict_to_store(volume, network, AMPLE, tmp_path / "fault"))
    assert any("computed whole" in event.message for event in events if isinstance(event, Noted))
    about = open_prediction(tmp_path / "fault").provenance
    assert (about["engine"], about["exact"]) == ("plain", True)
