"""Intensities step by step: measured over the whole image in blocks, stored, resumed, and trained with."""

import copy
import json
import pickle
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

from napari_tileseg._progress import drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, NonFiniteError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ResolvedStep, ZeroMean, prepare_array
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import TileDone, open_prediction, predict, predict_to_store
from napari_tileseg.prediction.input.normalization import (
    Normalization,
    measure_normalization,
    resolve_normalization,
)
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.prediction.input.scan import plan_scan
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

STEPS = (Clip(low=5, high=200), ZeroMean(eps=0.1, per_channel=False), Percentiles(low=2, high=97))
WANTED = InputNormalization(kind="steps", steps=STEPS)


def voxels(dtype="u1", shape=(2, 41, 37)):
    rng = np.random.default_rng(5)
    values = (rng.gamma(2.0, 40.0, shape) * (rng.random(shape) < 0.8)).clip(0, 250).astype(dtype)
    values[:, :, :6] = 0
    return values


@pytest.fixture
def network(make_network):
    return make_network(2, in_channels=2, input_normalization=WANTED)


def asking(network, *steps):
    """Return what is known of a network that wants other steps."""
    return replace(network.spec, input_normalization=InputNormalization(kind="steps", steps=steps))


def in_blocks(image, **limits):
    return plan_scan(image, voxels=64, **limits)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
@pytest.mark.parametrize(
    "steps", [STEPS, (ZeroMean(over="mask"), Linear(gain=2)), (Percentiles(over="box", high=90),)]
)
def test_an_image_that_is_read_in_blocks_is_prepared_as_a_whole(network, dtype, steps):
    values = voxels(dtype)
    image = Image(da.from_array(values, chunks=(1, 7, 9)), "cyx")
    found = resolve_normalization(image, asking(network, *steps), PredictSettings(), in_blocks(image))
    whole = prepare_array(values, steps)
    np.testing.assert_allclose(found.apply(image.read(Box((0, 0), (41, 37)))), whole, rtol=1e-6, atol=1e-6)
    part = (slice(None), slice(10, 20), slice(3, 30))
    np.testing.assert_allclose(found.apply(values[part].astype(dtype)), whole[part], rtol=1e-6, atol=1e-6)
    assert found.known
    assert found.voxels == 41 * 37
    assert not found.sampled


def test_clip_then_zero_mean_is_not_the_reverse(network):
    values = voxels(shape=(1, 30, 30))
    for steps in ((Clip(low=50, high=90), ZeroMean()), (ZeroMean(), Clip(low=-0.2, high=0.3))):
        spec = asking(network, *steps)
        out = resolve_normalization(Image(values, "cyx"), spec, PredictSettings()).apply(values)
        assert (abs(out.mean()) < 1e-5) == (steps[0] == Clip(low=50, high=90))


def test_a_time_series_is_measured_over_all_times(network):
    values = voxels(shape=(3, 20, 30))
    found = resolve_normalization(Image(values, "tyx"), asking(network, ZeroMean(eps=1)), PredictSettings())
    np.testing.assert_allclose(found.steps[0].offset, values.mean())
    np.testing.assert_allclose(found.steps[0].scale, values.std() + 1)


def test_progress_goes_through_all_passes(network):
    image = Image(voxels("f4"), "cyx")
    events = measure_normalization(image, network.spec, PredictSettings(), in_blocks(image))
    shares = [event.fraction for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    # Mean and deviation, then quantiles of channels that were changed alike, but together.
    assert len(shares) == 3 * len(in_blocks(image).boxes)


def test_a_large_image_is_sampled_and_it_says_so(network):
    image = Image(voxels(), "cyx")
    scan = in_blocks(image, limit=1000, sample=500)
    found, again = (resolve_normalization(image, network.spec, PredictSettings(), scan) for _ in range(2))
    assert found.sampled
    assert found == again
    assert "sampled" in found.sentence


def test_what_is_not_finite_is_refused_or_counts_as_zero(network):
    values = voxels("f4", (1, 20, 20))
    values[0, 4, 12] = np.nan
    spec = asking(network, ZeroMean(over="nonzero", eps=1e-6))
    image = Image(values, "cyx", name="embryo")
    with pytest.raises(NonFiniteError, match="first at 4,12"):
        resolve_normalization(image, spec, PredictSettings())
    found = resolve_normalization(image, spec, PredictSettings(nonfinite="zero"))
    seen = values[np.isfinite(values) & (values != 0)]
    assert found.steps[0].offset[0] == pytest.approx(seen.mean(dtype="f8"))


def test_a_channel_without_contrast_is_refused_by_its_own_number(network):
    values = np.stack([voxels()[0], np.full((41, 37), 9, "u1"), voxels()[1]])
    image = replace(Image(values, "cyx", name="embryo"), channels=(2, 1))
    spec = replace(
        network.spec, input_normalization=InputNormalization(kind="steps", steps=(ZeroMean(),) * 2)
    )
    with pytest.raises(ImageError, match=r"channel 1 of embryo is 9 everywhere\."):
        resolve_normalization(image, spec, PredictSettings())


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (PredictSettings(), "steps"),
        (PredictSettings(normalize="zero_mean"), "zero_mean"),
        (PredictSettings(normalize="quantiles"), "quantiles"),
        (PredictSettings(normalize="range", range=(0, 9)), "range"),
        (PredictSettings(normalize="none"), "none"),
        (PredictSettings(normalize="tile"), "tile"),
    ],
)
def test_the_user_has_the_last_word(network, settings, kind):
    found = resolve_normalization(Image(voxels(), "cyx"), network.spec, settings)
    assert found.kind == kind
    assert bool(found.steps) == (kind == "steps")


