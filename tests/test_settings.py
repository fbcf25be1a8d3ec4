"""Knobs: what is written can be read again, and what does not fit is refused in words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import ImageSettings, Knob, NetworkSettings, PredictSettings, knobs

CLASSES = (ImageSettings, NetworkSettings, PredictSettings)
KNOBS = [each for cls in CLASSES for each in knobs(cls)]


def values(knob: Knob) -> st.SearchStrategy:
    """Draw values that a knob allows."""
    low = None if knob.minimum is None else knob.minimum
    high = knob.maximum
    integers = st.integers(None if low is None else int(low), high)
    floats = st.floats(low, high, allow_nan=False, allow_infinity=False)
    count = {"min_size": knob.length or 1, "max_size": knob.length or 4}
    return {
        "int": integers,
        "float": floats,
        "text": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        "flag": st.booleans(),
        "choice": st.sampled_from(knob.choices or ("",)),
        "ints": st.lists(integers, **count).map(tuple),
        "floats": st.lists(floats, **count).map(tuple),
        "pairs": st.lists(st.tuples(integers, integers), **count).map(tuple),
    }[knob.kind]


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
@given(data=st.data())
def test_text_of_a_value_reads_as_that_value(knob, data):
    value = data.draw(values(knob))
    assert knob.parse(knob.format(value)) == value


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_every_knob_has_a_sentence_and_a_default_within_its_bounds(knob):
    assert knob.help.endswith(".")
    knob.check(knob.default)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("core", (8, 0), "1 or more voxels"),
        ("quantiles", (1.0, 101.0), "0 to 100 %"),
        ("quantiles", (1.0,), "2 numbers"),
        ("range", (0.0, float("inf")), "finite"),
        ("range", (float("nan"), 1.0), "finite"),
        ("dtype", "int8", "float32, bfloat16"),
        ("batch", 0, "1 or more"),
    ],
)
def test_settings_refuse_what_does_not_fit(name, value, words):
    with pytest.raises(SettingsError, match=words):
        replace(PredictSettings(), **{name: value})


@pytest.mark.parametrize("text", ["", "1,,2", "1:b", "two"])
def test_text_of_another_kind_is_answered_with_an_example(text):
    halo = next(each for each in KNOBS if each.name == "halo")
    with pytest.raises(SettingsError, match="8:12,22,22"):
        halo.parse(text)
