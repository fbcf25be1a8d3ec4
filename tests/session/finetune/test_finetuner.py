"""Teaching a session's network: shown, paused, stopped, kept, undone, and never lost. No Qt."""

import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tileseg import nets
from napari_tileseg._progress import Noted, Progress, drain
from napari_tileseg.diagnosis import region_predictor
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import DeviceError, ImageError, NetworkError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.samples import cells_image
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.session.finetune.log import TrainingLog
from napari_tileseg.session.finetune.preview import Pace, Preview
from napari_tileseg.session.finetune.words import (
    conversion_words,
    error_words,
    number_rows,
    offer_words,
    painted_words,
    progress_words,
    remark_words,
    rescued_words,
    step_words,
    trained_words,
)
from napari_tileseg.session.painting.counts import Painted
from napari_tileseg.session.project.network_files import is_of_project, is_rescued, new_network_path
from napari_tileseg.session.project.project import Project, write_project
from napari_tileseg.session.project.recent import recent_networks, record_recent
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training.events import StepDone, Trained, Validated
from napari_tileseg.training.steps.stepper import Stepper
from napari_tileseg.training.trainer import Trainer
from napari_tileseg.workflows.finetuning_events import Scored, TileShown
from napari_tileseg.workflows.scores import ClassNumbers, Numbers

STROKES = LabelSettings(labels_kind="strokes")


@pytest.fixture(scope="module")
def image():
    cells = cells_image((160, 128))
    return Image(cells.image, "yx", name="cells", voxel_size=cells.voxel_size)


@pytest.fixture(scope="module")
def labels():
    painted = np.zeros((160, 128), np.uint8)
    for value, row in ((1, 20), (1, 50), (2, 80), (2, 100), (3, 120), (3, 140)):
        painted[row, 20:50] = value
    return painted


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def session(tmp_path, monkeypatch, image, networks):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))
    session = Session(tmp_path / "project")
    session.set_settings(PredictSettings(core=(64, 64)))
    session.set_image(image)
    session.set_network(networks["instance"])
    wait_for(lambda: session.readiness.ready)
    yield session
    session.close()


@pytest.fixture
def finetuner(session):
    finetuner = Finetuner(session)
    yield finetuner
    finetuner.close()


@pytest.fixture
def start(finetuner, labels, image):
    """Begin to train, and wait for the first step."""

    def begin(steps=400, **settings):
        told = []
        finetuner.reported.connect(told.append)
        finetuner.failed.connect(told.append)
        training = TrainSettings(steps=steps, **settings)
        finetuner.start(labels, STROKES, training, Box.of_shape(image.shape))
        wait_for(lambda: any(isinstance(e, (StepDone, Ended)) for e in told))
        assert not any(isinstance(e, Exception) for e in told), told
        return told

    return begin


def raising(error):
    """Make a function that only raises."""

    def call(*_, **__):
        raise error

    return call


def threads(kind):
    return [each for each in threading.enumerate() if each.name.startswith(f"tileseg-{kind}")]


def steps(told):
    return sum(isinstance(event, StepDone) for event in told)


def test_kept_it_is_the_sessions_network_and_undo_brings_the_former_back(finetuner, start, session, networks):
    told = start(steps=4)
    wait_for(lambda: finetuner.state == "deciding")
    assert steps(told) == 4
    kept = []
    finetuner.kept.connect(kept.append)
    finetuner.keep("best")
    wait_for(lambda: kept and session.network is not networks["instance"])
    assert session.network.reference.path == str(kept[0])
    assert kept[0].is_relative_to(session.folder / "networks")
    assert session.network.spec.seam_free
    assert finetuner.former is networks["instance"]
    assert str(kept[0]) in recent_networks()
    finetuner.undo()
    assert session.network is networks["instance"]
    assert finetuner.former is None
    assert kept[0].exists()


@pytest.fixture
def teach(finetuner, start, session):
    """Train the session's network for a step, keep what comes of it, and give its path."""

    def run():
        start(steps=1)
        wait_for(lambda: finetuner.state == "deciding")
        finetuner.keep("last")
        wait_for(lambda: finetuner.state == "idle" and session.plan.normalization is not None)
        return session.network.reference.path

    return run