@pytest.fixture
def found(network):
    return resolve_normalization(Image(voxels(), "cyx"), network.spec, PredictSettings())


def test_numbers_travel_and_come_back_from_json(found):
    assert Normalization.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert pickle.loads(pickle.dumps(found)) == found == copy.deepcopy(found)
    assert "steps" not in Normalization(kind="none").as_dict()


def test_an_offset_that_is_stated_comes_back_as_it_was():
    steps = (Clip(low=5), Linear(gain=2.0, offset=-3.5), Linear(gain=(1.0, 2.0), offset=(3.0, 4.0)))
    stated = Normalization(kind="steps", steps=tuple(ResolvedStep(step=each) for each in steps))
    assert Normalization.from_dict(json.loads(json.dumps(stated.as_dict()))) == stated


def test_a_store_that_lost_the_offset_is_not_continued():
    """Earlier versions wrote the numbers that were measured, none, in the place of what was stated."""
    asked = Normalization(kind="steps", steps=(ResolvedStep(step=Linear(gain=2.0, offset=-3.5)),))
    lost = {**asked.as_dict(), "steps": [{"step": "linear", "gain": 2.0, "offset": [], "scale": []}]}
    assert not Normalization.from_dict(lost).answers(asked)
    without = Normalization(kind="steps", steps=(ResolvedStep(step=Linear(gain=2.0)),))
    assert Normalization.from_dict(lost).answers(without)


def test_its_sentence_says_each_step_with_its_numbers(found):
    assert found.sentence.startswith(
        "as the network says, of the whole image: clipped to 5 - 200, then zero mean and unit variance, "
        "channels together (0.1 added to the deviation): mean "
    )
    assert found.sentence.count("divisor") == 3, "one for all channels, one for each"


def test_numbers_agree_but_for_rounding(found):
    first, second, third = found.steps
    near = replace(second, scale=tuple(n * (1 + 1e-14) for n in second.scale))
    assert found.agrees(replace(found, steps=(first, near, third)))
    far = replace(second, scale=tuple(n * (1 + 1e-6) for n in second.scale))
    assert not found.agrees(replace(found, steps=(first, far, third)))
    assert not found.agrees(replace(found, steps=(first, second)))
    assert not found.agrees(replace(found, steps=(first, replace(second, step=ZeroMean(eps=0.1)), third)))


HOSTILE = [
    {"steps": []},
    {"steps": None},
    {"steps": 3},
    {"steps": [3]},
    {"steps": [{"step": "exec", "offset": [], "scale": []}]},
    {"steps": [{"step": "zero_mean"}]},
    {"steps": [{"step": "zero_mean", "offset": [], "scale": []}]},
    {"steps": [{"step": "zero_mean", "offset": [1], "scale": []}]},
    {"steps": [{"step": "zero_mean", "offset": [1], "scale": [0]}]},
    {"steps": [{"step": "zero_mean", "offset": ["1"], "scale": [1]}]},
    {"steps": [{"step": "zero_mean", "offset": [float("nan")], "scale": [1]}]},
    {"steps": [{"step": "zero_mean", "channels": [0, 1], "offset": [1], "scale": [1]}]},
    {"steps": [{"step": "clip", "low": 0, "offset": [1], "scale": [1]}]},
    {"kind": "zero_mean"},
    {"kind": "none"},
]


