from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import ImageError, NetworkError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import plan_tiles
from napari_tileseg.prediction.plan.cores import READ_VOXELS, STRETCH, derive_core
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Lattice, TileGrid
from napari_tileseg.tiling.read_shape import ReadShape


class Unread:
    """An image's data that must not be read."""

    dtype = np.dtype("u2")

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, key):
        raise AssertionError("planning read the image")


@given(
    st.lists(st.integers(1, 5000), min_size=2, max_size=3),
    st.sampled_from([1, 2, 4, 16]),
    st.integers(0, 50),
    st.integers(0, 2),
)
def test_derived_cores_make_a_grid_within_the_budget(shape, step, halo, lead):
    ndim = len(shape) + lead
    full = (3,) * lead + tuple(shape)
    halos = ((0, 0),) * lead + ((halo, halo),) * len(shape)
    lattice = Lattice((1,) * lead + (step,) * len(shape), halos, halos, (1,) * ndim, fixed=False, lead=lead)
    core, reason = derive_core(full, Box.of_shape(full), halos, lattice)
    grid = TileGrid(full, core, halos, lattice.stride)
    assert core[:lead] == (1,) * lead
    assert prod(grid.read_shape) <= 1.2 * STRETCH * READ_VOXELS[len(shape)]
    assert reason
    for axis, (count, size) in enumerate(zip(grid.counts, core, strict=True)):
        last = grid.covered.shape[axis] - (count - 1) * size
        assert last > size - count * grid.stride[axis] or count == 1


def test_a_thin_volume_is_taken_whole_along_its_short_axis(make_network):
    plan = plan_tiles(Image(Unread(51, 5000, 5000), "zyx"), make_network(3).spec)
    assert plan.grid.core[0] == 52
    assert plan.grid.counts[0] == 1
    assert plan.exact
    assert "equal parts" in plan.core_reason
    assert "measured" in plan.halo_reason


def test_no_read_of_a_small_image_leaves_it(make_network):
    plan = plan_tiles(Image(Unread(1, 5), "yx"), make_network(2).spec)
    assert len(plan.grid) == 1
    assert plan.exact
    assert "whole image" in plan.core_reason


def test_leading_axes_are_independent(make_network):
    plan = plan_tiles(Image(Unread(7, 20, 600, 600), "tzyx"), make_network(2).spec)
    assert (plan.lead, plan.grid.core[:2], plan.grid.halo[:2]) == (2, (1, 1), ((0, 0), (0, 0)))
    assert plan.exact


def test_a_halo_that_is_too_small_is_explained(make_network):
    spec = make_network(3).spec
    image = Image(Unread(400, 400, 400), "zyx")
    need = spec.geometry.halo[1][0]
    short = plan_tiles(image, spec, PredictSettings(core=(64, 64, 64), halo=((32, 32), (4, 32), (32, 32))))
    assert need > 4
    assert not short.exact
    assert "too small on y" in short.warnings[0]
    enough = plan_tiles(image, spec, PredictSettings(core=(64, 64, 64), halo=((32, 32),) * 3))
    assert enough.exact
    assert not enough.warnings
    whole = plan_tiles(image, spec, PredictSettings(core=(400,) * 3, halo=((0, 0),) * 3))
    assert whole.exact


def test_a_network_with_instance_statistics_shows_seams_unless_it_sees_everything(make_network):
    spec = make_network(2, norm="instance").spec
    plan = plan_tiles(Image(Unread(3000, 3000), "yx"), spec)
    assert not plan.exact
    assert "Tiles will show" in plan.warnings[0]
    assert "choice" in plan.halo_reason
    for shape, axes in [((300, 300), "yx"), ((5, 300, 300), "tyx"), ((2, 5, 300, 300), "tzyx")]:
        seen_whole = plan_tiles(Image(Unread(*shape), axes), spec)
        assert seen_whole.exact
        assert not seen_whole.warnings


def test_numbers_that_are_not_used_are_said_once(make_network):
    settings = PredictSettings(quantiles=(5, 90), range=(0, 9))
    plan = plan_tiles(Image(Unread(30, 30), "yx"), make_network(2).spec, settings)
    assert not plan.warnings
    assert [note.split()[0] for note in plan.notes] == ["quantiles", "range"]


def test_tile_wise_normalization_is_not_exact(make_network):
    plan = plan_tiles(
        Image(Unread(3000, 3000), "yx"), make_network(2).spec, PredictSettings(normalize="tile")
    )
    assert not plan.exact
    assert "tile by tile" in plan.warnings[-1]


