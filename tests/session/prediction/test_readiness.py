"""What is on the screen is what a command uses, and why it cannot, as long as it cannot; no Qt, no napari."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg.errors import ImageError, NonFiniteError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.prediction import open_prediction
from napari_tileseg.samples import cells_image
from napari_tileseg.session import Session
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.session.prediction.readiness import Readiness, Situation, choices_of, readiness_of
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box

READY = Situation(image=True, network=True, known=True, measured=True)
#: What can stand in the way, each as the only thing, and a word of the sentence that says so.
OBSTACLES = [
    ({"image": False}, "Choose an image."),
    ({"network": False}, "Choose a network"),
    ({"image": False, "network": False}, "an image and a network"),
    ({"unread": ("halo should be pairs",)}, "halo should be"),
    ({"opening_network": True}, "network is being opened"),
    ({"opening_image": True}, "project is being opened"),
    ({"image_problem": ImageError("three axes")}, "three axes"),
    ({"plan_problem": SettingsError("core off the stride")}, "core off the stride"),
    ({"reference_problem": ImageError("cannot be read")}, "cannot be read"),
    ({"measure_problem": NonFiniteError("NaN")}, "NaN"),
    ({"known": False}, "being read"),
    ({"measured": False}, "being measured"),
    ({"measured": False, "routing": True}, "being tried"),
    ({"saving": True}, "being saved"),
]


@pytest.mark.parametrize(("change", "words"), OBSTACLES)
def test_each_obstacle_is_said_as_long_as_it_is_there(change, words):
    found = readiness_of(replace(READY, **change))
    assert not found.ready
    assert words in found.obstacle
    assert readiness_of(READY) == Readiness()


@pytest.mark.parametrize(("first", "_"), OBSTACLES)
@pytest.mark.parametrize(("second", "__"), OBSTACLES)
def test_two_obstacles_are_never_silent(first, second, _, __):
    both = replace(READY, **first, **{k: v for k, v in second.items() if k not in first})
    assert readiness_of(both).obstacle


def test_an_obstacle_is_said_in_the_words_of_the_panel():
    problem = ImageError("Pick channels, such as --channel 0.")
    assert (
        readiness_of(replace(READY, plan_problem=problem)).obstacle
        == "Choose as many in the list of channels."
    )


def test_what_is_measured_or_saved_keeps_no_other_command_from_starting():
    for change in ({"measured": False}, {"known": False}, {"saving": True}):
        assert choices_of(replace(READY, **change)).ready


class Later:
    """A dispatch that delivers what threads tell when the test says so, as an event loop would."""

    def __init__(self):
        self.calls = deque()

    def __call__(self, call):
        self.calls.append(call)

    def deliver(self):
        while self.calls:
            self.calls.popleft()()


@pytest.fixture(scope="module")
def values():
    return cells_image((64, 64)).image


def network(name, channels=1, norm="batch", ndim=2):
    torch.manual_seed(3)
    arguments = {
        "ndim": ndim,
        "in_channels": channels,
        "out_channels": 2,
        "features": (4, 8),
        "norm": norm,
    }
    described = Description(
        name=name,
        axes="zyx"[-ndim:],
        in_channels=channels,
        architecture="unet",
        arguments=arguments,
    )
    return network_in_memory(build("unet", **arguments), described)


@pytest.fixture(scope="module")
def first():
    return network("first")


@pytest.fixture(scope="module")
def second():
    return network("second", norm="batch_renorm")


def grey(values, name="cells"):
    return Image(data=values, axes="yx", name=name)


@pytest.fixture
def later():
    return Later()


@pytest.fixture
def session(tmp_path, later):
    session = Session(tmp_path / "project", later)
    yield session
    session.close()


def settle(session, later):
    for _ in range(4):
        for kind in ("network", "route", "image", "reopen", "measure", "predict", "save", "size"):
            assert session.jobs.wait(kind, 60)
            later.deliver()


@pytest.fixture
def ready(session, later, values, first):
    session.set_network(first)
    session.set_image(grey(values.copy()))
    settle(session, later)
    assert session.readiness.ready, session.readiness
    return session


#: Ways in which what is shown is not, or not yet, what can be used; each with its way back.
CHOICES = {
    "a network that is being opened": (
        lambda s: s.network_choice.open("sample:cells_2d_batch_renorm"),
        None,
    ),
    "no image": (lambda s: s.set_image(None), lambda s, image, _: s.set_image(image)),
    "what is no image": (
        lambda s: s.set_image(None, problem=ImageError("RGB without an axis for colour")),
        lambda s, image, _: s.set_image(image),
    ),
    "channels that the network does not take": (
        lambda s: s.set_image(Image(data=np.zeros((3, 64, 64), np.uint8), axes="cyx", name="rgb")),
        lambda s, image, _: s.set_image(image),
    ),
    "axes that the network does not take": (
        lambda s: s.set_network(network("deep", ndim=3)),
        lambda s, _, network: s.set_network(network),
    ),
    "two colours in place of one": (
        lambda s: s.set_network(network("two", channels=2)),
        lambda s, _, network: s.set_network(network),
    ),
    "an entry that cannot be read": (
        lambda s: s.note_unread("settings", "halo should be pairs; got 'x'."),
        lambda s, *_: s.note_unread("settings", ""),
    ),
    "a core off the stride": (
        lambda s: s.set_settings(PredictSettings(core=(33, 33))),
        lambda s, *_: s.set_settings(PredictSettings()),
    ),
    "a box outside": (
        lambda s: s.set_settings(PredictSettings(box=((0, 640), (0, 64)))),
        lambda s, *_: s.set_settings(PredictSettings()),
    ),
    "numbers for two channels": (
        lambda s: s.set_settings(PredictSettings(normalize="range")),
        lambda s, *_: s.set_settings(PredictSettings()),
    ),
}


def teach(session):
    labels = np.zeros((64, 64), np.uint8)
    finetuner = Finetuner(session)
    try:
        meaning = LabelSettings(labels_kind="strokes")
        finetuner.start(labels, meaning, TrainSettings(steps=1), Box((0, 0), (8, 8)))
    finally:
        finetuner.close()


def diagnose(session):
    diagnosing = Diagnoser(session)
    try:
        diagnosing.start("everything")
    finally:
        diagnosing.close()


COMMANDS = {
    "Predict": lambda s: s.start(),
    "Copy as command": lambda s: s.command(),
    "Diagnose": diagnose,
    "Start": teach,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("choose", "back"), CHOICES.values(), ids=CHOICES)
def test_no_command_runs_with_another_state_than_the_panel_shows(ready, later, choose, back, command):
    image, former = ready.image, ready.network
    choose(ready)
    obstacle = ready.readiness.obstacle
    assert obstacle
    with pytest.raises(SettingsError) as refused:
        command(ready)
    assert obstacle in str(refused.value)
    if back is not None:
        back(ready, image, former)
        settle(ready, later)
        assert ready.readiness == Readiness()


def test_predict_waits_for_the_network_that_is_shown_and_takes_it(ready, later):
    former = ready.network
    ready.network_choice.open("sample:cells_2d_batch_renorm")
    with pytest.raises(SettingsError, match="being opened"):
        ready.start()
    settle(ready, later)
    assert ready.network is not former
    result = ready.start()
    settle(ready, later)
    assert result.network == ready.network.spec.name
    assert ready.results.all[-1].complete


def test_a_network_that_cannot_be_opened_is_said_until_another_is_chosen(ready, later, tmp_path, second):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    ready.network_choice.open(str(tmp_path / "broken.safetensors"))
    settle(ready, later)
    assert ready.readiness.ready, "the former network is the one in use, and is shown"
    assert ["broken" in str(trouble) for trouble in ready.troubles] == [True]
    ready.set_network(second)
    assert ready.troubles == ()


def test_a_network_that_could_not_be_opened_is_forgotten_once_the_former_is_used(ready, later, tmp_path):
    ready.network_choice.open(str(tmp_path / "absent.safetensors"))
    settle(ready, later)
    assert ready.troubles
    ready.start()
    assert ready.troubles == ()
    settle(ready, later)


def test_a_network_that_is_chosen_takes_the_place_of_one_that_is_being_opened(ready, later, second):
    ready.network_choice.open("sample:cells_2d_batch_renorm")
    ready.set_network(second)
    settle(ready, later)
    assert ready.network is second
    assert ready.readiness.ready


#: Changes of voxels in their place: of all, of a few, and of one that no sample of voxels meets.
CHANGES = {
    "all halved": lambda a: np.floor_divide(a, 2, out=a),
    "a corner": lambda a: a.__setitem__((slice(0, 3), slice(0, 3)), 60000),
    "one voxel": lambda a: a.__setitem__((37, 41), 0 if a[37, 41] > 300 else 60000),
    "turned over": lambda a: a.__setitem__(slice(None), a[::-1].copy()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_voxels_changed_in_their_place_are_predicted_into_a_new_result(ready, later, values, first, change):
    wide = np.tile(values, (3, 3))
    ready.set_image(grey(wide))
    settle(ready, later)
    former = ready.start()
    settle(ready, later)
    before = open_prediction(former.path).view()[...]
    change(wide)
    ready.start()
    settle(ready, later)
    latest = ready.results.all[-1]
    assert ready.prediction.story.ended.error is None
    assert latest.path != former.path
    assert latest.complete
    assert ready.result_path == latest.path
    assert any("have changed" in note for note in ready.prediction.story.notes)
    assert not np.array_equal(open_prediction(latest.path).view()[...], before)
    np.testing.assert_array_equal(open_prediction(former.path).view()[...], before)
    alone = Session(ready.folder.parent / "alone", later)
    alone.set_network(first)
    alone.set_image(grey(wide.copy()))
    settle(alone, later)
    assert alone.plan.normalization == ready.plan.normalization, "the intensities are measured anew"
    alone.close()


def test_voxels_that_have_not_changed_are_not_predicted_again(ready, later):
    first = ready.start()
    settle(ready, later)
    ready.start()
    settle(ready, later)
    assert [result.path for result in ready.results.all] == [first.path]
    assert ready.prediction.story.saved.tiles_computed == 0


TYPED = {
    "core": PredictSettings(core=(16, 16)),
    "halo": PredictSettings(halo=((2, 2), (2, 2))),
    "box": PredictSettings(box=((0, 32), (0, 32))),
    "quantiles": PredictSettings(quantiles=(5.0, 95.0)),
    "range": PredictSettings(normalize="range", range=(0.0, 900.0)),
    "nonfinite": PredictSettings(nonfinite="zero"),
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
@pytest.mark.parametrize("other", ["image", "network"])
def test_settings_belong_to_the_pair_they_were_typed_for(ready, values, first, second, typed, other):
    image = ready.image
    told = []
    ready.settings_changed.connect(told.append)
    ready.set_settings(typed)
    if other == "image":
        ready.set_image(grey(values, "another"))
    else:
        ready.set_network(second)
    assert ready.settings == PredictSettings()
    if other == "image":
        ready.set_image(image)
    else:
        ready.set_network(first)
    assert ready.settings == typed
    assert told == [typed, PredictSettings(), typed], "whoever shows settings is told of each change"


def test_what_belongs_to_the_machine_and_to_a_network_trained_further_stays(ready, values, second):
    typed = PredictSettings(core=(16, 16), memory=1.0, device="cpu")
    ready.set_settings(typed)
    ready.set_network(second, trained_further=True)
    assert ready.settings == typed
    ready.set_image(grey(values, "another"))
    assert ready.settings == PredictSettings(memory=1.0, device="cpu")


def test_settings_typed_before_there_is_a_pair_belong_to_the_first(session, values, first):
    typed = PredictSettings(core=(16, 16))
    session.set_settings(typed)
    session.set_network(first)
    session.set_image(grey(values))
    session.set_image(None)
    session.set_image(grey(values))
    assert session.settings == typed


def test_what_was_being_opened_for_the_project_before_keeps_nothing_from_starting(ready, later, tmp_path):
    ready.project_folder.ensure_file()
    folder = ready.folder
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    ready.network_choice.open(str(tmp_path / "broken.safetensors"))
    settle(ready, later)
    assert ready.troubles
    told = []
    ready.jobs.busy_changed.connect(lambda kind, busy: told.append((kind, busy)))
    ready.network_choice.open("sample:cells_2d_batch_renorm")
    ready.reopen(folder)
    assert ("network", False) in told
    assert not any("broken" in str(trouble) for trouble in ready.troubles)
