from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg.engine import open_engine
from napari_tileseg.errors import DeviceError
from napari_tileseg.images.image import Image
from napari_tileseg.predict.columns import Columns
from napari_tileseg.predict.ordering import make_order
from napari_tileseg.predict.plan import make_plan
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
    return Image(np.random.default_rng(3).integers(0, 4000, (30, 20, 33)).astype("u2"), "zyx")


def _compute(plan, engine, order):
    columns, cores = Columns(engine, plan.prepared, plan.grid, plan.tiles.lead), {}
    while tiles := order.pop():
        following = order.peek(1)
        cores[tiles[0].index] = columns.compute(tiles[0], following[0] if following else None)
    return cores


def _alone(plan, network):
    engine = open_engine(network, "cpu", "float64")
    return {tile.index: engine.compute(plan.prepared, [tile])[0] for tile in plan.grid}


def test_columns_give_what_tiles_give_each_by_itself(make_network, tall):
    network = make_network(3)
    plan = make_plan(tall, network, SETTINGS)
    engine = _Told(open_engine(network, "cpu", "float64"))
    cores = _compute(plan, engine, make_order(tall, plan.grid))
    expected = _alone(plan, network)
    assert cores.keys() == expected.keys()
    assert max(np.abs(cores[index] - expected[index]).max() for index in cores) <= 1e-12
    # Each of the 2 x 3 columns of 4 tiles is one sweep.
    assert [what for what, _ in engine.asked] == ["sweep"] * 6


def test_a_tile_that_comes_out_of_turn_ends_a_sweep(make_network, tall):
    network = make_network(3)
    plan = make_plan(tall, network, SETTINGS)
    engine = _Told(open_engine(network, "cpu", "float64"))
    order = make_order(tall, plan.grid)
    columns = Columns(engine, plan.prepared, plan.grid, 0)
    expected = _alone(plan, network)
    for number in range(len(plan.grid)):
        if number == 2:
            order.prioritize([(3, 1, 2)])
        (tile,), following = order.pop(), order.peek(1)
        core = columns.compute(tile, following[0] if following else None)
        assert np.abs(core - expected[tile.index]).max() <= 1e-12
    # The last tile of a column came early; the two that were left of the first one are swept again.
    assert engine.asked[:3] == [("sweep", (0, 0, 0)), ("compute", (3, 1, 2)), ("sweep", (16, 0, 0))]


def test_slices_of_a_flat_network_are_swept_one_by_one(make_network, tall):
    network = make_network(2)
    plan = make_plan(tall, network, replace(SETTINGS, core=(8, 16)))
    engine = _Told(open_engine(network, "cpu", "float64"))
    cores = _compute(plan, engine, make_order(tall, plan.grid, plan.tiles.lead))
    expected = _alone(plan, network)
    assert max(np.abs(cores[index] - expected[index]).max() for index in cores) <= 1e-12
    assert {what for what, _ in engine.asked} == {"sweep"}


def test_where_a_slab_does_not_fit_tiles_are_computed_each_by_itself(make_network, tall):
    network = make_network(3)
    plan = make_plan(tall, network, SETTINGS)
    engine = _Told(open_engine(network, "cpu", "float64"), broken=True)
    cores = _compute(plan, engine, make_order(tall, plan.grid))
    assert [what for what, _ in engine.asked] == ["sweep"] + ["compute"] * len(cores)


def test_a_network_without_rules_is_not_swept(make_network, tall):
    network = make_network(3, norm="instance")
    plan = make_plan(tall, network, SETTINGS)
    columns = Columns(open_engine(network, "cpu", "float64"), plan.prepared, plan.grid, 0)
    assert not columns.able
