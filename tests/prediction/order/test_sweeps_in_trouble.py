"""Sweeps in trouble: memory that runs out, devices that fail, readers that wait."""

import numpy as np
import pytest
import torch

from napari_tileseg.engine import open_engine
from napari_tileseg.engine.device import failure
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.tiling import Box

SHAPE = (96, 64)


class _Voxels:
    """A prepared image of noise."""

    padded_shape = SHAPE

    def __init__(self, shape=SHAPE):
        self._values = np.random.default_rng(0).random((1, *shape), dtype="f4")

    def read(self, box):
        return self._values[(slice(None), *box.slices)]


def _until_thin(monkeypatch, limit):
    """Let memory run out for more planes than `limit`; gives the list of how many were tried."""
    run, tried = Program.run_one, []

    def limited(self, number, values, place):
        tried.append(values[0].shape[2])
        if tried[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, number, values, place)

    monkeypatch.setattr(Program, "run_one", limited)
    return tried


def test_it_is_told_once_and_remembered_that_memory_ran_out(make_network, monkeypatch):
    engine = open_engine(make_network(2), "cpu")
    assert engine.sweeps(SHAPE)
    tried, notes = _until_thin(monkeypatch, 30), []
    for half in (Box((0, 0), (96, 32)), Box((0, 32), (96, 64))):
        tried.clear()
        for _ in engine.sweep(_Voxels(), half, 64):
            notes.append(engine.take_notes())  # as a prediction does after each tile
    assert max(tried) <= 30, "the second sweep begins where the first one ended"
    told = [note for each in notes for note in each]
    assert len(told) == len(set(told))
    assert any("Memory of cpu ran out" in note for note in told)


def test_a_note_in_the_middle_of_a_sweep_is_not_lost(make_network, monkeypatch):
    engine = open_engine(make_network(2), "cpu")
    parts = engine.sweep(_Voxels(), Box.of_shape(SHAPE), 32)
    next(parts)
    assert engine.take_notes() == ()
    _until_thin(monkeypatch, 20)
    list(parts)
    assert "slabs of 16 planes" in engine.take_notes()[0]


def test_an_image_may_be_predicted_itself_while_it_is_read(make_network):
    """Reading holds no lock of the engine: what is read may be computed by it in another thread."""
    engine = open_engine(make_network(2), "cpu")
    held = []

    class Waiting(_Voxels):
        def read(self, box):
            held.append(engine._lock._is_owned())
            return super().read(box)

    assert len(list(engine.sweep(Waiting(), Box.of_shape(SHAPE), 16))) > 1
    assert held
    assert not any(held)


def test_a_network_that_fails_in_a_sweep_is_named(make_network, monkeypatch):
    network = make_network(2)
    engine = open_engine(network, "cpu")
    assert engine.sweeps(SHAPE)

    def broken(*_):
        raise RuntimeError("expected 5D input")

    monkeypatch.setattr(Program, "run_one", broken)
    with pytest.raises(NetworkError, match=f"{network.spec.name} should run on a slab .* expected 5D input"):
        list(engine.sweep(_Voxels(), Box.of_shape(SHAPE), 16))


@pytest.mark.parametrize("words", ["CUDA error: unspecified launch failure", "Device lost"])
def test_a_device_that_fails_is_no_fault_of_the_network(words):
    error = failure(RuntimeError(words), "cuda:0", "nuclei", "a tile")
    assert isinstance(error, DeviceError)
    assert str(error).startswith("cuda:0 failed while it computed nuclei on a tile")
