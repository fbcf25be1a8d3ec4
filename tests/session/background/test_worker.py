"""Long work in threads: what is told, when it stops, what is left."""

import threading
import time

import pytest

from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.session.background.worker import Ended, Work


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
    work = Work(lambda: slow(3, made), told.append, "tileseg-test")
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

    work = Work(events, tell, "tileseg-test")
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
    Work(events, told.append, "tileseg-test").join(10)
    assert isinstance(told[-1].error, ZeroDivisionError)


def test_no_thread_is_left():
    before = set(threading.enumerate())
    works = [Work(lambda: range(3), lambda _: None, "tileseg-test") for _ in range(20)]
    assert all(work.join(10) for work in works)
    assert set(threading.enumerate()) <= before


class Mailbox:
    """Stands for an event loop: calls wait until they are asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, call):
        self.calls.append(call)

    def deliver(self):
        while self.calls:
            self.calls.pop(0)()


def test_a_late_answer_is_dropped():
    mailbox, heard = Mailbox(), []
    jobs = Jobs(mailbox)
    jobs.begin("plan", lambda: ["old"], heard.append)
    jobs.wait("plan", 10)
    jobs.begin("plan", lambda: ["new"], heard.append)
    jobs.wait("plan", 10)
    mailbox.deliver()
    assert heard == ["new", Ended()]


def test_kinds_do_not_disturb_each_other():
    mailbox, heard = Mailbox(), []
    jobs = Jobs(mailbox)
    for kind in ("plan", "run"):
        jobs.begin(kind, lambda kind=kind: [kind], heard.append)
    jobs.close()
    assert {*heard} == set()
    assert not jobs.running("plan")
