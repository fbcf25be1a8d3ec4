"""Flags are the knobs: each one once, in its words, with its bounds."""

import click
import pytest
from click.testing import CliRunner

from napari_tileseg.cli.options import Part, takes_settings
from napari_tileseg.settings import ImageSettings, Knob, NetworkSettings, PredictSettings, knobs

ALL = {"image": ImageSettings, "network": NetworkSettings, "settings": PredictSettings}
KNOBS = [each for cls in ALL.values() for each in knobs(cls)]


@pytest.fixture
def taken():
    return {}


@pytest.fixture
def verb(taken):
    @click.command()
    @takes_settings(**ALL)
    def run(**settings):
        taken.update(settings)

    return run


def invoke(verb, *args):
    return CliRunner().invoke(verb, args, terminal_width=1000)


def test_untouched_flags_are_the_defaults(verb, taken):
    assert invoke(verb).exit_code == 0
    assert taken == {name: cls() for name, cls in ALL.items()}


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_every_knob_is_a_flag_with_its_help(verb, knob: Knob):
    options = {name: each for each in verb.params for name in each.opts}
    help_text = options[knob.flag].help
    assert knob.help in help_text
    if knob.unit:
        assert knob.unit in help_text
    for bound in (knob.minimum, knob.maximum):
        assert bound is None or (str(bound) if isinstance(bound, int) else f"{bound:g}") in help_text
    assert knob.default is None or knob.format(knob.default) in help_text


def test_there_is_no_flag_without_a_knob(verb):
    assert {name for each in verb.params for name in each.opts} == {each.flag for each in KNOBS}


def test_a_part_of_settings_has_flags_and_the_others_keep_their_defaults(taken):
    @click.command()
    @takes_settings(settings=Part(PredictSettings, ("normalize", "range")))
    def run(**settings):
        taken.update(settings)

    assert {name for each in run.params for name in each.opts} == {"--normalize", "--range"}
    assert invoke(run, "--normalize", "range", "--range", "0,9").exit_code == 0
    assert taken == {"settings": PredictSettings(normalize="range", range=(0.0, 9.0))}


def test_values_that_start_with_a_minus_and_pairs(verb, taken):
    result = invoke(verb, "--range", "-5,10.5", "--halo", "8:12,22,4:6", "--resample", "--voxel-size=2,1,1")
    assert result.exit_code == 0, result.output
    assert taken["settings"] == PredictSettings(
        range=(-5.0, 10.5), halo=((8, 12), (22, 22), (4, 6)), resample=True
    )
    assert taken["image"] == ImageSettings(voxel_size=(2.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--core", "wide"], ["--core", "32,64,64", "'wide'"]),
        (["--core", "0,8,8"], ["core", "1 or more voxels", "0,8,8"]),
        (["--padding", "mirror"], ["reflect, edge, zero", "'mirror'"]),
        (["--quantiles", "1,120"], ["0 to 100 %", "120"]),
        (["--level", "-1"], ["level", "0 or more", "-1"]),
    ],
)
def test_a_wrong_value_is_a_usage_error_that_says_what_is_right(verb, args, words):
    result = invoke(verb, *args)
    assert result.exit_code == 2
    assert all(word in result.output for word in words), result.output
