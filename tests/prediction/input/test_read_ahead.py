import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from zarr.storage import LocalStore

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, NonFiniteError, StoreError
from napari_tileseg.prediction import TileDone, make_order, open_prediction, plan_tiles, predict_to_store
from napari_tileseg.prediction.input.read_ahead import ReadAhead
from napari_tileseg.prediction.overlap import overlapped
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

CORE = PredictSettings(core=(8, 16, 16), normalize="range", range=(0, 4000))
PATIENCE = 20


def _threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("tileseg-")}


class _Told:
    """A source that tells which boxes are read, and in which thread, and may fail or wait."""

    def __init__(self, voxels):
        self.voxels, self.shape, self.dtype = voxels, voxels.shape, voxels.dtype
        self.reads = []
        self.broken = False

    def __getitem__(self, key):
        self.reads.append((key, threading.current_thread().name))
        if self.broken:
            raise OSError("the disk is gone")
        return self.voxels[key]


def test_what_is_read_ahead_is_what_would_be_read(make_network, volume):
    for normalize in ("range", "tile"):
        plan = drain(
            plan_prediction(volume, make_network(3), replace(CORE, normalize=normalize), route=WHOLE_TILES)
        )
        box, inner = Box((0, 4, 4), (12, 28, 28)), Box((4, 8, 8), (8, 20, 28))
        with ReadAhead(plan.prepared) as ahead:
            ahead.expect([box])
            for each in (box, inner, Box((0, 0, 0), (13, 8, 8))):
                np.testing.assert_array_equal(ahead.read(each), plan.prepared.read(each))
        assert ahead.padded_shape == plan.prepared.padded_shape


def test_a_box_is_read_before_it_is_asked_for_and_once(make_network, volume):
    source = _Told(volume.data)
    plan = drain(plan_prediction(replace(volume, data=source), make_network(3), CORE, route=WHOLE_TILES))
    first, second = Box((0, 0, 0), (8, 16, 16)), Box((0, 16, 0), (8, 32, 16))
    with ReadAhead(plan.prepared) as ahead:
        ahead.expect([first, second])
        ahead.read(first)
        ahead.expect([second])
        ahead.read(second)
        assert [name for _, name in source.reads] == ["tileseg-read_0"] * 2
        ahead.read(first)
        assert len(source.reads) == 3
    assert not _threads()


def test_an_error_is_raised_where_the_box_is_asked_for(make_network, volume):
    source = _Told(volume.data)
    plan = drain(plan_prediction(replace(volume, data=source), make_network(3), CORE, route=WHOLE_TILES))
    source.broken = True
    with ReadAhead(plan.prepared) as ahead:
        ahead.expect([Box((0, 0, 0), (8, 16, 16))])
        with pytest.raises(ImageError, match="the disk is gone"):
            ahead.read(Box((0, 0, 0), (8, 16, 16)))


def test_writing_and_computing_go_on_at_the_same_time():
    meet = threading.Barrier(2, timeout=PATIENCE)
    left = [1, 2, 3]

    def compute():
        if len(left) < 3:
            meet.wait()  # until the one before is being written
        return left.pop(0) if left else None

    assert list(overlapped(compute, lambda _: meet.wait())) == [1, 2, 3]
    assert not _threads()


def test_nothing_is_given_before_it_is_written_and_no_more_than_one_is_ahead():
    computed, written = [], []

    def compute():
        computed.append(len(computed))
        return computed[-1]

    def write(number):
        time.sleep(0.005)
        written.append(number)

    things = overlapped(compute, write)
    for expected in range(5):
        assert next(things) == expected
        assert written[-1] == expected
        assert len(computed) <= expected + 2
    things.close()
    assert len(written) == 5
    assert not _threads()


@pytest.mark.parametrize("where", ["compute", "write"])
def test_an_error_in_a_thread_is_raised_and_ends_both(where):
    def compute():
        if where == "compute":
            raise ValueError("no")
        return 1

    def write(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(overlapped(compute, write))
    assert not _threads()


def test_closing_a_prediction_stops_its_threads_and_keeps_what_was_told(tmp_path, make_network, volume):
    run = predict_to_store(volume, make_network(3), CORE, tmp_path / "out")
    told = [event.tile.index for event in (next(run) for _ in range(5)) if isinstance(event, TileDone)]
    assert _threads()
    run.close()
    assert not _threads()
    assert open_prediction(tmp_path / "out").done() == set(told)


def test_a_source_that_breaks_ends_a_prediction_where_it_broke(tmp_path, make_network, volume):
    source = _Told(volume.data)
    image, network = replace(volume, data=source), make_network(3)
    told = []

    def break_after_a_tile():
        for event in predict_to_store(image, network, CORE, tmp_path / "out"):
            if isinstance(event, TileDone):
                told.append(event.tile.index)
                source.broken = True

    with pytest.raises(ImageError, match="the disk is gone"):
        break_after_a_tile()
    # Tiles whose voxels were read before are done.
    assert 0 < len(told) < 12
    assert not _threads()
    assert open_prediction(tmp_path / "out").done() == set(told)
    source.broken = False
    assert list(predict_to_store(image, network, CORE, tmp_path / "out"))[-1].tiles_computed == 12 - len(told)


def test_a_voxel_that_is_not_finite_is_refused_when_its_tile_comes(tmp_path, make_network, volume):
    voxels = volume.data.astype("f4")
    voxels[12, 40, 29] = np.nan
    image, network = replace(volume, data=voxels), make_network(3)
    with pytest.raises(NonFiniteError, match=r"the first at 12,40,29"):
        list(predict_to_store(image, network, CORE, tmp_path / "out"))
    order = make_order(image, plan_tiles(image, network.spec, CORE).grid)
    done = open_prediction(tmp_path / "out").done()
    # All tiles before the first that needs the voxel, which the last one does at any rate.
    assert done == {tile.index for tile in order.peek(len(done))}
    assert len(done) < order.remaining


def test_a_write_that_fails_is_told_and_hangs_nothing(tmp_path, make_network, volume, monkeypatch):
    put = LocalStore.set

    async def broken(self, key, *args, **kwargs):
        if "/c/" in key:
            raise OSError("no such device")
        await put(self, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "set", broken)
    with pytest.raises(StoreError, match="no such device"):
        list(predict_to_store(volume, make_network(3), CORE, tmp_path / "out"))
    assert not _threads()
