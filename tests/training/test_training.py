"""A training as a whole: it learns, goes on as if it had not stopped, and loses nothing when it fails."""

import errno
import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import DeviceError, ImageError, NetworkError, SettingsError, StoreError
from napari_tileseg.labels import Targets, read_targets
from napari_tileseg.nets import Network, network_in_memory, open_network
from napari_tileseg.nets.intensities import Clip, ZeroMean
from napari_tileseg.nets.norm_layers import BatchRenorm
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.settings import LabelSettings, PredictSettings
from napari_tileseg.training import (
    Calibrated,
    Checkpointed,
    StepDone,
    Trained,
    TrainingImage,
    Validated,
    checkpoints,
    open_training,
    resume_training,
)
from napari_tileseg.training.data.distillation import TeacherOutputs
from napari_tileseg.training.data.patch_source import PatchSource
from napari_tileseg.training.watch import Watch


def events_of(work) -> list:
    """Drive work to its end; its result is the last of the list."""
    events: list = []
    result = drain(work, events.append)
    return [*events, result]


def of(kind, events) -> list:
    return [event for event in events if isinstance(event, kind)]


def state_of(training) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in training.network("now").module.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_from_strokes(data, dense, plan, make_network, quick, tmp_path) -> None:
    network = make_network("instance")
    # Its weights are fresh: its statistics have to follow them.
    settings = quick(steps=60, learning_rate=0.01, validate_every=20, accumulate=2, first_phase=10)
    training = open_training(data, network, settings, tmp_path / "run")
    events = events_of(training.run())
    steps = of(StepDone, events)
    assert [each.step for each in steps] == list(range(1, 61))
    assert {each.total for each in steps} == {60}
    assert len(of(Calibrated, events)) == 1
    scores = of(Validated, events)
    assert [each.step for each in scores] == [0, 20, 40, 60]
    assert max(each.score for each in scores) > scores[0].score + 0.1
    assert isinstance(events[-1], Trained)
    assert (events[-1].reason, events[-1].phase, events[-1].steps) == ("done", "full", 60)
    assert events[-1].best_score == max(each.score for each in scores)
    image = plan.tiles.image
    how = PredictSettings(device="cpu", core=(32, 32))

    def right(each) -> float:
        """Tell the part of all voxels whose likeliest class, or background, is right."""
        maps = predict(image, each, how).compute(scheduler="synchronous")
        found = np.where(maps.max(0) >= 0.5, maps.argmax(0), 2)
        return float((found == dense.index).mean())

    best = training.network("best")
    assert best.spec.seam_free
    assert right(best) > 0.75


@pytest.mark.parametrize(
    ("first_phase", "from_scratch", "follow"), [(None, False, False), (1, False, True), (None, True, True)]
)
def test_statistics_of_a_trained_network_stay(
    data, make_network, quick, tmp_path, first_phase, from_scratch, follow
) -> None:
    network = make_network("batch_renorm")
    settings = quick(steps=3, first_phase=first_phase)
    training = open_training(data, network, settings, tmp_path / "run", from_scratch=from_scratch)
    events_of(training.run())
    before, after = network.module.state_dict(), state_of(training)
    running = [name for name in before if "running_" in name]
    assert running
    assert all(torch.equal(before[name], after[name]) != follow for name in running)
    weights = [name for name in before if name.endswith("weight")]
    assert not any(torch.equal(before[name], after[name]) for name in weights)


def test_the_file_opens_as_what_was_trained_and_says_where_it_comes_from(
    data, make_network, quick, tmp_path
) -> None:
    network = make_network("group")
    training = open_training(data, network, quick(steps=2, validate_every=5), tmp_path / "run")
    events = events_of(training.run())
    path = training.save("now", tmp_path / "new.safetensors")
    opened = open_network(path)
    x = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(opened.module(x), training.network("now").module(x))
    made = opened.description
    assert made.name == "new"
    assert made.renormalized == of(Calibrated, events)[0].layers
    last = of(StepDone, events)[-1]
    assert (made.r_max, made.d_max) == (last.r_max, last.d_max)
    provenance = made.provenance
    assert provenance["parent"]["sha256"] == network.sha256
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert provenance["labels_sha256"] == about["labels_sha256"]
    assert provenance["recipe"]["steps"] == 2
    assert [row[0] for row in provenance["curve"]] == [0, 1, 2]
    assert opened.spec.classes == network.spec.classes
    rows = (tmp_path / "run" / "curve.csv").read_text().splitlines()
    assert len(rows) == 4


