"""Three phases in steps of the optimizer."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.training.steps.schedule import FIRST, RAMP, Schedule


def run(schedule: Schedule, losses) -> list:
    limits = []
    for step, loss in enumerate(losses):
        limits.append(schedule.limits(step))
        schedule = schedule.after(step + 1, loss)
    return limits


@given(total=st.integers(1, 300), first=st.none() | st.integers(0, 400), seed=st.integers(0, 9))
def test_limits_only_rise_and_the_first_phase_is_at_most_two_fifths(total, first, seed) -> None:
    schedule = Schedule(start="batch", r_max=3, d_max=5, first_phase=first, total=total)
    limits = run(schedule, [1 / (1 + step + seed) for step in range(total)])
    assert limits[0].r_max == 1 or total * RAMP <= 1
    for one, other in pairwise(limits):
        assert one.r_max <= other.r_max <= 3
        assert one.d_max <= other.d_max <= 5
    phases = [each.phase for each in limits]
    assert phases == sorted(phases, key=["batch", "ramp", "full"].index)
    assert phases.count("batch") <= max(1, FIRST * total)
    if first is not None:
        assert phases.count("batch") <= max(1, first)
    if total > 50:
        assert phases[-1] == "full"
        assert (limits[-1].r_max, limits[-1].d_max) == (3, 5)


def test_the_ramp_is_linear() -> None:
    schedule = Schedule(start="batch", r_max=3, d_max=5, first_phase=10, total=100)
    rises = [each.d_max for each in run(schedule, [1.0] * 100)]
    assert rises[:10] == [0.0] * 10
    assert rises[10:40] == pytest.approx([5 * (n + 1) / 30 for n in range(30)])
    assert set(rises[40:]) == {5}


def test_a_loss_that_falls_no_more_ends_the_first_phase() -> None:
    schedule = Schedule(start="batch", r_max=3, d_max=5, total=1000)
    falling = [each.phase for each in run(schedule, [0.99**step for step in range(1000)])]
    assert falling.count("batch") == FIRST * 1000
    flat = [each.phase for each in run(schedule, [0.9**step + 1 for step in range(1000)])]
    assert 100 <= flat.count("batch") < 250


@pytest.mark.parametrize(("start", "expected"), [("full", (3, 5)), ("none", (1, 0))])
def test_other_networks_have_one_phase(start, expected) -> None:
    limits = run(Schedule(start=start, r_max=3, d_max=5, total=20), [1.0] * 20)
    assert {(each.phase, each.r_max, each.d_max) for each in limits} == {(start, *expected)}


def test_no_ramp_before_the_length_of_the_run_is_known() -> None:
    schedule = Schedule(start="batch", r_max=3, d_max=5)
    for step in range(1, 200):
        schedule = schedule.after(step, 1.0)
    assert schedule.limits(200).phase == "batch"
    assert replace(schedule, total=400).after(201, 1.0).limits(201).phase == "ramp"
