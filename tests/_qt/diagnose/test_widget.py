"""Wiring of the Diagnose widget in a real viewer."""

import time

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QPushButton

from napari_tileseg._napari.drawing.tile_outlines import NAME
from napari_tileseg._napari.images.layer_image import image_of
from napari_tileseg._progress import Progress
from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.diagnose.widget import DiagnoseWidget
from napari_tileseg.settings import ImageSettings, PredictSettings


@pytest.fixture
def alone(viewer, qtbot, let_go):
    """Dock a Diagnose widget without a Predict widget."""
    widget = DiagnoseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Diagnose")
    yield widget
    let_go(widget)
    qtbot.wait(10)


@pytest.fixture
def asked(alone, viewer, networks, until):
    """Give its session an image and a network whose tiles disagree."""
    alone.session.set_settings(PredictSettings(statistics="tile", core=(64, 64)))
    alone.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    alone.session.set_network(networks["instance"])
    until(lambda: alone.form.diagnose.isEnabled())
    return alone


@pytest.fixture
def run(asked, until):
    def diagnose(look_at="sample"):
        known = len(asked.diagnosing.findings)
        asked.form.look_at.setCurrentIndex(asked.form.look_at.findData(look_at))
        asked.form.diagnose.click()
        until(lambda: len(asked.diagnosing.findings) > known and not asked.diagnosing.running)
        return asked.diagnosing.findings[-1]

    return diagnose


def test_it_says_what_to_choose_and_follows_the_session(alone, viewer, networks):
    assert "an image and a network" in alone.form.subject.text()
    assert not alone.form.diagnose.isEnabled()
    assert alone.form.panel.isHidden()
    alone.session.set_image(image_of(viewer.layers["cells"], ImageSettings()))
    assert "a network" in alone.form.subject.text()
    alone.session.set_network(networks["batch"])
    assert alone.form.subject.text().startswith("cells with")


def test_a_click_on_a_worst_place_moves_the_view_there(run, asked, viewer):
    finding = run("everything")
    viewer.scene.camera.center = (0.0, 0.0)
    # What a user sees of the list: a place without text has no button.
    shown = [go for go in asked.form.panel.places.findChildren(QPushButton) if not go.isHidden()]
    number = len(shown) - 1
    place = finding.diagnosis.mismatch.worst[number]
    shown[number].click()
    expected = np.asarray(viewer.layers["cells"].data_to_world(place.point))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], expected)
    outlines = viewer.layers[NAME]
    drawn = [(line[0], line[0] + line[1]) for line in outlines.data]
    assert np.min(drawn[:-2], axis=(0, 1)).tolist() == [
        a - 0.5 for a in np.minimum(place.first.start, place.second.start)
    ]
    for start, end in drawn[-2:]:
        np.testing.assert_allclose((start + end) / 2, place.point)
    assert viewer.layers[f"{place.class_name} mismatch of cells"].visible
    asked.form.tiles.setChecked(False)
    assert NAME not in viewer.layers


def test_a_finding_is_shown_in_words_numbers_and_layers(run, asked, viewer):
    finding = run("view")
    panel = asked.form.panel
    assert panel.verdict.text().startswith("\N{WARNING SIGN} Tiles disagree")
    assert "InstanceNorm" in panel.cause.text()
    assert panel.cure.text().startswith("Cure: ")
    cells = [panel.classes.item(row, 0).text() for row in range(panel.classes.rowCount())]
    assert cells == [each.name for each in finding.diagnosis.classes]
    shown = [layer for layer in viewer.layers if "mismatch" in layer.name and layer.visible]
    assert len(shown) == 1
    np.testing.assert_array_equal(shown[0].scale, viewer.layers["cells"].scale)
    assert shown[0].units == viewer.layers["cells"].units
    assert np.isfinite(np.asarray(shown[0].data)).all()
    asked.form.heatmap.setChecked(False)
    assert not shown[0].visible


def test_the_last_two_runs_are_side_by_side(run, asked, networks, until):
    run()
    assert not asked.form.panel.tabs.isTabVisible(4)
    asked.session.set_network(networks["batch"])
    assert "Changed since: network" in asked.form.panel.subject.text()
    asked.session.set_settings(PredictSettings(statistics="tile", core=(64, 64)))
    until(lambda: asked.form.diagnose.isEnabled())
    run()
    panel = asked.form.panel
    assert panel.verdict.text().startswith("\N{CHECK MARK} Tiles agree")
    rows = {
        panel.comparison.item(row, 0).text(): [panel.comparison.item(row, column).text() for column in (1, 2)]
        for row in range(panel.comparison.rowCount())
    }
    assert rows["tiles agree"] == ["no", "yes"]
    assert "network" in rows
    panel.before.click()
    assert "disagree" in panel.verdict.text()
    panel.after.click()
    assert "disagree" not in panel.verdict.text()


