"""The card of a network: what it says at once, and what it unfolds."""

from dataclasses import replace

import pytest

from napari_tileseg._qt.predict.network_card import NetworkCard
from napari_tileseg.engine import Route
from napari_tileseg.session.text.network_words import NetworkWords

WORDS = NetworkWords(
    what="a U-Net", needs="stride 4", seam_free=True, verdict="can be seam-free", why="Because."
)


@pytest.fixture
def card(qtbot):
    card = NetworkCard()
    qtbot.addWidget(card)
    card.show()
    return card


def test_why_tiles_are_computed_whole_is_in_view(card):
    card.show_words(WORDS)
    assert not card.tiles.isVisible()
    card.show_route(Route("plain", "there is no rule for softmax"))
    assert "no rule for softmax" in card.tiles.text()
    assert card.tiles.isVisible()
    card.show_words(WORDS)
    assert not card.tiles.isVisible()


def test_a_network_that_makes_seams_has_the_reason_with_that_of_its_seams(card):
    card.show_words(replace(WORDS, seam_free=False))
    card.show_route(Route("plain", "instance_norm uses the mean"))
    assert not card.tiles.isVisible()
    card.ask.click()
    assert card.why.text().endswith("because instance_norm uses the mean.")


def test_the_usual_way_is_told_to_whom_asks(card):
    card.show_words(WORDS)
    card.ask.click()
    assert card.why.text() == "Because."
    card.show_route(Route("regions", ""))
    assert card.why.text() == "Because. Tiles: each layer computes no more than a tile's core needs."
    assert not card.tiles.isVisible()
    card.show_text("opening")
    assert not card.why.isVisible()


@pytest.mark.parametrize("passed", [True, False])
def test_what_came_of_the_test_of_a_package_is_in_view(card, passed):
    card.show_words(replace(WORDS, test="Reproduces its test output to 1.7e-06.", test_passed=passed))
    assert card.test.isVisible()
    assert "1.7e-06" in card.test.text()
    card.show_words(WORDS)
    assert not card.test.isVisible()


def test_many_notes_leave_room_for_what_is_below_and_unfold(card):
    card.show_words(replace(WORDS, notes="one\ntwo"))
    assert not card.more.isVisible()
    card.show_words(replace(WORDS, notes="one\ntwo\nthree\nfour"))
    assert card.more.text() == "2 more notes"
    assert "two" in card.notes.text()
    assert "three" not in card.notes.text()
    card.more.click()
    assert card.notes.text().count("\N{WARNING SIGN}") == 4
    card.show_text("opening")
    assert not card.more.isVisible()
