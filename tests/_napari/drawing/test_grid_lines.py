"""Lines lie between cores, in the slice only."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg._napari.drawing.grid_lines import grid_lines
from napari_tileseg.tiling import TileGrid


def grid_of(shape, core):
    return TileGrid(shape, core, ((0, 0),) * len(shape), (1,) * len(shape))


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_neighbouring_voxels_have_a_line_between_them_where_their_tiles_differ(shape, core):
    lines = grid_lines(grid_of(shape, core), (0, 0), (0, 1))
    rows = {line[0, 0] for line in lines if line[1, 0] == 0}
    assert rows == {-0.5, shape[0] - 0.5, *(y - 0.5 for y in range(core[0], shape[0], core[0]))}
    assert len(lines) == sum(grid_of(shape, core).counts) + 2


def test_hundreds_of_thousands_of_tiles_are_a_few_lines():
    assert len(grid_lines(grid_of((100, 30_000, 30_000), (10, 50, 50)), (15, 0, 0), (1, 2))) == 1202


def test_lines_stay_in_the_slice():
    lines = grid_lines(grid_of((9, 20, 20), (3, 10, 10)), (4.0, 0, 0), (1, 2))
    assert set(lines[:, 0, 0]) == {4.0}
    assert np.all(lines[:, 1, 0] == 0)


def test_no_lines_outside():
    assert grid_lines(grid_of((9, 20, 20), (3, 10, 10)), (12.0, 0, 0), (1, 2)).shape == (0, 2, 3)


def test_in_3d_lines_run_along_all_axes():
    lines = grid_lines(grid_of((6, 6, 6), (3, 3, 3)), (0, 0, 0), (0, 1, 2))
    assert len(lines) == 3 * 9