def test_a_short_text_after_a_long_one_takes_less_room(asked):
    label = asked.form.panel.cause
    label.show_text("long " * 100)
    high = label.minimumHeight()
    label.show_text("short")
    assert label.minimumHeight() < high


def test_cancel(asked, until):
    asked.diagnosing.reported.connect(lambda event: isinstance(event, Progress) and asked.form.cancel.click())
    asked.form.look_at.setCurrentIndex(asked.form.look_at.findData("everything"))
    asked.form.diagnose.click()
    assert asked.form.cancel.isEnabled()
    until(lambda: not asked.diagnosing.running)
    assert asked.form.progress.text() == "Cancelled."
    assert asked.form.diagnose.isEnabled()


@pytest.mark.parametrize("what", ["image", "network", "settings", "look at", "labels"])
def test_what_was_said_is_taken_back_once_it_is_about_something_else(asked, viewer, networks, until, what):
    form = asked.form
    form.look_at.setCurrentIndex(form.look_at.findData("everything"))
    asked.diagnosing.reported.connect(lambda event: isinstance(event, Progress) and form.cancel.click())
    form.diagnose.click()
    until(lambda: form.progress.text() == "Cancelled.")
    if what == "image":
        viewer.add_image(np.random.default_rng(0).random((90, 90)), name="another")
        asked.session.set_image(image_of(viewer.layers["another"], ImageSettings()))
    elif what == "network":
        asked.session.set_network(networks["batch"])
    elif what == "settings":
        asked.session.set_settings(PredictSettings(statistics="tile", core=(32, 64)))
    elif what == "look at":
        form.look_at.setCurrentIndex(form.look_at.findData("sample"))
    else:
        viewer.add_labels(np.zeros((192, 160), int), name="truth")
        form.labels.setCurrentIndex(1)
    assert form.progress.text() == ""
    assert form.message.text() == ""


def test_a_finding_says_what_it_is_of_and_what_has_changed_since(run, asked, networks, until):
    run()
    said = asked.form.panel.subject
    assert said.text().startswith("Found with core 64 x 64, a sample, 20")
    settings = asked.session.settings
    for changed, name in (
        (PredictSettings(statistics="tile", core=(32, 64)), "core"),
        (PredictSettings(statistics="tile", core=(64, 64), padding="edge"), "padding"),
    ):
        asked.session.set_settings(changed)
        assert f"Changed since: {name}. Diagnose again" in said.text()
        asked.session.set_settings(settings)
        assert "Changed since" not in said.text()
    asked.session.set_network(networks["batch"])
    assert "Changed since: network" in said.text()
    asked.session.set_network(networks["instance"])
    until(lambda: asked.session.readiness.ready)
    assert "network" not in said.text().partition("Changed since")[2]
    image = asked.session.image
    asked.session.set_image(None)
    assert said.text().startswith("Found in cells with "), "nothing else names them now"
    asked.session.set_image(image)
    until(lambda: said.text().startswith("Found with core"))


@pytest.mark.parametrize(
    "labels", [np.zeros((5, 5), int), np.zeros((160, 192), int), np.full((192, 160), -1)]
)
def test_labels_that_do_not_fit_leave_the_last_finding(run, asked, viewer, until, labels):
    finding = run()
    before = asked.form.panel.verdict.text()
    viewer.add_labels(labels, name="wrong")
    asked.form.labels.setCurrentIndex(1)
    asked.form.holding.setCurrentIndex(asked.form.holding.findData("instances"))
    asked.form.diagnose.click()
    until(lambda: asked.form.message.text() != "" and not asked.diagnosing.running)
    assert "--" not in asked.form.message.text()
    assert asked.diagnosing.findings == (finding,)
    assert asked.form.panel.verdict.text() == before


def test_layer_deleted_and_network_replaced_while_it_runs(asked, viewer, networks, until, no_thread_left):
    def meddle(event):
        if isinstance(event, Progress) and asked.session.network is networks["instance"]:
            viewer.layers.clear()
            asked.session.set_network(networks["batch"])

    asked.diagnosing.reported.connect(meddle)
    asked.form.look_at.setCurrentIndex(asked.form.look_at.findData("everything"))
    asked.form.diagnose.click()
    until(lambda: "replaced" in asked.form.progress.text())
    no_thread_left()
    QApplication.processEvents()
    assert asked.diagnosing.findings == ()
    assert asked.form.message.text() == ""
    until(lambda: asked.form.diagnose.isEnabled())


