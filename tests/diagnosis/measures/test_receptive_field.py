import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.measures.receptive_field import (
    effective_field,
    field_tiles,
    theoretical_field,
)
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

CPU = PredictSettings(device="cpu")


def _measure(network, image, count=3, **about):
    plan = drain(plan_prediction(image, network, CPU, route=WHOLE_TILES))
    boxes = field_tiles(plan, count)
    assert all(Box.of_shape(plan.grid.padded_shape).contains(box) for box in boxes)
    steps = []
    found = drain(effective_field(plan, boxes, **about), steps.append)
    assert len(steps) == count
    return found


def test_the_effective_field_lies_in_the_theoretical_one(make_network, picture):
    network = make_network("batch")
    theory, found = theoretical_field(network.spec), _measure(network, picture)
    assert theory.sides == network.spec.geometry.halo
    assert all(0 < n <= most for n, most in zip(found.extent, theory.extent, strict=True))
    reached = np.argwhere(found.gradient > 0)
    spans = reached.max(axis=0) - reached.min(axis=0) + 1
    assert all(span <= most for span, most in zip(spans, theory.extent, strict=True))
    json.dumps([theory.as_dict(), found.as_dict()])


def test_the_share_lies_within_the_sides(make_network, picture):
    network = make_network("batch")
    found = _measure(network, picture, share=0.8)
    for axis, (before, after) in enumerate(found.sides):
        line = found.gradient.sum(axis=1 - axis)
        centre = found.centre[axis]
        assert line[centre - before : centre + after + 1].sum() >= 0.8 * line.sum()
    wide = _measure(network, picture, share=0.99)
    assert all(a >= b for a, b in zip(wide.extent, found.extent, strict=True))


def test_a_gradient_equals_the_weights_of_a_convolution(make_network, picture):
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, CPU, route=WHOLE_TILES))
    convolution = torch.nn.Conv2d(1, 1, (5, 3), padding=(2, 1), bias=False)
    plan = replace(plan, network=replace(network, module=convolution))
    boxes = [Box((8, 8), (24, 24)), Box((8, 64), (24, 80))]
    field = drain(effective_field(plan, boxes, share=0.999))
    kernel = np.abs(convolution.weight.detach().numpy()[0, 0])
    np.testing.assert_allclose(field.gradient[6:11, 7:10], kernel, rtol=1e-6)
    assert field.gradient.sum() == pytest.approx(kernel.sum())
    assert field.extent == (5, 3)


def test_a_network_that_sees_its_whole_input_has_no_bounds_in_theory(make_network, picture):
    network = make_network("instance")
    assert theoretical_field(network.spec).extent is None
    found = _measure(network, picture, count=1)
    assert np.count_nonzero(found.gradient) > 0.9 * found.gradient.size


def test_slices_of_a_volume_are_looked_at_one_by_one(make_network):
    voxels = np.random.default_rng(0).random((5, 48, 48), np.float32)
    found = _measure(make_network("batch"), Image(voxels, "zyx", name="stack"))
    assert found.gradient.ndim == 2


def test_a_prediction_that_does_not_depend_on_the_image_is_said(make_network, picture):
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, CPU, route=WHOLE_TILES))
    module = torch.nn.Conv2d(1, 2, 1)
    torch.nn.init.zeros_(module.weight)
    plan = replace(plan, network=replace(network, module=module))
    with pytest.raises(ImageError, match="should depend on the image"):
        list(effective_field(plan, [Box((0, 0), (8, 8))]))


def test_what_cannot_be_is_refused(make_network, picture):
    network = make_network("batch")
    plan = drain(plan_prediction(picture, network, CPU, route=WHOLE_TILES))
    with pytest.raises(SettingsError, match="1 or more"):
        field_tiles(plan, 0)
    with pytest.raises(SettingsError, match="between 0 and 1"):
        list(effective_field(plan, field_tiles(plan, 1), share=1.0))
