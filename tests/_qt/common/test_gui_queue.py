"""One piece of work at a turn of the event loop."""

import pytest
from qtpy.QtCore import QTimer

from napari_tileseg._qt.common.gui_queue import Turns

pytestmark = pytest.mark.usefixtures("qapp")


def test_the_event_loop_turns_between_two_pieces(qtbot):
    turns, done = Turns(), []

    def piece():
        done.append("piece")
        QTimer.singleShot(0, lambda: done.append("turn"))

    for _ in range(3):
        turns(piece)
    assert done == []
    qtbot.waitUntil(lambda: len(done) == 6)
    assert done == ["piece", "turn"] * 3


def test_a_piece_may_ask_for_another(qtbot):
    turns, done = Turns(), []
    turns(lambda: turns(lambda: done.append(True)))
    qtbot.waitUntil(lambda: done == [True])
    assert not turns._timer.isActive()


def test_nothing_is_done_once_closed(qtbot):
    turns, done = Turns(), []
    turns(lambda: done.append(True))
    turns.close()
    qtbot.wait(60)
    assert done == []