def test_labels_layers_are_offered(run, asked, viewer, cells):
    assert asked.form.labels.count() == 1
    viewer.add_labels(cells.labels, name="truth")
    assert asked.form.holding.isHidden()
    asked.form.labels.setCurrentIndex(1)
    assert not asked.form.holding.isHidden()
    asked.form.holding.setCurrentIndex(asked.form.holding.findData("instances"))
    assert all(each.dice_eval is not None for each in run().diagnosis.classes)
    assert not asked.form.panel.classes.isColumnHidden(4)
    viewer.layers.remove("truth")
    assert asked.form.labels.count() == 1


def test_a_report_goes_into_a_folder_that_need_not_be_there(run, asked, until, tmp_path, monkeypatch):
    run()
    target = tmp_path / "reports" / "new"
    asked_for = []
    monkeypatch.setattr(dialogs, "ask_report_folder", lambda _, title: asked_for.append(title) or target)
    asked.form.report.click()
    until(lambda: "Report written" in asked.form.message.text())
    assert asked_for == [asked.form.subject.text().replace("cells with ", "") + " on cells"]
    assert list(target.iterdir())


def test_an_open_question_keeps_diagnose_off_and_is_asked_in_the_words_of_the_menu(asked, viewer, cells):
    viewer.add_labels(cells.labels, name="truth")
    form = asked.form
    form.labels.setCurrentIndex(1)
    assert not form.diagnose.isEnabled()
    answers = [form.holding.itemText(i) for i in range(1, form.holding.count())]
    assert form.why.text() == f"Say what the labels hold: {' or '.join(answers)}."
    form.holding.setCurrentIndex(form.holding.findData("classes"))
    assert form.diagnose.isEnabled()
    assert form.why.text() == ""
    form.holding.setCurrentIndex(0)
    assert form.why.text()
    form.labels.setCurrentIndex(0)
    assert form.diagnose.isEnabled()
    form.labels.setCurrentIndex(1)
    viewer.layers.remove("truth")
    assert form.diagnose.isEnabled()


def test_a_network_or_image_being_opened_or_an_entry_that_cannot_be_read_keeps_diagnose_off(asked):
    asked.session.note_unread("settings", "halo should be pairs; got 'x'.")
    assert not asked.form.diagnose.isEnabled()
    assert "halo" in asked.form.why.text()
    asked.session.note_unread("settings", "")
    assert asked.form.diagnose.isEnabled()
    asked.session.network_choice.open("sample:cells_2d_batch_renorm")
    assert not asked.form.diagnose.isEnabled()
    assert "being opened" in asked.form.subject.text()
    assert asked.form.why.text() == ""


def test_an_image_of_one_tile_is_told_to_have_no_seam(asked, viewer, until):
    viewer.add_image(np.random.default_rng(0).random((40, 40)), name="small")
    asked.session.set_image(image_of(viewer.layers["small"], ImageSettings()))
    asked.session.set_settings(PredictSettings(statistics="tile"))
    until(lambda: asked.form.diagnose.isEnabled())
    asked.form.look_at.setCurrentIndex(asked.form.look_at.findData("sample"))
    asked.form.diagnose.click()
    until(lambda: "One tile holds the whole image" in asked.form.panel.verdict.text())
    assert asked.form.panel.verdict.text().startswith("\N{CHECK MARK}")
    assert not [layer.name for layer in viewer.layers if "mismatch" in layer.name]
    assert not asked.form.heatmap.isEnabled()


def test_what_was_compared_has_a_heatmap_after_what_was_not(run, asked, viewer, until):
    asked.session.set_settings(PredictSettings(statistics="tile"))
    until(lambda: asked.form.diagnose.isEnabled())
    run()
    asked.session.set_settings(PredictSettings(statistics="tile", core=(64, 64)))
    until(lambda: asked.form.diagnose.isEnabled())
    run()
    assert asked.form.heatmap.isEnabled()
    assert [layer.name for layer in viewer.layers if "mismatch" in layer.name]
    asked.form.panel.before.click()
    assert not asked.form.heatmap.isEnabled()
    assert not [layer.name for layer in viewer.layers if "mismatch" in layer.name]