@pytest.mark.parametrize("norm", ["batch_renorm", "instance"])
def test_going_on_is_the_same_as_not_stopping(norm, data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=8, checkpoint_every=0)
    straight = open_training(data, make_network(norm), settings, tmp_path / "straight")
    expected = of((StepDone, Validated), events_of(straight.run()))
    begun = open_training(data, make_network(norm), settings, tmp_path / "run")
    for event in begun.run():
        if isinstance(event, Checkpointed) and event.step == 4:
            break
    begun.close()
    # Random numbers that others draw in between play no part.
    torch.manual_seed(123)
    resumed = resume_training(tmp_path / "run", data)
    assert resumed.step == 4
    events = events_of(resumed.run())
    later = [each for each in expected if each.step > 4]
    found = of((StepDone, Validated), events)
    assert [(type(a), a.step, a.loss) for a in found] == [(type(b), b.step, b.loss) for b in later]
    assert same(state_of(resumed), state_of(straight))
    best = straight.network("best").module.state_dict()
    assert same(dict(resumed.network("best").module.state_dict()), dict(best))
    lines = [(tmp_path / name / "curve.csv").read_text() for name in ("straight", "run")]
    assert lines[0] == lines[1]
    one, other = (checkpoints.read_checkpoint(tmp_path / name)["bench"] for name in ("straight", "run"))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_seconds_are_those_of_this_run(data, make_network, quick, tmp_path) -> None:
    """Each look at the clock takes a second."""
    clock = count(1.0).__next__
    settings = quick(steps=4, validate_every=2)
    begun = open_training(data, make_network(), settings, tmp_path / "run", watch=Watch(clock))
    for event in begun.run():
        if isinstance(event, Validated) and event.step == 2:
            begun.stop()
    watch = Watch(clock)
    first = of(StepDone, events_of(resume_training(tmp_path / "run", data, watch=watch).run()))[0]
    assert first.step == 3
    assert first.seconds == 5.0
    assert watch.elapsed > first.seconds + 10, "what the run before took is counted, too"


def test_resuming_before_the_first_step_begins_anew(data, make_network, quick, tmp_path) -> None:
    open_training(data, make_network("instance"), quick(steps=2), tmp_path / "run").close()
    events = events_of(resume_training(tmp_path / "run", data).run())
    assert len(of(Calibrated, events)) == 1
    assert events[-1].reason == "done"
    # And one that has ended says so again.
    assert isinstance(drain(resume_training(tmp_path / "run", data).run()), Trained)


def test_it_goes_on_where_and_at_the_pace_that_is_asked_now(data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=8, checkpoint_every=0)
    straight = open_training(data, make_network(), settings, tmp_path / "straight")
    expected = {each.step: each.loss for each in of(Validated, events_of(straight.run()))}
    begun = open_training(data, make_network(), settings, tmp_path / "run")
    next(each for each in begun.run() if isinstance(each, Checkpointed) and each.step == 4)
    with pytest.raises(DeviceError, match="cuda:7"):
        resume_training(tmp_path / "run", data, quick(device="cuda:7"))
    other = quick(steps=8, validate_every=1, checkpoint_every=1e9)
    events = events_of(resume_training(tmp_path / "run", data, other).run())
    found = {each.step: each.loss for each in of(Validated, events)}
    assert list(found) == [5, 6, 7, 8]
    # The same voxels are scored, however often.
    assert (found[6], found[8]) == (expected[6], expected[8])
    assert [each.step for each in of(Checkpointed, events)] == [8]


def test_a_run_that_replaces_another_never_has_its_weights(
    data, make_network, quick, tmp_path, monkeypatch
) -> None:
    folder = tmp_path / "run"
    events_of(open_training(data, make_network(), quick(steps=1), folder).run())
    usual = checkpoints.write_bytes

    def killed(path: Path, values: bytes) -> None:
        if path.name == checkpoints.LAST:
            raise OSError(errno.EIO, "Killed")
        usual(path, values)

    monkeypatch.setattr(checkpoints, "write_bytes", killed)
    with pytest.raises(StoreError, match="Killed"):
        open_training(data, make_network(seed=1), quick(steps=2), folder)
    assert json.loads((folder / "run.json").read_text())["settings"]["steps"] == 2
    with pytest.raises(StoreError, match="should be a checkpoint"):
        resume_training(folder, data)