def test_undo_brings_back_what_the_present_network_has_replaced(finetuner, teach, session, networks):
    def opened(path):
        session.set_network(open_network(path))

    def undone():
        before = session.network
        finetuner.undo()
        return None if session.network is before else session.network.reference.path

    first, other = (networks[name].reference.path for name in ("instance", "batch"))
    second, third = teach(), teach()
    assert (undone(), undone(), undone()) == (second, first, None)
    opened(third)
    assert undone() == second
    opened(other)
    assert undone() is None
    wait_for(lambda: session.plan.normalization is not None)
    fourth = teach()
    opened(second)
    assert undone() == first
    opened(fourth)
    assert undone() == other


def test_what_is_kept_is_predicted_with_the_intensities_that_it_learned_from(finetuner, teach, session):
    """It needs no statistics of a region any more, which intensities went with."""
    learned_from = session.plan.normalization
    assert learned_from.region is not None
    teach()
    assert session.network.spec.seam_free
    assert session.plan.laid.settings.statistics == "tile"
    assert session.plan.normalization == learned_from
    finetuner.undo()
    assert session.plan.laid.settings.intensities_of == "region"


def test_another_network_in_a_kept_ones_place_has_replaced_nothing(finetuner, teach, session, networks):
    path = teach()
    shutil.copyfile(networks["batch"].reference.path, path)
    session.set_network(replaced := open_network(path))
    finetuner.undo()
    assert session.network is replaced


def test_undo_brings_back_a_network_that_was_opened_meanwhile(finetuner, start, session, networks):
    start(steps=1)
    wait_for(lambda: finetuner.state == "deciding")
    session.set_network(networks["batch"])
    finetuner.keep("last")
    wait_for(lambda: finetuner.state == "idle")
    finetuner.undo()
    assert session.network is networks["batch"]


def test_nothing_is_undone_while_a_training_is_not_settled(finetuner, teach, start, session):
    kept = teach()
    start(steps=1)
    wait_for(lambda: finetuner.state == "deciding")
    finetuner.undo()
    assert session.network.reference.path == kept


@pytest.fixture
def gate(monkeypatch):
    """Hold every network that is written until it is let through, and list where it is written."""
    gate, save = threading.Event(), Trainer.save
    gate.paths = []

    def held(self, which, path):
        gate.paths.append(path)
        assert gate.wait(60)
        return save(self, which, path)

    monkeypatch.setattr(Trainer, "save", held)
    yield gate
    gate.set()


def test_kept_twice_in_a_hurry_it_is_kept_once(finetuner, start, session, networks, gate):
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    kept, failed = [], []
    finetuner.kept.connect(kept.append)
    finetuner.failed.connect(failed.append)
    for _ in range(2):
        finetuner.keep("best")
    finetuner.discard()
    assert finetuner.state == "keeping"
    with pytest.raises(SettingsError, match="is being kept"):
        finetuner.start(np.zeros(1), STROKES, TrainSettings(), Box((0, 0), (1, 1)))
    gate.set()
    wait_for(lambda: finetuner.state == "idle")
    wait_for(lambda: not threads("keep"))
    assert (gate.paths, failed) == (kept, [])
    assert [path.name for path in (session.folder / "networks").iterdir()] == [kept[0].name]
    finetuner.undo()
    assert session.network is networks["instance"]


def test_it_is_being_kept_until_it_is_the_sessions(finetuner, start, session, networks, monkeypatch):
    """So that a training that is started then does not begin with the former network."""
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    opened, opening = threading.Event(), nets.open_network

    def slowly(*args):
        assert opened.wait(60)
        return opening(*args)

    monkeypatch.setattr(nets, "open_network", slowly)
    states = []
    session.network_changed.connect(lambda _: states.append(finetuner.state))
    finetuner.keep("best")
    written = session.folder / "networks"
    wait_for(lambda: written.exists() and list(written.glob("*.safetensors")))
    assert finetuner.state == "keeping"
    opened.set()
    wait_for(lambda: finetuner.state == "idle")
    assert states == ["keeping"]
    assert session.network is not networks["instance"]


