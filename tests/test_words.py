"""Messages word values as a user types them, and never as Python writes them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg.diagnosis.pairs.pair_plan import pairs_between
from napari_tileseg.engine import route_of
from napari_tileseg.engine.device import check_dtype
from napari_tileseg.errors import TilesegError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import resampled
from napari_tileseg.labels import dense_masks
from napari_tileseg.labels.dice import hard_dice
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.prediction import predict_to_store
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.settings import ImageSettings, LabelSettings, PredictSettings
from napari_tileseg.tiling import Box, TileGrid

#: How Python writes a tuple, a list of texts or numbers, and its types and objects.
PYTHON = re.compile(
    r"\((-?\d[^()a-z]*,[^()a-z]*)\)|\[('|-?\d)|\(\("
    r"|PosixPath|np\.|numpy|<class|dtype\(|Box\(|torch\.|\bNone\b|<[a-z_.]+ "
)
FLAT = Image(np.random.default_rng(0).integers(0, 99, (40, 36)).astype("u1"), "yx", name="cells")
HALO = ((2, 2), (2, 2))


def settings(**values):
    return PredictSettings(device="cpu", **values)


def opened(values, tmp_path, **chosen):
    np.save(tmp_path / "a.npy", values)
    return open_image(tmp_path / "a.npy", ImageSettings(**chosen))


WRONG = {
    "core below 1": lambda *_: settings(core=(-3, 16)),
    "halo below 0": lambda *_: settings(halo=((-3, -3),)),
    "halo of another kind": lambda *_: settings(halo=(3, "a")),
    "quantiles": lambda *_: settings(quantiles=(1.0,)),
    "core of too many axes": lambda net, _: lay_plan(FLAT, net, settings(core=(8, 8, 8, 8))),
    "core off the stride": lambda net, _: lay_plan(FLAT, net, settings(core=(5, 16))),
    "box outside": lambda net, _: lay_plan(FLAT, net, settings(box=((0, 99), (0, 8)))),
    "halo of too many axes": lambda net, _: lay_plan(FLAT, net, settings(halo=((1, 2),) * 4)),
    "memory": lambda net, _: lay_plan(FLAT, net, settings(memory=1e-6), route_of(net)),
    "channels of an image": lambda net, _: lay_plan(
        Image(np.zeros((3, 40, 36), "u1"), "cyx", name="cells"), net, settings()
    ),
    "grid": lambda *_: TileGrid((40, 36), (8,), HALO, (4, 4)),
    "stride": lambda *_: TileGrid((40, 36), (8, 8), HALO, (0, 4)),
    "offset": lambda *_: TileGrid((40, 36), (8, 8), HALO, (4, 4), offset=(8, 8)),
    "box of a grid": lambda *_: TileGrid((40, 36), (8, 8), HALO, (4, 4), box=Box((0, 0), (44, 8))),
    "box": lambda *_: Box((3, 4), (2, 9)),
    "part of a grid": lambda *_: pairs_between(
        grid := TileGrid((40, 36), (8, 8), HALO, (4, 4)),
        grid,
        axes="yx",
        sample=None,
        seed=0,
        part=Box((50, 50), (60, 60)),
    ),
    "axes": lambda _, path: opened(np.zeros((4, 5), "u1"), path, axes="zyx"),
    "level": lambda _, path: opened(np.zeros((4, 5), "u1"), path, level=3),
    "voxel size": lambda _, path: opened(np.zeros((4, 5), "u1"), path, voxel_size=(1.0, 2.0, 3.0)),
    "numbers": lambda *_: Image(np.zeros((4, 5), complex), "yx"),
    "empty": lambda *_: Image(np.zeros((0, 5)), "yx"),
    "place": lambda *_: replace(FLAT, voxel_size=(0.0, 1.0)),
    "units": lambda *_: replace(FLAT, units=("pixel",)),
    "chosen channels": lambda *_: FLAT.with_channels((0, 4)),
    "resampled": lambda *_: resampled(FLAT, (np.float32(0.5),)),
    "not finite": lambda net, path: list(
        predict_to_store(
            replace(FLAT, data=np.full((40, 36), np.nan, "f4")), net, settings(), path / "o.ome.zarr"
        )
    ),
    "labels": lambda *_: dense_masks(np.zeros((3, 4), "u1"), ("a",), LabelSettings(), (40, 36)),
    "type of labels": lambda *_: dense_masks(np.zeros((40, 36)), ("a",), LabelSettings(), (40, 36)),
    "dice": lambda *_: hard_dice(np.zeros((2, 3, 4)), np.zeros((2, 3, 5))),
    "number format": lambda *_: check_dtype("int8", "cpu"),
    "several outputs": lambda *_: only_tensor([np.zeros(3), None]),
    "features": lambda *_: build("unet", ndim=2, in_channels=1, out_channels=1, features=(4, 0)),
    "image size": lambda *_: build("unetr", ndim=2, in_channels=1, out_channels=1, image_size=(30, 17)),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 1, "features": (2, 2), "blocks": 1}
    path = tmp_path_factory.mktemp("network") / "little.safetensors"
    save_network(build("unet", **arguments), path, Description(architecture="unet", arguments=arguments))
    return open_network(path)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_said_reads_as_it_is_typed(network, tmp_path, wrong):
    with pytest.raises((TilesegError, ValueError)) as caught:
        wrong(network, tmp_path)
    assert not PYTHON.search(str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "text", ["(3, 4)", "((1, 2),)", "['a']", "[3]", "PosixPath('a')", "dtype('uint8')", "Box(start=", "None"]
)
def test_what_python_writes_is_seen(text):
    assert PYTHON.search(f"It should be so; got {text}.")


def test_values_are_said_as_the_flag_takes_them():
    with pytest.raises(TilesegError, match=r"got -3:-3\."):
        settings(halo=((-3, -3),))
    with pytest.raises(TilesegError, match=r"got -3,16\."):
        settings(core=(-3, 16))
    assert str(Box((0, 4), (32, 64))) == "0:32,4:64"
