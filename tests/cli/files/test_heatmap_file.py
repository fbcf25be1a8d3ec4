"""A heatmap, and the differences that it is made of, taken away while they are written."""

import shutil

import dask.array as da
import numpy as np
import ome_zarr_models.v05
import pytest
import zarr

from napari_tileseg._progress import Progress
from napari_tileseg.cli.files.heatmap_file import write_heatmap
from napari_tileseg.diagnosis import PairDone
from napari_tileseg.diagnosis.pairs.pair_plan import pairs_between
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.tiling import Box, TileGrid
from napari_tileseg.workflows.differences import PairDifferences

SHAPE = (192, 192)
CLASSES = ("soma", "axon")
IMAGE = Image(np.zeros(SHAPE, "u1"), "yx", name="cells")
#: Zeros in most chunks: they are results as well.
VALUES = np.zeros((2, *SHAPE), "f4")
VALUES[:, 100:, 150:] = 0.5


def remove(*parts):
    def act(path):
        part = path.joinpath(*parts)
        shutil.rmtree(part) if part.is_dir() else part.unlink()

    return act


def rename(path):
    path.rename(path.with_name("elsewhere"))


def replace_folder(path):
    rename(path)
    path.mkdir()


def replace_by_copy(path):
    rename(path)
    shutil.copytree(path.with_name("elsewhere"), path)


TAKEN = {
    "removed": remove(),
    "renamed": rename,
    "replaced": replace_folder,
    "replaced by a copy": replace_by_copy,
    "metadata": remove("zarr.json"),
    "level": remove("0"),
    "metadata of the level": remove("0", "zarr.json"),
    "chunks": remove("0", "c"),
}


def write(out, step=lambda: None):
    values = da.from_array(VALUES, chunks=(1, 64, 64))
    write_heatmap(values, IMAGE, Box.of_shape(SHAPE), CLASSES, out, step)


def steps_of(out):
    steps = []
    write(out, lambda: steps.append(1))
    return len(steps)


@pytest.mark.parametrize("late", [False, True], ids=["early", "at the end"])
@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_a_heatmap_that_is_taken_away_ends_at_the_next_step(tmp_path, take, late):
    out, steps = tmp_path / "new" / "heat.ome.zarr", []
    last = steps_of(tmp_path / "first" / "heat.ome.zarr")
    when = last if late else 8

    def step():
        steps.append(1)
        if len(steps) == when:
            (draft,) = out.parent.glob(".heat.ome.zarr.*.draft")
            take(draft)

    with pytest.raises(StoreError, match=r"removed .*while it was being written\. Start it again") as caught:
        write(out, step)
    assert str(caught.value).count(". ") == 1
    # Chunks are counted at the end.
    assert len(steps) <= when + 1 or take is TAKEN["chunks"]
    assert {path.name for path in out.parent.iterdir()} <= {"elsewhere"}
    write(out)
    np.testing.assert_array_equal(zarr.open_group(out, mode="r")["0"][()], VALUES)


@pytest.mark.parametrize(
    "take", [TAKEN[name] for name in ("removed", "renamed", "replaced", "replaced by a copy", "metadata")]
)
def test_differences_that_are_taken_away_end_at_the_next_pair(tmp_path, take):
    path = tmp_path / "pairs.zarr"
    differences = PairDifferences(path, CLASSES, SHAPE, "yx")
    grid = TileGrid(SHAPE, (96, 96), ((8, 8), (8, 8)), (4, 4))
    other = TileGrid(SHAPE, (96, 96), ((8, 8), (8, 8)), (4, 4), offset=(48, 48))
    pairs = pairs_between(grid, other, axes="yx", sample=None, seed=0, part=None).pairs
    done = [PairDone(pair, *_predictions(pair), Progress("comparing", 1, 2)) for pair in pairs]
    differences.add(done[0])
    take(path)
    with pytest.raises(StoreError, match=r"removed or renamed while it was being written\. Start it again"):
        differences.add(done[1])


def _predictions(pair):
    return (np.zeros((2, *pair.valid.shape), "f4"), np.ones((2, *pair.valid.shape), "f4"))


def test_what_is_written_is_an_image_of_the_standard(tmp_path):
    image = Image(
        np.zeros((2, 8, 9), "u1"),
        "tyx",
        name="film",
        voxel_size=(30.0, 0.5, 0.25),
        translation=(0.0, 7.0, 3.0),
        units=("second", "micrometer", "pixel"),
    )
    box, values = Box((1, 2, 4), (2, 8, 8)), np.zeros((2, 1, 6, 4), "f4")
    write_heatmap(da.from_array(values), image, box, CLASSES, tmp_path / "out.ome.zarr", lambda: None)
    found = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(tmp_path / "out.ome.zarr", mode="r"))
    ome = found.attributes.ome
    (multiscale,) = ome.multiscales
    assert [(a.name, a.type, a.unit) for a in multiscale.axes] == [
        ("t", "time", "second"),
        ("c", "channel", None),
        ("y", "space", "micrometer"),
        ("x", "space", None),
    ]
    scale, translation = multiscale.datasets[0].coordinateTransformations
    assert scale.scale == [30.0, 1.0, 0.5, 0.25]
    assert translation.translation == [30.0, 0.0, 8.0, 4.0]
    assert [channel["label"] for channel in ome.omero["channels"]] == list(CLASSES)
