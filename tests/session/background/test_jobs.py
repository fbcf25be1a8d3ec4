"""Jobs by kind: what counts, what is dropped, and how a failure is reported."""

import logging

import pytest

from napari_tileseg.errors import StoreError
from napari_tileseg.session.background.jobs import Jobs, at_once
from napari_tileseg.session.background.worker import Ended


class Mailbox:
    """Stands for an event loop: calls wait until they are asked for."""

    def __init__(self):
        self.calls = []

    def __call__(self, call):
        self.calls.append(call)

    def deliver(self):
        while self.calls:
            self.calls.pop(0)()


def failing(error):
    yield "begun"
    raise error


def test_a_late_answer_is_dropped():
    mailbox, received = Mailbox(), []
    jobs = Jobs(mailbox)
    jobs.begin("plan", lambda: ["old"], received.append, with_end=True)
    jobs.wait("plan", 10)
    jobs.begin("plan", lambda: ["new"], received.append, with_end=True)
    jobs.wait("plan", 10)
    mailbox.deliver()
    assert received == ["new", Ended()]


def test_kinds_do_not_disturb_each_other():
    mailbox, received = Mailbox(), []
    jobs = Jobs(mailbox)
    for kind in ("plan", "run"):
        jobs.begin(kind, lambda kind=kind: [kind], received.append)
    jobs.close()
    assert received == []
    assert not jobs.running("plan")


@pytest.mark.parametrize(("error", "logged"), [(StoreError("full"), 0), (ZeroDivisionError("bug"), 1)])
def test_a_failure_is_reported_once_after_the_job_is_over(error, logged, caplog):
    told, received, mailbox = [], [], Mailbox()
    jobs = Jobs(mailbox)
    jobs.busy_changed.connect(lambda kind, busy: told.append((kind, busy)))
    jobs.failed.connect(lambda kind, problem: told.append((kind, problem, jobs.running(kind))))
    with caplog.at_level(logging.ERROR, "napari_tileseg"):
        jobs.begin("save", lambda: failing(error), received.append)
        assert jobs.wait("save", 10)
        assert jobs.running("save"), "the owner has not been told yet"
        mailbox.deliver()
    assert told == [("save", True), ("save", False), ("save", error, False)]
    assert received == ["begun"]
    assert jobs.problem("save") is error
    # What panels refer to the log for is there; what they say themselves is not.
    assert len(caplog.records) == logged
    jobs.begin("save", lambda: ["again"], received.append)
    assert jobs.problem("save") is None
    jobs.close()


def test_a_dropped_job_reports_neither_events_nor_failures():
    told, received, mailbox = [], [], Mailbox()
    jobs = Jobs(mailbox)
    jobs.failed.connect(lambda *problem: told.append(problem))
    jobs.begin("save", lambda: failing(StoreError("full")), received.append, with_end=True)
    assert jobs.wait("save", 10)
    jobs.drop("save")
    mailbox.deliver()
    assert not told
    assert not received
    assert not jobs.running("save")
    assert jobs.problem("save") is None


def test_the_first_event_of_a_job_comes_after_it_counts_as_running():
    seen = []
    jobs = Jobs(at_once)
    jobs.begin("open", lambda: [1], lambda _: seen.append(jobs.running("open")))
    assert jobs.wait("open", 10)
    assert seen == [True]
    assert not jobs.running("open")
