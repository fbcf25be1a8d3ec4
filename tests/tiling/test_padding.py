"""Reading past the far end equals padding the whole image with NumPy first."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.tiling import Box, Padding, read_padded
from napari_tileseg.tiling.padding import padded_indices

NUMPY: dict[str, Any] = {"reflect": "reflect", "edge": "edge", "zero": "constant"}


@st.composite
def reads(draw: st.DrawFn) -> tuple[tuple[int, ...], Box]:
    """Shape of an image, and a box that may lie past its end by many times its size."""
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 6)) for _ in range(ndim))
    ends = [sorted(draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))) for _ in range(ndim)]
    return shape, Box(tuple(a for a, _ in ends), tuple(b + 1 for _, b in ends))


@pytest.mark.parametrize("mode", list(NUMPY))
@given(case=reads())
def test_reading_equals_padding_first(mode: Padding, case: tuple[tuple[int, ...], Box]) -> None:
    shape, box = case
    values = np.arange(1, 2 * np.prod(shape) + 1, dtype=np.int16).reshape(2, *shape)
    padded = np.pad(values, [(0, 0), *((0, 21) for _ in shape)], mode=NUMPY[mode])
    asked = []

    def read(part: Box) -> Any:
        asked.append(part)
        return values[(slice(None), *part.slices)]

    result = read_padded(read, shape, box, mode)
    assert result.dtype == values.dtype
    assert np.array_equal(result, padded[(slice(None), *box.slices)])
    assert all(Box.of_shape(shape).contains(part) for part in asked)


def test_the_image_is_never_written_to() -> None:
    values = np.ones((1, 3))
    values.flags.writeable = False
    result = read_padded(lambda box: values[(slice(None), *box.slices)], (3,), Box((0,), (5,)), "zero")
    assert result.tolist() == [[1, 1, 1, 0, 0]]


def test_an_axis_of_one_voxel_repeats_it() -> None:
    assert padded_indices(0, 4, 1).tolist() == [0, 0, 0, 0]
