"""A minute of fine-tuning is a minute from the start to the decision, by a clock that the tests move."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest

from napari_tileseg._progress import drain
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training import StepDone
from napari_tileseg.training.networks.calibration import EFFORT
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.seam_check import SeamCheck
from napari_tileseg.workflows.time_budget import Efforts, TimeBudget

SETTINGS = TrainSettings(minutes=1, patch=(16, 16), device="cpu")
RECIPE = SimpleNamespace(patch=(16, 64), batch=1, accumulate=2, convert=True)


@pytest.fixture
def wanted(request_for):
    return request_for(SETTINGS)


def ticking(seconds):
    """A watch whose clock goes on by so many seconds at each look."""
    ticks = count()
    return Watch(lambda: seconds * next(ticks))


def weights(job):
    return job.trainer.network("last").module.state_dict()


@pytest.mark.parametrize("each", [0.3, 0.5])
def test_a_minute_is_a_minute_and_its_parts_have_names(wanted, each):
    end = drain(FineTuning(wanted, ticking(each)).run())
    assert 51 <= end.seconds <= 69
    assert end.trained.steps > 2
    assert end.parts.keys() >= {
        *("remembering", "scoring before", "comparing tiles before", "measuring statistics", "steps"),
        *("scoring after", "comparing tiles after"),
    }
    assert 0.8 * end.seconds <= sum(end.parts.values()) <= end.seconds


def test_what_is_left_counts_down_to_the_decision(wanted):
    told = [each for each in FineTuning(wanted, ticking(0.3)).run() if isinstance(each, StepDone)]
    for event in told:
        assert event.seconds + event.seconds_left == pytest.approx(60, abs=1)


def test_minutes_that_leave_no_time_for_a_step_are_refused_with_those_that_do(wanted):
    short = replace(wanted, training=replace(SETTINGS, minutes=0.05))
    with pytest.raises(SettingsError, match=r"time for a step.* Give it [0-9.]+ min or more") as refused:
        drain(FineTuning(short, ticking(0.3)).run())
    least = float(str(refused.value).split("Give it ")[1].split()[0])
    enough = replace(short, training=replace(SETTINGS, minutes=least), folder=wanted.folder / "again")
    end = drain(FineTuning(enough, ticking(0.3)).run())
    assert end.trained.steps >= 1


def test_a_run_of_minutes_goes_on_with_what_it_was_begun_with(wanted):
    first = FineTuning(wanted, ticking(0.3))
    stopped = drain(first.run(), lambda event: getattr(event, "step", 0) == 3 and first.stop())
    end = drain(FineTuning(replace(wanted, resume=True), ticking(0.3)).run())
    assert end.before == stopped.before
    assert end.trained.steps > 3
    assert stopped.seconds < 40


def test_with_steps_no_clock_changes_the_result(wanted, tmp_path):
    found = []
    for number, seconds in enumerate((0.0, 1000.0)):
        steps = replace(SETTINGS, minutes=None, steps=3)
        job = FineTuning(replace(wanted, training=steps, folder=tmp_path / str(number)), ticking(seconds))
        end = drain(job.run())
        found.append((end.before, end.after, {k: v.tolist() for k, v in weights(job).items()}))
    assert found[0] == found[1]


def paced(minutes, speed=1000.0):
    budget = TimeBudget(Watch(lambda: 0.0), minutes)
    budget.count_prediction(int(speed), 1.0)
    return budget


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
    budget = paced(minutes)
    if refused:
        with pytest.raises(SettingsError, match=r"of 12 s .* Give it 0\.5 min or more"):
            budget.check(RECIPE, score=3.0, afterwards=6.0)
        return
    budget.check(RECIPE, score=3.0, afterwards=6.0)


@pytest.mark.parametrize("odd", [{"tiles": [3]}, {"places": "4"}, {"pairs": 1.5}, {"afterwards": None}])
def test_efforts_that_are_no_numbers_are_none(odd):
    values = Efforts(tiles=1, places=2, pairs=3, afterwards=4.0).as_dict()
    assert Efforts.from_dict(values).as_dict() == values
    with pytest.raises(TypeError, match="efforts are numbers"):
        Efforts.from_dict({**values, **odd})
