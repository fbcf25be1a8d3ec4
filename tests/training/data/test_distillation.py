"""What a network said is remembered where nobody has painted, and nowhere else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.labels.painted import cut_labels
from napari_tileseg.nets import Description, open_network, save_described, save_network, trust
from napari_tileseg.nets.architectures import registry
from napari_tileseg.training import TrainingImage
from napari_tileseg.training.data.dataset import gather
from napari_tileseg.training.data.distillation import predict_teacher, teacher_of
from napari_tileseg.training.data.patch_source import PatchSource
from napari_tileseg.training.data.patches import context_of

PATCH, HALO = (32, 32), ((9, 9), (9, 9))


def test_painted_voxels_are_not_remembered_be_they_context_or_held_out(plan, strokes, make_network) -> None:
    network, said = make_network(), set()
    teacher = drain(predict_teacher(plan, network, strokes), lambda event: said.add(event.what))
    assert said == {"Predicting with the present network, to keep what it knows"}, "as a panel shows it"
    dataset = gather([TrainingImage(plan, strokes, teacher=teacher)], network, 0.2, 0)
    assert dataset.held_out
    sources = dataset.sources(dataset.training)
    patches = PatchSource(
        dataset.training, sources, halo=HALO, lead=0, patch=PATCH, cell=PATCH, augment=False
    )
    rng, hidden, remembered = np.random.default_rng(0), 0, 0
    for _ in range(100):
        number, box = patches.sampler.draw(PATCH, [context_of(PATCH, HALO, dense=False)], rng)
        patch = patches._read(number, 0, box)
        painted = cut_labels(strokes.index, box, box, -1) >= 0
        assert np.isnan(patch.teacher[:, painted]).all()
        hidden += np.count_nonzero(painted & (patch.index < 0))
        remembered += np.count_nonzero(~np.isnan(patch.teacher[0]))
    assert hidden > 100
    assert remembered > 100 * 32 * 32 / 2


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """Give each test its own list of trusted files."""
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))


@pytest.fixture
def tuned_from(make_network):
    """Make a network whose file says from which one it was fine-tuned, as anybody could write it."""

    def make(said):
        network = make_network()
        text = replace(network.description, provenance={"remembered": said}).to_json()
        return replace(network, description=Description.from_json(text, "tuned"))

    return make


CLAIMS = {
    "hash": {"trust_sha256": "SHA"},
    "hash with blanks": {"trust_sha256": " SHA\n"},
    "a word": {"trust_sha256": True, "trusted": True},
    "settings inside": {"settings": {"trust_sha256": "SHA"}},
    "a description that trusts": {"architecture": '{"trust_sha256": "SHA", "axes": "yx", "in_channels": 1}'},
    "a description": {"architecture": '{"axes": "yx", "in_channels": 1}'},
    "nothing": {},
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())
def test_what_a_file_says_of_its_origin_makes_no_other_file_run(tuned_from, marking_script, tmp_path, claim):
    script, mark = tmp_path / "script.pt", tmp_path / "mark"
    sha256 = marking_script(script, mark)
    claimed = json.loads(json.dumps(claim).replace("SHA", sha256))
    network, told = tuned_from({"name": "theirs", "path": str(script), "sha256": sha256, **claimed}), []
    assert drain(teacher_of(network), told.append) is network
    assert not mark.exists()
    (note,) = told
    assert "theirs" in note.message
    assert "Its own are used instead" in note.message


def test_an_origin_that_the_user_has_trusted_is_asked(tuned_from, marking_script, tmp_path):
    script = tmp_path / "script.pt"
    sha256 = marking_script(script, tmp_path / "mark")
    trust(sha256)
    told = []
    origin = drain(
        teacher_of(tuned_from({"name": "theirs", "path": str(script), "sha256": sha256})),
        told.append,
    )
    assert (origin.sha256, told) == (sha256, [])


def test_an_origin_that_runs_no_code_is_asked(tuned_from, make_network, tmp_path):
    network = make_network(seed=3)
    path = save_described(network.module, network.description, tmp_path / "first.safetensors")
    first = open_network(path)
    told = []
    origin = drain(teacher_of(tuned_from({"name": "first", **first.reference.as_data()})), told.append)
    assert (origin.sha256, told) == (first.sha256, [])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"name": "gone", "path": "/gone.safetensors", "sha256": "0" * 64},
        {"name": "memory", "path": "", "sha256": "0" * 64},
        {"name": ["a"], "path": ["b"], "sha256": {}},
        {"name": "x" * 10**5, "path": "sample:cells_2d_batch_renorm", "sha256": "0" * 64},
        {"name": "device", "path": "/dev/zero", "sha256": "0" * 64},
    ],
)
def test_an_origin_that_cannot_be_opened_is_told_in_few_words(tuned_from, said):
    network, told = tuned_from(said), []
    assert drain(teacher_of(network), told.append) is network
    assert len(told) == 1
    assert len(told[0].message) < 1000


@pytest.mark.parametrize("arguments", [{"ndim": 1}, {"in_channels": 2}, {"out_channels": 3}])
def test_an_origin_for_other_images_or_classes_is_not_asked(tuned_from, tmp_path, arguments):
    torch.manual_seed(0)
    arguments = {"ndim": 2, "features": [2, 4], "blocks": 1, **arguments}
    path = save_network(
        registry.build("unet", **arguments),
        tmp_path / "other.safetensors",
        Description(architecture="unet", arguments=arguments, activation="sigmoid"),
    )
    network, told = tuned_from({"name": "other", **open_network(path).reference.as_data()}), []
    assert drain(teacher_of(network), told.append) is network
    assert "takes other images" in told[0].message