@pytest.mark.parametrize("what", ["written", "opened"])
def test_what_cannot_be_kept_waits_for_a_decision_again(
    finetuner, start, session, networks, monkeypatch, what
):
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    failed = []
    finetuner.failed.connect(failed.append)
    with monkeypatch.context() as patch:
        if what == "written":
            (session.folder / "networks").write_text("no folder")
        else:
            patch.setattr(nets, "open_network", raising(NetworkError("It cannot be opened.")))
        finetuner.keep("best")
        wait_for(lambda: failed and finetuner.state == "deciding")
    assert ("should be written" if what == "written" else "cannot be opened") in str(failed[0])
    assert isinstance(failed[0], StoreError if what == "written" else NetworkError)
    assert session.network is networks["instance"]
    finetuner.undo()
    assert session.network is networks["instance"]
    if what == "written":
        (session.folder / "networks").unlink()
    finetuner.keep("best")
    wait_for(lambda: finetuner.state == "idle")
    assert session.network is not networks["instance"]


def test_closed_while_it_is_kept_it_is_kept(finetuner, start, session, gate):
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    finetuner.keep("last")
    wait_for(lambda: gate.paths)
    gate.set()
    finetuner.close()
    assert recent_networks()[0] == str(gate.paths[0])
    assert [path.name for path in session.folder.rglob("*.safetensors")] == [gate.paths[0].name]


def test_a_kept_network_can_be_exported(finetuner, start, session, tmp_path):
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    finetuner.keep("last")
    wait_for(lambda: finetuner.state == "idle" and session.network.spec.seam_free)
    told = []
    finetuner.exported.connect(told.append)
    finetuner.failed.connect(told.append)
    finetuner.export(tmp_path / "mine.safetensors")
    wait_for(lambda: told)
    assert open_network(told[0]).sha256 == session.network.sha256
    (tmp_path / "nowhere").write_text("a file")
    finetuner.export(tmp_path / "nowhere" / "mine.safetensors")
    wait_for(lambda: len(told) == 2)
    assert isinstance(told[1], StoreError)


def test_a_paused_training_waits_and_stop_acts_within_one_step(finetuner, start):
    told = start()
    finetuner.pause(True)
    wait_for(lambda: finetuner.paused)
    time.sleep(0.3)
    taken = steps(told)
    time.sleep(0.3)
    assert steps(told) == taken
    finetuner.pause(False)
    wait_for(lambda: steps(told) > taken)
    taken = steps(told)
    finetuner.stop()
    wait_for(lambda: finetuner.state == "deciding")
    assert steps(told) <= taken + 2


def test_stopping_before_the_first_step_ends_at_once(finetuner, labels, image):
    told = []
    finetuner.reported.connect(told.append)
    finetuner.reported.connect(lambda event: finetuner.stop() if isinstance(event, Progress) else None)
    finetuner.start(labels, STROKES, TrainSettings(steps=50), Box.of_shape(image.shape))
    wait_for(lambda: finetuner.state == "idle")
    assert not any(isinstance(event, (Scored, StepDone)) for event in told)
    words = progress_words(finetuner.log, "idle", paused=False, stopping=False)
    assert words == ("Stopped before the first step.", "")


def test_stopping_a_paused_training_ends_it(finetuner, start):
    start()
    finetuner.pause(True)
    finetuner.stop()
    wait_for(lambda: finetuner.state == "deciding")
    assert not finetuner.paused


def test_discarded_nothing_is_left(finetuner, start, session, networks):
    start(steps=2)
    wait_for(lambda: finetuner.state == "deciding")
    folder = finetuner.request.folder
    with pytest.raises(SettingsError, match="keep it or discard it"):
        finetuner.start(np.zeros(1), STROKES, TrainSettings(), Box((0, 0), (1, 1)))
    finetuner.discard()
    assert finetuner.state == "idle"
    wait_for(lambda: not folder.exists())
    assert session.network is networks["instance"]


def test_only_networks_that_a_project_holds_are_exported(tmp_path):
    path = new_network_path(tmp_path, "cells", "tuned")
    assert not is_of_project(str(path))
    write_project(tmp_path, Project())
    assert is_of_project(str(path))
    assert not is_of_project(str(path.with_suffix(".pt")))


