from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

from napari_tileseg._progress import Progress
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import resampled
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction.input.normalization import (
    Normalization,
    measure_normalization,
    resolve_normalization,
)
from napari_tileseg.prediction.input.scan import plan_scan
from napari_tileseg.settings import PredictSettings

rng = np.random.default_rng(3)


@pytest.fixture
def spec(make_network):
    return make_network(2).spec


def in_blocks(image, **limits):
    """Scan a small image in many blocks."""
    return plan_scan(image, voxels=64, **limits)


@pytest.mark.parametrize("dtype", ["bool", ">u2", "<i2", "u1", ">i4", "f4", ">f8"])
def test_quantiles_are_numpys_for_each_channel_of_a_time_series(spec, dtype):
    voxels = np.maximum(rng.normal(size=(3, 2, 20, 17)) * 60 + 50, 0).round().astype("u1").astype(dtype)
    image = Image(da.from_array(voxels, chunks=(1, 1, 8, 8)), "tcyx")
    settings = PredictSettings(quantiles=(5, 90), normalize="quantiles" if dtype != "bool" else "zero_mean")
    found = resolve_normalization(image, spec, settings, in_blocks(image))
    flat = np.moveaxis(voxels, 1, 0).reshape(2, -1).astype("f8")
    if dtype == "bool":
        assert found.offset == pytest.approx(flat.mean(axis=1))
        assert found.scale == pytest.approx(flat.std(axis=1))
    else:
        low, high = np.percentile(flat, (5, 90), axis=1)
        assert found.offset == pytest.approx(low, rel=1e-9)
        assert found.scale == pytest.approx(high - low, rel=1e-9)
    assert found.voxels == 3 * 20 * 17
    assert not found.sampled
    assert Normalization.from_dict(found.as_dict()) == found


def test_values_are_clipped_by_quantiles_and_not_by_a_given_range(spec):
    image = Image(np.arange(100, dtype="u1").reshape(10, 10), "yx")
    by_quantiles = resolve_normalization(
        image, spec, PredictSettings(normalize="quantiles", quantiles=(10, 90))
    )
    values = image.data[np.newaxis]
    expected = np.clip((values - 9.9) / (89.1 - 9.9), 0, 1)
    np.testing.assert_allclose(by_quantiles.apply(values), expected, atol=1e-6)
    given = resolve_normalization(image, spec, PredictSettings(normalize="range", range=(10, 60)))
    np.testing.assert_allclose(given.apply(values), (values - 10.0) / 50, atol=1e-6)


def test_what_the_network_wants_is_the_default(spec):
    image = Image(np.arange(100, dtype="u1").reshape(10, 10), "yx")
    wish = replace(spec, input_normalization=InputNormalization(kind="zero_mean"))
    found = resolve_normalization(image, wish, PredictSettings()).apply(image.data[np.newaxis])
    assert found.mean() == pytest.approx(0, abs=1e-6)
    assert found.std() == pytest.approx(1)
    assert resolve_normalization(image, spec, PredictSettings()).percentiles == (1.0, 99.8)


def test_zero_mean_is_pooled_over_blocks(spec):
    voxels = rng.normal(50, 3, (40, 30)).astype("f4")
    image = Image(voxels, "yx")
    found = resolve_normalization(image, spec, PredictSettings(normalize="zero_mean"), in_blocks(image))
    assert found.offset[0] == pytest.approx(voxels.mean(dtype="f8"))
    assert found.scale[0] == pytest.approx(voxels.std(dtype="f8"))


def test_tiles_by_themselves_have_their_own_numbers():
    tile = Normalization(kind="tile", percentiles=(0.0, 100.0))
    values = np.stack([np.arange(10.0).reshape(2, 5), np.full((2, 5), 3.0)])
    out = tile.apply(values)
    assert (out[0].min(), out[0].max()) == (0, 1)
    assert (out[1] == 0).all()


def test_a_large_image_is_sampled_and_it_says_so(spec):
    image = Image(rng.integers(0, 255, (60, 70)).astype("u1"), "yx")
    found, again = (
        resolve_normalization(image, spec, PredictSettings(), in_blocks(image, limit=1000, sample=500))
        for _ in range(2)
    )
    assert found.sampled
    assert found.voxels <= 600
    assert "sampled" in found.sentence
    assert found == again