def test_plots_are_drawn_with_and_without_numbers(run, asked):
    plots = (asked.form.panel.histogram, asked.form.panel.disparity, asked.form.panel.profile)
    for plot in plots:
        plot.grab()
    run()
    for plot in plots:
        plot.resize(300, 130)
        assert (
            len({plot.grab().toImage().pixel(x, y) for x in range(0, 300, 3) for y in range(0, 130, 3)}) > 1
        )


def test_taking_the_dock_away_while_it_runs_leaves_no_thread(asked, viewer, no_thread_left):
    asked.form.diagnose.click()
    time.sleep(0.05)
    viewer.window.remove_dock_widget(asked)
    assert asked._closed
    no_thread_left()


def test_it_fits_into_360_pixels(run, asked):
    run()
    assert asked.form.minimumSizeHint().width() <= 360


@pytest.fixture
def tried(run, asked, until):
    """Try the cure of a finding."""
    run()
    panel = asked.form.panel
    assert panel.try_it.isEnabled()
    assert not panel.tabs.isTabVisible(panel.tabs.indexOf(panel.trial))
    panel.try_it.click()
    assert not asked.form.diagnose.isEnabled()
    until(lambda: panel.tabs.currentWidget() is panel.trial and not asked.diagnosing.running)
    return panel.trial


def shown_layers(viewer, words):
    return [layer.name for layer in viewer.layers if words in layer.name and layer.visible]


def test_a_cure_is_shown_beside_what_is_as_layers_and_numbers(tried, asked, viewer):
    named = {layer.name for layer in viewer.layers if "statistics" in layer.name}
    assert named == {
        f"{name} of cells, statistics {how}"
        for name in asked.session.network.spec.classes
        for how in ("of each tile", "fixed")
    }
    assert len(shown_layers(viewer, "statistics fixed")) == 2
    assert shown_layers(viewer, "of each tile") == []
    tried.before.click()
    assert shown_layers(viewer, "statistics fixed") == []
    assert len(shown_layers(viewer, "of each tile")) == 2
    rows = [tried.table.item(row, 0).text() for row in range(tried.table.rowCount())]
    assert rows[0] == "difference of tiles"
    panel = asked.form.panel
    assert panel.classes.isHidden()
    assert panel.cause.isHidden()
    panel.tabs.setCurrentIndex(0)
    assert not panel.classes.isHidden()
    assert not panel.cause.isHidden()
    layer = next(layer for layer in viewer.layers if "statistics" in layer.name)
    assert layer.units == viewer.layers["cells"].units


@pytest.mark.usefixtures("tried")
def test_trying_again_replaces_its_own_layers_alone(asked, viewer, until):
    mine = viewer.add_image(np.zeros((9, 9)), name="mine")
    before = len(viewer.layers)
    removed = next(layer for layer in viewer.layers if "statistics fixed" in layer.name)
    viewer.layers.remove(removed)
    asked.form.panel.try_it.click()
    until(lambda: asked.diagnosing.running)
    until(lambda: not asked.diagnosing.running)
    assert len(viewer.layers) == before
    assert mine in viewer.layers


def test_predict_so_sets_statistics_and_says_so(tried, asked):
    assert tried.predict.isEnabled()
    tried.predict.click()
    assert asked.session.settings.statistics == "region"
    assert "Predict takes statistics of a region" in asked.form.message.text()
    assert not tried.predict.isEnabled()
    assert not asked.form.panel.try_it.isEnabled()


def test_a_trial_is_kept_where_one_says_and_opened(tried, asked, until, tmp_path, monkeypatch):
    monkeypatch.setattr(dialogs, "ask_network_path", lambda *_: None)
    tried.keep.click()
    assert not asked.diagnosing.running
    monkeypatch.setattr(dialogs, "ask_network_path", lambda *_: tmp_path / "kept.safetensors")
    source = asked.session.network
    tried.keep.click()
    until(lambda: asked.session.network is not source)
    assert asked.session.network.spec.seam_free
    assert not tried.keep.isEnabled()


def test_a_problem_of_a_trial_is_shown(run, asked, until, viewer):
    run()
    viewer.add_labels(np.zeros((9, 9), int), name="short")
    asked.form.labels.setCurrentIndex(1)
    asked.form.holding.setCurrentIndex(1)
    asked.form.panel.try_it.click()
    until(lambda: not asked.diagnosing.running)
    until(lambda: asked.form.message.text())
    assert "9 x 9" in asked.form.message.text()


def test_another_finding_takes_the_trial_away(tried, asked, run):
    run()
    panel = asked.form.panel
    assert not panel.tabs.isTabVisible(panel.tabs.indexOf(tried))
