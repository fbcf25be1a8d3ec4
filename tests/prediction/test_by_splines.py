"""Images brought to a network's voxel size by splines, as its file says, and predictions brought back."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from scipy import ndimage

from napari_tileseg._progress import drain
from napari_tileseg.errors import ImageError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import (
    Saved,
    open_prediction,
    plan_prediction,
    predict,
    predict_to_store,
    write_on_image,
)
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

UNITS = ("micrometer",) * 3
RESAMPLED = PredictSettings(resample=True)
FINER = {"voxel_size": (1.0, 1.0, 1.0), "resampling": Resampling()}


@pytest.fixture(scope="module")
def cells() -> Image:
    """Plateaus with edges, beside which splines overshoot; along z voxels are longer."""
    values = np.random.default_rng(0).normal(size=(5, 24, 20))
    bright = np.where(ndimage.gaussian_filter(values, (0, 1, 1)) > 0, 900, 100).astype(np.uint16)
    return Image(bright, "zyx", voxel_size=(2.0, 0.7, 1.0), units=UNITS, translation=(3.0, 0.0, 7.0))


def whole(image: Image) -> np.ndarray:
    return image.read(Box.of_shape(image.shape))


def stored(image, network, path, settings=RESAMPLED):
    list(predict_to_store(image, network, settings, path))
    return open_prediction(path)


def computed_by(events) -> int:
    return next(each.tiles_computed for each in events if isinstance(each, Saved))


def through(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    return ndimage.zoom(values, factors, order=3, mode="nearest", grid_mode=True)


def zoomed(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.clip(through(values, shape), values.min(), values.max())


def test_intensities_are_prepared_before_and_clipped_after(make_network, cells):
    """Percentiles would be others after splines, and cut off what these overshoot elsewhere."""
    network = make_network(input_normalization=InputNormalization(kind="zero_mean"), **FINER)
    plan = drain(plan_prediction(cells, network, RESAMPLED))
    values = whole(cells)[0].astype(np.float64)
    prepared = (values - values.mean()) / values.std()
    expected = zoomed(prepared, (10, 17, 20))
    np.testing.assert_allclose(plan.prepared.read(Box.of_shape((10, 17, 20)))[0], expected, atol=1e-5)
    assert plan.tiles.image.voxel_size == pytest.approx((1, 24 * 0.7 / 17, 1))
    # The splines do overshoot.
    factors = [new / old for new, old in zip((10, 17, 20), values.shape, strict=True)]
    assert (
        ndimage.zoom(prepared, factors, order=3, mode="nearest", grid_mode=True).max() > expected.max() + 0.1
    )


def test_along_coarse_voxels_the_nearest_plane_is_taken(make_network, cells):
    network = make_network(input_normalization=InputNormalization(kind="none"), **FINER)
    coarse = replace(cells, voxel_size=(3.5, 0.7, 1.0))
    plan = drain(plan_prediction(coarse, network, RESAMPLED))
    found = plan.prepared.read(Box.of_shape(plan.tiles.image.shape))[0]
    # Each plane is clipped to its own range, before any is taken.
    planes = np.stack([zoomed(plane.astype(np.float64), (17, 20)) for plane in cells.data])
    nearest = np.floor(5 / 18 * (np.arange(18) + 0.5)).astype(int)
    np.testing.assert_allclose(found, planes[nearest], rtol=1e-6)


def test_tiles_and_the_lazy_array_are_those_of_the_whole_image(tmp_path, make_network, cells):
    network = make_network(**FINER)
    settings = replace(RESAMPLED, core=(8, 8, 8))
    store = stored(cells, network, tmp_path / "out.ome.zarr", settings)
    plan = drain(plan_prediction(cells, network, settings))
    values = plan.prepared.read(Box.of_shape(plan.grid.padded_shape))
    with torch.no_grad():
        expected = network.module(torch.from_numpy(values[np.newaxis])).softmax(1).numpy()[0]
    found = np.asarray(store.view())
    np.testing.assert_allclose(found, expected[(slice(None), *map(slice, found.shape[1:]))], atol=1e-5)
    np.testing.assert_allclose(predict(cells, network, settings).compute(), found, atol=1e-5)


def test_what_is_nan_is_taken_as_zero_before(make_network, cells):
    values = cells.data.astype(np.float32)
    values[2, 5, 5] = np.nan
    image = replace(cells, data=values)
    network = make_network(input_normalization=InputNormalization(kind="none"), **FINER)
    settings = replace(RESAMPLED, nonfinite="zero")
    plan = drain(plan_prediction(image, network, settings))
    expected = zoomed(np.nan_to_num(values).astype(np.float64), (10, 17, 20))
    np.testing.assert_allclose(plan.prepared.read(Box.of_shape((10, 17, 20)))[0], expected, atol=1e-3)
    with pytest.raises(ImageError, match="1 that are NaN or infinite, the first at 2,5,5"):
        drain(plan_prediction(image, network, RESAMPLED))


def test_an_image_of_as_many_voxels_stays_as_it_is(make_network, cells):
    network = make_network(voxel_size=(2.1, 0.7, 1.0), resampling=Resampling())
    plan = drain(plan_prediction(cells, network, RESAMPLED))
    assert plan.tiles.image is cells
    assert plan.normalization.limits is None


def test_the_limits_are_stored_and_measured_once(tmp_path, make_network, cells):
    network = make_network(**FINER)
    settings = replace(RESAMPLED, core=(8, 8, 8))
    path = tmp_path / "out.ome.zarr"
    first = stored(cells, network, path, settings)
    assert first.normalization.limits == ((0.0,), (1.0,))
    assert Normalization.from_dict(first.normalization.as_dict()) == first.normalization
    assert [
        e.tiles_computed for e in predict_to_store(cells, network, settings, path) if isinstance(e, Saved)
    ] == [0]
    (path / "0" / "c" / "0" / "0" / "0" / "0").unlink()
    again = [e for e in predict_to_store(cells, network, settings, path) if isinstance(e, Saved)]
    assert [each.tiles_computed for each in again] == [1]


@pytest.mark.parametrize("limits", [[[0.0], [1.0, 2.0]], [["a"], [1.0]], [[0.0] * 2, [1.0] * 2], 3])
def test_damaged_limits_are_refused(tmp_path, make_network, cells, limits):
    network, path = make_network(**FINER), tmp_path / "out.ome.zarr"
    stored(cells, network, path)
    about = json.loads((path / "zarr.json").read_text())
    about["attributes"]["tileseg"] |= {"complete": False}
    about["attributes"]["tileseg"]["normalization"]["limits"] = limits
    (path / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="damaged"):
        list(predict_to_store(cells, network, RESAMPLED, path))


@pytest.mark.parametrize(
    "said", [3, {"order": 7, "voxel_size": [1, 1, 1]}, {"order": 3}, {"voxel_size": [0]}]
)
def test_a_damaged_way_back_is_refused(tmp_path, make_network, cells, said):
    path = tmp_path / "out.ome.zarr"
    stored(cells, make_network(**FINER), path)
    about = json.loads((path / "zarr.json").read_text())
    about["attributes"]["tileseg"]["resampling"] = said
    (path / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="damaged"):
        open_prediction(path)


def test_what_was_begun_linearly_is_not_continued_by_splines(tmp_path, make_network, cells):
    path = tmp_path / "out.ome.zarr"
    network = make_network(**FINER)
    stored(cells, network, path)
    about = json.loads((path / "zarr.json").read_text())
    ours = about["attributes"]["tileseg"]
    assert ours["resampling"] == ours["identity"]["resampling"]
    # As a version that knew no splines would have written it.
    del ours["resampling"], ours["identity"]["resampling"], ours["normalization"]["limits"]
    (path / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="voxel size linearly and now is by cubic splines"):
        list(predict_to_store(cells, network, RESAMPLED, path))
    # It still opens, and is brought back linearly.
    assert whole(open_prediction(path).onto(cells)).shape == (2, *cells.shape)


def test_a_result_goes_onto_the_image_as_it_was_interpolated_there(tmp_path, make_network, cells):
    network = make_network(**FINER)
    store = stored(cells, network, tmp_path / "out.ome.zarr")
    on_image = tmp_path / "on image.ome.zarr"
    list(write_on_image(store, cells, on_image))
    group = zarr.open_group(on_image, mode="r")
    scale, place = group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"][1:], place["translation"][1:]) == ([2.0, 0.7, 1.0], [3.0, 0.0, 7.0])
    np.testing.assert_array_equal(group["0"][:], whole(store.onto(cells)))
    np.testing.assert_allclose(group["0"][:].sum(0), 1, atol=1e-6)
    before = (on_image / "zarr.json").stat()
    list(write_on_image(store, cells, on_image))
    assert (on_image / "zarr.json").stat() == before
    with pytest.raises(StoreError, match="something else already"):
        list(write_on_image(store, cells, tmp_path / "out.ome.zarr"))


def test_what_was_not_predicted_is_nan_on_the_image(tmp_path, make_network, cells):
    network = make_network(voxel_size=(1.5, 0.7, 1.0))
    settings = replace(RESAMPLED, box=((0, 5), (8, 24), (4, 12)))
    store = stored(cells, network, tmp_path / "out.ome.zarr", settings)
    list(write_on_image(store, cells, tmp_path / "on.ome.zarr"))
    known = np.isfinite(zarr.open_group(tmp_path / "on.ome.zarr", mode="r")["0"][0])
    expected = np.zeros(cells.shape, bool)
    expected[:, 8:24, 4:12] = True
    np.testing.assert_array_equal(known, expected)


def test_writing_onto_the_image_leaves_nothing_when_it_is_stopped(tmp_path, make_network, cells):
    store = stored(cells, make_network(**FINER), tmp_path / "out.ome.zarr")
    work = write_on_image(store, cells, tmp_path / "on.ome.zarr")
    next(work)
    work.close()
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["out.ome.zarr"]
