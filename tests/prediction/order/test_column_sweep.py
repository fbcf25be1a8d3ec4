from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES, open_engine
from napari_tileseg.errors import DeviceError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.order.column_sweep import Columns
from napari_tileseg.prediction.order.order_search import make_order
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.settings import PredictSettings

SETTINGS = PredictSettings(core=(8, 16, 16), dtype="float64", normalize="range", range=(0, 4000))


class _Told:
    """An engine that tells what it was asked for, and may refuse to sweep."""

    def __init__(self, engine, broken=False):
        self._engine, self._broken = engine, broken
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def compute(self, image, tiles):
        self.asked += [("compute", tile.index) for tile in tiles]
        return self._engine.compute(image, tiles)

    def sweep(self, image, box, planes):
        self.asked.append(("sweep", box.start))
        if self._broken:
            raise DeviceError("too little memory")
        yield from self._engine.sweep(image, box, planes)


@pytest.fixture
def tall():
    return Image(np.random.default_rng(3).integers(0, 4000, (30, 16, 33)).astype("u2"), "zyx")


def _compute(plan, engine, order):
    columns, cores = Columns(engine, plan.prepared, plan.grid, plan.tiles.lead, order.sweep), {}
    while tiles := order.pop():
        swept = columns.sweep(tiles[0]) if order.in_turn(tiles[0].index) else None
        cores[tiles[0].index] = engine.compute(plan.prepared, tiles)[0] if swept is None else swept
    return cores


def _alone(plan, network):
    engine = open_engine(network, "cpu", "float64")
    return {tile.index: engine.compute(plan.prepared, [tile])[0] for tile in plan.grid}


def test_columns_give_what_tiles_give_each_by_itself(make_network, tall):
    network = make_network(3)
    plan = drain(plan_prediction(tall, network, SETTINGS, route=WHOLE_TILES))
    engine = _Told(open_engine(network, "cpu", "float64"))
    cores = _compute(plan, engine, make_order(tall, plan.grid))
    expected = _alone(plan, network)
    assert cores.keys() == expected.keys()
    assert max(np.abs(cores[index] - expected[index]).max() for index in cores) <= 1e-12
    # Each of the 3 columns of 4 tiles is one sweep.
    assert [what for what, _ in engine.asked] == ["sweep"] * 3


def test_a_tile_that_somebody_waits_for_is_computed_by_itself(make_network, tall):
    network = make_network(3)
    plan = drain(plan_prediction(tall, network, SETTINGS, route=WHOLE_TILES))
    engine = _Told(open_engine(network, "cpu", "float64"))
    order = make_order(tall, plan.grid)
    order.prioritize([(1, 0, 0), (2, 0, 1)])
    cores, expected = _compute(plan, engine, order), _alone(plan, network)
    assert max(np.abs(cores[index] - expected[index]).max() for index in expected) <= 1e-12
    # The sweep of its column passes over it later.
    assert engine.asked[:3] == [("compute", (1, 0, 0)), ("compute", (2, 0, 1)), ("sweep", (0, 0, 0))]
    assert len(engine.asked) == 2 + 3


def test_a_tile_has_the_same_bits_wherever_a_run_was_interrupted(make_network, tall):
    network = make_network(3)
    plan = drain(plan_prediction(tall, network, replace(SETTINGS, dtype="float32"), route=WHOLE_TILES))
    engine = open_engine(network, "cpu", "float32")
    undisturbed = _compute(plan, engine, make_order(tall, plan.grid))
    for done in (2, 7, 11):
        order = make_order(tall, plan.grid)
        order.mark([tile.index for tile in order.peek(done)])
        resumed = _compute(plan, engine, order)
        assert all(np.array_equal(core, undisturbed[index]) for index, core in resumed.items())


def test_long_columns_are_swept_in_parts(make_network):
    network = make_network(3)
    image = Image(np.random.default_rng(3).integers(0, 4000, (272, 16, 16)).astype("u2"), "zyx")
    plan = drain(plan_prediction(image, network, SETTINGS, route=WHOLE_TILES))
    engine = _Told(open_engine(network, "cpu", "float64"))
    cores, expected = _compute(plan, engine, make_order(image, plan.grid)), _alone(plan, network)
    assert max(np.abs(cores[index] - expected[index]).max() for index in expected) <= 1e-12
    assert engine.asked == [("sweep", (0, 0, 0)), ("sweep", (256, 0, 0))]


def test_slices_of_a_flat_network_are_swept_one_by_one(make_network, tall):
    network = make_network(2)
    plan = drain(plan_prediction(tall, network, replace(SETTINGS, core=(8, 16)), route=WHOLE_TILES))
    engine = _Told(open_engine(network, "cpu", "float64"))
    cores = _compute(plan, engine, make_order(tall, plan.grid, plan.tiles.lead))
    expected = _alone(plan, network)
    assert max(np.abs(cores[index] - expected[index]).max() for index in cores) <= 1e-12
    assert {what for what, _ in engine.asked} == {"sweep"}


def test_where_a_slab_does_not_fit_tiles_are_computed_each_by_itself(make_network, tall):
    network = make_network(3)
    plan = drain(plan_prediction(tall, network, SETTINGS, route=WHOLE_TILES))
    engine = _Told(open_engine(network, "cpu", "float64"), broken=True)
    cores = _compute(plan, engine, make_order(tall, plan.grid))
    assert [what for what, _ in engine.asked] == ["sweep"] + ["compute"] * len(cores)


def test_a_network_without_rules_is_not_swept(make_network, tall):
    network = make_network(3, norm="instance")
    plan = drain(plan_prediction(tall, network, SETTINGS, route=WHOLE_TILES))
    columns = Columns(open_engine(network, "cpu", "float64"), plan.prepared, plan.grid, 0, 8)
    assert not columns.able
