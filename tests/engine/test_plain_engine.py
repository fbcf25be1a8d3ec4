import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg.engine import PlainEngine
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.nets.spec import Geometry, NetworkSpec
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.tiling.read_shape import ReadShape


class Prepared:
    """A prepared image in memory."""

    def __init__(self, voxels):
        self._voxels = voxels
        self.padded_shape = voxels.shape[1:]

    def read(self, box):
        return self._voxels[(slice(None), *box.slices)]


class Net:
    """An opened network around a module."""

    def __init__(self, module, *, halo=((3, 3), (3, 3)), seam_free=True, activation="sigmoid"):
        self.module = module.eval().requires_grad_(False)
        self.spec = NetworkSpec(
            name="little",
            architecture="test",
            axes="yx",
            in_channels=1,
            out_channels=2,
            classes=("a", "b"),
            activation=activation,
            norm_counts={},
            geometry=Geometry(
                stride=(2, 2),
                read=ReadShape(minimum=(2, 2), step=(2, 2)),
                halo=halo,
                receptive_field=None,
            ),
            default_halo=halo or ((4, 4), (4, 4)),
            seam_free=seam_free,
            reason="",
            parameters=1,
        )


def open_engine(net, device, dtype="float32", batch=1):
    return PlainEngine(net, device, dtype, batch)


def _module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 5, padding=2), torch.nn.Conv2d(3, 2, 3, padding=1))


class Limited(torch.nn.Module):
    """A network on a device with little memory."""

    def __init__(self, limit, error=torch.OutOfMemoryError):
        super().__init__()
        self.inner, self.limit, self.error, self.seen = _module(), limit, error, []

    def forward(self, x):
        self.seen.append(x.numel())
        if x.numel() > self.limit:
            raise self.error("CUDA out of memory. Tried to allocate")
        return self.inner(x)


IMAGE = Prepared(np.random.default_rng(0).normal(size=(1, 40, 36)).astype("f4"))
GRID = TileGrid((40, 36), (16, 12), ((3, 3), (3, 3)), (2, 2))
TILES = list(GRID)


ALL = IMAGE.read(Box.of_shape((40, 36)))


def _whole(module, activation=torch.sigmoid, voxels=ALL):
    with torch.no_grad():
        return activation(module(torch.from_numpy(voxels[np.newaxis]))).numpy()[0]


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_tiles_equal_the_whole_image(batch, activation):
    net = Net(_module(), activation=activation)
    functions = {"none": lambda x: x, "sigmoid": torch.sigmoid, "softmax": lambda x: torch.softmax(x, 1)}
    expected = _whole(net.module, functions[activation])
    for tile, core in zip(TILES, open_engine(net, "cpu", batch=batch).compute(IMAGE, TILES), strict=True):
        assert core.dtype == np.float32
        np.testing.assert_allclose(core, expected[(slice(None), *tile.core.slices)], atol=1e-6)


def test_leading_axes_go_to_the_batch():
    net, voxels = Net(_module()), np.random.default_rng(1).normal(size=(1, 3, 2, 20, 16)).astype("f4")
    grid = TileGrid((3, 2, 20, 16), (2, 1, 10, 16), ((0, 0),) * 2 + ((4, 4),) * 2, (1, 1, 2, 2))
    cores = open_engine(net, "cpu", batch=2).compute(Prepared(voxels), list(grid))
    for tile, core in zip(grid, cores, strict=True):
        assert core.shape == (2, *tile.core.shape)
        for t in range(tile.core.shape[0]):
            frame = voxels[:, tile.core.start[0] + t, tile.core.start[1]]
            expected = _whole(net.module, voxels=frame)[(slice(None), *tile.core.slices[2:])]
            np.testing.assert_allclose(core[:, t, 0], expected, atol=1e-6)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("limit", [900, 420, 150])
