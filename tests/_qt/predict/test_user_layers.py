"""What the user does to layers stays, and napari's list is left alone while napari walks through it."""

from itertools import permutations

import numpy as np
import pytest

from napari_tileseg._qt.predict.widget import PredictWidget
from napari_tileseg.nets import open_network
from napari_tileseg.settings import PredictSettings

BY = "(cells 2D, BatchRenorm)"
FOREGROUND, BOUNDARY, LABELS = (f"{what} of cells {BY}" for what in ("foreground", "boundary", "labels"))


def settle(widget, until):
    until(lambda: not widget.live._turns._waiting and not widget.live._gridding.isActive())


def run(widget, until, **settings):
    """Predict with these settings; the result is a new one unless they are those of before."""
    widget.session.set_settings(PredictSettings(core=(64, 64), **settings))
    until(lambda: widget.session.readiness.ready)
    widget.form.run.predict.click()
    until(lambda: not widget.session.prediction.running and widget.session.results.all)
    settle(widget, until)


def toggle(widget, until, *boxes):
    for box in boxes * 2:
        box.setChecked(not box.isChecked())
        settle(widget, until)


def test_what_the_user_does_to_layers_outlives_all_that_is_shown(ready, viewer, until):
    ready.form.labels.setChecked(True)
    run(ready, until)
    foreground, boundary = viewer.layers[FOREGROUND], viewer.layers[BOUNDARY]
    del viewer.layers[LABELS]
    foreground.name, foreground.opacity, foreground.colormap = "mine", 0.25, "viridis"
    boundary.visible, boundary.translate = False, (3, 4)
    viewer.layers.move(viewer.layers.index(boundary), 0)

    def check():
        assert [layer.name for layer in viewer.layers] == [BOUNDARY, "cells", "mine"]
        assert (foreground.opacity, foreground.colormap.name) == (0.25, "viridis")
        assert (boundary.visible, tuple(boundary.translate)) == (False, (3, 4))

    toggle(ready, until, ready.form.labels, ready.form.probabilities)
    check()
    run(ready, until)  # the same one: it is complete, and is shown again
    check()
    ready.live.show_stored(ready.session.results.all[0])
    settle(ready, until)
    check()


def test_layers_that_were_all_removed_come_again_for_a_prediction_only(ready, viewer, until):
    run(ready, until)
    del viewer.layers[FOREGROUND], viewer.layers[BOUNDARY]
    toggle(ready, until, ready.form.probabilities, ready.form.grid)
    assert not {FOREGROUND, BOUNDARY} & {layer.name for layer in viewer.layers}
    run(ready, until)
    assert {FOREGROUND, BOUNDARY} <= {layer.name for layer in viewer.layers}


def test_results_of_images_closed_long_ago_stay_away(ready, viewer, until):
    run(ready, until)
    viewer.layers.clear()
    viewer.add_image(np.random.default_rng(0).random((3, 70, 80)), name="other")
    toggle(ready, until, ready.form.probabilities, ready.form.labels)
    assert [layer.name for layer in viewer.layers] == ["other"]


def test_an_older_result_steps_back_and_the_new_one_looks_like_it(ready, viewer, until):
    run(ready, until)
    old = [viewer.layers[FOREGROUND], viewer.layers[BOUNDARY]]
    old[0].colormap, old[1].visible = "viridis", False
    run(ready, until, normalize="none")
    assert not any(layer.visible for layer in old)
    new = [layer for layer in viewer.layers if " of cells (" in layer.name and layer not in old]
    assert [layer.visible for layer in new] == [True, False]
    assert new[0].colormap.name == "viridis"
    old[0].visible = True
    toggle(ready, until, ready.form.probabilities)
    assert old[0].visible
    assert not old[1].visible
    old[0].visible = False
    ready.session.results.discard(ready.session.results.all[-1])
    assert not set(new) & set(viewer.layers)
    assert [layer.visible for layer in old] == [True, False]


def test_what_is_drawn_on_the_image_stays_above_a_new_prediction(ready, viewer, until):
    viewer.add_labels(np.zeros((192, 160), int), name="strokes")
    viewer.add_points(np.zeros((1, 2)), name="points")
    ready.form.labels.setChecked(True)
    run(ready, until)
    assert [layer.name for layer in viewer.layers] == [
        "cells",
        FOREGROUND,
        BOUNDARY,
        LABELS,
        "strokes",
        "points",
    ]


