"""Minutes as steps, by the speed of the steps so far, from the start to the decision."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.training.state import State
from napari_tileseg.training.steps.schedule import Schedule
from napari_tileseg.training.watch import StepSpeed, Timing, Watch


class Time:
    """A clock that somebody else moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(
    minutes: float,
    start: str,
    takes: Callable[[int], float],
    *,
    before: float = 0.0,
    scoring: float = 0.0,
    afterwards: float = 0.0,
    paused: float = 0.0,
) -> tuple[State, list, float]:
    """State at the end of a run whose steps take so many seconds, steps planned after each, and seconds."""
    clock = Time()
    watch = Watch(clock)
    timing = Timing(watch, 0.0, minutes)
    state = State(patch=(8, 8), batch=1, accumulate=1, schedule=Schedule(start=start, r_max=3, d_max=5))
    totals = []
    clock.now += before
    timing.validation, timing.afterwards = scoring, afterwards
    timing.begin_steps()
    while not totals or not totals[-1] or state.step < totals[-1]:
        clock.now += takes(state.step)
        with watch.rest():
            clock.now += paused
        elapsed = timing.count_step()
        state.count_step(1 / (1 + state.step), state.next_limits, elapsed)
        state.plan(timing.more(elapsed))
        totals.append(state.schedule.total or 0)
    clock.now += scoring + afterwards
    return state, totals, watch.elapsed


SPEEDS = {
    "even": lambda _: 0.3,
    "faster": lambda step: 2 if step < 10 else 0.1,
    "slower": lambda step: 0.1 if step < 100 else 1.5,
    "first one slow": lambda step: 8 if step == 0 else 0.2,
}


@pytest.mark.parametrize("start", ["full", "none"])
@pytest.mark.parametrize("takes", SPEEDS.values(), ids=SPEEDS)
@pytest.mark.parametrize("around", [{}, {"before": 25, "scoring": 4, "afterwards": 9}, {"paused": 7}])
def test_a_run_takes_its_minutes_at_whatever_speed(start, takes, around) -> None:
    _, _, seconds = run(1, start, takes, **around)
    assert 57 <= seconds <= 60.1


@given(
    each=st.floats(0.01, 5),
    first=st.floats(0, 5),
    minutes=st.floats(0.5, 10),
    before=st.floats(0, 10),
    afterwards=st.floats(0, 10),
)
def test_what_comes_before_and_after_the_steps_is_counted_in(
    each, first, minutes, before, afterwards
) -> None:
    _, _, seconds = run(
        minutes,
        "full",
        lambda step: first + each if step == 0 else each,
        before=before,
        afterwards=afterwards,
    )
    assert 60 * minutes - 2 * each - 1 <= seconds <= 60 * minutes + 2 * each + first + 1


def test_the_length_is_fixed_once_the_ramp_begins() -> None:
    state, totals, _ = run(1, "batch", lambda step: 1 if step < 10 else 0.5 if step < 60 else 0.1)
    begun = state.schedule.ramp_start
    known = next(n for n, total in enumerate(totals) if total)
    assert known < begun
    assert len(set(totals[known : begun - 1])) > 1
    assert len(set(totals[begun - 1 :])) == 1
    assert (state.limits.phase, state.step) == ("full", totals[-1])
    rises = [entry[4] for entry in state.curve if entry[4] is not None]
    assert all(one <= other for one, other in pairwise(rises))


@pytest.mark.parametrize("around", [{}, {"before": 70}, {"afterwards": 70}])
def test_a_step_for_which_there_is_no_time_is_the_only_one(around) -> None:
    state, totals, _ = run(1, "full", lambda _: 90, **around)
    assert (state.step, totals) == (1, [1])


def test_what_earlier_runs_took_counts_and_is_told_apart() -> None:
    clock = Time()
    timing = Timing(Watch(clock), 40.0, 1.0)
    clock.now += 5
    assert (timing.watch.elapsed, timing.seconds) == (45, 5)
    timing.begin_steps()
    clock.now += 5
    assert timing.left(timing.count_step(), 0) == 10


def test_without_minutes_what_is_left_follows_from_the_steps() -> None:
    clock = Time()
    timing = Timing(Watch(clock), 0.0, None)
    timing.begin_steps()
    timing.afterwards = 6
    for _ in range(3):
        clock.now += 2
        timing.count_step()
    assert timing.left(timing.watch.elapsed, 10) == 26


def test_parts_are_named_and_pauses_are_in_none_of_them() -> None:
    clock = Time()
    watch = Watch(clock)
    for _ in range(2):
        with watch.part("scoring"):
            clock.now += 3
            with watch.rest():
                clock.now += 100
    assert (watch.parts, watch.elapsed) == ({"scoring": 6.0}, 6.0)


def test_nothing_is_planned_before_the_speed_is_known() -> None:
    pace = StepSpeed(0.0)
    for step in range(1, 5):
        pace.count(step * 0.1)
        assert pace.fitting(60) is None
    assert pace.fitting(-1) == 0