def test_what_is_told_again_and_again_is_noted_once():
    log = TrainingLog()
    for text in ("The disk is full.", "Another.", "The disk is full."):
        log.receive(Noted(text))
    assert log.notes == ["The disk is full.", "Another."]


@pytest.mark.parametrize("when", ["running", "deciding"])
def test_closed_without_a_decision_the_best_weights_are_kept(finetuner, start, session, when):
    start(steps=2 if when == "deciding" else 400)
    wait_for(lambda: finetuner.state == when)
    finetuner.close()
    assert not threads("finetune")
    left = [path for path in recent_networks() if is_rescued(path)]
    assert [Path(path).name for path in left] == ["instance-rescued-1.safetensors"]
    assert open_network(left[0]).spec.classes == session.network.spec.classes
    assert "instance-rescued-1" in rescued_words(recent_networks())
    session.network_choice.open(left[0])
    wait_for(lambda: session.network.reference.path == left[0])
    again = new_network_path(session.folder, session.network.spec.name, "rescued")
    assert again.name == "instance-rescued-2.safetensors"
    record_recent("sample:another")
    assert rescued_words(recent_networks()) == ""


def test_closed_before_its_end_is_heard_of_the_best_weights_are_kept(session, labels, image):
    finetuner = Finetuner(session, [].append)
    finetuner.start(labels, STROKES, TrainSettings(steps=2), Box.of_shape(image.shape))
    wait_for(lambda: not threads("finetune"))
    assert finetuner.state == "running"
    finetuner.close()
    assert [Path(path).stem for path in recent_networks()] == ["instance-rescued-1"]


@pytest.mark.parametrize(("other", "words"), [(False, "image was removed"), (True, "Another image")])
def test_another_image_stops_the_training_and_it_is_said_why(finetuner, start, session, image, other, words):
    start()
    session.set_image(replace(image) if other else None)
    wait_for(lambda: finetuner.state == "deciding")
    said, kind = remark_words(finetuner.log, finetuner.state)
    assert words in said
    assert "What was learned can be kept." in said
    assert kind == "warning"


def test_stopped_by_the_user_nothing_else_is_said_to_have_stopped_it(finetuner, start, session):
    start()
    finetuner.stop()
    session.set_image(None)
    wait_for(lambda: finetuner.state == "deciding")
    assert finetuner.log.why == ""


def test_a_course_holds_all_that_was_told(finetuner, start):
    told = start(steps=4)
    wait_for(lambda: finetuner.state == "deciding")
    log = finetuner.log
    assert log.curve == [event for event in told if isinstance(event, (StepDone, Validated))]
    scored = [event.numbers for event in told if isinstance(event, Scored)]
    assert [log.before, log.after] == scored
    assert [log.trained] == [event for event in told if isinstance(event, Trained)]
    assert log.calibrated in told
    assert log.notes == [event.message for event in told if isinstance(event, Noted)]
    words = progress_words(log, finetuner.state, paused=False, stopping=False)
    assert words == (trained_words(log.trained, log.tuned), "")
    assert "in all, of which the steps took" in words[0]
    finetuner.discard()
    assert finetuner.log is None


def test_where_nothing_is_held_out_dice_is_not_said_to_be_of_that(finetuner, start):
    start(steps=1, held_out=0.0)
    wait_for(lambda: finetuner.state == "deciding")
    log = finetuner.log
    assert (log.before.held_out, log.after.held_out) == (False, False)
    rows = number_rows(log.before, log.after, log.validated)
    assert rows[0][0] == "Dice on labels it learned from"
    assert rows[0][1] != "\N{EN DASH}"


@pytest.fixture
def steps_that(monkeypatch):
    """Have a function in the place of taking the steps of a number on, from 0."""
    usual = Stepper.take_step

    def have(number, instead):
        def take(self, step, limits):
            if step < number:
                return (yield from usual(self, step, limits))
            return instead()

        monkeypatch.setattr(Stepper, "take_step", take)

    return have