def test_minutes_become_steps_before_the_ramp(data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=None, minutes=0.2, first_phase=1, validate_every=1000, accumulate=1)
    # Each look at the clock is a tenth of a second.
    ticks = count()
    watch = Watch(lambda: next(ticks) / 10)
    training = open_training(data, make_network("instance"), settings, tmp_path / "run", watch=watch)
    events = events_of(training.run())
    totals = [each.total for each in of(StepDone, events)]
    known = next(n for n, total in enumerate(totals) if total)
    assert set(totals[:known]) <= {0}
    assert len(set(totals[known:])) == 1
    assert totals[-1] == len(totals)
    assert {each.phase for each in of(StepDone, events)[: known + 1]} == {"batch"}
    assert events[-1].reason == "done"


@pytest.mark.parametrize(
    ("norm", "settings", "scratch", "phases"),
    [
        ("batch_renorm", {}, False, {"full"}),
        ("batch_renorm", {"first_phase": 1}, True, {"batch", "ramp", "full"}),
        ("instance", {"norm": "keep"}, False, {"none"}),
        ("batch", {}, True, {"none"}),
        ("batch_renorm", {"train": "last_layer"}, False, {"none"}),
    ],
)
def test_the_schedule_is_the_networks(
    norm, settings, scratch, phases, data, make_network, quick, tmp_path
) -> None:
    chosen = quick(steps=10, accumulate=1, validate_every=50, **settings)
    training = open_training(data, make_network(norm), chosen, tmp_path / "run", from_scratch=scratch)
    events = events_of(training.run())
    assert {each.phase for each in of(StepDone, events)} == phases
    assert of(Calibrated, events) == []
    assert training.network().spec.norm_counts == make_network(norm).spec.norm_counts


@pytest.mark.parametrize(("first_phase", "phases"), [(None, {"full"}), (1, {"batch", "ramp", "full"})])
def test_measured_statistics_need_no_first_phase(
    first_phase, phases, data, make_network, quick, tmp_path
) -> None:
    settings = quick(steps=10, accumulate=1, validate_every=50, first_phase=first_phase)
    events = events_of(open_training(data, make_network("instance"), settings, tmp_path / "run").run())
    assert len(of(Calibrated, events)) == 1
    assert {each.phase for each in of(StepDone, events)} == phases


def test_stopping_in_the_ramp_says_so_and_keeps_where(data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=40, first_phase=1, accumulate=1)
    training = open_training(data, make_network("instance"), settings, tmp_path / "run")
    for event in (events := training.run()):
        if isinstance(event, StepDone) and event.phase == "ramp":
            training.stop()
            break
    rest = events_of(events)
    assert len(of(StepDone, rest)) == 0
    assert (rest[-1].reason, rest[-1].phase) == ("stopped", "ramp")
    assert "while the limits" in rest[-1].message
    opened = open_network(training.save("now", tmp_path / "new.safetensors"))
    assert (opened.description.r_max, opened.description.d_max) == (event.r_max, event.d_max)
    layers = [each for each in opened.module.modules() if isinstance(each, BatchRenorm)]
    assert {each.r_max for each in layers} == {event.r_max}
    again = open_training(data, opened, quick(steps=1), tmp_path / "again")
    assert {each.phase for each in of(StepDone, events_of(again.run()))} == {"full"}


def test_a_loss_that_is_not_a_number_stops_it_with_the_last_good_weights(
    data, make_network, quick, tmp_path
) -> None:
    training = open_training(
        data, make_network(), quick(steps=9, accumulate=1, checkpoint_every=0), tmp_path / "run"
    )
    good, batches = {}, count(1)

    def poison(module, _):
        if next(batches) == 5:
            module.get_parameter("output.bias").data.fill_(float("nan"))

    def receive(event):
        nonlocal good
        if isinstance(event, Checkpointed):
            good = state_of(training)
        if isinstance(event, Checkpointed) and event.step == 0:
            training.module.register_forward_pre_hook(poison)

    events = [drain(training.run(), receive)]
    assert (events[-1].reason, events[-1].steps) == ("diverged", 4)
    assert "step 5" in events[-1].message
    assert "3e-05" in events[-1].message
    assert same(state_of(training), good)
    assert same(dict(resume_training(tmp_path / "run", data).network("now").module.state_dict()), good)