def test_blocks_follow_the_chunks_and_cover_everything():
    image = Image(da.zeros((50, 40), chunks=(7, 5)), "yx")
    seen = np.zeros((50, 40), int)
    for box in in_blocks(image).boxes:
        seen[box.slices] += 1
        assert all(a % c == 0 for a, c in zip(box.start, (7, 5), strict=True))
    assert (seen == 1).all()


def test_blocks_of_a_resampled_image_follow_the_chunks_that_are_stored():
    stored = Image(da.zeros((40, 60), chunks=(8, 20)), "yx", voxel_size=(1.0, 1.0))
    boxes = in_blocks(resampled(stored, (2.0, 0.5))).boxes
    assert {box.start[0] % 4 for box in boxes} == {box.start[1] % 40 for box in boxes} == {0}
    assert sum(box.size for box in boxes) == 20 * 120


def test_nan_is_counted_and_located(spec):
    voxels = rng.normal(size=(30, 30)).astype("f4")
    voxels[11, 4] = np.nan
    voxels[20, 7:9] = np.inf
    image = Image(voxels, "yx")
    with pytest.raises(ImageError, match=r"has 3 .* first at 11,4.*nonfinite"):
        resolve_normalization(image, spec, PredictSettings(), in_blocks(image))
    found = resolve_normalization(image, spec, PredictSettings(nonfinite="zero"), in_blocks(image))
    low = np.percentile(np.where(np.isfinite(voxels), voxels, 0), 1)
    assert found.offset[0] == pytest.approx(low)


@pytest.mark.parametrize("normalize", ["quantiles", "zero_mean"])
def test_a_constant_channel_is_refused_by_name(spec, normalize):
    voxels = np.stack([rng.integers(0, 9, (8, 8)), np.full((8, 8), 7)]).astype("u2")
    with pytest.raises(ImageError, match=r"channel 1 of .* is 7 everywhere"):
        resolve_normalization(Image(voxels, "cyx"), spec, PredictSettings(normalize=normalize))


def test_quantiles_that_coincide_are_explained(spec):
    voxels = np.zeros((100, 100), "u1")
    voxels[0, 0] = 9
    with pytest.raises(ImageError, match=r"both are 0.*0,100"):
        resolve_normalization(Image(voxels, "yx"), spec, PredictSettings())


@pytest.mark.parametrize(
    "settings",
    [
        PredictSettings(normalize="range"),
        PredictSettings(normalize="range", range=(5, 5)),
        PredictSettings(normalize="quantiles", quantiles=(90, 10)),
    ],
)
def test_contradictions_are_settings_errors(spec, settings):
    with pytest.raises(SettingsError, match=r"range|low end"):
        resolve_normalization(Image(np.eye(4), "yx"), spec, settings)


def test_measuring_can_be_stopped_and_tells_its_progress(spec):
    image = Image(rng.normal(size=(40, 30)).astype("f4"), "yx")
    shares = [
        event.fraction for event in measure_normalization(image, spec, PredictSettings(), in_blocks(image))
    ]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    work = measure_normalization(image, spec, PredictSettings(), in_blocks(image))
    assert isinstance(next(work), Progress)
    work.close()


def test_numbers_agree_whatever_the_order_in_which_they_were_summed(spec):
    voxels = np.random.default_rng(0).normal(3e4, 2e4, (60, 70))
    settings = PredictSettings(normalize="zero_mean")
    whole = resolve_normalization(Image(voxels, "yx"), spec, settings)
    other = replace(whole, scale=tuple(n * (1 + 1e-14) for n in whole.scale))
    assert whole != other
    assert whole.agrees(other)
    assert not whole.agrees(replace(whole, scale=tuple(n * (1 + 1e-6) for n in whole.scale)))
    assert not whole.agrees(replace(whole, voxels=whole.voxels - 1))
    assert not whole.agrees(replace(whole, offset=(), scale=()))
