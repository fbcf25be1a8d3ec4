"""Grids of tiles: their laws, for any image, core, halo and stride."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.tiling import Box, TileGrid


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    """A grid on one to three axes, over the whole image or a box of it."""
    ndim = draw(st.integers(1, 3))
    whole = draw(st.booleans())
    axes = []
    for _ in range(ndim):
        stride, size = draw(st.integers(1, 32)), draw(st.integers(1, 40))
        core = stride * draw(st.integers(1, 40))
        halo = (draw(st.integers(0, 40)), draw(st.integers(0, 40)))
        start = draw(st.integers(0, size - 1)) // stride * stride
        stop = draw(st.integers(start + 1, size))
        offset = stride * draw(st.integers(0, core // stride - 1))
        axes.append((size, core, halo, stride, draw(st.integers(1, 50)), start, stop, offset))
    shape, cores, halos, strides, least, starts, stops, offsets = zip(*axes, strict=True)
    box = Box.of_shape(shape) if whole else Box(starts, stops)
    return TileGrid(shape, cores, halos, strides, least, box, draw(st.sampled_from(((), offsets))))


@given(grids())
def test_cores_partition_what_is_covered(grid: TileGrid) -> None:
    owned = np.zeros(grid.padded_shape, int)
    for tile in grid:
        owned[tile.core.slices] += 1
    expected = np.zeros_like(owned)
    expected[grid.covered.slices] = 1
    assert (owned == expected).all()
    assert grid.covered.contains(grid.box)


@given(grids())
def test_kept_voxels_partition_the_box(grid: TileGrid) -> None:
    kept = np.zeros(grid.box.shape, int)
    for tile in grid:
        kept[grid.placed(tile).slices] += 1
        assert tile.core.contains(grid.kept(tile))
        assert grid.placed(tile).shape == grid.kept(tile).shape
    assert (kept == 1).all()


@given(grids())
def test_cores_start_at_the_offset_and_keep_the_lengths_told(grid: TileGrid) -> None:
    for tile in grid:
        rows = zip(tile.core.start, grid.box.start, grid.offset, grid.core, strict=True)
        assert all(a == start or (a - start + offset) % core == 0 for a, start, offset, core in rows)
        lengths = tuple(along[i] for along, i in zip(grid.kept_lengths, tile.index, strict=True))
        assert grid.kept(tile).shape == lengths


@given(grids())
def test_reads_hold_core_and_halo_on_the_stride_in_one_shape(grid: TileGrid) -> None:
    padded = Box.of_shape(grid.padded_shape)
    for tile in grid:
        assert tile.read.shape == grid.read_shape
        assert padded.contains(tile.read)
        assert tile.read.contains(tile.core.grow(grid.halo).clip(padded))
        assert not any(a % step for a, step in zip(tile.read.start, grid.stride, strict=True))
        assert not any(n % step for n, step in zip(tile.read.shape, grid.stride, strict=True))


@given(grids())
def test_reads_are_no_larger_than_needed_and_no_smaller_than_accepted(grid: TileGrid) -> None:
    rows = zip(grid.read_shape, grid.core, grid.halo, grid.stride, grid.minimum, strict=True)
    for read, core, halo, step, least in rows:
        assert read >= least
        assert read < max(core + sum(halo) + 2 * step, least + step)


@given(grids())
def test_the_padded_shape_is_the_least_on_the_stride(grid: TileGrid) -> None:
    rows = zip(grid.padded_shape, grid.shape, grid.minimum, grid.stride, strict=True)
    for padded, size, least, step in rows:
        assert padded % step == 0
        assert max(size, least) <= padded < max(size, least) + step


@given(grids(), st.data())
def test_tiles_in_a_box_are_those_whose_cores_meet_it(grid: TileGrid, data: st.DataObject) -> None:
    ends = [sorted(data.draw(st.tuples(st.integers(-5, 45), st.integers(-5, 45)))) for _ in grid.shape]
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    assert list(grid.tiles_in(box)) == [tile for tile in grid if tile.core.meets(box)]


@given(grids())
def test_tiles_come_in_c_order_and_by_index(grid: TileGrid) -> None:
    tiles = list(grid)
    assert [tile.index for tile in tiles] == list(product(*map(range, grid.counts)))
    assert len(grid) == len(tiles)
    assert all(grid[tile.index] == tile for tile in tiles)


@given(grids())
def test_cost_counts_what_is_read(grid: TileGrid) -> None:
    assert grid.cost == pytest.approx(sum(tile.read.size for tile in grid) / grid.box.size)


@pytest.mark.parametrize("index", [(2,), (-1,), (0, 0), ()])
def test_an_index_outside_is_refused(index: tuple[int, ...]) -> None:
    with pytest.raises(IndexError, match="there is none at"):
        TileGrid((8,), (4,), ((0, 0),), (1,))[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((8,), (4, 4), ((0, 0),), (1,)), "one entry for each of the image's 1 axes"),
        (((8,), (4,), ((0, 0),) * 2, (1,)), "one entry for each"),
        (((0,), (4,), ((0, 0),), (1,)), "at least one voxel"),
        (((8,), (4,), ((0, 0),), (0,)), "Strides start at 1"),
        (((8,), (4,), ((-1, 0),), (1,)), "halos at 0"),
        (((8,), (6,), ((0, 0),), (4,)), r"core must be a multiple of the network's stride.*use 4 or 8"),
        (((8,), (0,), ((0, 0),), (4,)), r"On axis 0 use 4 or 4|must be a multiple"),
        (((8,), (4,), ((0, 0),), (4,), (1,), Box((2,), (8,))), "start of the box must be a multiple"),
        (((8,), (4,), ((0, 0),), (4,), (1,), Box((4,), (9,))), "leaves the image"),
        (((8,), (4,), ((0, 0),), (4,), (1,), Box((4,), (4,))), "is empty"),
    ],
)
def test_grids_that_cannot_work_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TileGrid(*arguments)  # type: ignore[arg-type]