def test_gradients_that_are_not_finite_stop_it_before_they_reach_a_weight(
    data, make_network, quick, tmp_path
) -> None:
    training = open_training(data, make_network(), quick(steps=3), tmp_path / "run")
    events = training.run()
    next(each for each in events if isinstance(each, StepDone))
    training.module.output.weight.register_hook(lambda gradient: gradient * float("inf"))
    assert drain(events).reason == "diverged"
    assert all(values.isfinite().all() for values in state_of(training).values())


def hungry(training, most=16 * 32):
    """Train, and let memory run out for more than so many voxels at once."""

    def need_memory(_, inputs):
        # The order of layers is looked at without gradients, which takes less.
        if torch.is_grad_enabled() and inputs[0].numel() > most:
            raise torch.OutOfMemoryError("out of memory")

    for event in (work := training.run()):
        yield event
        # From here on the module that learns is there.
        if isinstance(event, (Validated, Checkpointed)):
            break
    training.module.register_forward_pre_hook(need_memory)
    return (yield from work)


def test_less_memory_means_smaller_batches_then_smaller_patches(data, make_network, quick, tmp_path) -> None:
    settings = quick(steps=2, batch=2, accumulate=1)
    training = open_training(data, make_network(), settings, tmp_path / "run")
    events = events_of(hungry(training))
    notes = [each.message for each in of(Noted, events) if "ran out" in each.message]
    assert "1 patches at once, and 2 times" in notes[0]
    assert "16 x 32" in notes[1]
    assert events[-1].reason == "done"
    training = open_training(data, make_network(), settings, tmp_path / "run")
    with pytest.raises(DeviceError, match="one patch of"):
        events_of(hungry(training, most=0))


def test_it_goes_on_with_smaller_patches_where_labels_are_dense(
    plan, dense, make_network, quick, tmp_path
) -> None:
    data, settings = [TrainingImage(plan, dense)], quick(steps=4, accumulate=1, checkpoint_every=0)
    straight = open_training(data, make_network(), settings, tmp_path / "straight")
    expected = {each.step: each.loss for each in of(StepDone, events_of(hungry(straight)))}
    begun = open_training(data, make_network(), settings, tmp_path / "run")
    next(each for each in hungry(begun) if isinstance(each, Checkpointed) and each.step == 2)
    resumed = resume_training(tmp_path / "run", data)
    rest = of(StepDone, events_of(resumed.run()))
    assert {each.step: each.loss for each in rest} == {step: expected[step] for step in (3, 4)}


