"""A recipe in YAML: what it may hold, and how it says what is wrong."""

import pytest

from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import TrainSettings
from napari_tileseg.workflows.recipe_file import read_recipe

LEAST = """\
output: nuclei.safetensors
pairs:
  - {image: a.tif, labels: a_labels.tif}
classes: [foreground, boundary]
labels_kind: instances
architecture: {name: unet, features: [4, 8]}
"""


@pytest.fixture
def read(tmp_path):
    def written(text):
        (tmp_path / "recipe.yaml").write_text(text)
        return read_recipe(tmp_path / "recipe.yaml")

    return written


def test_what_is_left_out_is_as_in_the_paper(read, tmp_path):
    recipe = read(LEAST)
    assert recipe.training == TrainSettings(steps=25_000)
    assert recipe.arguments == {"features": [4, 8], "in_channels": 1, "out_channels": 2}
    assert (recipe.output, recipe.folder) == (tmp_path / "nuclei.safetensors", tmp_path / "nuclei.run")
    assert recipe.pairs[0].image == str(tmp_path / "a.tif")
    assert recipe.predict.normalize == "network"


def test_each_kind_of_value_is_read(read):
    recipe = read(
        LEAST.replace("labels_kind: instances", "labels_kind: classes\nmap: {127: boundary, 255: foreground}")
        + "training: {steps: 7, learning_rate: 1e-3, patch: [16, 32, 32], augment: no, minutes: null}\n"
        + "image: {voxel_size: [1.75, 0.8, 0.8], axes: zyx}\n"
        + "input_normalization: {low: 0, high: 99, of: tile}\n"
    )
    training = recipe.training
    assert (training.steps, training.learning_rate, training.patch) == (7, 1e-3, (16, 32, 32))
    assert training.augment is False
    assert recipe.image.voxel_size == (1.75, 0.8, 0.8)
    assert recipe.labels.map == ((127, "boundary"), (255, "foreground"))
    assert (recipe.predict.normalize, recipe.predict.quantiles) == ("tile", (0.0, 99.0))
    assert read(LEAST + "training: {minutes: 2}").training == TrainSettings(minutes=2)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("trainin: {}\n", "trainin means nothing; .* Did you mean training?"),
        ("training: {step: 5}\n", "training.step means nothing; .* Did you mean steps?"),
        ("training: {steps: 0}\n", "training.steps should be 1 or more, and .* at most; got 0"),
        ("training: {steps: 2.5}\n", "training.steps should read like 4; got '2.5'"),
        ("training: {augment: maybe}\n", "training.augment should read like true or false"),
        ("training: {norm: batch}\n", "training.norm is one of batch_renorm, keep"),
        ("training: 5\n", "training should hold settings"),
        ("image: {voxel_size: small}\n", "image.voxel_size should read like"),
        ("map: {one: foreground}\n", "map should read like 127=myelin"),
        ("activation: tanh\n", "activation is one of none, sigmoid, softmax; got 'tanh'"),
        ("input_normalization: {low: 5, high: 1}\n", "input_normalization has low below high"),
        ("input_normalization: {kind: none, of: tile}\n", "of can be tile for quantiles only"),
        ("name: 5\n", "name should be text; got 5"),
        ("output: other.safetensors\n", "'output' is given twice"),
        ("  - x\n: [", "cannot be read"),
    ],
)
def test_a_key_that_is_wrong_is_named_with_what_is_expected(read, broken, said):
    with pytest.raises(SettingsError, match=said):
        read(LEAST + broken)


@pytest.mark.parametrize(
    ("sound", "broken", "said"),
    [
        (
            "output: nuclei.safetensors",
            "output: nuclei.pt",
            "nuclei.safetensors",
        ),
        ("output: nuclei.safetensors", "name: n", "output is needed and is not there"),
        (
            "labels_kind: instances",
            "labels_kind: objects",
            "labels_kind is one of strokes, classes, instances",
        ),
        ("labels_kind: instances", "name: n", "labels_kind is needed and is not there"),
        ("[foreground, boundary]", "[foreground, foreground]", "classes should be different names"),
        (
            "  - {image: a.tif, labels: a_labels.tif}",
            "  - a.tif",
            r"pairs\[0\] should hold image: and labels:",
        ),
        ("labels: a_labels", "label: a_labels", r"pairs\[0\].label means nothing; .* Did you mean labels?"),
        ("image: a.tif", "validation: 3, image: a.tif", r"pairs\[0\].validation should be true or false"),
        ("name: unet", "name: unets", "architecture.name is one of unet, unetr"),
        (
            "features: [4, 8]",
            "feature: [4, 8]",
            "architecture.feature means nothing; .* Did you mean features?",
        ),
        ("features: [4, 8]", "out_channels: 3", "out_channels should be 2, one for each of classes; got 3"),
        ("{name: unet, features: [4, 8]}", "unet", "architecture should be keys and values"),
    ],
)
def test_a_value_that_does_not_fit_is_named(read, sound, broken, said):
    assert sound in LEAST
    with pytest.raises(SettingsError, match=said):
        read(LEAST.replace(sound, broken))


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