@pytest.mark.parametrize(
    ("axes", "shape", "error", "match"),
    [
        ("yx", (50, 50), NetworkError, "axes zyx; image has yx"),
        ("tyx", (9, 50, 50), NetworkError, "and time.*--axes"),
        ("czyx", (3, 9, 50, 50), ImageError, r"takes 1 channel.*gives 3: 0,1,2.*--channel 0"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(make_network, axes, shape, error, match):
    with pytest.raises(error, match=match):
        plan_tiles(Image(Unread(*shape), axes), make_network(3).spec)


@pytest.mark.parametrize("axes", ["zyx", "tzyx"])
def test_one_number_stands_for_all_axes_of_the_network(make_network, axes):
    image = Image(Unread(*(9, 50, 60, 70)[-len(axes) :]), axes)
    spec, one = make_network(3).spec, PredictSettings(core=(32,), halo=((4, 8),))
    each = PredictSettings(core=(32,) * 3, halo=((4, 8),) * 3)
    assert plan_tiles(image, spec, one).grid == plan_tiles(image, spec, each).grid


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"core": (32, 32)}, "core needs one entry for each axis of the network"),
        ({"core": (30, 32, 32)}, "multiple of the network's stride"),
        ({"halo": ((2, 2),) * 5}, "halo needs one entry"),
        ({"box": ((0, 10),)}, "box needs one entry"),
        ({"box": ((0, 10), (0, 500), (0, 10))}, "should lie in the image"),
        ({"box": ((0, 10), (20, 20), (0, 10))}, "not be empty"),
        ({"normalize": "range"}, "range"),
        ({"resample": True}, "voxel size"),
    ],
)
def test_settings_that_cannot_work_are_explained(make_network, settings, match):
    image = Image(Unread(50, 60, 70), "zyx")
    with pytest.raises(SettingsError, match=match):
        plan_tiles(image, make_network(3).spec, PredictSettings(**settings))


def test_a_box_starts_on_the_stride_and_says_so(make_network):
    image = Image(Unread(50, 60, 70), "zyx")
    plan = plan_tiles(image, make_network(3).spec, PredictSettings(box=((5, 33), (8, 60), (0, 7))))
    assert plan.grid.box == Box((4, 8, 0), (33, 60, 7))
    assert "starts at 4,8,0 instead of 5,8,0" in plan.notes[0]


def test_a_network_of_one_shape_gets_that_shape(make_network):
    spec = make_network(2).spec
    geometry = replace(spec.geometry, read=ReadShape(minimum=(64, 64), step=(4, 4), fixed=True))
    fixed = replace(spec, geometry=geometry)
    for shape in [(30, 30), (500, 70)]:
        plan = plan_tiles(Image(Unread(*shape), "yx"), fixed)
        assert {tile.read.shape for tile in plan.grid} == {(64, 64)}
    with pytest.raises(SettingsError, match="64"):
        plan_tiles(Image(Unread(500, 500), "yx"), fixed, PredictSettings(core=(64, 64)))
    with pytest.raises(SettingsError, match="smaller halo"):
        plan_tiles(Image(Unread(500, 500), "yx"), fixed, PredictSettings(halo=((40, 40), (0, 0))))


@pytest.mark.parametrize(
    ("size", "unit", "warned"),
    [
        ((0.5, 0.5), "micrometer", False),
        ((500, 600), "nanometer", False),
        ((0.5, 0.65), "micrometer", True),
        ((9, 9), "pixel", False),
    ],
)
def test_another_voxel_size_is_warned_of(make_network, size, unit, warned):
    spec = replace(make_network(2).spec, voxel_size=(0.5, 0.5))
    image = Image(Unread(50, 50), "yx", voxel_size=size, units=(unit, unit))
    warnings = plan_tiles(image, spec).warnings
    assert warned == any("trained at 0.5 x 0.5 um" in text for text in warnings)


@pytest.mark.parametrize(
    ("stored", "chosen", "warned"),
    [
        (("CT", "membrane"), None, False),
        (("ct", "Membrane"), None, False),
        (("membrane", "CT"), None, True),
        (("membrane", "CT"), (1, 0), False),
        (("other", "membrane", "CT"), (0, 1), True),
        (("red", "green"), None, False),
        ((), None, False),
    ],
)
def test_channels_in_another_order_by_their_names_are_warned_of(make_network, stored, chosen, warned):
    spec = make_network(2, in_channels=2, channel_names=("CT", "membrane")).spec
    assert spec.channel_names == ("CT", "membrane")
    count = len(stored) or 2
    image = Image(np.zeros((count, 50, 50), np.uint8), "cyx", channel_names=stored, channels=chosen)
    warnings = [text for text in plan_tiles(image, spec).warnings if "in this order" in text]
    assert bool(warnings) == warned
    if warned:
        order = tuple(stored.index(name) for name in ("CT", "membrane"))
        assert f"Choose the channels {order[0]},{order[1]}." in warnings[0]
