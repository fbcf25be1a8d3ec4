"""What a training has come to, in words, and what can be done with it."""

import pytest

from napari_tileseg.session.finetune.decision import decision
from napari_tileseg.session.finetune.log import TrainingLog
from napari_tileseg.training.events import Trained
from napari_tileseg.workflows.finetuning_events import Scored, Tuned
from napari_tileseg.workflows.scores import ClassNumbers, Numbers
from napari_tileseg.workflows.verdict import compare, is_better, kept_words, verdict_words

TRAINED = Trained(steps=9, seconds=1, reason="done", phase="full", best_step=6, best_score=0.5)


def numbers(*dice, held_out=True, strokes=20, seam_free=None):
    classes = tuple(ClassNumbers(name=f"c{n}", dice=each) for n, each in enumerate(dice))
    return Numbers(
        loss=0.5,
        classes=classes,
        seam_free=seam_free,
        max_abs_difference=None,
        held_out=held_out,
        strokes=strokes if held_out else None,
    )


def tuned(before, after, last=None, which="best", step=6):
    return Tuned(trained=TRAINED, which=which, step=step, before=before, after=after, last=last)


@pytest.mark.parametrize(
    ("before", "after", "verdict", "better"),
    [
        (numbers(0.65), numbers(0.71), "better", True),
        (numbers(0.65), numbers(0.40), "worse", False),
        (numbers(0.65), numbers(0.651), "same", False),
        (numbers(0.0), numbers(0.0), "same", False),
        (numbers(0.5, 0.9), numbers(0.9, 0.4), "worse", False),
        (numbers(0.5, None), numbers(0.6, None), "better", True),
        (numbers(None), numbers(None), "unknown", None),
        (numbers(0.2, held_out=False), numbers(0.9, held_out=False), "unknown", None),
    ],
)
def test_better_and_worse_are_by_what_was_held_out(before, after, verdict, better):
    assert compare(before, after) == verdict
    assert is_better(verdict) is better


@pytest.mark.parametrize(
    ("dice", "first", "kind"), [(0.40, "discard", "warning"), (0.649, "best", ""), (0.9, "best", "ok")]
)
def test_what_is_advised_comes_first_and_only_better_is_well(dice, first, kind):
    found = decision(tuned(numbers(0.65), numbers(dice), numbers(0.3)))
    assert found.choices[0].key == first
    assert {choice.key for choice in found.choices} == {"best", "last", "discard"}
    assert found.kind == kind
    assert [choice.advised for choice in found.choices] == [dice != 0.649, False, False]
    assert ("Discard is advised" in found.words) == (dice == 0.40)


def test_each_choice_says_whether_it_is_better_or_worse():
    found = decision(tuned(numbers(0.65), numbers(0.71), numbers(0.3)))
    best, last, discard = found.choices
    assert best.text == "Keep best: better, Dice 0.65 \N{RIGHTWARDS ARROW} 0.71"
    assert last.text == "Keep last: worse, Dice 0.65 \N{RIGHTWARDS ARROW} 0.30"
    assert discard.text.startswith("Discard: the network stays")


def test_where_the_last_weights_are_the_best_they_are_offered_once():
    assert [c.key for c in decision(tuned(numbers(0.5), numbers(0.6))).choices] == ["best", "discard"]


def test_a_training_that_only_made_it_worse_is_called_so():
    found = decision(tuned(numbers(0.73), numbers(0.73), numbers(0.54), step=0))
    assert found.words.startswith("Worse on what was held out: Dice 0.73 before, 0.54 after.")
    assert "best weights are those before the first step" in found.words
    assert found.words.endswith("Discard is advised.")
    assert [(c.key, c.advised) for c in found.choices] == [("discard", True), ("last", False)]


def test_the_conversion_alone_can_be_kept_where_training_made_it_worse():
    converted = numbers(0.73, seam_free=True)
    found = decision(tuned(numbers(0.73, seam_free=False), converted, numbers(0.54), step=0))
    assert [c.key for c in found.choices] == ["best", "last", "discard"]
    assert "tiles agree now" in found.words


def test_the_numbers_shown_are_those_that_the_decision_is_about():
    log = TrainingLog()
    for after, last, step, shown in ((0.73, 0.54, 0, 0.54), (0.8, 0.54, 6, 0.8), (0.8, None, 6, 0.8)):
        end = tuned(numbers(0.73), numbers(after), last and numbers(last), step=step)
        log.receive(Scored("after", end.after))
        log.receive(end)
        assert log.result.dice == shown


def test_where_nothing_is_held_out_nothing_is_called_best_or_better():
    before, after = numbers(0.5, held_out=False), numbers(0.9, held_out=False)
    found = decision(tuned(before, after, which="last"))
    assert [(c.key, c.text) for c in found.choices[:1]] == [("last", "Keep last")]
    assert not any(choice.advised for choice in found.choices)
    assert "no number shows" in found.words
    assert found.kind == ""


def test_a_training_that_ended_before_it_was_measured_is_not_called_good():
    found = decision(None)
    assert "not measured" in found.words
    assert not any(choice.advised for choice in found.choices)


@pytest.mark.parametrize(
    ("strokes", "said"),
    [(1, "Only one stroke was"), (6, "Only 6 strokes were"), (10, ""), (None, "")],
)
def test_few_strokes_are_called_a_weak_comparison(strokes, said):
    words = verdict_words(numbers(0.5), numbers(0.6, strokes=strokes))
    assert said in words
    assert ("little to compare by" in words) == bool(said)


def test_seams_that_are_gone_are_named():
    words = verdict_words(numbers(0.5, seam_free=False), numbers(0.5, seam_free=True))
    assert "tiles agree now" in words


def test_weights_from_before_the_first_step_are_not_called_best():
    assert kept_words("best", 0) == "the weights before the first step are kept"
    assert kept_words("best", 4) == "the best weights are kept, those after step 4"
    assert kept_words("last", 9) == "the last weights are kept, those after step 9"
