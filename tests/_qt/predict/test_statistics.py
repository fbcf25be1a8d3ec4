"""Statistics of a region or of the whole image in the panel: chosen, drawn, and seen on the way."""

import numpy as np
import pytest
import torch

from napari_tileseg.nets import Description
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.samples import cells_image
from napari_tileseg.settings import PredictSettings


@pytest.fixture
def panel(widget, viewer, until):
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 1, "features": (4, 6), "norm": "instance"}
    described = Description(
        architecture="unet", arguments=arguments, activation="sigmoid", classes=("inside",), name="seamy"
    )
    viewer.layers.clear()
    viewer.add_image(cells_image((96, 128)).image, name="cells")
    widget.session.set_network(network_in_memory(build("unet", **arguments), described))
    widget.session.set_settings(PredictSettings(core=(32, 32)))
    until(lambda: widget.session.readiness.ready)
    return widget


def shown_rows(form):
    return {name for name, editor in form.settings.editors.items() if editor.isVisibleTo(form.more)}


def choose(panel, way, until):
    box = panel.form.settings.editors["statistics"]
    box.setCurrentIndex(box.findData(way))
    assert panel.session.settings.statistics == way
    until(lambda: panel.session.readiness.ready)


def test_only_what_counts_for_the_chosen_way_is_offered(panel, until):
    form = panel.form
    dependent = {"result", "sample_error", "sample_seed", "region", "scratch", "scratch_folder"}
    seen = {}
    for way in ("tile", "sample", "region", "whole", "auto"):
        choose(panel, way, until)
        seen[way] = shown_rows(form) & dependent
    assert seen == {
        "auto": set(),
        "tile": set(),
        "whole": {"scratch", "scratch_folder"},
        "sample": dependent - {"region", "result"},
        "region": {"region", "scratch", "scratch_folder"},
    }
    box = form.settings.editors["statistics"]
    tips = [box.itemData(index, 3) for index in range(box.count())]
    assert all(tips)
    assert len(set(tips)) == box.count()


def test_left_alone_they_are_those_of_where_there_is_content_else_of_each_tile(panel, viewer, until):
    form, session = panel.form, panel.session
    assert session.settings.statistics == "auto"
    assert "All tiles have the statistics of the region: no seams." in form.tiles.text()
    assert "Region: " in form.tiles.text()
    assert "not seam-free by itself" in form.card.verdict.text()
    assert "Tiles will show" not in form.warnings.text()
    laid = session.plan.laid.grid
    viewer.layers.clear()
    noise = np.random.default_rng(0).normal(100, 3, (96, 128)).astype(np.float32)
    viewer.add_image(noise, name="noise")
    until(lambda: session.image is not None and session.image.name == "noise")
    session.set_settings(PredictSettings(core=(32, 32)))
    until(lambda: session.readiness.ready)
    assert "no content was found in noise" in form.warnings.text()
    assert "Tiles will show" in form.warnings.text()
    assert "the region" not in form.tiles.text()
    # Another core needs no other look at the voxels.
    session.set_settings(PredictSettings(core=(16, 16)))
    assert session.readiness.ready
    assert session.plan.laid.settings.statistics == "tile"
    form.run.predict.click()
    until(lambda: not session.prediction.running and session.prediction.story.saved)
    assert form.message.text() == ""
    viewer.layers.clear()
    viewer.add_image(cells_image((96, 128)).image, name="cells")
    session.set_settings(PredictSettings(core=(32, 32)))
    until(lambda: session.image is not None and session.image.name == "cells" and session.readiness.ready)
    assert session.plan.laid.settings.statistics == "region"
    assert session.plan.laid.grid == laid


def test_quantiles_of_a_mostly_empty_image_are_named_with_a_button_that_cures_them(panel, viewer, until):
    random = np.random.default_rng(0)
    values = random.normal(100, 3, (240, 320))
    values[80:160, 100:200] += 20 + 900 * random.random((80, 100)) ** 30
    viewer.layers.clear()
    viewer.add_image(values.astype(np.float32), name="empty")
    until(lambda: panel.session.image is not None and panel.session.readiness.ready)
    form, session = panel.form, panel.session
    session.set_settings(PredictSettings(core=(32, 32), statistics="region"))
    until(lambda: session.readiness.ready)
    assert "mostly empty" not in form.warnings.text(), "intensities are those of the region"
    session.set_settings(PredictSettings(core=(32, 32), statistics="whole"))
    until(lambda: session.readiness.ready)
    assert form.warnings.text().count("The image is mostly empty") == 1
    form.run.predict.click()
    until(lambda: not session.prediction.running and session.prediction.story.saved)
    assert "mostly empty" not in form.notes.text(), "it is said once"
    assert form.remedy.text() == "Measure intensities where there is content"
    form.remedy.click()
    assert session.settings.intensities == "region"
    until(lambda: session.readiness.ready)
    assert "mostly empty" not in form.warnings.text()
    assert not form.remedy.isVisibleTo(form)


