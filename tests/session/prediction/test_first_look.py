"""What is in view is shown with first numbers before statistics of the whole image are gathered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import Noted, Progress, drain
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.prediction.plan.forecast import Forecast, forecast
from napari_tileseg.prediction.plan.measuring import measure_intensities
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.samples import cells_image
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.session.prediction.first_look import Looked, first_look, is_worth_it
from napari_tileseg.session.prediction.run_story import RunStory, run_words
from napari_tileseg.session.prediction.words import statistics_words
from napari_tileseg.session.project.project import Result
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

WHOLE = PredictSettings(statistics="whole", core=(32, 32))
VIEW = Box((40, 70), (60, 110))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (4, 6), "norm": "instance"}
    described = Description(
        architecture="unet", arguments=arguments, activation="sigmoid", classes=("inside", "edge")
    )
    return network_in_memory(build("unet", **arguments), described)


@pytest.fixture(scope="module")
def image():
    return Image(data=cells_image((96, 128)).image, axes="yx", name="cells")


def measured(image, network, settings):
    """Plan as a viewer does: intensities are there, statistics are not."""
    from napari_tileseg.prediction.plan.plan import find_way

    laid = lay_plan(image, network, settings, find_way(network, settings), swept=False)
    return drain(measure_intensities(laid))


def test_tiles_in_view_come_with_the_statistics_of_the_one_in_its_middle(image, network):
    events = list(first_look(measured(image, network, WHOLE), lambda: VIEW))
    looks = [event for event in events if isinstance(event, Looked)]
    assert [look.tiles for look in looks] == [0, 1, 2]
    part = replace(WHOLE, statistics="region", region=((32, 64), (64, 96)), intensities="image")
    first = predict(image, network, part).compute()
    shown = looks[-1].probabilities[...]
    in_view = (slice(None), slice(32, 64), slice(64, 128))
    np.testing.assert_allclose(shown[in_view], first[in_view], atol=1e-5)
    assert np.isnan(shown[:, :32, :64]).all()


def test_what_follows_is_said_with_its_cost(image, network):
    events = list(first_look(measured(image, network, WHOLE), lambda: VIEW))
    (note,) = [event.message for event in events if isinstance(event, Noted)]
    assert note.startswith("Statistics and prediction: one pass over the image, about ")
    assert "of memory" in note


def test_nothing_is_shown_where_nothing_is_in_view(image, network):
    assert not list(first_look(measured(image, network, WHOLE), lambda: None))
    assert not list(first_look(measured(image, network, WHOLE), lambda: Box((0, 0), (0, 0))))


def test_one_tile_is_enough_before_the_statistics_of_a_large_region(image, network):
    plan = measured(image, network, replace(WHOLE, statistics="region", region=((0, 96), (0, 128))))
    assert [each.tiles for each in first_look(plan, lambda: VIEW) if isinstance(each, Looked)] == [0, 1]


def test_a_look_ends_where_the_view_is_left(image, network):
    views = iter([VIEW, None])
    events = list(first_look(measured(image, network, WHOLE), lambda: next(views)))
    assert [event.tiles for event in events if isinstance(event, Looked)] == [0, 1]


def test_only_what_takes_long_is_worth_a_look(image, network):
    assert is_worth_it(measured(image, network, WHOLE))
    assert is_worth_it(
        measured(image, network, replace(WHOLE, statistics="region", region=((0, 96), (0, 64))))
    )
    for settings in (
        PredictSettings(core=(32, 32), statistics="tile"),
        replace(WHOLE, statistics="region", region=((0, 64), (0, 64))),
        replace(WHOLE, core=(96, 128)),
        PredictSettings(statistics="region", core=(96, 128)),
    ):
        assert not is_worth_it(measured(image, network, settings))
    assert not is_worth_it(drain(plan_prediction(image, network, WHOLE)))


def test_a_look_that_fails_is_told_and_ends_there(network):
    broken = Image(data=np.full((96, 128), 1e38, "f4"), axes="yx", name="huge")
    plan = measured(broken, network, replace(WHOLE, normalize="none"))
    *_, last = first_look(plan, lambda: VIEW)
    assert isinstance(last, Noted)
    assert "could not be shown with first numbers" in last.message
    with pytest.raises(ImageError):
        drain(plan_prediction(broken, network, replace(WHOLE, normalize="none")))


def test_a_forecast_is_of_the_whole_image_with_what_is_kept(image, network):
    plan = measured(image, network, replace(WHOLE, memory=1e-4))
    found = forecast(plan)
    assert found.passes > 1
    with_scratch = forecast(measured(image, network, replace(WHOLE, memory=1e-4, scratch=1)))
    assert with_scratch.passes < found.passes
    assert with_scratch.scratch > 0
    assert forecast(measured(image, network, replace(WHOLE, statistics="tile"))) is None
    part = measured(
        image, network, replace(WHOLE, memory=1e-4, statistics="region", region=((0, 48), (0, 64)))
    )
    assert 1 < forecast(part).passes < 1 + (found.passes - 1) / 3, "passes are over a quarter of the image"
    words = Forecast(passes=2.31, memory=0, scratch=9_000_000_000).words(156)
    assert words == "Statistics and prediction: 2.3 passes over the image, about 6 min, 9 GB of scratch."
    mirrored = Forecast(passes=2.0, memory=0, scratch=0, runs=16).words()
    assert mirrored == "Statistics and prediction: 2.0 passes over the image (each of 16 runs)."


def test_a_plan_says_what_all_tiles_have(image, network):
    assert "statistics of the whole image" in statistics_words(measured(image, network, WHOLE))
    assert not statistics_words(measured(image, network, PredictSettings(core=(32, 32), statistics="tile")))


def story(tmp_path, *events):
    told = RunStory(result=Result(name="r", path=tmp_path), planned=12)
    for event in events:
        told = told.after(event)
    return told


def say(told):
    return run_words(told, told.result.path, told.begun).text


def test_words_say_which_pass_it_is_what_follows_and_what_is_shown(tmp_path):
    passing = Progress("Gathering statistics, pass 3 of 10", 2.5, 10, seconds_left=120)
    assert say(story(tmp_path, passing)) == (
        "Gathering statistics, pass 3 of 10: 25%, about 2 min left; 12 tiles follow"
    )
    looked = Looked(probabilities=None, tiles=2)
    assert say(story(tmp_path, looked, passing)).endswith(
        "12 tiles follow. Shown is a first look, with the statistics of a tile in view."
    )
    begun = story(tmp_path, replace_tiles(looked, 0), passing)
    assert say(begun) == "A first look, with the statistics of a tile in view: 25%, about 2 min left"


def replace_tiles(looked, tiles):
    return Looked(probabilities=looked.probabilities, tiles=tiles)


def test_cancelling_while_statistics_are_gathered_promises_no_tiles(tmp_path):
    told = story(tmp_path, Progress("Gathering statistics, pass 3 of 10", 2.5, 10))
    assert "current part" in say(replace(told, stopping=True))
    assert say(told.after(Ended(cancelled=True))) == "Cancelled before the first tile."
