"""Knobs: what is written can be read again, and what does not fit is refused in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import (
    DiagnoseSettings,
    ImageSettings,
    Knob,
    LabelSettings,
    NetworkSettings,
    PredictSettings,
    TrainSettings,
    knobs,
)

CLASSES = (ImageSettings, NetworkSettings, PredictSettings)
KNOBS = [each for cls in CLASSES for each in knobs(cls)]


def values(knob: Knob) -> st.SearchStrategy:
    """Draw values that a knob allows."""
    low, high = knob.ends
    integers = st.integers(int(low), int(high))
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


NUMBERS = [
    (cls, each)
    for cls in (ImageSettings, PredictSettings, TrainSettings, DiagnoseSettings, LabelSettings)
    for each in knobs(cls)
    if each.kind in {"int", "float", "ints", "floats", "pairs", "map"}
]
BEYOND = (
    *(10**40, -(10**40), 10**400, -(10**400), 10**5000),
    *(1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
STRANGE = ("7", b"7", True, [], {}, {"a": 1}, [[1]], object(), 1j, np.ones(2), None, (None,), ((1, 2, 3),))


def filled(knob, number):
    """A value of a knob's kind with a number in it."""
    plain = {"int": number, "float": number, "pairs": ((0, number),), "map": ((number, "a"),)}
    return plain.get(knob.kind, (number,) * (knob.length or 2))


@pytest.mark.parametrize(("cls", "knob"), NUMBERS, ids=lambda each: getattr(each, "name", None))
@pytest.mark.parametrize("number", BEYOND, ids=lambda number: f"{str(type(number))[8:-2]}")
def test_every_number_has_bounds_at_both_ends(cls, knob, number):
    with pytest.raises(SettingsError) as caught:
        cls(**{knob.name: filled(knob, number)})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("cls", "knob"), NUMBERS, ids=lambda each: getattr(each, "name", None))
def test_what_is_no_number_is_refused_in_words(cls, knob):
    for value in (*STRANGE, *(filled(knob, each) for each in STRANGE)):
        try:
            cls(**{knob.name: value})
        except SettingsError:
            continue
        assert value in (None, ()) or value == [], value


@pytest.mark.parametrize("knob", [each for _, each in NUMBERS], ids=lambda each: each.name)
def test_the_ends_themselves_are_taken(knob):
    for end in knob.ends:
        number = int(end) if knob.kind in {"int", "ints", "pairs", "map"} else end
        knob.check(filled(knob, number))
        assert knob.parse(knob.format(filled(knob, number))) == filled(knob, number)