@pytest.mark.parametrize("taken", [0, 2])
def test_a_loss_that_is_no_number_is_told_and_the_weights_before_can_be_kept(
    finetuner, start, steps_that, taken
):
    steps_that(taken, lambda: float("nan"))
    start(steps=6)
    wait_for(lambda: finetuner.state != "running")
    assert finetuner.state == ("deciding" if taken else "idle")
    said, kind = remark_words(finetuner.log, finetuner.state)
    assert "Try a lower learning rate" in said
    assert kind == "warning"
    words, kind = progress_words(finetuner.log, finetuner.state, paused=False, stopping=False)
    assert words == "The loss became NaN; back at the weights after step 0."
    assert kind == "warning"


@pytest.mark.parametrize("taken", [0, 2])
def test_memory_that_runs_out_is_told_and_what_was_learned_can_be_kept(
    finetuner, labels, image, session, steps_that, taken
):
    failed = []
    finetuner.failed.connect(failed.append)
    steps_that(taken, raising(DeviceError("It has too little memory.")))
    finetuner.start(labels, STROKES, TrainSettings(steps=6), Box.of_shape(image.shape))
    wait_for(lambda: failed)
    said, kind = remark_words(finetuner.log, finetuner.state)
    assert "too little memory" in said
    assert ("can be kept" in said) == bool(taken)
    assert kind == "error"
    assert finetuner.state == ("deciding" if taken else "idle")
    if taken:
        former = session.network
        finetuner.keep("last")
        wait_for(lambda: finetuner.state == "idle" and session.network is not former)


@pytest.mark.parametrize(
    ("learned", "event", "said"),
    [
        (False, Progress("Scoring on held-out strokes", 0.0), "Before the first step: scoring on held"),
        (False, Progress("Comparing tiles", 2, 4, 4.0), "comparing tiles, 50%, about 4 s left of it"),
        (True, Progress("Comparing tiles", 0, 1, 7.0), "After the last step: comparing tiles, 0%, about 7 s"),
        (True, Progress("Comparing statistics", 1, 1, 0.0), "statistics, 100%"),
    ],
)
def test_work_around_the_steps_has_words_and_an_estimate(learned, event, said):
    log = TrainingLog()
    log.learned = learned
    log.receive(event)
    words, kind = progress_words(log, "running", paused=False, stopping=False)
    assert said in words
    assert ("left of it" in words) == bool(event.seconds_left)
    assert kind == ""


def test_a_training_that_stops_of_itself_says_so_at_once():
    log = TrainingLog()
    log.why = "The image was removed."
    log.notes = ["One stroke only."]
    said = remark_words(log, "running")
    assert said == ("The image was removed. Training stops.\nOne stroke only.", "warning")
    assert progress_words(log, "running", paused=False, stopping=True)[0].startswith("Stopping")
    assert progress_words(log, "idle", paused=False, stopping=False)[0] == "Stopped before the first step."


def test_labels_that_do_not_fit_into_memory_are_told_of():
    assert "more memory than is free" in error_words(MemoryError())
    assert error_words(ImageError("Gone.")) == "Gone."
    assert "Unexpected KeyError" in error_words(KeyError("x"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: np.zeros_like(labels), "no stroke"),
        (lambda labels: np.where(labels == 1, labels, 0), "All strokes are foreground"),
        (lambda labels: np.where(labels == 3, 7, labels), "also hold 7"),
        (lambda labels: labels[:-1], "shape of the image"),
        (lambda labels: labels / 2, "whole numbers"),
        (lambda labels: labels * 50, "they hold 50, 100, 150"),
    ],
)
def test_bad_labels_are_told_and_leave_nothing_to_decide(finetuner, labels, image, change, words):
    told = []
    finetuner.failed.connect(told.append)
    finetuner.start(change(labels), STROKES, TrainSettings(steps=2), Box.of_shape(image.shape))
    wait_for(lambda: told and finetuner.state == "idle")
    assert words in str(told[0])
    said, kind = remark_words(finetuner.log, "idle")
    assert (said, kind) == (str(told[0]).replace(" (--map)", ""), "error")
    assert "--" not in said


@pytest.mark.parametrize(
    ("kind", "fill", "words"),
    [("instances", 0, "no object"), ("classes", 0, "no object"), ("classes", 2, "All that is labelled is")],
)
def test_labels_without_an_object_are_refused_before_anything_is_measured(
    finetuner, labels, image, kind, fill, words
):
    told = []
    finetuner.reported.connect(told.append)
    empty, meaning = np.full_like(labels, fill), LabelSettings(labels_kind=kind)
    finetuner.start(empty, meaning, TrainSettings(steps=2), Box.of_shape(image.shape))
    wait_for(lambda: told and finetuner.state == "idle")
    (ended,) = told
    assert words in str(ended.error)
    assert "right labels" in str(ended.error)


