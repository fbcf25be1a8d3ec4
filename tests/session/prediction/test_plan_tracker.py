"""The plan is that of what is chosen, whatever comes from the threads of jobs, and when."""

import threading
from dataclasses import replace

import pytest

from napari_tileseg._progress import drain
from napari_tileseg.images import Image
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.samples import cells_image
from napari_tileseg.session.prediction.plan_tracker import PlanTracker
from napari_tileseg.settings import PredictSettings

FIRST = PredictSettings(core=(64, 64), quantiles=(1.0, 99.0))
SECOND = replace(FIRST, core=(32, 32), quantiles=(5.0, 95.0))


class Held:
    """Jobs that do nothing by themselves: what would take their events, by kind, in order."""

    def __init__(self):
        self.taking = {}

    def begin(self, kind, _, receive):
        self.taking.setdefault(kind, []).append(receive)

    def drop(self, kind):
        pass


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def tracker(held):
    return PlanTracker(held, lambda: None)


@pytest.fixture(scope="module")
def image():
    return Image(data=cells_image((96, 80)).image, axes="yx", name="cells")


def test_numbers_of_what_is_no_longer_chosen_do_not_count(tracker, held, image, networks):
    network = networks["batch"]
    for settings in (FIRST, SECOND):
        tracker.follow(image, network, settings)
    first, second = held.taking["measure"]
    first(drain(plan_prediction(image, network, FIRST)))
    assert tracker.measured is None
    measured = drain(plan_prediction(image, network, SECOND))
    second(measured)
    assert tracker.normalization == measured.normalization


def test_tiles_that_a_job_lays_again_are_those_of_what_is_chosen_meanwhile(held, image, networks):
    network, laying, go_on = networks["batch"], threading.Event(), threading.Event()

    def path():
        # Asked for while tiles are laid.
        if threading.current_thread() is job:
            laying.set()
            go_on.wait(60)

    tracker = PlanTracker(held, path)
    job = threading.Thread(target=tracker.lay_again)
    choosing = threading.Thread(target=tracker.follow, args=(image, network, SECOND))
    tracker.follow(image, network, FIRST)
    job.start()
    assert laying.wait(60)
    choosing.start()
    choosing.join(0.3)
    go_on.set()
    for thread in (job, choosing):
        thread.join(60)
        assert not thread.is_alive()
    assert tracker.laid.settings.quantiles == SECOND.quantiles
    assert tracker.tiles.grid.core == (32, 32)