def test_in_space_single_objects_are_seen_unless_the_user_blends_otherwise(ready, viewer, until):
    viewer.add_image(np.zeros((4, 192, 160)), name="volume", blending="additive")
    run(ready, until)
    foreground, boundary = viewer.layers[FOREGROUND], viewer.layers[BOUNDARY]
    boundary.blending = "opaque"
    viewer.dims.ndisplay = 3
    assert (foreground.rendering, foreground.blending) == ("attenuated_mip", "translucent")
    assert boundary.blending == "opaque"
    run(ready, until, normalize="none")
    new = [layer for layer in viewer.layers if "cells " in layer.name][-2:]
    assert [layer.blending for layer in new] == ["translucent", "opaque"]
    viewer.dims.ndisplay = 2
    assert [layer.blending for layer in (foreground, *new)] == ["additive", "additive", "opaque"]
    assert viewer.layers["volume"].blending == "additive"


def test_hiding_all_and_showing_again_brings_back_what_was_seen(ready, viewer, until):
    run(ready, until)
    viewer.layers[BOUNDARY].visible = False
    ready.form.probabilities.setChecked(False)
    assert not viewer.layers[FOREGROUND].visible
    ready.form.probabilities.setChecked(True)
    assert viewer.layers[FOREGROUND].visible
    assert not viewer.layers[BOUNDARY].visible
    viewer.layers[FOREGROUND].visible = False
    ready.form.probabilities.setChecked(False)
    ready.form.probabilities.setChecked(True)
    assert viewer.layers[FOREGROUND].visible


@pytest.mark.parametrize("how", ["selected", "cleared", "sliced", *permutations(range(3))], ids=str)
def test_all_layers_go_in_any_order_while_the_grid_is_shown(viewer, until, let_go, plans, how):
    widget = docked(viewer)
    widget.session.set_network(plans)
    widget.form.grid.setChecked(True)
    viewer.add_labels(np.zeros((192, 160), int), name="strokes")
    until(lambda: "tile grid" in viewer.layers)
    if how == "selected":
        viewer.layers.select_all()
        viewer.layers.remove_selected()
    elif how == "cleared":
        viewer.layers.clear()
    elif how == "sliced":
        del viewer.layers[:]
    else:
        # What napari does with its selection, whose order varies.
        chosen = list(viewer.layers)
        for layer in [chosen[i] for i in how]:
            viewer.layers.index(layer)
            viewer.layers.remove(layer)
    settle(widget, until)
    assert list(viewer.layers) == []
    assert not widget.form.grid.isChecked()
    let_go(widget)


@pytest.fixture(scope="module")
def plans():
    return open_network("sample:cells_2d_batch_renorm")


def docked(viewer):
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict")
    return widget


def test_the_grid_goes_with_its_image_and_comes_with_the_next(ready, viewer, cells, until):
    ready.form.grid.setChecked(True)
    settle(ready, until)
    del viewer.layers["cells"]
    until(lambda: not len(viewer.layers))
    assert ready.form.grid.isChecked()
    viewer.add_image(cells.image, name="again")
    until(lambda: "tile grid" in viewer.layers)


def test_one_grid_layer_is_kept_whatever_changes(ready, viewer, until):
    ready.form.grid.setChecked(True)
    settle(ready, until)
    grid, gone = viewer.layers["tile grid"], []
    viewer.layers.events.removed.connect(lambda event: gone.append(event.value))
    grid.edge_color, grid.name = "blue", "mine"
    for core, lines in (((32, 32), 7 + 6), ((96, 96), 3 + 3), ((33, 33), 0), ((64, 64), 4 + 4)):
        ready.session.set_settings(PredictSettings(core=core))
        settle(ready, until)
        assert len(grid.data) == lines
    grid.visible = False
    ready.session.set_settings(PredictSettings(core=(48, 48)))
    settle(ready, until)
    assert not grid.visible
    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="other", scale=(2, 2))
    ready.form.image.choose(viewer.layers["other"].unique_id)
    settle(ready, until)
    np.testing.assert_array_equal(grid.scale, (2, 2))
    assert grid in viewer.layers
    assert not gone
    np.testing.assert_array_equal(grid.edge_color[0], (0, 0, 1, 1))
    assert grid.name == "mine"


def test_a_grid_that_was_removed_comes_again_when_it_is_asked_for(ready, viewer, until):
    ready.form.grid.setChecked(True)
    settle(ready, until)
    del viewer.layers["tile grid"]
    settle(ready, until)
    assert not ready.form.grid.isChecked()
    ready.session.set_settings(PredictSettings(core=(32, 32)))
    settle(ready, until)
    assert "tile grid" not in viewer.layers
    ready.form.grid.setChecked(True)
    settle(ready, until)
    assert "tile grid" in viewer.layers