def test_labels_outside_of_the_box_that_is_predicted_are_refused(finetuner, labels, image, session):
    session.set_settings(replace(session.settings, box=((0, 16), (64, 128))))
    finetuner.start(labels, STROKES, TrainSettings(steps=2), Box.of_shape(image.shape))
    wait_for(lambda: finetuner.state == "idle")
    assert "outside of the box 0:16, 64:128" in str(finetuner.log.error)


@pytest.fixture
def untrainable(tmp_path, networks, as_code):
    """Make a network without norms, and one that is only code."""
    arguments = {"ndim": 2, "norm": "identity", "in_channels": 1, "features": (3, 4), "blocks": 1}
    described = {"arguments": arguments, "activation": "sigmoid", "classes": ("foreground", "boundary")}
    path = tmp_path / "plain.safetensors"
    plain = open_network(
        save_network(build("unet", **arguments), path, Description(architecture="unet", **described))
    )
    return {"plain": plain, "code": as_code(networks["instance"])}


@pytest.mark.parametrize(
    ("name", "words"),
    [("plain", "only norms may: it has no such weights"), ("code", "does not show as a graph")],
)
def test_a_network_with_nothing_to_learn_is_told(finetuner, labels, image, session, untrainable, name, words):
    session.set_network(untrainable[name])
    wait_for(lambda: session.plan.normalization is not None)
    told = []
    finetuner.failed.connect(told.append)
    finetuner.start(labels, STROKES, TrainSettings(steps=2, train="norms"), Box.of_shape(image.shape))
    wait_for(lambda: told and finetuner.state == "idle")
    assert isinstance(told[0], NetworkError)
    assert words in str(told[0])


class InChunks(SparseArray):
    """Labels that may be larger than memory."""

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("the labels were read as a whole")


def test_labels_in_chunks_are_never_made_whole(finetuner, labels, image):
    told, failed = [], []
    finetuner.reported.connect(told.append)
    finetuner.failed.connect(failed.append)
    kept = InChunks(labels.shape, (64, 64), labels.dtype)
    kept[...] = labels
    finetuner.start(kept, STROKES, TrainSettings(steps=2), Box.of_shape(image.shape))
    wait_for(lambda: any(isinstance(event, Ended) for event in told))
    assert (failed, steps(told)) == ([], 2)


def test_without_image_or_network_nothing_starts(tmp_path, labels):
    session = Session(tmp_path / "empty")
    finetuner = Finetuner(session)
    with pytest.raises(SettingsError, match="image and a network"):
        finetuner.start(labels, STROKES, TrainSettings(), Box((0, 0), (1, 1)))
    finetuner.close()


@pytest.fixture
def preview_at(image, networks):
    """Make a preview of a part of the image at a pace, with another network as the one before."""

    def make(**pace):
        settings = PredictSettings()
        plan = drain(plan_prediction(image, networks["batch"], settings, route=WHOLE_TILES))
        view = Box((32, 0), (96, 128))
        return Preview(image, networks["instance"], settings, plan.normalization, view, Pace(**pace))

    return make


def whole(image, network):
    """Give the network's output on the whole image, as torch computes it."""
    plan = drain(plan_prediction(image, network, PredictSettings(), route=WHOLE_TILES))
    box = Box.of_shape(plan.grid.padded_shape)
    with torch.no_grad():
        values = network.module(torch.as_tensor(plan.prepared.read(box))[None].float())
    return torch.sigmoid(values)[0].numpy()[(slice(None), *Box.of_shape(image.shape).slices)]


def test_the_preview_shows_what_the_network_gives_where_one_looks(preview_at, image, networks):
    # A tile in each turn, and a turn at each chance.
    preview, shown = preview_at(every=0.0, turn=0.0, share=1.0), []
    while not shown or len(shown) < len({event.box for event in shown}) + 1:
        shown += list(preview.turn(lambda: networks["batch"], lambda: False))
        assert len(shown) < 50
    now = np.asarray(preview.now)
    np.testing.assert_allclose(now[:, 32:96], whole(image, networks["batch"])[:, 32:96], atol=1e-5)
    assert np.isfinite(np.asarray(preview.before)[:, 32:96]).all()
    assert all(isinstance(event, TileShown) for event in shown)


