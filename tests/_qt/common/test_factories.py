"""Lists, made alike in all widgets."""

import pytest

from napari_tileseg._qt.common.factories import choice


@pytest.mark.parametrize("hint", [False, True])
def test_two_long_names_that_differ_at_their_ends_are_told_apart(qtbot, hint):
    def drawn(name):
        box = choice("Which network.")
        qtbot.addWidget(box)
        if hint:
            box.setPlaceholderText(name)
        else:
            box.addItem(name)
        box.resize(120, 25)
        return box.grab().toImage()

    first, second = (f"a network with a long name, {norm}" for norm in ("BatchNorm", "InstanceNorm"))
    assert drawn(first) == drawn(first)
    assert drawn(first) != drawn(second)
