"""A minute of fine-tuning is a minute from the start to the decision, by a clock that the tests move."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.training import StepDone
from napari_tileseg.training.networks.calibration import EFFORT
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning import FineTuning, TuneOrder
from napari_tileseg.workflows.pace import Efforts, TunePace
from napari_tileseg.workflows.seam_check import SeamCheck

SETTINGS = TrainSettings(minutes=1, patch=(16, 16), device="cpu")
RECIPE = SimpleNamespace(patch=(16, 64), batch=1, accumulate=2, convert=True)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small flat network that makes seams."""
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (3, 4), "norm": "instance"}
    path = tmp_path_factory.mktemp("network") / "instance.safetensors"
    arguments["blocks"] = 1
    said = {"arguments": arguments, "classes": ("a", "b"), "activation": "sigmoid"}
    return open_network(
        save_network(build("unet", **arguments), path, Description(architecture="unet", **said))
    )


@pytest.fixture
def order(network, tmp_path):
    image = Image(np.random.default_rng(0).integers(0, 300, (72, 96)).astype(np.uint16), "yx")
    strokes = np.zeros((72, 96), np.uint8)
    for row, value in enumerate((1, 2, 3, 1, 2, 3, 1, 2, 3)):
        strokes[7 * row + 3, 10:22] = value
    return TuneOrder(
        image=image,
        labels=strokes,
        network=network,
        folder=tmp_path / "run",
        training=SETTINGS,
        meaning=LabelSettings(labels_kind="strokes"),
    )


def ticking(seconds):
    """A watch whose clock goes on by so many seconds at each look."""
    ticks = count()
    return Watch(lambda: seconds * next(ticks))


def weights(job):
    return job.network("last").module.state_dict()


@pytest.mark.parametrize("each", [0.3, 0.5])
def test_a_minute_is_a_minute_and_its_parts_have_names(order, each):
    *_, end = FineTuning(order, ticking(each)).events()
    assert 51 <= end.seconds <= 69
    assert end.trained.steps > 2
    assert end.parts.keys() >= {
        *("remembering", "scoring before", "comparing tiles before", "measuring statistics", "steps"),
        *("scoring after", "comparing tiles after"),
    }
    assert 0.8 * end.seconds <= sum(end.parts.values()) <= end.seconds


def test_what_is_left_counts_down_to_the_decision(order):
    told = [each for each in FineTuning(order, ticking(0.3)).events() if isinstance(each, StepDone)]
    for event in told:
        assert event.seconds + event.seconds_left == pytest.approx(60, abs=1)


def test_minutes_that_leave_no_time_for_a_step_are_refused_with_those_that_do(order):
    short = replace(order, training=replace(SETTINGS, minutes=0.05))
    with pytest.raises(SettingsError, match=r"time for a step.* Give it [0-9.]+ min or more") as refused:
        list(FineTuning(short, ticking(0.3)).events())
    least = float(str(refused.value).split("Give it ")[1].split()[0])
    enough = replace(short, training=replace(SETTINGS, minutes=least), folder=order.folder / "again")
    *_, end = FineTuning(enough, ticking(0.3)).events()
    assert end.trained.steps >= 1


def test_a_run_of_minutes_goes_on_with_what_it_was_begun_with(order):
    first = FineTuning(order, ticking(0.3))
    for event in (events := first.events()):
        if isinstance(event, StepDone) and event.step == 3:
            first.stop()
            break
    stopped = list(events)[-1]
    *_, end = FineTuning(replace(order, resume=True), ticking(0.3)).events()
    assert end.before == stopped.before
    assert end.trained.steps > 3
    assert stopped.seconds < 40


def test_with_steps_no_clock_changes_the_result(order, tmp_path):
    found = []
    for number, seconds in enumerate((0.0, 1000.0)):
        steps = replace(SETTINGS, minutes=None, steps=3)
        job = FineTuning(replace(order, training=steps, folder=tmp_path / str(number)), ticking(seconds))
        *_, end = job.events()
        found.append((end.before, end.after, {k: v.tolist() for k, v in weights(job).items()}))
    assert found[0] == found[1]


def paced(minutes, speed=1000.0):
    pace = TunePace(Watch(lambda: 0.0), minutes)
    pace.predicted(int(speed), 1.0)
    return pace


def checked(pairs, tile=(40, 50)):
    return SeamCheck(None, SimpleNamespace(pairs=(None,) * pairs, tile=tile))


@pytest.mark.parametrize(("minutes", "pairs"), [(None, 2), (10, 2), (2.1, 2), (1.9, 1), (1.01, 1), (0.9, 0)])
def test_fewer_tiles_are_compared_where_there_is_less_time(minutes, pairs):
    assert paced(minutes).pairs(checked(2)) == pairs


def test_statistics_are_measured_on_less_where_there_is_less_time():
    assert paced(None).calibration() == EFFORT
    assert paced(1).calibration() == 2400
    assert paced(2).calibration() == 2 * paced(1).calibration()
    assert paced(1, speed=1e9).calibration() == EFFORT


@pytest.mark.parametrize(("minutes", "refused"), [(None, False), (1, False), (0.2, True)])
def test_only_minutes_are_refused(minutes, refused):
    pace = paced(minutes)
    if refused:
        with pytest.raises(SettingsError, match=r"of 12 s .* Give it 0\.5 min or more"):
            pace.check(RECIPE, score=3.0, afterwards=6.0)
        return
    pace.check(RECIPE, score=3.0, afterwards=6.0)


@pytest.mark.parametrize("odd", [{"tiles": [3]}, {"places": "4"}, {"pairs": 1.5}, {"afterwards": None}])
def test_efforts_that_are_no_numbers_are_none(odd):
    values = Efforts(tiles=1, places=2, pairs=3, afterwards=4.0).as_dict()
    assert Efforts.from_dict(values).as_dict() == values
    with pytest.raises(TypeError, match="efforts are numbers"):
        Efforts.from_dict({**values, **odd})