def full(*_: object) -> None:
    """Fail to write, as on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_loses_nothing(data, make_network, quick, tmp_path, monkeypatch) -> None:
    training = open_training(data, make_network(), quick(steps=4, checkpoint_every=0), tmp_path / "run")
    events = training.run()
    next(each for each in events if isinstance(each, Checkpointed) and each.step == 2)
    monkeypatch.setattr(checkpoints, "write_bytes", full)
    rest = events_of(events)
    assert rest[-1].reason == "done"
    assert any("No space left" in each.message for each in of(Noted, rest))
    with pytest.raises(StoreError, match="Free some space"):
        training.checkpoint()
    monkeypatch.undo()
    assert resume_training(tmp_path / "run", data).step == 2
    assert same(dict(training.network("last").module.state_dict()), state_of(training))
    kept = open_network(training.save("last", tmp_path / "new.safetensors"))
    assert same(dict(kept.module.state_dict()), state_of(training))
    assert kept.description.provenance["step"] == 4


def test_a_loss_that_is_not_a_number_goes_back_no_further_where_the_disk_is_full(
    data, make_network, quick, tmp_path, monkeypatch
) -> None:
    settings = quick(steps=9, accumulate=1, checkpoint_every=0)
    training = open_training(data, make_network(), settings, tmp_path / "run")
    monkeypatch.setattr(checkpoints, "write_bytes", full)
    events = training.run()
    next(each for each in events if isinstance(each, StepDone) and each.step == 4)
    good = state_of(training)
    training.module.output.weight.register_hook(lambda gradient: gradient * float("inf"))
    assert (end := drain(events)).reason == "diverged"
    assert end.steps == 4
    assert same(state_of(training), good)


def test_an_error_leaves_the_newest_weights_as_the_last_ones(
    data, make_network, quick, tmp_path, monkeypatch
) -> None:
    training = open_training(data, make_network(), quick(), tmp_path / "run")
    events = training.run()
    next(each for each in events if isinstance(each, StepDone) and each.step == 2)
    newest = state_of(training)

    def gone(*_: object) -> None:
        raise ImageError("The file is gone.")

    monkeypatch.setattr(PatchSource, "draw", gone)
    with pytest.raises(ImageError, match="gone"):
        list(events)
    assert same(dict(training.network("last").module.state_dict()), newest)


def test_what_was_learned_outlives_a_device_that_fails(
    plan, dense, make_network, quick, tmp_path, monkeypatch
) -> None:
    one = [TrainingImage(plan, dense)]
    training = open_training(one, make_network(), quick(steps=4), tmp_path / "run", from_scratch=True)
    events_of(training.run())
    learned = state_of(training)

    def gone(*_, **__):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(training.module, "state_dict", gone)
    assert same(dict(training.network("best").module.state_dict()), learned)
    training.save("best", tmp_path / "kept.safetensors")
    training.close()
    assert same(state_of(training), learned)


def test_whole_images_are_held_out_where_labels_are_dense(plan, dense, make_network, quick, tmp_path) -> None:
    images = [TrainingImage(plan, dense), TrainingImage(plan, Targets(dense.classes, dense.index.copy()))]
    training = open_training(images, make_network(), quick(steps=3), tmp_path / "run", from_scratch=True)
    assert len(of(Validated, events_of(training.run()))) == 2
    alone = open_training(images[:1], make_network(), quick(steps=1), tmp_path / "alone", from_scratch=True)
    events = events_of(alone.run())
    assert any("Nothing is held out" in each.message for each in of(Noted, events))
    assert np.isnan(events[-1].best_score)
    assert alone.network("best").sha256 == alone.network("now").sha256
    told = [replace(images[0], held_out=True), images[1]]
    open_training(told, make_network(), quick(steps=1), tmp_path / "told", from_scratch=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_it_trains_in_reduced_precision(dtype, data, make_network, quick, tmp_path) -> None:
    training = open_training(data, make_network("instance"), quick(dtype=dtype), tmp_path / "run")
    events = events_of(training.run())
    assert events[-1].reason == "done"
    assert all(np.isfinite(each.loss) for each in of(StepDone, events))
    assert {values.dtype for name, values in state_of(training).items() if "running" in name} == {
        torch.float32
    }


def test_steps_of_intensities_are_the_same_in_training_and_after_it(
    picture, strokes, make_network, quick, tmp_path
) -> None:
    fresh = make_network("batch_renorm")

    def wanting(eps: float) -> Network:
        """Return the network with other steps."""
        steps = (Clip(low=3, high=900), ZeroMean(eps=eps))
        wanted = InputNormalization(kind="steps", steps=steps)
        spec = replace(fresh.spec, input_normalization=wanted)
        return network_in_memory(fresh.module, replace(fresh.description, input_normalization=wanted), spec)

    def planned(network: Network) -> TrainingImage:
        """Return the strokes on the image, as it is prepared for a network."""
        plan = drain(plan_prediction(picture, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
        return TrainingImage(plan, strokes)

    network, folder = wanting(0.1), tmp_path / "run"
    data = [planned(network)]
    steps = data[0].plan.normalization.steps
    clipped = np.asarray(picture.data).clip(3, 900).astype("f8")
    assert steps[1].offset == pytest.approx((clipped.mean(),))
    assert steps[1].scale == pytest.approx((clipped.std() + 0.1,))
    training = open_training(data, network, quick(steps=4), folder)
    for event in training.run():
        if isinstance(event, StepDone):
            break
    other = wanting(0.2)
    with pytest.raises(SettingsError, match=r"begun with as the network says.*cells now has as the network"):
        resume_training(folder, [planned(other)])
    training = resume_training(folder, data)
    events_of(training.run())
    made = training.network("now")
    assert made.spec.input_normalization == network.spec.input_normalization
    assert made.description.input_normalization == network.spec.input_normalization


def test_softmax_and_images_with_time(picture, strokes, make_network, quick, tmp_path) -> None:
    network = make_network("batch_renorm", 0, "softmax")
    movie = replace(
        picture,
        data=np.stack([picture.data, picture.data]),
        axes="tyx",
        voxel_size=(),
        units=(),
        translation=(),
    )
    painted = np.zeros((2, *strokes.shape), np.uint8)
    # Nothing is background: each voxel is one of the classes.
    painted[1] = np.where(np.asarray(strokes.index) < 2, np.asarray(strokes.index) + 1, 0)
    targets = read_targets(painted, strokes.classes, LabelSettings(labels_kind="strokes"), painted.shape)
    how = PredictSettings(device="cpu")
    plan = drain(plan_prediction(movie, network, how, route=WHOLE_TILES))
    data = [TrainingImage(plan, targets)]
    events = events_of(open_training(data, network, quick(), tmp_path / "run").run())
    assert events[-1].reason == "done"


def test_bad_input_is_refused_before_anything_is_begun(
    data, plan, strokes, make_network, quick, tmp_path, as_code
) -> None:
    network, folder = make_network(), tmp_path / "run"

    def refused(error, said, images=data, start=network, settings=None) -> None:
        with pytest.raises(error, match=said):
            open_training(images, start, settings or quick(), folder)
        assert not folder.exists()

    refused(ImageError, "one labelled image or more", images=[])
    cut = Targets(strokes.classes, np.asarray(strokes.index)[:50])
    refused(ImageError, r"112 x 128; they have 50 x 128", images=[TrainingImage(plan, cut)])
    others = replace(strokes, classes=("soma", "axon"))
    refused(ImageError, "of the network's classes, inside, rim", images=[TrainingImage(plan, others)])
    refused(ImageError, "all labels are held out", images=[replace(data[0], held_out=True)])
    refused(SettingsError, "steps or minutes", settings=quick(minutes=1.0))
    refused(SettingsError, "one voxel", settings=quick(patch=(2, 2)))
    refused(NetworkError, "does not show as a graph", start=as_code(network))
    without = replace(network, spec=replace(network.spec, activation="none"))
    refused(NetworkError, "activation", start=without)
    refused(NetworkError, "none of them", start=make_network("batch_renorm", 0, "softmax"))
    refused(NetworkError, "only norms", start=make_network("identity"), settings=quick(train="norms"))
    refused(DeviceError, "cuda:7", settings=quick(device="cuda:7"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="folder for checkpoints"):
        open_training(data, network, quick(), tmp_path / "file" / "run")


def test_what_cannot_be_resumed_is_refused(data, plan, dense, make_network, quick, tmp_path) -> None:
    with pytest.raises(StoreError, match="should hold a training"):
        resume_training(tmp_path, data)
    folder = tmp_path / "run"
    open_training(data, make_network(), quick(), folder)
    with pytest.raises(ImageError, match="other labels"):
        resume_training(folder, [TrainingImage(plan, dense)])
    whole = Path(folder, "last.pt").read_bytes()
    Path(folder, "last.pt").write_bytes(whole[:1000])
    with pytest.raises(StoreError, match="should be a checkpoint"):
        resume_training(folder, data)


def test_it_does_not_go_on_with_another_image_or_other_intensities(
    data, picture, strokes, make_network, quick, tmp_path
) -> None:
    network, folder = make_network(), tmp_path / "run"
    open_training(data, network, quick(), folder)

    def refused(said: str, image=picture, **how) -> None:
        plan = drain(plan_prediction(image, network, PredictSettings(device="cpu", **how), route=WHOLE_TILES))
        with pytest.raises(SettingsError, match=said):
            resume_training(folder, [TrainingImage(plan, strokes)])

    refused("the voxels of cells have changed", replace(picture, data=picture.data[::-1].copy()))
    refused("the voxel size of cells was", replace(picture, voxel_size=(0.65, 0.7)))
    refused("begun with quantiles .*cells now has given range: 0 - 5000", normalize="range", range=(0, 5000))
    narrow = {"normalize": "quantiles", "quantiles": (5, 95)}
    refused("begun with quantiles .*cells now has quantiles 5 - 95", **narrow)
    refused("begun with padding reflect, and now it is zero", padding="zero")
    teacher = TeacherOutputs({}, 2, {"name": "first", "sha256": "0"})
    with pytest.raises(SettingsError, match="was distilled from no network, and would now be from first"):
        resume_training(folder, [replace(data[0], teacher=teacher)])
    assert resume_training(folder, data).step == 0
