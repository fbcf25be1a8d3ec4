"""Which channel of an image goes where: by names, by word, and said where it is neither."""

from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import lay_plan, open_prediction, predict, predict_to_store
from napari_tileseg.prediction.plan.channels import channels_by_name, feeding, has_to_be_asked
from napari_tileseg.settings import PredictSettings

NAMES = ("CT", "membrane")


def image(*names, channels=None, count=None):
    voxels = np.random.default_rng(0).integers(0, 4000, (count or len(names), 48, 40)).astype(np.uint16)
    return Image(voxels, "cyx", name="tissue", channel_names=names, channels=channels)


@pytest.fixture
def network(make_network):
    return make_network(2, in_channels=2, channel_names=NAMES)


@pytest.mark.parametrize(
    ("stored", "found", "asked"),
    [
        (("CT", "membrane"), (0, 1), False),
        ((" Membrane ", "ct"), (1, 0), False),
        (("other", "membrane", "CT"), (2, 1), False),
        (("red", "green"), None, True),
        (("CT", "green"), None, True),
        (("CT", "CT", "membrane"), None, True),
        (("CT",), None, False),
    ],
)
def test_names_decide_where_there_is_one_answer(network, stored, found, asked):
    given = image(*stored)
    assert channels_by_name(given, network.spec) == found
    assert has_to_be_asked(given, network.spec) == asked


def test_channels_without_names_are_asked_about_and_one_for_one_is_not(network, make_network):
    assert has_to_be_asked(image(count=2), network.spec)
    assert not has_to_be_asked(image(count=2), make_network(2, in_channels=2).spec)
    one = make_network(2, channel_names=("raw",)).spec
    flat = Image(np.zeros((8, 8), np.uint8), "yx")
    assert not has_to_be_asked(flat, one)
    assert feeding(flat, one) == ("", "")


def test_a_prediction_takes_channels_by_their_names_and_says_so(network, tmp_path):
    given, turned = image("membrane", "CT"), image("membrane", "CT", channels=(1, 0))
    plan = lay_plan(given, network)
    assert plan.tiles.channels == "Channels: CT from 1 (CT), membrane from 0 (membrane)."
    assert plan.tiles.channels in plan.tiles.notes
    assert plan.tiles.warnings == ()
    whole = predict(given, network).compute()
    np.testing.assert_array_equal(whole, predict(turned, network).compute())
    with pytest.warns(UserWarning, match="Choose the channels 1,0"):
        stored = predict(image("membrane", "CT", channels=(0, 1)), network).compute()
    assert not np.array_equal(whole, stored)
    *_, saved = predict_to_store(given, network, None, tmp_path / "a.ome.zarr")
    np.testing.assert_array_equal(np.asarray(open_prediction(saved.path).view()), whole)
    *_, again = predict_to_store(given, network, None, tmp_path / "a.ome.zarr")
    assert again.tiles_computed == 0


def test_an_order_that_nobody_stated_is_taken_and_warned_of(network):
    plan = lay_plan(image("red", "green"), network)
    assert plan.image.channels is None
    assert plan.tiles.channels == "Channels: CT from 0 (red), membrane from 1 (green)."
    (warning,) = (text for text in plan.tiles.warnings if "which channel" in text)
    assert "--channel 0,1" in warning
    stated = lay_plan(image("red", "green", channels=(1, 0)), network).tiles
    assert stated.channels == "Channels: CT from 1 (green), membrane from 0 (red)."
    assert not any("which channel" in text for text in stated.warnings)


def test_a_resampled_image_keeps_its_channels_and_their_numbers(network):
    spec = replace(network.spec, voxel_size=(2.0, 2.0))
    given = replace(image("membrane", "CT"), voxel_size=(1.0, 1.0), units=("micrometer",) * 2)
    plan = lay_plan(given, replace(network, spec=spec), PredictSettings(resample=True))
    assert plan.tiles.channels == "Channels: CT from 1 (CT), membrane from 0 (membrane)."
    assert plan.tiles.image.channel_names == ("CT", "membrane")


def test_an_image_of_fewer_channels_is_told_what_is_missing(network):
    with pytest.raises(ImageError, match=r"takes 2 channel\(s\) \(CT, membrane\).*along an axis c") as caught:
        lay_plan(Image(np.zeros((48, 40), np.uint8), "yx", name="one"), network)
    assert "Merge to Stack" in caught.value.in_panel
    assert "such as cyx" in caught.value.in_panel
