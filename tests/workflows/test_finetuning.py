"""One fine-tuning from the numbers before it to those after it."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine import WHOLE_TILES, open_engine
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.labels import read_targets
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training import Calibrated, StepDone, Trained, Validated
from napari_tileseg.training.data.distillation import recall
from napari_tileseg.workflows.finetuning import FineTuning, TuneOrder
from napari_tileseg.workflows.finetuning_events import Scored, Tuned
from napari_tileseg.workflows.measures import NUMBERS
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.verdict import kept_words

CPU = PredictSettings(device="cpu")
SETTINGS = TrainSettings(steps=6, patch=(16, 16), device="cpu", validate_every=3)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small flat network that makes seams."""
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (3, 4), "norm": "instance"}
    path = tmp_path_factory.mktemp("network") / "instance.safetensors"
    arguments["blocks"] = 1
    said = {"arguments": arguments, "classes": ("a", "b"), "activation": "sigmoid"}
    return open_network(
        save_network(build("unet", **arguments), path, Description(architecture="unet", **said))
    )


@pytest.fixture
def order(network, tmp_path):
    rng = np.random.default_rng(0)
    brighter = np.linspace(0, 500, 96)[None]
    image = Image((rng.integers(0, 300, (72, 96)) + brighter).astype(np.uint16), "yx")
    strokes = np.zeros((72, 96), np.uint8)
    for row, value in enumerate((1, 2, 3, 1, 2, 3, 1, 2, 3)):
        strokes[7 * row + 3, 10:22] = value
    return TuneOrder(
        image=image,
        labels=strokes,
        network=network,
        folder=tmp_path / "run",
        training=SETTINGS,
        meaning=LabelSettings(labels_kind="strokes"),
    )


def kinds(events, *kept):
    return [type(event) for event in events if isinstance(event, kept)]


