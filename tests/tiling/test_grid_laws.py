"""Laws of the tile grid, for any number of axes: cores partition, reads suffice, and padding is NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, TileGrid, read_padded


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    """Draw grids over images of 1 to 3 axes, some over a part of the image."""
    ndim = draw(st.integers(1, 3))

    def per_axis(strategy: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(strategy) for _ in range(ndim))

    shape = per_axis(st.integers(1, 24))
    stride = per_axis(st.sampled_from((1, 2, 3, 4, 8, 16, 32)))
    core = tuple(n * draw(st.integers(1, 3)) for n in stride)
    halo = tuple((draw(st.integers(0, 9)), draw(st.integers(0, 9))) for _ in range(ndim))
    start = tuple(draw(st.integers(0, (n - 1) // step)) * step for n, step in zip(shape, stride, strict=True))
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    offset = tuple(draw(st.integers(0, n // step - 1)) * step for n, step in zip(core, stride, strict=True))
    return TileGrid(shape, core, halo, stride, per_axis(st.integers(1, 12)), Box(start, stop), offset)


@given(grids())
def test_what_is_kept_of_the_cores_partitions_the_box(grid: TileGrid) -> None:
    times = np.zeros(grid.shape, int)
    for tile in grid:
        times[grid.kept(tile).slices] += 1
    expected = np.zeros(grid.shape, int)
    expected[grid.box.slices] = 1
    np.testing.assert_array_equal(times, expected)


@given(grids())
def test_reads_have_one_shape_start_on_the_stride_and_stay_inside(grid: TileGrid) -> None:
    for tile in grid:
        assert tile.read.shape == grid.read_shape
        assert Box.of_shape(grid.padded_shape).contains(tile.read)
        assert tile.read.contains(tile.core)
        assert all(a % step == 0 for a, step in zip(tile.read.start, grid.stride, strict=True))
        assert all(n % step == 0 for n, step in zip(grid.read_shape, grid.stride, strict=True))


@given(grids())
def test_reads_hold_the_halo_or_end_at_the_border(grid: TileGrid) -> None:
    for tile in grid:
        needed = tile.core.grow(grid.halo).clip(Box.of_shape(grid.padded_shape))
        assert tile.read.contains(needed)


@given(grids(), st.data())
def test_tiles_in_a_box_are_those_whose_cores_meet_it(grid: TileGrid, data: st.DataObject) -> None:
    start = tuple(data.draw(st.integers(0, n - 1)) for n in grid.shape)
    box = Box(start, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, grid.shape, strict=True)))
    assert list(grid.tiles_in(box)) == [tile for tile in grid if tile.core.meets(box)]


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("reflect", "reflect"), ("edge", "edge"), ("zero", "constant")]
)
@given(data=st.data())
def test_padding_is_that_of_numpy(mode: str, numpy_mode: str, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    image = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    padded = np.pad(image, [(0, data.draw(st.integers(0, 20))) for _ in shape], mode=numpy_mode)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in padded.shape)
    box = Box(
        start, tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, padded.shape, strict=True))
    )

    read = read_padded(lambda part: image[part.slices], shape, box, mode)

    np.testing.assert_array_equal(read, padded[box.slices])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"core": (6,)}, "multiple of the network's stride"),
        ({"core": (0,)}, "multiple of the network's stride"),
        ({"halo": ((-1, 0),)}, "halos at 0"),
        ({"stride": (0,)}, "Strides start at 1"),
        ({"shape": (0,)}, "at least one voxel"),
        ({"core": (4, 4)}, "one entry for each"),
        ({"offset": (2,)}, "offset must be a multiple"),
        ({"offset": (8,)}, "less than the core"),
        ({"offset": (0, 0)}, "one entry for each"),
        ({"box": Box((2,), (8,))}, "start of the box"),
        ({"box": Box((4,), (99,))}, "leaves the image"),
    ],
)
def test_what_cannot_work_is_refused_in_words(changed: dict[str, object], said: str) -> None:
    works: dict[str, object] = {"shape": (20,), "core": (8,), "halo": ((3, 3),), "stride": (4,)}
    TileGrid(**works)
    with pytest.raises(SettingsError, match=said):
        TileGrid(**{**works, **changed})
