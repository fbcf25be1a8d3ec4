"""Intensities that cannot be scaled are refused in words, whatever type of number they are."""

from typing import Any

import numpy as np
import pytest

from napari_tileseg.errors import ImageError, NonFiniteError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import resolve_normalization
from napari_tileseg.settings import PredictSettings

TYPES = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "g"]
TYPES += [">u2", ">u4", ">u8", ">i2", ">i8", ">f2", ">f4", ">f8"]
KINDS = ["quantiles", "zero_mean"]


def values_of(dtype: np.dtype[Any]) -> list[Any]:
    if dtype.kind == "b":
        return [False, True]
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return [limits.min, 1, limits.max, limits.max - 1, limits.max // 3, limits.max // 2 + 1]
    limits = np.finfo(dtype)
    if dtype.itemsize > 8:
        limits = np.finfo("f8")
    return [0, -1, limits.max, limits.min, limits.tiny, dtype.type(1e-4), dtype.type(1 / 3)]


def resolve(voxels: np.ndarray, spec: Any, **settings: Any) -> Any:
    return resolve_normalization(Image(voxels, "yx", name="cells"), spec, PredictSettings(**settings))


@pytest.fixture
def spec(make_network):
    return make_network(2).spec


@pytest.mark.parametrize("nonfinite", ["refuse", "zero"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_a_constant_has_no_contrast(spec, dtype, kind, nonfinite):
    for value in values_of(np.dtype(dtype)):
        voxels = np.full((20, 24), value, dtype)
        with pytest.raises(ImageError, match="should have contrast; channel 0 of cells"):
            resolve(voxels, spec, normalize=kind, nonfinite=nonfinite)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "g"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_or_counts_as_zero(spec, dtype, kind, odd):
    voxels = np.full((20, 24), odd, dtype)
    with pytest.raises(NonFiniteError, match="cells has 480"):
        resolve(voxels, spec, normalize=kind)
    with pytest.raises(ImageError, match="contrast; channel 0 of cells is 0"):
        resolve(voxels, spec, normalize=kind, nonfinite="zero")
    voxels[:10] = 1
    found = resolve(voxels, spec, normalize=kind, nonfinite="zero")
    assert np.isfinite([*found.offset, *found.scale]).all()


@pytest.mark.parametrize("dtype", [each for each in TYPES if each != "?"])
def test_few_voxels_of_another_value_ask_for_other_quantiles(spec, dtype):
    voxels = np.full((40, 40), np.dtype(dtype).type(3))
    voxels[0, 0] = 5
    with pytest.raises(ImageError, match=r"Quantiles 1 and 99.8 % should differ.*both are 3"):
        resolve(voxels.astype(dtype), spec, normalize="quantiles")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_the_two_ends_of_a_type_can_be_scaled_or_are_refused(spec, dtype, kind):
    ends = values_of(np.dtype(dtype))
    voxels = np.full((20, 24), min(ends), dtype)
    voxels[:10] = max(ends)
    if dtype in {"f8", ">f8", "g"}:
        with pytest.raises(ImageError, match="of a size that can be scaled"):
            resolve(voxels, spec, normalize=kind)
    else:
        found = resolve(voxels, spec, normalize=kind)
        assert np.isfinite([*found.offset, *found.scale]).all()
        assert found.scale[0] > 0


@pytest.mark.parametrize("value", [2**53, 2**53 + 1, 2**60, 2**63, 2**64 - 1])
def test_a_constant_that_a_double_cannot_hold_has_no_contrast(spec, value):
    voxels = np.full((64, 64), value, "u8")
    with pytest.raises(ImageError, match="should have contrast"):
        resolve(voxels, spec, normalize="quantiles")
