"""Minutes as steps, by the speed of the steps so far."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from napari_tileseg.train.schedule import Schedule
from napari_tileseg.train.state import State
from napari_tileseg.train.validation import Score


def run(
    minutes: float, start: str, takes: Callable[[int], float], scoring: float = 0.0
) -> tuple[State, list]:
    """State at the end of a run whose steps take so many seconds, and the steps planned after each."""
    state = State(patch=(8, 8), batch=1, accumulate=1, schedule=Schedule(start=start, r_max=3, d_max=5))
    score = Score(1.0, (0.5,))
    totals = []
    state.note_score(score, scoring)
    while not totals or not totals[-1] or state.step < totals[-1]:
        state.count_step(1 / (1 + state.step), state.next_limits, takes(state.step), minutes)
        totals.append(state.schedule.total or 0)
    state.note_score(score, scoring)
    return state, totals


@pytest.mark.parametrize("start", ["full", "none"])
@pytest.mark.parametrize(
    "takes",
    [lambda _: 0.3, lambda step: 2 if step < 10 else 0.1, lambda step: 0.1 if step < 100 else 1.5],
    ids=["even", "faster", "slower"],
)
def test_a_run_takes_its_minutes_at_whatever_speed(start, takes) -> None:
    state, _ = run(1, start, takes, scoring=4)
    assert 57 <= state.seconds <= 60


def test_the_length_is_fixed_once_the_ramp_begins() -> None:
    state, totals = run(1, "batch", lambda step: 1 if step < 10 else 0.5 if step < 60 else 0.1)
    begun = state.schedule.ramp_start
    known = next(n for n, total in enumerate(totals) if total)
    assert known < begun
    assert len(set(totals[known : begun - 1])) > 1
    assert len(set(totals[begun - 1 :])) == 1
    assert (state.limits.phase, state.step) == ("full", totals[-1])
    rises = [entry[4] for entry in state.curve if entry[4] is not None]
    assert all(one <= other for one, other in pairwise(rises))


def test_a_step_that_takes_longer_than_the_run_is_the_only_one() -> None:
    state, totals = run(1, "full", lambda _: 90)
    assert (state.step, totals) == (1, [1])