def test_the_preview_keeps_to_its_turn(preview_at, networks):
    preview = preview_at(every=1000.0)
    newest = lambda: networks["batch"]  # noqa: E731
    assert not list(preview.turn(newest, lambda: True))
    assert list(preview.turn(newest, lambda: False))
    assert not list(preview.turn(newest, lambda: False))
    assert list(preview.turn(newest, lambda: False, last=True))
    preview.wanted = False
    assert not list(preview.turn(newest, lambda: False, last=True))


@pytest.mark.parametrize("error", [DeviceError("Full."), ImageError("Gone."), MemoryError("Full.")])
def test_a_live_prediction_that_fails_is_told_once_and_training_goes_on(
    session, labels, image, monkeypatch, error
):
    # Imported by the preview when it is first needed, and by what compares tiles before that.
    monkeypatch.setattr(region_predictor, "network_regions", raising(error))
    finetuner, told = Finetuner(session, pace=Pace(every=0.0, share=1.0)), []
    finetuner.reported.connect(told.append)
    finetuner.start(labels, STROKES, TrainSettings(steps=6), Box.of_shape(image.shape))
    wait_for(lambda: finetuner.state != "running")
    assert finetuner.state == "deciding"
    assert steps(told) == 6
    noted = [e.message for e in told if isinstance(e, Noted) and "live prediction" in e.message]
    assert noted == [f"The live prediction stopped: {str(error)[:-1]}; training goes on."]
    finetuner.close()


def numbers(dice, mismatch):
    classes = (ClassNumbers(name="a", dice=dice, tile_mismatch=mismatch, train_eval_disparity=0.25),)
    return Numbers(
        loss=1.0, classes=classes, seam_free=mismatch == 0, max_abs_difference=mismatch, held_out=True
    )


def test_numbers_in_words():
    live = Validated(step=3, loss=0.1, dice=(0.5,), score=0.5, best=True)
    assert number_rows(None, None, None)[0] == ("Dice", "\N{EN DASH}", "\N{EN DASH}")
    assert number_rows(numbers(None, 0.031), None, live)[0][1:] == ("\N{EN DASH}", "0.50")
    rows = number_rows(numbers(0.74, 0.031), numbers(0.81, 0.0), live)
    assert rows == [
        ("Dice on held-out strokes", "0.74", "0.81"),
        ("tiles disagree", "0.031", "not at all"),
        ("statistics do not fit", "0.250", "0.250"),
    ]


def test_painted_and_offered_in_words():
    from datetime import UTC, datetime

    assert painted_words({1: Painted(1, 1)}) == "1 voxel in 1 stroke"
    assert painted_words({1: Painted(1200, 3), 2: Painted(34, None)}) == "1,234 voxels"
    now = datetime(2030, 1, 2, 10, 42, 7, tzinfo=UTC)
    assert offer_words([now], now) == "Labels painted on this image were saved today at 10:42:07."
    assert "on 2030-01-02 at 10:42 and 1 earlier" in offer_words([now, now], now.replace(day=3))


def test_steps_and_conversion_in_words(networks):
    step = StepDone(
        step=3, total=0, loss=0.5, phase="batch", r_max=1, d_max=0, seconds=1, seconds_left=float("nan")
    )
    assert step_words(step) == "Step 3, loss 0.500"
    assert step_words(replace(step, total=9, seconds_left=40)) == "Step 3 / 9, loss 0.500, about 40 s left"
    trained = Trained(
        steps=1, seconds=2, reason="stopped", phase="full", best_step=1, best_score=float("nan")
    )
    assert trained_words(trained) == "Stopped after 1 step in 2 s."
    spec = networks["instance"].spec
    assert conversion_words(spec, "batch_renorm").startswith("3 InstanceNorm layers become BatchRenorm")
    assert conversion_words(spec, "keep").endswith("Tiles may still disagree.")