def weights(network):
    return {name: value.clone() for name, value in network.module.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_measures_before_anything_changes_and_after_everything_has(order):
    events = list(FineTuning(order).events())
    told = kinds(events, Scored, Calibrated, StepDone, Trained, Tuned)
    assert told == [Scored, Calibrated, *[StepDone] * 6, Trained, Scored, Tuned]
    first, second = (event for event in events if isinstance(event, Scored))
    assert (first.when, second.when) == ("before", "after")
    assert (first.numbers.seam_free, second.numbers.seam_free) == (False, True)
    assert first.numbers.train_eval_disparity == 0
    end = events[-1]
    assert (end.before, end.after, end.kept) == (first.numbers, second.numbers, "best")


def test_the_numbers_are_kept_in_the_folder_of_the_run(order):
    *_, end = FineTuning(order).events()
    written = json.loads((order.folder / NUMBERS).read_text())
    assert {when: Numbers.from_dict(written[when]) for when in ("before", "after")} == {
        "before": end.before,
        "after": end.after,
    }


def test_the_newest_network_is_at_hand_between_steps_and_looking_changes_nothing(order, tmp_path):
    looked, undisturbed = FineTuning(order), FineTuning(replace(order, folder=tmp_path / "other"))
    assert looked.network() is None
    seen = []
    for event in looked.events():
        if isinstance(event, StepDone):
            newest = looked.network()
            seen.append(weights(newest))
            newest.module(torch.rand(1, 1, 16, 16))
    assert not any(same(first, second) for first, second in pairwise(seen))
    list(undisturbed.events())
    assert same(weights(looked.network("last")), weights(undisturbed.network("last")))


def test_asked_to_stop_it_takes_no_further_step_and_still_measures(order):
    job, told = FineTuning(order), []
    for event in job.events():
        told.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            job.stop()
    assert len(kinds(told, StepDone)) == 2
    assert (told[-1].trained.reason, told[-1].trained.steps) == ("stopped", 2)
    assert isinstance(told[-1], Tuned)


def test_closed_it_goes_on_where_it_was_to_the_same_result(order, tmp_path):
    whole = FineTuning(replace(order, folder=tmp_path / "whole"))
    *_, undisturbed = whole.events()
    first = FineTuning(order)
    events = first.events()
    for event in events:
        if isinstance(event, StepDone) and event.step == 4:
            break
    first.stop()
    list(kinds(events, Trained))
    first.close()
    second = FineTuning(replace(order, resume=True))
    *_, resumed = second.events()
    assert (resumed.trained.steps, resumed.before) == (6, undisturbed.before)
    assert resumed.after == undisturbed.after
    assert same(weights(second.network("last")), weights(whole.network("last")))


def test_it_goes_on_only_with_what_it_was_begun_with_and_at_the_pace_of_now(order):
    first = FineTuning(order)
    next(event for event in first.events() if isinstance(event, StepDone))
    first.close()
    again = replace(order, resume=True)
    darker = replace(order.image, data=order.image.data // 2)
    with pytest.raises(SettingsError, match="begun with another image"):
        list(FineTuning(replace(again, image=darker)).events())
    narrow = replace(order.predict, normalize="quantiles", quantiles=(10.0, 90.0))
    with pytest.raises(SettingsError, match="now has quantiles 10 - 90 %"):
        list(FineTuning(replace(again, predict=narrow)).events())
    often = replace(again, training=replace(SETTINGS, validate_every=1))
    told = list(FineTuning(often).events())
    assert [event.step for event in told if isinstance(event, Validated)] == [1, 2, 3, 4, 5, 6]


def test_what_is_kept_says_where_it_comes_from(order, tmp_path):
    job = FineTuning(order)
    with pytest.raises(SettingsError, match="has not begun"):
        job.save("last", tmp_path / "early.safetensors")
    list(job.events())
    path = job.save("last", tmp_path / "new.safetensors")
    assert order.network.sha256 in path.read_bytes()[:100_000].decode("utf-8", "ignore")
    assert same(weights(open_network(path)), weights(job.network("last")))


def test_an_image_without_room_for_two_tiles_is_learned_from_all_the_same(order):
    small = replace(
        order, image=replace(order.image, data=order.image.data[:20, :24]), labels=order.labels[:20, :24]
    )
    *_, end = FineTuning(small).events()
    assert (end.after.tile_mismatch, end.after.seam_free) == (None, None)
    assert end.after.train_eval_disparity is None


def test_labels_are_not_resampled(order):
    with pytest.raises(SettingsError, match="resample should be false"):
        list(FineTuning(replace(order, predict=PredictSettings(resample=True))).events())


def distance(job, order, network):
    """How far a job's newest network is from what a network says, where nothing is painted."""
    free = order.labels == 0
    said = [predict(order.image, each, CPU).compute() for each in (job.network(), network)]
    return float(np.abs(said[0] - said[1])[:, free].mean())


def test_what_nobody_painted_on_is_remembered(order, network, tmp_path):
    left = {}
    for remember in (0.0, 30.0):
        training = replace(
            SETTINGS, steps=80, remember=remember, learning_rate=1e-2, norm="keep", validate_every=40
        )
        job = FineTuning(replace(order, folder=tmp_path / f"{remember}", training=training))
        list(job.events())
        left[remember] = distance(job, order, network)
    assert left[30.0] < 0.85 * left[0.0]


def test_every_round_remembers_the_network_of_the_first(order, network, tmp_path):
    first = FineTuning(order)
    list(first.events())
    path = first.save("last", tmp_path / "first.safetensors")
    tuned = open_network(path)
    second = FineTuning(replace(order, network=tuned, folder=tmp_path / "second"))
    list(second.events())
    last = open_network(second.save("last", tmp_path / "second.safetensors"))
    for each in (tuned, last):
        assert each.description.provenance["remembered"]["sha256"] == network.sha256
    assert last.description.provenance["parent"]["sha256"] == tuned.sha256


def test_a_first_network_that_is_gone_is_replaced_by_the_present_one_and_said(order, network, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(network.reference.path).read_bytes())
    first = FineTuning(replace(order, network=open_network(copy)))
    list(first.events())
    tuned = open_network(first.save("last", tmp_path / "first.safetensors"))
    copy.unlink()
    second = FineTuning(replace(order, network=tuned, folder=tmp_path / "second"))
    told = [event.message for event in second.events() if isinstance(event, Noted)]
    assert any("cannot be asked for" in message for message in told)
    last = open_network(second.save("last", tmp_path / "second.safetensors"))
    assert last.description.provenance["remembered"]["sha256"] == tuned.sha256


def test_where_all_is_labelled_nothing_is_left_to_remember(order):
    dense = replace(order, labels=order.labels % 3, meaning=LabelSettings(labels_kind="classes"))
    job = FineTuning(replace(dense, training=replace(SETTINGS, steps=1)))
    list(job.events())
    assert job.network().description.provenance.get("remembered") is None


def test_tiles_with_most_labels_are_asked_first(order, network):
    plan = drain(
        plan_prediction(
            order.image, network, replace(CPU, core=(24, 32), halo=((0, 0), (0, 0))), route=WHOLE_TILES
        )
    )
    labels = np.zeros(order.labels.shape, np.uint8)
    labels[30, 40:60] = 1
    labels[60, 90:94] = 2
    targets = read_targets(labels, network.spec.classes, order.meaning, labels.shape)
    said = drain(recall(plan, network, targets, effort=1))
    whole = said.read(Box.of_shape(labels.shape))
    painted = labels[24:48, 32:64] > 0
    (expected,) = open_engine(network, "cpu").compute(plan.prepared, [plan.grid[1, 1]])
    np.testing.assert_allclose(whole[:, 24:48, 32:64], np.where(painted, np.nan, expected), atol=1e-3)
    assert (~np.isnan(whole)).sum() == 2 * (24 * 32 - 20)


@pytest.mark.parametrize(
    ("change", "kept", "step"),
    [
        (lambda order: replace(order, training=replace(SETTINGS, held_out=0.0)), "last", 6),
        (lambda order: replace(order, keep="last"), "last", 6),
        (
            lambda order: replace(
                order, labels=order.labels % 3, meaning=LabelSettings(labels_kind="classes"), both=True
            ),
            "last",
            6,
        ),
    ],
    ids=["nothing held out", "last asked for", "every voxel labelled"],
)
def test_what_is_kept_is_what_happened(order, change, kept, step):
    *_, end = FineTuning(change(order)).events()
    assert (end.kept, end.step, end.last) == (kept, step, None)


def ruined(order):
    """An order of which every step makes it worse."""
    return replace(order, training=replace(SETTINGS, learning_rate=1.0, validate_every=1), both=True)


def test_where_no_step_was_better_the_weights_before_the_first_are_kept(order):
    job = FineTuning(ruined(order))
    *_, end = job.events()
    assert (end.kept, end.step) == ("best", end.trained.best_step)
    assert end.step < 6
    assert end.last is not None
    assert end.last.loss > end.after.loss
    assert end.after == replace(end.after, strokes=3)


def test_stopped_before_the_first_step_the_weights_are_those_before_it(order):
    job = FineTuning(order)
    job.stop()
    *_, end = job.events()
    assert (end.step, end.trained.steps, end.last) == (0, 0, None)
    assert "before the first step" in kept_words(end.kept, end.step)


def test_resumed_it_keeps_what_it_would_have_kept(order, tmp_path):
    *_, whole = FineTuning(replace(ruined(order), folder=tmp_path / "whole")).events()
    first = FineTuning(ruined(order))
    for event in (events := first.events()):
        if isinstance(event, StepDone) and event.step == 4:
            first.stop()
            break
    list(events)
    *_, resumed = FineTuning(replace(ruined(order), resume=True)).events()
    assert (resumed.kept, resumed.step) == (whole.kept, whole.step)
    assert (resumed.verdict, resumed.last) == (whole.verdict, whole.last)