def test_memory_that_runs_out_changes_nothing_in_the_result(limit, error):
    net = Net(Limited(limit, error))
    engine = open_engine(net, "cpu", batch=8)
    expected = open_engine(Net(_module()), "cpu").compute(IMAGE, TILES)
    for one, other in zip(engine.compute(IMAGE, TILES), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    notes = engine.take_notes()
    assert "tiles at once instead of 8" in notes[0]
    assert ("pieces" in notes[-1]) == (limit < 480)
    assert engine.take_notes() == ()
    net.module.seen.clear()
    engine.compute(IMAGE, TILES)
    assert max(net.module.seen) <= limit, "what did not fit is not tried again"


@pytest.mark.parametrize("net", [{"seam_free": False}, {"halo": None}, {"halo": ((9, 9), (9, 9))}])
def test_pieces_are_not_used_where_they_would_change_the_result(net):
    engine = open_engine(Net(Limited(300), **net), "cpu")
    with pytest.raises(DeviceError, match=r"core of \d+,\d+ would fit" if "halo" not in net else "fit"):
        engine.compute(IMAGE, TILES)


def test_no_memory_at_all_is_an_error():
    with pytest.raises(DeviceError, match="No smaller core would fit"):
        open_engine(Net(Limited(3)), "cpu").compute(IMAGE, TILES[:1])


def test_weights_that_do_not_fit_are_told():
    class Heavy(torch.nn.Conv2d):
        def __deepcopy__(self, memo):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceError, match="too little memory for the 1 weights of little"):
        open_engine(Net(Heavy(1, 2, 1)), "cpu", "float64")


def test_other_errors_of_the_network_are_told():
    with pytest.raises(NetworkError, match=r"inputs of 1 x 1 x 24 x 20.*channels"):
        open_engine(Net(torch.nn.Conv2d(2, 2, 1)), "cpu").compute(IMAGE, TILES[:1])
    with pytest.raises(NetworkError, match=r"output of 1 x 2 x 24 x 20.*gave 1 x 2 x 12 x 10"):
        open_engine(Net(torch.nn.Conv2d(1, 2, 2, stride=2)), "cpu").compute(IMAGE, TILES[:1])


def test_float64_is_computed_in_float64():
    net = Net(_module())
    expected = _whole(_module().double(), voxels=ALL.astype("f8"))
    cores = open_engine(net, "cpu", "float64").compute(IMAGE, TILES)
    for tile, core in zip(TILES, cores, strict=True):
        assert core.dtype == np.float64
        np.testing.assert_allclose(core, expected[(slice(None), *tile.core.slices)], atol=1e-13)
    assert next(net.module.parameters()).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_reduced_precision_is_close_and_is_kept(dtype):
    engine = open_engine(Net(_module()), "cpu", dtype)
    engine.verify(IMAGE, TILES[0])
    assert engine.take_notes() == ()
    expected = open_engine(Net(_module()), "cpu").compute(IMAGE, TILES)
    cores = engine.compute(IMAGE, TILES)
    errors = [np.abs(a - b).max() for a, b in zip(cores, expected, strict=True)]
    assert 0 < max(errors) < 0.02
    assert cores[0].dtype == np.float32


class Wrong(torch.nn.Module):
    """A network that reduced precision breaks."""

    def __init__(self, fault):
        super().__init__()
        self.inner, self.fault = _module(), fault

    def forward(self, x):
        y = self.inner(x)
        return y if x.dtype == torch.float32 else y + self.fault


@pytest.mark.parametrize("fault", [float("nan"), 50.0])
def test_reduced_precision_that_goes_wrong_falls_back(fault):
    engine = open_engine(Net(Wrong(fault)), "cpu", "bfloat16")
    engine.verify(IMAGE, TILES[0])
    assert "bfloat16 went wrong" in engine.take_notes()[0]
    assert engine.dtype == "float32"
    expected = open_engine(Net(_module()), "cpu").compute(IMAGE, TILES)
    for one, other in zip(engine.compute(IMAGE, TILES), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_may_share_an_engine():
    engine = open_engine(Net(_module()), "cpu")
    expected = engine.compute(IMAGE, TILES)
    results = {}

    def work(number):
        results[number] = engine.compute(IMAGE, [TILES[number]])[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(TILES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, core in enumerate(expected):
        np.testing.assert_array_equal(results[number], core)


def test_the_spec_decides_the_activation():
    net = Net(_module())
    net.spec = replace(net.spec, activation="softmax")
    (core,) = open_engine(net, "cpu").compute(IMAGE, TILES[:1])
    np.testing.assert_allclose(core.sum(axis=0), 1, atol=1e-6)
