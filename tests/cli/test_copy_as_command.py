"""The line that the panel copies does, in a shell, what the panel would do."""

import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_tileseg.cli import main
from napari_tileseg.cli.run import prediction
from napari_tileseg.nets import NetworkReference
from napari_tileseg.prediction.command import predict_command
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings

shapes = st.lists(st.integers(1, 999), min_size=1, max_size=4).map(tuple)
pairs = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=4).map(tuple)
percents = st.floats(0, 100)
# A word that starts with "-" is a flag to every shell tool, so no place is named so.
places = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1).filter(
    lambda text: not text.startswith("-")
)


def drawn(cls, **fields):
    """Draw settings of which each may be left at its default."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: cls(**given))


image_settings = drawn(
    ImageSettings,
    level=st.integers(0, 9),
    axes=st.sampled_from(["zyx", "tcyx"]),
    channel=st.lists(st.integers(0, 9), min_size=1).map(tuple),
    voxel_size=st.lists(st.floats(1e-9, 1e6), min_size=2, max_size=3).map(tuple),
)
predict_settings = drawn(
    PredictSettings,
    core=shapes,
    halo=pairs,
    box=pairs,
    normalize=st.sampled_from(["network", "range", "tile"]),
    quantiles=st.tuples(percents, percents),
    range=st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    resample=st.booleans(),
    device=st.sampled_from(["auto", "cpu", "cuda:1"]),
    batch=st.integers(1, 99),
)


@pytest.fixture(scope="module")
def taken():
    """What the shell would have been asked to do, in place of doing it."""
    asked = {}

    def run(command):
        asked.clear()
        asked.update({each.name: getattr(command, each.name) for each in fields(command)})
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "run_predict", run)
        patch.setattr("napari_tileseg.cli.verbs.predict.answer", lambda *_, **__: None)
        yield asked


@settings(max_examples=60)
@given(
    image=places,
    path=places,
    out=places,
    architecture=st.none() | st.just('{"architecture": "unet", "arguments": {"features": [4, 8]}}'),
    trust=st.none() | st.just("ab" * 32),
    chosen=image_settings,
    how=predict_settings,
)
def test_the_shell_reads_what_was_chosen(taken, image, path, out, architecture, trust, chosen, how):
    reference = NetworkReference(path, "cd" * 32, architecture, trust)
    line = predict_command(image, reference, out, chosen, how)
    program, *args = shlex.split(line)
    result = CliRunner().invoke(main, args, catch_exceptions=False)
    assert (program, result.exit_code) == ("tileseg", 0), result.output
    assert taken == {
        "image": image,
        "network": path,
        "out": Path(out),
        "image_settings": chosen,
        "network_settings": NetworkSettings(architecture=architecture, trust_sha256=trust),
        "settings": how,
        "on_image": None,
        "quiet": False,
    }


def test_only_what_differs_from_the_defaults_is_written():
    reference = NetworkReference("net.safetensors", "cd" * 32)
    line = predict_command("image.tif", reference, "out.ome.zarr")
    assert line == "tileseg predict image.tif net.safetensors -o out.ome.zarr"