@pytest.mark.parametrize("change", HOSTILE, ids=str)
def test_stored_numbers_that_make_no_sense_are_refused(found, change):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Normalization.from_dict({**found.as_dict(), **change})


CORE = PredictSettings(core=(8, 16), device="cpu")


def begin(image, network, path):
    """Predict the first tile of an image."""
    events = predict_to_store(image, network, CORE, path)
    for event in events:
        if isinstance(event, TileDone):
            break
    events.close()


def test_a_store_is_made_and_resumed_with_the_same_numbers(tmp_path, network):
    image, path = Image(voxels(), "cyx"), tmp_path / "out.ome.zarr"
    begin(image, network, path)
    begun = open_prediction(path)
    assert not begun.complete
    assert begun.normalization.kind == "steps"
    drain(predict_to_store(image, network, CORE, path))
    store = open_prediction(path)
    assert store.complete
    assert store.normalization == begun.normalization
    prepared = prepare_array(image.read(Box((0, 0), (41, 37))), STEPS)
    padded = np.pad(prepared, ((0, 0), (0, -41 % 4), (0, -37 % 4)), mode="reflect")
    with torch.no_grad():
        expected = network.module(torch.from_numpy(padded[None])).softmax(1)[0, :, :41, :37].numpy()
    np.testing.assert_allclose(zarr.open_array(path / "0")[:], expected, atol=1e-5)
    np.testing.assert_allclose(predict(image, network, CORE).compute(), expected, atol=1e-5)


def test_numbers_of_another_count_of_channels_are_damage(tmp_path, network):
    image, path = Image(voxels(), "cyx"), tmp_path / "out.ome.zarr"
    begin(image, network, path)
    file = path / "zarr.json"
    about = json.loads(file.read_text())
    (stored,) = (each for each in _mappings(about) if "normalization" in each)
    for step in stored["normalization"]["steps"][1:]:
        step["offset"], step["scale"] = step["offset"][:1], step["scale"][:1]
    file.write_text(json.dumps(about))
    with pytest.raises(StoreError, match="damaged"):
        drain(predict_to_store(image, network, CORE, path))


def _mappings(value):
    """Yield all mappings in a mapping."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _mappings(each)


def test_a_plan_prepares_what_is_read_past_the_far_end(network):
    image = Image(voxels(), "cyx")
    plan = drain(plan_prediction(image, network, CORE, route=WHOLE_TILES))
    read = plan.prepared.read(Box((36, 0), plan.grid.padded_shape))
    expected = np.pad(prepare_array(voxels(), STEPS), ((0, 0), (0, 3), (0, 3)), mode="reflect")[:, 36:]
    np.testing.assert_allclose(read, expected, rtol=1e-6, atol=1e-6)


def test_holes_are_stored_and_every_tile_finds_its_own(make_network):
    network = make_network(3)
    rng = np.random.default_rng(2)
    values = np.zeros((9, 22, 19), "u1")
    values[1:8, 2:20, 1:18] = rng.integers(1, 9, (7, 18, 17)) * (rng.random((7, 18, 17)) < 0.9)
    image = Image(values, "zyx")
    step = ZeroMean(over="mask")
    spec = asking(network, step)
    found = resolve_normalization(image, spec, PredictSettings(), in_blocks(image))
    assert len(found.holes) > 50
    stored = Normalization.from_dict(json.loads(json.dumps(found.as_dict())))
    assert stored == found
    expected = np.pad(prepare_array(values[np.newaxis], [step]), [(0, 0), (0, 3), (0, 2), (0, 5)], "reflect")
    prepared = PreparedImage(image, stored, (12, 24, 24))
    for box in (Box((0, 0, 0), (12, 24, 24)), Box((3, 4, 2), (7, 9, 8)), Box((5, 16, 12), (11, 24, 23))):
        part = expected[(slice(None), *box.slices)]
        np.testing.assert_allclose(prepared.read(box), part, rtol=1e-6, atol=1e-6)
    sampled = in_blocks(image, limit=100, sample=500)
    assert resolve_normalization(image, spec, PredictSettings(), sampled).holes == ()


@pytest.mark.parametrize(
    "holes", [3, [3], [[1]], [[-1, 2]], [[1.5, 2]], [[0, True]], [[1, 2]] * 2**18], ids=range(7)
)
def test_stored_holes_that_make_no_sense_are_refused(found, holes):
    with pytest.raises((TypeError, ValueError)):
        Normalization.from_dict({**found.as_dict(), "holes": holes})
