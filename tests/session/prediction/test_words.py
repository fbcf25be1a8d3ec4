"""What the Predict panel says of plans, runs, results and troubles: a function of what stands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.errors import ImageError, NonFiniteError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import open_network
from napari_tileseg.prediction import plan_tiles
from napari_tileseg.prediction.events import Saved, Started, TileDone
from napari_tileseg.session import Ended, ImageReference, Result
from napari_tileseg.session.prediction.readiness import Situation
from napari_tileseg.session.prediction.result_words import at_hand, result_words, titles, unsaved
from napari_tileseg.session.prediction.run_story import RunStory, RunWords, VoxelsChanged, run_words
from napari_tileseg.session.prediction.words import (
    input_words,
    note_words,
    plan_words,
    remedy,
    trouble_words,
)
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Tile

HERE, ELSEWHERE = Path("predictions/a.ome.zarr"), Path("predictions/b.ome.zarr")
TILE = Tile((0, 0), Box((0, 0), (4, 4)), Box((0, 0), (4, 4)))
READY = Situation(image=True, network=True, known=True, measured=True)


def result(path=HERE, image="embryo_01", network="nuclei", fingerprint="1" * 64, **values):
    reference = ImageReference(name=image, uri="", fingerprint=fingerprint)
    return Result(
        name=f"{image} {network}",
        path=path,
        image=reference,
        network=network,
        network_sha256=network.ljust(64, "0"),
        **values,
    )


def story(*events):
    told = RunStory(result=result(), begun=0.0)
    for event in events:
        told = told.after(event)
    return replace(told, begun=0.0)


STARTED = Started(total=32, done=0)
FIVE = TileDone(tile=TILE, done=5, total=32, seconds=10.0, seconds_left=54.0)
RUNNING = {
    "nothing yet": ((), "Starting"),
    "measuring": ((Progress("Measuring intensities", 0.25),), "Measuring intensities: 25%"),
    "one big tile": ((Started(total=1, done=0),), "0 / 1 tiles, 40 s so far"),
    "some tiles": ((STARTED, FIVE), "5 / 32 tiles, about 14 s left"),
    "the pyramid": ((STARTED, FIVE, Progress("Pyramid", 0.5)), "Pyramid: 50%"),
}


@pytest.mark.parametrize(("events", "words"), RUNNING.values(), ids=RUNNING)
def test_a_run_says_how_far_it_is_and_of_what_while_something_else_is_chosen(events, words):
    here = run_words(story(*events), HERE, 40.0)
    assert here.text.startswith(words)
    assert here.shown
    other = run_words(story(*events), ELSEWHERE, 40.0)
    assert other.text == f"embryo_01 with nuclei: {here.text}"
    assert (other.value, other.maximum) == (here.value, here.maximum)
    assert not other.here


ENDED = {
    "done": ((STARTED, Saved(HERE, 32, 32, 60.0), Ended()), "Done: 32 tiles in 60 s"),
    "cancelled": ((STARTED, FIVE, Ended(cancelled=True)), "Cancelled"),
    "failed": ((STARTED, FIVE, Ended(error=StoreError("full"))), "Stopped"),
    "failed at once": ((Ended(error=ImageError("gone")),), "Stopped"),
}


@pytest.mark.parametrize(("events", "words"), ENDED.values(), ids=ENDED)
def test_an_end_is_spoken_of_beside_its_own_image_only(events, words):
    assert run_words(story(*events), HERE, 0.0).text.startswith(words)
    for place in (ELSEWHERE, None):
        assert run_words(story(*events), place, 0.0) == RunWords()


@pytest.mark.parametrize("events", [(), (Started(total=1, done=0),), (STARTED,)])
def test_a_bar_moves_though_no_tile_is_done_yet(events):
    assert run_words(story(*events), HERE, 0.0).maximum == 0
    assert run_words(story(Started(total=32, done=9)), HERE, 0.0).value == 9


def test_a_run_goes_with_the_voxels_it_has_found():
    moved = story(VoxelsChanged(result=result(ELSEWHERE)), Noted("changed"), Noted("changed"), STARTED)
    assert run_words(moved, ELSEWHERE, 0.0).here
    assert run_words(moved, ELSEWHERE, 0.0).notes == ("changed",)
    assert run_words(moved, HERE, 0.0).notes == ()


def test_what_is_asked_to_stop_says_so():
    assert "Stopping" in run_words(replace(story(STARTED, FIVE), stopping=True), HERE, 0.0).text
    assert run_words(None, HERE, 0.0) == RunWords()


def test_a_warning_of_the_plan_is_not_said_again_by_the_run_nor_an_error_twice():
    run = RunWords(notes=("Tiles will show", "less memory", "run the same command again"), trouble="")
    assert note_words(run, ("Tiles will show",)) == "less memory\npress Predict again"
    assert note_words(RunWords(notes=("a",)), ("a",)) == ""
    errors = [StoreError("a; run the same command again."), StoreError("a; run the same command again.")]
    assert trouble_words(errors, RunWords(trouble="b")) == "a; press Predict again.\nb"
    assert trouble_words((), RunWords()) == ""


@pytest.fixture(scope="module")
def spec():
    return open_network("sample:cells_2d_batch_renorm").spec


def plan(spec, **values):
    return plan_tiles(Image(data=np.zeros((64, 64), np.uint8), axes="yx", name="cells", **values), spec)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({}, ["is not known"]),
        ({"voxel_size": (3.0, 3.0), "units": ("pixel", "pixel")}, ["is not known"]),
        ({"voxel_size": (0.65, 0.65), "units": ("micrometer", "micrometer")}, []),
        ({"voxel_size": (650.0, 650.0), "units": ("nanometer", "nanometer")}, []),
        ({"voxel_size": (0.1, 0.1), "units": ("micrometer", "micrometer")}, ["the image has 0.1"]),
    ],
)
def test_the_size_the_network_wants_is_said_once_where_it_is_not_the_images(spec, place, words):
    warnings = plan_words(plan(spec, **place), spec).warnings
    assert len([text for text in warnings if "trained at" in text]) == len(words)
    assert all(word in " ".join(warnings) for word in words)


def test_each_warning_is_said_once_and_the_reason_of_the_card_is_left_to_the_card(spec):
    tiles = replace(plan(spec), warnings=(f"Tiles will show: {spec.reason}", "a", "a"), notes=("a", "b"))
    warnings = plan_words(tiles, spec).warnings
    assert warnings[:3] == ("Tiles will show (see Why? above).", "a", "b")
    assert plan_words(None, spec).tiles == plan_words(tiles, None).tiles == ""


@pytest.mark.parametrize(
    ("change", "progress", "words"),
    [
        ({"measure_problem": ImageError("flat")}, None, "not measured"),
        ({"plan_problem": ImageError("rgb")}, None, "\N{EN DASH}"),
        ({"image": False}, None, "\N{EN DASH}"),
        ({"measured": False}, None, "measuring\N{HORIZONTAL ELLIPSIS}"),
        ({"measured": False}, Progress("m", 0.25), "measuring intensities, 25%, about 30 s left"),
        ({"measured": False, "routing": True}, None, "measured next"),
        ({"measured": False, "opening_network": True}, None, "\N{EN DASH}"),
    ],
)
def test_the_input_says_how_far_measuring_is(change, progress, words):
    assert input_words(None, replace(READY, **change), progress, 10.0)[0] == words


def test_what_can_be_done_at_once_is_offered_as_long_as_it_helps():
    settings = PredictSettings()
    nan = replace(READY, measure_problem=NonFiniteError("NaN"))
    zero, resampled = replace(settings, nonfinite="zero"), replace(settings, resample=True)
    assert remedy(nan, settings, other_size=True) == ("Take them as zero", zero)
    assert remedy(READY, settings, other_size=True) == ("Resample to the network's voxel size", resampled)
    assert remedy(READY, resampled, other_size=True) == ("", resampled)
    assert remedy(READY, settings, other_size=False) == ("", settings)
    words, measured = remedy(READY, settings, other_size=False, empty=True)
    assert (words, measured.intensities) == ("Measure intensities where there is content", "region")
    misfit = replace(READY, plan_problem=ImageError("rgb"))
    assert remedy(misfit, settings, other_size=True) == ("", settings)


def test_the_result_at_hand_is_of_what_is_chosen():
    first, again = result(), result(ELSEWHERE)
    other = result(Path("c"), image="embryo_02", fingerprint="2" * 64)
    tuned = result(Path("d"), network="nuclei tuned")
    saved = result(Path("e"), saved=True)
    kept = unsaved((first, again, other, tuned, saved))
    assert kept == (tuned, other, again, first)
    assert at_hand(kept, first.image, first.network_sha256, HERE) == first
    assert at_hand(kept, first.image, first.network_sha256, None) == again
    assert at_hand(kept, other.image, first.network_sha256, None) == other
    assert at_hand(kept, first.image, tuned.network_sha256, None) == tuned
    assert at_hand(kept, other.image, tuned.network_sha256, None) is None
    assert at_hand(kept, None, "", None) is None


def test_results_are_told_apart_by_name_and_say_where_they_are():
    first, again = result(), result(ELSEWHERE)
    other = result(Path("c"), image="embryo_02")
    names = titles((again, other, first))
    assert names == ("embryo_01 with nuclei, the latest", "embryo_02 with nuclei", names[2])
    assert len(set(names)) == 3
    assert "embryo_01 with nuclei, not saved yet: 2" in result_words(first, 1, 2_000_000, None)
    assert result_words(None, 0, None, None) == ""
    assert result_words(None, 0, None, replace(first, saved=True)).startswith(
        "embryo_01 with nuclei, saved at"
    )
    assert "choose one here" in result_words(None, 2, None, None)
    assert result_words(None, 1, None, None).startswith("1 result of another image or network is")