def test_what_it_takes_is_said_before_predict_is_pressed(panel, until):
    said = panel.form.tiles.text
    choose(panel, "tile", until)
    assert panel.session.plan.forecast is None
    panel.session.set_settings(PredictSettings(core=(32, 32), statistics="whole", memory=1e-4))
    until(lambda: "Statistics and prediction: " in said() and "passes over the image" in said())
    assert "of scratch" not in said()
    panel.session.set_settings(PredictSettings(core=(32, 32), statistics="whole", memory=1e-4, scratch=1.0))
    until(lambda: "of scratch" in said())
    assert "about" not in said(), "nobody has seen yet how fast it is"
    panel.form.run.predict.click()
    until(lambda: not panel.session.prediction.running and panel.session.prediction.story.saved)
    panel.session.set_settings(PredictSettings(core=(32, 32), statistics="whole", memory=2e-4))
    until(lambda: "passes over the image, about" in said())
    panel.session.set_settings(PredictSettings(core=(32, 32), statistics="tile"))
    until(lambda: panel.session.readiness.ready and "Statistics and prediction" not in said())


def test_what_is_set_stays_in_sight(panel, until):
    choose(panel, "region", until)
    panel.session.set_settings(PredictSettings(statistics="region", region=((0, 64), (0, 64))))
    panel.session.set_settings(PredictSettings(region=((0, 64), (0, 64))))
    assert "region" in shown_rows(panel.form)


def test_a_drawn_rectangle_or_what_is_in_view_becomes_the_region(panel, viewer, until):
    form, session = panel.form, panel.session
    form.drawn.click()
    assert "Draw a rectangle" in form.answer.text()
    viewer.add_shapes(np.array([[10, 20], [10, 90], [70, 90], [70, 20]], dtype=float))
    form.drawn.click()
    assert not form.answer.text()
    assert (session.settings.statistics, session.settings.region) == ("region", ((10, 71), (20, 91)))
    assert form.settings.editors["region"].text() == "10:71,20:91"
    assert form.settings.editors["region"].cursorPosition() == 0
    until(lambda: session.readiness.ready)
    assert session.plan.region.box.start == (10, 20)
    viewer.scene.camera.zoom = 0.1
    form.in_view.click()
    assert session.settings.region == ((0, 96), (0, 128))
    viewer.scene.camera.zoom = 10.0
    viewer.scene.camera.center = (1000.0, 1000.0)
    form.in_view.click()
    assert "not in view" in form.answer.text()


def test_a_first_look_is_shown_until_there_are_tiles_and_layers_say_whose_statistics_they_have(
    panel, viewer, until
):
    choose(panel, "whole", until)
    assert "All tiles have the statistics of the whole image" in panel.form.tiles.text()
    looks, session = [], panel.session
    viewer.layers.events.inserted.connect(lambda event: looks.append(event.value.name))
    panel.form.run.predict.click()
    until(lambda: not session.prediction.running and session.prediction.story.saved)
    until(lambda: not panel.live._turns._waiting)
    assert looks[0] == "first numbers: inside of cells"
    final = "inside of cells (seamy; statistics of the whole image)"
    assert [layer.name for layer in viewer.layers] == ["cells", final]


def test_a_first_look_goes_with_a_prediction_that_is_cancelled(panel, viewer, until):
    choose(panel, "whole", until)
    viewer.layers.events.inserted.connect(lambda _: panel.form.run.cancel.click())
    panel.form.run.predict.click()
    until(lambda: not panel.session.prediction.running)
    until(lambda: not panel.live._turns._waiting)
    assert [layer.name for layer in viewer.layers] == ["cells"]
    assert panel.form.run.progress.text().startswith("Cancelled before the first tile")
