"""Long work in threads: what is told, when it stops, what is left."""

import threading
import time

import pytest

from napari_tileseg.session.background.worker import Ended, Worker


def slow(count, made):
    try:
        for number in range(count):
            made.append(number)
            yield number
            time.sleep(0.002)
    finally:
        made.append("closed")


def test_events_come_in_order_and_the_end_last():
    told, made = [], []
    work = Worker(lambda: slow(3, made), told.append, "tileseg-test")
    assert work.join(10)
    assert told == [0, 1, 2, Ended()]
    assert made[-1] == "closed"


def test_cancelling_stops_after_the_current_event_and_closes_the_generator():
    told, made, reached = [], [], threading.Event()

    def tell(event):
        told.append(event)
        if event == 1:
            work.cancel()
            reached.set()

    begun = threading.Event()

    def events():
        begun.wait(10)
        yield from slow(1000, made)

    work = Worker(events, tell, "tileseg-test")
    begun.set()
    assert work.join(10)
    assert reached.is_set()
    assert told == [0, 1, Ended(cancelled=True)]
    assert made == [0, 1, "closed"]


@pytest.mark.parametrize("late", [False, True])
def test_an_error_of_any_kind_is_told(late):
    def events():
        if late:
            yield 1
        raise ZeroDivisionError("on purpose")

    told = []
    Worker(events, told.append, "tileseg-test").join(10)
    assert isinstance(told[-1].error, ZeroDivisionError)


def test_no_thread_is_left():
    before = set(threading.enumerate())
    works = [Worker(lambda: range(3), lambda _: None, "tileseg-test") for _ in range(20)]
    assert all(work.join(10) for work in works)
    assert set(threading.enumerate()) <= before
