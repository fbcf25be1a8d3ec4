"""Long work gives its result to whoever runs it to the end, and says how long the rest takes."""

from itertools import count

import pytest

from napari_tileseg._progress import Clock, Progress, Steps, drain, map_events


def test_work_gives_its_result_and_all_its_events_in_their_order():
    def work():
        yield 1
        yield 2
        return "result"

    events = []
    assert drain(work(), events.append) == "result"
    assert events == [1, 2]
    assert drain(work()) == "result"


def test_work_is_closed_where_its_events_cannot_be_received():
    closed = []

    def work():
        try:
            yield 1
        finally:
            closed.append(True)

    def refuse(_):
        raise KeyboardInterrupt

    running = work()
    with pytest.raises(KeyboardInterrupt):
        drain(running, refuse)
    assert closed == [True]


def test_what_the_work_raises_comes_through():
    def work():
        yield 1
        raise OSError("No space left")

    with pytest.raises(OSError, match="No space left"):
        drain(work())


def test_the_rest_of_a_piece_of_work_takes_as_long_a_step_as_it_took_so_far():
    now = iter((0.0, 2.0, 3.0, 6.0))
    clock = Clock(lambda: next(now))
    steps = Steps("Comparing tiles", 3, clock)
    assert [steps.count().seconds_left for _ in range(3)] == [4.0, 1.5, 0.0]


def test_work_that_does_not_begin_at_0_begins_where_the_work_before_it_ended():
    now = iter((0.0, 10.0, 13.0))
    clock = Clock(lambda: next(now))
    clock.estimate(Progress("Measuring intensities", 1.0))
    assert clock.estimate(Progress("Comparing tiles", 1, 4)).seconds_left == 9.0


def test_work_says_how_much_longer_it_takes_once_that_is_known():
    ticks = count()
    clock = Clock(lambda: float(next(ticks)))
    told = [clock.estimate(Progress("scoring", n / 4)).seconds_left for n in range(5)]
    assert told[0] is None
    assert told[1:] == pytest.approx([3.0, 2.0, 1.0, 0.0])
    assert clock.estimate(Progress("comparing", 0.0)).seconds_left is None
    # Done before, it takes as long again.
    assert clock.estimate(Progress("scoring", 0.0)).seconds_left == 4.0


def test_work_with_other_events_has_the_same_result_and_is_closed_with_them():
    closed = []

    def work():
        try:
            yield 1
            yield 2
            return "result"
        finally:
            closed.append(True)

    events = []
    assert drain(map_events(work(), str), events.append) == "result"
    assert (events, closed) == (["1", "2"], [True])
    changed = map_events(running := work(), str)
    assert next(changed) == "1"
    changed.close()
    assert closed == [True, True]
    assert next(running, None) is None


def test_work_that_takes_more_steps_than_expected_is_never_more_than_done():
    steps = Steps("Comparing tiles", 1)
    told = [steps.count() for _ in range(3)]
    assert [(each.done, each.total) for each in told] == [(1, 1), (2, 2), (3, 3)]
