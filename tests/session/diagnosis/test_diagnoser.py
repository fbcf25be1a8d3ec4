"""Diagnoses of a session: what they keep, what they leave behind, and what is not heard of."""

import json
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_tileseg._progress import Progress
from napari_tileseg.diagnosis import mismatch_heatmap
from napari_tileseg.diagnosis.record import as_record
from napari_tileseg.errors import ImageError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.labels import classes_from_instances
from napari_tileseg.prediction import predict
from napari_tileseg.samples import cells_image
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.diagnosis.files import FILE, FOLDER, read_finding, read_findings
from napari_tileseg.session.diagnosis.words import (
    cause_words,
    comparison,
    is_well,
    no_places_words,
    number_words,
    place_words,
    run_words,
    skipped_words,
    trial_rows,
    trial_words,
    verdict_words,
)
from napari_tileseg.session.project.project import read_project
from napari_tileseg.settings import LabelSettings, PredictSettings
from napari_tileseg.tiling import Box

SETTINGS = PredictSettings(core=(64, 64), statistics="tile")
OBJECTS = LabelSettings(labels_kind="instances")


@pytest.fixture(scope="module")
def cells():
    return cells_image((192, 160))


def wait_until_ready(session):
    end = time.monotonic() + 60
    while not session.readiness.ready:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def session(tmp_path, cells, networks):
    session = Session(tmp_path / "project")
    session.set_settings(SETTINGS)
    session.set_image(Image(data=cells.image, axes="yx", name="cells", voxel_size=(0.65, 0.65)))
    session.set_network(networks["instance"])
    wait_until_ready(session)
    yield session
    session.close()


@pytest.fixture
def diagnosing(session):
    diagnosing = Diagnoser(session)
    diagnosing.events, diagnosing.problems, diagnosing.news = [], [], []
    diagnosing.reported.connect(diagnosing.events.append)
    diagnosing.failed.connect(diagnosing.problems.append)
    diagnosing.found.connect(lambda _: diagnosing.news.append("found"))
    diagnosing.dropped.connect(lambda: diagnosing.news.append("dropped"))
    yield diagnosing
    diagnosing.close()
    # A thread whose work is over may still be on its way out.
    left = [thread for thread in threading.enumerate() if thread.name.startswith("tileseg-diagnose")]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


def run(diagnosing, look_at="sample", **how):
    diagnosing.start(look_at, **how)
    assert diagnosing.wait(60)
    return diagnosing.findings[-1] if diagnosing.findings else None


def plain(values):
    """Give values as JSON reads them."""
    return json.loads(json.dumps(values))


def shown(finding):
    """Give all that a panel says of a finding."""
    diagnosis = finding.diagnosis
    words = (verdict_words, is_well, cause_words, no_places_words)
    places = [place_words(place, diagnosis.axes) for place in diagnosis.mismatch.worst]
    return [say(diagnosis) for say in words], run_words(finding), places, comparison(finding, finding)


def test_a_finding_is_kept_in_the_project_and_read_back(diagnosing, session):
    finding = run(diagnosing)
    assert diagnosing.news == ["found"]
    diagnosis = finding.diagnosis
    assert not diagnosis.seam_free
    assert "InstanceNorm" in diagnosis.audit.cause
    assert diagnosis.audit.causes[0].name == "feature normalization"
    assert (diagnosis.image, diagnosis.axes, diagnosis.shape) == ("cells", "yx", (192, 160))
    (read,) = read_findings(session.folder)
    assert read == finding
    assert plain(as_record(read.diagnosis)) == plain(as_record(diagnosis))
    assert shown(read) == shown(finding)
    assert Diagnoser(session).findings == (finding,)
    assert read_project(session.folder) == session.project_folder.project


def test_the_largest_difference_is_where_the_worst_place_says(diagnosing):
    finding = run(diagnosing, "everything")
    values = np.asarray(zarr.open_array(finding.folder / "pairs.zarr", mode="r"))
    names = [each.name for each in finding.diagnosis.classes]
    diagnosis, places = finding.diagnosis, finding.diagnosis.mismatch.worst
    worst = places[0]
    largest = max(each.mismatch.largest for each in diagnosis.classes)
    assert worst.difference == diagnosis.max_abs_difference == largest
    assert len({(place.first, place.second) for place in places}) > 1
    assert values[(names.index(worst.class_name), *worst.point)] == pytest.approx(np.nanmax(values), rel=1e-6)
    assert worst.difference == pytest.approx(np.nanmax(values), rel=1e-6)
    profile = finding.profiles[0]
    at = worst.point[diagnosis.axes.index(profile.axis)] - profile.start
    assert abs(profile.first[at] - profile.second[at]) == pytest.approx(worst.difference, abs=2e-6)
    assert worst.first.contains(Box(worst.point, tuple(n + 1 for n in worst.point)))


