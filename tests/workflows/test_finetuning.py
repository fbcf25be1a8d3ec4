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
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.labels import read_targets
from napari_tileseg.nets import Description, open_network, save_network
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training import Calibrated, StepDone, Trained, Validated
from napari_tileseg.training.data.distillation import predict_teacher
from napari_tileseg.training.networks.logits import ending_in_logits
from napari_tileseg.training.steps.stepper import Stepper
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_events import Scored, Tuned
from napari_tileseg.workflows.measures import NUMBERS
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.tuned_network import finetune
from napari_tileseg.workflows.verdict import kept_words

CPU = PredictSettings(device="cpu")
SETTINGS = TrainSettings(steps=6, patch=(16, 16), device="cpu", validate_every=3)


@pytest.fixture
def wanted(request_for):
    return request_for(SETTINGS)


def kinds(events, *kept):
    return [type(event) for event in events if isinstance(event, kept)]


def weights(network):
    return {name: value.clone() for name, value in network.module.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_measures_before_anything_changes_and_after_everything_has(wanted, events_of):
    events = events_of(FineTuning(wanted).run())
    told = kinds(events, Scored, Calibrated, StepDone, Trained, Tuned)
    assert told == [Scored, Calibrated, *[StepDone] * 6, Trained, Scored, Tuned]
    first, second = (event for event in events if isinstance(event, Scored))
    assert (first.when, second.when) == ("before", "after")
    assert (first.numbers.seam_free, second.numbers.seam_free) == (False, True)
    assert first.numbers.train_eval_disparity == 0
    end = events[-1]
    assert (end.before, end.after, end.which) == (first.numbers, second.numbers, "best")


def test_the_numbers_are_kept_in_the_folder_of_the_run(wanted):
    end = drain(FineTuning(wanted).run())
    written = json.loads((wanted.folder / NUMBERS).read_text())
    assert {when: Numbers.from_dict(written[when]) for when in ("before", "after")} == {
        "before": end.before,
        "after": end.after,
    }


def test_the_newest_network_is_at_hand_between_steps_and_looking_changes_nothing(wanted, tmp_path):
    looked, undisturbed = FineTuning(wanted), FineTuning(replace(wanted, folder=tmp_path / "other"))
    with pytest.raises(SettingsError, match="has not begun"):
        looked.trainer.network()
    seen = []
    for event in looked.run():
        if isinstance(event, StepDone):
            newest = looked.trainer.network()
            seen.append(weights(newest))
            newest.module(torch.rand(1, 1, 16, 16))
    assert not any(same(first, second) for first, second in pairwise(seen))
    drain(undisturbed.run())
    assert same(weights(looked.trainer.network("last")), weights(undisturbed.trainer.network("last")))


def test_asked_to_stop_it_takes_no_further_step_and_still_measures(wanted):
    job, told = FineTuning(wanted), []

    def receive(event):
        told.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            job.stop()

    end = drain(job.run(), receive)
    assert len(kinds(told, StepDone)) == 2
    assert (end.trained.reason, end.trained.steps) == ("stopped", 2)
    assert end.after != end.before


def test_closed_it_goes_on_where_it_was_to_the_same_result(wanted, tmp_path):
    whole = FineTuning(replace(wanted, folder=tmp_path / "whole"))
    undisturbed = drain(whole.run())
    first = FineTuning(wanted)
    events = first.run()
    for event in events:
        if isinstance(event, StepDone) and event.step == 4:
            break
    first.stop()
    list(kinds(events, Trained))
    first.close()
    second = FineTuning(replace(wanted, resume=True))
    resumed = drain(second.run())
    assert (resumed.trained.steps, resumed.before) == (6, undisturbed.before)
    assert resumed.after == undisturbed.after
    assert same(weights(second.trainer.network("last")), weights(whole.trainer.network("last")))


def test_it_goes_on_only_with_what_it_was_begun_with_and_at_the_pace_of_now(wanted, events_of):
    first = FineTuning(wanted)
    next(event for event in first.run() if isinstance(event, StepDone))
    first.close()
    again = replace(wanted, resume=True)
    darker = replace(wanted.image, data=wanted.image.data // 2)
    with pytest.raises(SettingsError, match="begun with another image"):
        drain(FineTuning(replace(again, image=darker)).run())
    narrow = replace(wanted.predict, normalize="quantiles", quantiles=(10.0, 90.0))
    with pytest.raises(SettingsError, match="now has quantiles 10 - 90 %"):
        drain(FineTuning(replace(again, predict=narrow)).run())
    often = replace(again, training=replace(SETTINGS, validate_every=1))
    told = events_of(FineTuning(often).run())
    assert [event.step for event in told if isinstance(event, Validated)] == [1, 2, 3, 4, 5, 6]


def test_what_is_kept_says_where_it_comes_from(wanted, tmp_path):
    job = FineTuning(wanted)
    with pytest.raises(SettingsError, match="has not begun"):
        job.trainer.save("last", tmp_path / "early.safetensors")
    drain(job.run())
    path = job.trainer.save("last", tmp_path / "new.safetensors")
    assert wanted.network.sha256 in path.read_bytes()[:100_000].decode("utf-8", "ignore")
    assert same(weights(open_network(path)), weights(job.trainer.network("last")))


def test_an_image_without_room_for_two_tiles_is_learned_from_all_the_same(wanted):
    small = replace(
        wanted, image=replace(wanted.image, data=wanted.image.data[:20, :24]), labels=wanted.labels[:20, :24]
    )
    end = drain(FineTuning(small).run())
    assert (end.after.tile_mismatch, end.after.seam_free) == (None, None)
    assert end.after.train_eval_disparity is None


def test_labels_are_not_resampled(wanted):
    with pytest.raises(SettingsError, match="resample should be false"):
        list(FineTuning(replace(wanted, predict=PredictSettings(resample=True))).run())


def distance(job, wanted, network):
    """How far a job's newest network is from what a network says, where nothing is painted."""
    free = wanted.labels == 0
    said = [predict(wanted.image, each, CPU).compute() for each in (job.trainer.network(), network)]
    return float(np.abs(said[0] - said[1])[:, free].mean())


def test_what_nobody_painted_on_is_remembered(wanted, network, tmp_path):
    left = {}
    for remember in (0.0, 30.0):
        training = replace(
            SETTINGS, steps=80, remember=remember, learning_rate=1e-2, norm="keep", validate_every=40
        )
        job = FineTuning(replace(wanted, folder=tmp_path / f"{remember}", training=training))
        drain(job.run())
        left[remember] = distance(job, wanted, network)
    assert left[30.0] < 0.85 * left[0.0]


def test_every_round_remembers_the_network_of_the_first(wanted, network, tmp_path):
    first = FineTuning(wanted)
    drain(first.run())
    path = first.trainer.save("last", tmp_path / "first.safetensors")
    tuned = open_network(path)
    second = FineTuning(replace(wanted, network=tuned, folder=tmp_path / "second"))
    drain(second.run())
    last = open_network(second.trainer.save("last", tmp_path / "second.safetensors"))
    for each in (tuned, last):
        assert each.description.provenance["remembered"]["sha256"] == network.sha256
    assert last.description.provenance["parent"]["sha256"] == tuned.sha256


def test_a_first_network_that_is_gone_is_replaced_by_the_present_one_and_said(wanted, network, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(network.reference.path).read_bytes())
    first = FineTuning(replace(wanted, network=open_network(copy)))
    drain(first.run())
    tuned = open_network(first.trainer.save("last", tmp_path / "first.safetensors"))
    copy.unlink()
    second = FineTuning(replace(wanted, network=tuned, folder=tmp_path / "second"))
    told = [event.message for event in second.run() if isinstance(event, Noted)]
    assert any("cannot be asked for" in message for message in told)
    last = open_network(second.trainer.save("last", tmp_path / "second.safetensors"))
    assert last.description.provenance["remembered"]["sha256"] == tuned.sha256


def test_where_all_is_labelled_nothing_is_left_to_remember(wanted):
    dense = replace(wanted, labels=wanted.labels % 3, meaning=LabelSettings(labels_kind="classes"))
    job = FineTuning(replace(dense, training=replace(SETTINGS, steps=1)))
    drain(job.run())
    assert job.trainer.network().description.provenance.get("remembered") is None


def test_tiles_with_most_labels_are_asked_first(wanted, network):
    how = replace(CPU, core=(24, 32), halo=((0, 0), (0, 0)))
    plan = drain(plan_prediction(wanted.image, network, how, route=WHOLE_TILES))
    labels = np.zeros(wanted.labels.shape, np.uint8)
    labels[30, 40:60] = 1
    labels[60, 90:94] = 2
    targets = read_targets(labels, network.spec.classes, wanted.meaning, labels.shape)
    teacher = drain(predict_teacher(plan, network, targets, effort=1))
    whole = teacher.read(Box.of_shape(labels.shape))
    painted = labels[24:48, 32:64] > 0
    (expected,) = open_engine(network, "cpu").compute(plan.prepared, [plan.grid[1, 1]])
    np.testing.assert_allclose(whole[:, 24:48, 32:64], np.where(painted, np.nan, expected), atol=1e-3)
    assert (~np.isnan(whole)).sum() == 2 * (24 * 32 - 20)


@pytest.mark.parametrize(
    ("change", "kept", "step"),
    [
        (lambda wanted: replace(wanted, training=replace(SETTINGS, held_out=0.0)), "last", 6),
        (lambda wanted: replace(wanted, which="last"), "last", 6),
        (
            lambda wanted: replace(
                wanted, labels=wanted.labels % 3, meaning=LabelSettings(labels_kind="classes"), both=True
            ),
            "last",
            6,
        ),
    ],
    ids=["nothing held out", "last asked for", "every voxel labelled"],
)
def test_what_is_kept_is_what_happened(wanted, change, kept, step):
    end = drain(FineTuning(change(wanted)).run())
    assert (end.which, end.step, end.last) == (kept, step, None)


def ruined(wanted):
    """An wanted of which every step makes it worse."""
    return replace(wanted, training=replace(SETTINGS, learning_rate=1.0, validate_every=1), both=True)


def test_where_no_step_was_better_the_weights_before_the_first_are_kept(wanted):
    job = FineTuning(ruined(wanted))
    end = drain(job.run())
    assert (end.which, end.step) == ("best", end.trained.best_step)
    assert end.step < 6
    assert end.last is not None
    assert end.last.loss > end.after.loss
    assert end.after == replace(end.after, strokes=3)


def test_stopped_before_the_first_step_the_weights_are_those_before_it(wanted):
    job = FineTuning(wanted)
    job.stop()
    end = drain(job.run())
    assert (end.step, end.trained.steps, end.last) == (0, 0, None)
    assert "before the first step" in kept_words(end.which, end.step)


def test_resumed_it_keeps_what_it_would_have_kept(wanted, tmp_path):
    whole = drain(FineTuning(replace(ruined(wanted), folder=tmp_path / "whole")).run())
    first = FineTuning(ruined(wanted))
    for event in (events := first.run()):
        if isinstance(event, StepDone) and event.step == 4:
            first.stop()
            break
    list(events)
    resumed = drain(FineTuning(replace(ruined(wanted), resume=True)).run())
    assert (resumed.which, resumed.step) == (whole.which, whole.step)
    assert (resumed.verdict, resumed.last) == (whole.verdict, whole.last)


def test_as_one_call_it_writes_and_returns_the_tuned_network(wanted, tmp_path):
    told, out = [], tmp_path / "tuned.safetensors"
    how = {"meaning": wanted.meaning, "folder": tmp_path / "called"}
    work = finetune(wanted.image, wanted.labels, wanted.network, SETTINGS, **how, out=out)
    made = drain(work, told.append)
    job = FineTuning(wanted)
    drain(job.run())
    assert same(weights(made), weights(job.trainer.network("best")))
    assert made.reference.path == str(out)
    assert len(kinds(told, StepDone)) == 6
    assert (tmp_path / "called" / NUMBERS).exists()


@pytest.mark.parametrize(("name", "inside"), [("double_conv_unet", "sigmoid"), ("residual_unet", "softmax")])
def test_a_network_that_ends_in_its_activation_learns_without_it(wanted, tmp_path, name, inside):
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (4, 8), "num_groups": 2}
    description = Description(
        architecture=name, arguments={**arguments, "final_activation": inside}, classes=("a", "b")
    )
    torch.manual_seed(0)
    module = build(name, **description.arguments)
    opened = open_network(save_network(module, tmp_path / "before.safetensors", description))
    split = ending_in_logits(opened)
    x = torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(apply_activation(split.module(x), split.spec.activation), opened.module(x))
    assert ending_in_logits(split) is split
    # Of a softmax, each voxel has one of the classes.
    labels = wanted.labels % 3 if inside == "softmax" else wanted.labels
    settings, out = replace(SETTINGS, steps=20, validate_every=10), tmp_path / "tuned.safetensors"
    shown = []
    made = drain(
        finetune(wanted.image, labels, opened, settings, meaning=wanted.meaning, out=out), shown.append
    )
    before, after = (event.numbers for event in shown if isinstance(event, Scored))
    assert after.loss < before.loss
    assert after.seam_free
    assert made.spec.activation == inside
    assert "final_activation" not in made.description.arguments
    assert set(made.spec.norm_counts) == {"batch_renorm"}


def test_as_one_call_it_leaves_nothing_where_no_place_is_given(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    work = finetune(wanted.image, wanted.labels, wanted.network, SETTINGS, meaning=wanted.meaning)
    for event in work:
        if isinstance(event, StepDone):
            assert list(tmp_path.glob("tileseg-*"))
            break
    work.close()
    assert list(tmp_path.iterdir()) == []


def test_as_one_call_a_loss_that_is_no_number_is_refused_with_what_to_do(wanted, monkeypatch, tmp_path):
    def lose(*_):
        yield from ()
        return float("nan")

    monkeypatch.setattr(Stepper, "take_step", lose)
    out = tmp_path / "tuned.safetensors"
    work = finetune(wanted.image, wanted.labels, wanted.network, SETTINGS, meaning=wanted.meaning, out=out)
    with pytest.raises(NetworkError, match=r"Try a lower learning rate.* after step 0 are in .*tuned"):
        drain(work)
    assert out.exists()
