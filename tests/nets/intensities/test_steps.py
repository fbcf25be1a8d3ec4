"""Intensities step by step in a description: read as untrusted, written so that old programs refuse it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import Description, network_in_memory, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean, read_step
from napari_tileseg.nets.spec import InputNormalization

STEPS = (
    Clip(low=0, high=255),
    Clip(low=-3.5),
    Linear(gain=(0.5, 2), offset=1),
    Linear(gain=-1, over="nonzero", channels=(1,)),
    ZeroMean(per_channel=False, eps=1e-6),
    ZeroMean(eps=1e-8, floor=True, over="mask"),
    Percentiles(low=1, high=99.5, clip=True, to=(-1, 1), over="box"),
)
numbers = st.floats(-1e6, 1e6)
flags = st.booleans()
channels = st.none() | st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(tuple)
over = st.sampled_from(["all", "box", "mask", "nonzero"])
eps = st.floats(0, 1)
steps = st.one_of(
    st.builds(Linear, gain=st.floats(1e-9, 1e9), offset=numbers, channels=channels),
    st.builds(Clip, low=st.floats(-9, 0), high=st.none() | st.floats(0, 9), channels=channels),
    st.builds(ZeroMean, per_channel=flags, eps=eps, floor=flags, over=over, channels=channels),
    st.builds(
        Percentiles,
        low=st.floats(0, 40),
        high=st.floats(41, 100),
        per_channel=flags,
        eps=eps,
        floor=flags,
        clip=flags,
        to=st.tuples(st.floats(-5, 0), st.floats(1, 5)),
        over=over,
        channels=channels,
    ),
)


def by_steps(*stated):
    return InputNormalization(kind="steps", steps=stated)


@given(step=steps)
def test_a_step_comes_back_from_json(step):
    assert read_step(json.loads(json.dumps(step.as_dict()))) == step


def test_a_description_comes_back_and_says_a_version_that_old_programs_refuse():
    said = Description(architecture="unet", input_normalization=by_steps(*STEPS))
    text = said.to_json()
    assert json.loads(text)["version"] == 2
    assert Description.from_json(text, "a file") == said
    assert Description.from_json(text, "a file").to_json() == text


def test_what_needs_no_steps_is_written_as_ever():
    said = json.loads(Description(input_normalization=InputNormalization(kind="zero_mean")).to_json())
    assert said["version"] == 1
    assert said["input_normalization"] == {"kind": "zero_mean", "low": 1.0, "high": 99.8}
    assert json.loads(Description().to_json())["input_normalization"] is None


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (ZeroMean(), {"kind": "zero_mean"}),
        (Percentiles(low=2, high=98, clip=True), {"kind": "quantiles", "low": 2, "high": 98}),
        (Linear(gain=0.05, offset=-5), {"kind": "range", "low": 100, "high": 120}),
        (Linear(), {"kind": "none"}),
    ],
)
def test_one_step_that_is_a_kind_of_its_own_becomes_it(step, expected):
    assert InputNormalization.of_steps([step]) == InputNormalization(**expected)


@pytest.mark.parametrize(
    "step",
    [
        ZeroMean(eps=1e-6),
        ZeroMean(per_channel=False),
        ZeroMean(over="mask"),
        ZeroMean(channels=(0,)),
        Percentiles(low=2, high=98),
        Percentiles(clip=True, eps=1e-6),
        Percentiles(clip=True, to=(0, 255)),
        Linear(gain=-1),
        Linear(gain=(1, 2)),
        Linear(gain=1e-3, offset=-1e-3, over="nonzero"),
        Linear(gain=1e9, offset=1e25),
        Clip(low=0),
    ],
)
def test_what_no_kind_says_exactly_stays_a_step(step):
    assert InputNormalization.of_steps([step]) == by_steps(step)


def test_nothing_to_do_and_several_steps():
    assert InputNormalization.of_steps([]) == InputNormalization(kind="none")
    assert InputNormalization.of_steps([ZeroMean(), ZeroMean()]) == by_steps(ZeroMean(), ZeroMean())


HOSTILE = [
    "linear",
    [],
    {},
    {"step": ["linear"]},
    {"step": "exec"},
    {"step": "linear", "code": "import os"},
    {"step": "linear", "name": "clip"},
    {"step": "linear", "gain": 0},
    {"step": "linear", "gain": "1"},
    {"step": "linear", "gain": True},
    {"step": "linear", "gain": 1e300},
    {"step": "linear", "gain": 10**400},
    {"step": "linear", "gain": float("nan")},
    {"step": "linear", "gain": []},
    {"step": "linear", "gain": [[1]]},
    {"step": "linear", "gain": [1] * 5000},
    {"step": "linear", "gain": [1, 2], "offset": [1, 2, 3]},
    {"step": "linear", "gain": [1, 2], "channels": [0]},
    {"step": "linear", "over": "box"},
    {"step": "linear", "over": None},
    {"step": "linear", "over": []},
    {"step": "clip"},
    {"step": "clip", "low": 2, "high": 1},
    {"step": "clip", "low": float("-inf"), "high": 1},
    {"step": "zero_mean", "eps": -1},
    {"step": "zero_mean", "eps": float("inf")},
    {"step": "zero_mean", "floor": 1},
    {"step": "zero_mean", "per_channel": "yes"},
    {"step": "zero_mean", "channels": []},
    {"step": "zero_mean", "channels": [0, 0]},
    {"step": "zero_mean", "channels": [-1]},
    {"step": "zero_mean", "channels": [True]},
    {"step": "zero_mean", "channels": [1.0]},
    {"step": "zero_mean", "channels": "0"},
    {"step": "zero_mean", "channels": [10**9]},
    {"step": "percentiles", "low": -1},
    {"step": "percentiles", "high": 101},
    {"step": "percentiles", "low": 50, "high": 50},
    {"step": "percentiles", "to": [1, 1]},
    {"step": "percentiles", "to": [0, float("inf")]},
    {"step": "percentiles", "to": [0, 1, 2]},
    {"step": "percentiles", "to": "01"},
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=str)
def test_what_makes_no_sense_is_refused_in_a_sentence(hostile):
    said = {"input_normalization": {"kind": "steps", "steps": [hostile]}}
    with pytest.raises(NetworkError, match="input_normalization") as refused:
        Description.from_json(json.dumps(said), "a file")
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    "hostile",
    [
        {"kind": "steps"},
        {"kind": "steps", "steps": []},
        {"kind": "steps", "steps": {"step": "clip", "low": 0}},
        {"kind": "steps", "steps": [{"step": "clip", "low": 0}] * 17},
        {"kind": "zero_mean", "steps": [{"step": "clip", "low": 0}]},
        {"kind": "steps", "steps": "clip"},
        {"kind": "steps", "steps": 3},
    ],
    ids=str,
)
def test_kind_and_steps_have_to_belong_together(hostile):
    with pytest.raises(NetworkError, match="input_normalization"):
        Description.from_json(json.dumps({"input_normalization": hostile}), "a file")


def test_a_description_of_a_later_version_is_refused():
    with pytest.raises(NetworkError, match=r"version 3.*Use a newer"):
        Description.from_json('{"version": 3}', "a file")


@pytest.fixture
def arguments():
    return {"ndim": 2, "in_channels": 2, "features": (2, 4)}


def test_a_network_takes_its_steps_along(tmp_path, arguments):
    wanted = by_steps(Clip(high=200), Linear(gain=(1, 0.5)))
    said = Description(architecture="unet", arguments=arguments, input_normalization=wanted)
    opened = open_network(save_network(build("unet", **arguments), tmp_path / "net.safetensors", said))
    assert opened.spec.input_normalization == wanted
    plain = opened.spec.as_dict()["input_normalization"]
    assert plain == {
        "kind": "steps",
        "steps": [{"step": "clip", "high": 200.0}, {"step": "linear", "gain": [1.0, 0.5]}],
    }
    assert opened.spec.input_normalization.words.startswith("clipped to 200 at most, then")
    assert opened.spec.input_normalization.words == "clipped to 200 at most, then times 1, 0.5 plus 0"


@pytest.mark.parametrize(
    "step", [ZeroMean(channels=(2,)), Linear(gain=(1, 2, 3)), Linear(offset=(1,), channels=None)]
)
def test_steps_for_other_channels_than_the_network_has_are_refused(arguments, step):
    said = Description(architecture="unet", arguments=arguments, input_normalization=by_steps(step))
    with pytest.raises(NetworkError, match="input_normalization"):
        network_in_memory(build("unet", **arguments), said)


def test_other_steps_make_another_network(arguments):
    module = build("unet", **arguments)
    said = Description(architecture="unet", arguments=arguments, input_normalization=by_steps(ZeroMean()))
    first = network_in_memory(module, said)
    said = replace(said, input_normalization=by_steps(ZeroMean(eps=0.5)))
    assert network_in_memory(module, said, first.spec).sha256 != first.sha256


def test_every_step_has_words():
    for step in STEPS:
        assert "{" not in by_steps(step).words
    assert by_steps(*STEPS).words.count(", then ") == len(STEPS) - 1