def test_the_map_of_everything_is_the_lazy_heatmap(diagnosing, session):
    finding = run(diagnosing, "everything")
    assert diagnosing.news == ["found"]
    expected = mismatch_heatmap(session.image, session.network, SETTINGS).compute()
    found = np.asarray(zarr.open_array(finding.heatmap, mode="r"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_only_what_is_in_view_is_looked_at(diagnosing):
    finding = run(diagnosing, "view", box=Box((60, 20), (140, 100)))
    values = np.asarray(zarr.open_array(finding.heatmap, mode="r"))
    assert np.isfinite(values[:, 60:140, 20:100]).all()
    outside = np.ones(values.shape, bool)
    outside[:, 60:140, 20:100] = False
    assert np.isnan(values[outside]).all()
    assert all(60 <= place.point[0] < 140 for place in finding.diagnosis.mismatch.worst)


@pytest.mark.parametrize("look_at", ["view", "sample", "everything"])
def test_where_one_tile_holds_all_that_is_the_answer(diagnosing, session, look_at):
    session.set_settings(PredictSettings(statistics="tile"))
    wait_until_ready(session)
    assert len(session.plan.tiles.grid) == 1
    finding = run(diagnosing, look_at, **({"box": Box((0, 0), (50, 50))} if look_at == "view" else {}))
    assert diagnosing.news == ["found"]
    diagnosis = finding.diagnosis
    assert verdict_words(diagnosis).startswith("One tile holds the whole image (192 x 160 voxels)")
    assert is_well(diagnosis)
    assert (diagnosis.mismatch.pairs, diagnosis.mismatch.worst) == (0, ())
    assert no_places_words(diagnosis) == "There are no two tiles to compare."
    assert "InstanceNorm" in diagnosis.audit.cure


def test_nothing_in_view_is_said(diagnosing, session):
    with pytest.raises(SettingsError, match="in view"):
        diagnosing.start("view", Box((0, 0), (0, 0)))
    with pytest.raises(SettingsError, match="Choose an image"):
        Diagnoser(Session(session.folder)).start("sample")


def test_a_network_that_agrees_beside_one_that_does_not(diagnosing, session, networks):
    before = run(diagnosing)
    session.set_network(networks["batch"])
    session.set_settings(SETTINGS)
    wait_until_ready(session)
    after = run(diagnosing)
    assert after.diagnosis.seam_free
    assert after.diagnosis.mismatch.worst == ()
    assert cause_words(after.diagnosis) == ""
    assert "agree" in verdict_words(after.diagnosis)
    assert "disagree" in verdict_words(before.diagnosis)
    assert not is_well(before.diagnosis)
    rows = {name: values for name, *values in comparison(before, after)}
    assert rows["tiles agree"] == ["no", "yes"]
    assert rows["1 - Dice, foreground"][0] == number_words(before.diagnosis.classes[0].mismatch.tile_mismatch)


def test_axes_without_room_for_two_tiles_are_named_in_one_line():
    assert skipped_words(()) == ""
    words = skipped_words((("z", "every tile sees all of it"), ("y", "every tile sees all of it")))
    assert words == "Not compared along z and y: every tile sees all of it."


def test_labels_give_dice_in_both_modes(diagnosing, cells):
    finding = run(diagnosing, labels=cells.labels, meaning=OBJECTS)
    assert all(0 <= each.dice_eval <= 1 for each in finding.diagnosis.classes)


def test_what_labels_hold_has_to_be_said(diagnosing, cells):
    assert run(diagnosing, labels=cells.labels) is None
    assert "instances" in str(diagnosing.problems[-1])


def test_labels_of_classes(diagnosing, cells):
    foreground, boundary = classes_from_instances(cells.labels)
    objects = run(diagnosing, labels=cells.labels, meaning=OBJECTS)
    classes = run(diagnosing, labels=foreground + 2 * boundary, meaning=LabelSettings(labels_kind="classes"))
    assert classes.diagnosis.dice == objects.diagnosis.dice


def test_labels_of_another_shape_are_explained_and_leave_nothing(diagnosing, session):
    assert run(diagnosing, labels=np.zeros((5, 5), int), meaning=OBJECTS) is None
    assert isinstance(diagnosing.problems[0], ImageError)
    assert list((session.folder / FOLDER).iterdir()) == []


def test_cancelling_leaves_no_folder(diagnosing, session):
    diagnosing.reported.connect(lambda event: isinstance(event, Progress) and diagnosing.cancel())
    assert run(diagnosing, "everything") is None
    assert diagnosing.events[-1] == Ended(None, cancelled=True)
    assert list((session.folder / FOLDER).iterdir()) == []


@pytest.mark.parametrize("what", ["image", "network"])
def test_late_answers_are_dropped(session, networks, cells, what):
    """What the thread tells arrives after image or network were replaced, as with an event loop."""
    waiting = []
    diagnosing = Diagnoser(session, waiting.append)
    news = []
    for signal in (diagnosing.reported, diagnosing.found, diagnosing.failed):
        signal.connect(news.append)
    diagnosing.start("sample")
    assert diagnosing.wait(60)
    if what == "image":
        session.set_image(Image(data=cells.image[:100], axes="yx", name="other"))
    else:
        session.set_network(networks["batch"])
    while waiting:
        waiting.pop(0)()
    assert news == []
    assert diagnosing.findings == ()
    diagnosing.close()


def test_a_report_is_written(diagnosing, tmp_path):
    finding = run(diagnosing)
    pages = []
    diagnosing.report_written.connect(pages.append)
    diagnosing.write_report(finding, tmp_path / "report")
    assert diagnosing.wait(60)
    assert diagnosing.problems == []
    assert "InstanceNorm" in pages[0].read_text(encoding="utf-8")
    assert not diagnosing.can_report(replace(finding, when="2000-01-01T00:00:00+00:00"))


def test_a_report_without_matplotlib_fails_before_anything_is_computed(diagnosing, tmp_path, monkeypatch):
    finding = run(diagnosing)
    seen = len(diagnosing.events)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    diagnosing.write_report(finding, tmp_path / "report")
    assert diagnosing.wait(60)
    (problem,) = diagnosing.problems
    assert 'pip install "napari-tileseg[report]"' in problem.in_panel
    assert not any(isinstance(event, Progress) for event in diagnosing.events[seen:])
    assert not (tmp_path / "report").exists()


def test_a_damaged_finding_does_not_hide_the_others(diagnosing, session):
    kept = run(diagnosing)
    damaged = run(diagnosing)
    (damaged.folder / FILE).write_text("{}")
    assert read_findings(session.folder) == (kept,)
    with pytest.raises(StoreError, match="diagnose again"):
        read_finding(damaged.folder)


def test_a_cure_is_tried_on_what_is_in_view_and_predicted_so(diagnosing, session):
    finding = run(diagnosing)
    assert diagnosing.can_try(finding)
    trials = []
    diagnosing.tried.connect(trials.append)
    diagnosing.try_cure(finding, Box((60, 20), (140, 100)))
    assert diagnosing.wait(60)
    (trial,) = trials
    assert (trial.part, trial.before.shape) == (Box((60, 20), (140, 100)), (2, 80, 80))
    assert trial.difference_after < 1e-4 < trial.difference_before
    assert not np.allclose(trial.before, trial.after, atol=1e-3)
    names = [row[0] for row in trial_rows(trial)]
    assert names[0] == "difference of tiles"
    assert str(trial.region) in trial_words(trial)
    assert diagnosing.problems == []
    diagnosing.predict_so(trial)
    assert session.settings.statistics == "region"
    assert session.settings.core == SETTINGS.core
    assert not diagnosing.can_try(finding)
    with pytest.raises(SettingsError, match="of another prediction"):
        diagnosing.try_cure(finding)


def test_labels_give_a_trial_its_dice(diagnosing, cells):
    trials = []
    diagnosing.tried.connect(trials.append)
    diagnosing.try_cure(run(diagnosing), None, cells.labels, OBJECTS)
    assert diagnosing.wait(60)
    assert len(trials[0].dice) == 2
    assert [row[0] for row in trial_rows(trials[0])][-1].startswith("Dice, ")


def test_a_trial_is_kept_as_a_network_that_is_opened(diagnosing, session, tmp_path):
    trials, paths = [], []
    diagnosing.tried.connect(trials.append)
    diagnosing.network_kept.connect(paths.append)
    diagnosing.try_cure(run(diagnosing))
    assert diagnosing.wait(60)
    with pytest.raises(StoreError, match="safetensors"):
        diagnosing.keep_network(trials[0], tmp_path / "a.zarr")
    diagnosing.keep_network(trials[0], tmp_path / "a.safetensors")
    assert diagnosing.wait(60)
    assert paths == [tmp_path / "a.safetensors"]
    assert "dropped" not in diagnosing.news
    assert session.network.spec.seam_free
    # What it predicts of this image is what was tried.
    assert session.settings == replace(SETTINGS, statistics="auto", intensities="region")
    wait_until_ready(session)
    found = predict(session.image, session.network, session.settings)[(slice(None), *trials[0].part.slices)]
    np.testing.assert_allclose(found, trials[0].after, atol=1e-5)
    assert session.network.reference.path == str(tmp_path / "a.safetensors")
    assert session.network.spec.norm_counts == {"batch": len(session.network.description.frozen)}


def test_a_trial_stops_when_asked_to_and_what_cannot_be_cured_is_not_tried(diagnosing, session, networks):
    finding = run(diagnosing)
    trials = []
    diagnosing.tried.connect(trials.append)
    diagnosing.reported.connect(lambda event: isinstance(event, Progress) and diagnosing.cancel())
    diagnosing.try_cure(finding)
    assert diagnosing.wait(60)
    assert trials == []
    assert diagnosing.events[-1] == Ended(None, True)
    session.set_network(networks["batch"])
    wait_until_ready(session)
    assert not diagnosing.can_try(finding)
    assert not diagnosing.can_try(run(diagnosing))
