"""What is asked about channels, and which answers are remembered for which image and network."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_tileseg.images.image import Image
from napari_tileseg.session.prediction.channel_memory import ChannelMemory, channel_question


def image(*names, channels=None):
    return Image(np.zeros((len(names), 8, 8), np.uint8), "cyx", channel_names=names, channels=channels)


def spec(*names):
    return SimpleNamespace(channel_names=names, in_channels=len(names))


CT = spec("CT", "membrane")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("red", "green"), (0, 1)),
        (("red", "ct"), (1, 0)),
        (("membrane", "red", "green"), (1, 0)),
        (("CT", "CT", "membrane"), (0, 2)),
    ],
)
def test_equal_names_are_chosen_beforehand_and_the_others_in_their_order(names, chosen):
    question = channel_question(image(*names), CT)
    assert question.chosen == chosen
    assert question.names == ("CT", "membrane")
    assert question.titles == tuple(f"{n} ({name})" for n, name in enumerate(names))
    assert not question.answered


def test_nothing_is_asked_where_there_is_one_answer():
    assert channel_question(image("membrane", "CT"), CT) is None
    assert channel_question(image("red"), CT) is None
    assert channel_question(image("red", "green"), spec()) is None
    assert channel_question(image("red", "green", channels=(1, 0)), CT).answered


def test_an_answer_is_of_its_image_and_of_networks_that_call_channels_alike():
    memory, other = ChannelMemory(), spec("DNA")
    plain = image("red", "green")
    assert memory.channels_for(plain, "a", CT) is None
    memory.answer("a", CT, (1, 0))
    assert memory.channels_for(plain.with_channels((1, 0)), "a", CT) == (1, 0)
    assert memory.channels_for(plain.with_channels((1, 0)), "a", spec("CT", "membrane")) == (1, 0)
    assert memory.channels_for(plain.with_channels((1, 0)), "a", other) is None
    assert memory.channels_for(plain, "b", CT) is None
    assert memory.channels_for(plain, "a", CT) == (1, 0)


def test_what_is_typed_stays_and_all_takes_an_answer_back():
    memory, plain = ChannelMemory(), image("red", "green", "blue")
    typed = plain.with_channels((2, 0))
    assert memory.channels_for(typed, "a", CT) == (2, 0)
    assert memory.channels_for(typed, "a", spec("DNA", "actin")) == (2, 0)
    memory.answer("a", CT, (1, 0))
    assert memory.channels_for(plain, "a", CT) is None
    assert memory.channels_for(plain, "b", CT) is None
    assert memory.channels_for(plain, "a", CT) is None


def test_names_choose_and_what_they_chose_goes_with_the_network():
    memory, named = ChannelMemory(), image("membrane", "CT")
    assert memory.channels_for(named, "a", CT) == (1, 0)
    turned = named.with_channels((1, 0))
    assert memory.channels_for(turned, "a", CT) == (1, 0)
    assert memory.channels_for(turned, "a", spec("one", "two")) is None
