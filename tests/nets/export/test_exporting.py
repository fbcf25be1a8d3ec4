"""Networks for other programs: what is written gives the same, opens again, and says what it cannot do."""

import hashlib
import json
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from torch import nn

import napari_tileseg as ts
from napari_tileseg.errors import NetworkError, StoreError
from napari_tileseg.nets import About, apply_activation, export_network, open_module, open_network
from napari_tileseg.nets.export import programs
from napari_tileseg.nets.export.processing import processing_of
from napari_tileseg.nets.formats.bioimageio.processing import operations, preparation
from napari_tileseg.nets.formats.bioimageio.tensors import Axis
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean, prepare_array
from napari_tileseg.nets.norm_layers import BatchRenorm

#: Names of files by their format.
FILES = {
    "onnx": "cells.onnx",
    "exported_program": "cells.pt2",
    "torchscript": "cells.torchscript",
    "state_dict": "cells.pt",
}


def probabilities(network, image):
    with torch.inference_mode():
        return apply_activation(network.module(image), network.spec.activation).numpy()


def noise(network, *shape):
    random = torch.Generator().manual_seed(3)
    return torch.rand(1, network.spec.in_channels, *shape, generator=random)


class Halved(nn.Module):
    """Two levels of a network that nobody has registered."""

    def __init__(self, norm=nn.InstanceNorm2d):
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(2, 4, 3, padding=1), norm(4), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        y = torch.relu(self.norm(self.first(x)))
        small = nn.functional.avg_pool2d(y, 2)
        return self.last(y + nn.functional.interpolate(small, scale_factor=2.0))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def cells():
    return open_network("sample:cells_2d_batch_renorm")


@pytest.fixture(scope="module")
def halved():
    torch.manual_seed(0)
    return open_module(
        Halved().eval(),
        axes="yx",
        in_channels=2,
        name="halved",
        classes=("a", "b", "c"),
        activation="softmax",
        voxel_size=(0.5, 0.25),
    )


@pytest.fixture(scope="module", params=["cells", "halved"])
def network(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("kind", FILES)
def test_what_is_written_opens_again_and_gives_the_same(network, kind, tmp_path):
    written = export_network(network, tmp_path / FILES[kind])
    assert written.format == kind
    assert written.bytes == (tmp_path / FILES[kind]).stat().st_size
    assert written.difference <= 1e-5
    trusted = ts.NetworkSettings(trust_sha256=sha256(written.path)) if kind == "torchscript" else None
    again = open_network(written.path, trusted)
    image = noise(network, 40, 56)
    np.testing.assert_allclose(probabilities(again, image), probabilities(network, image), rtol=0, atol=1e-5)
    told = ("name", "axes", "in_channels", "classes", "input_normalization", "voxel_size", "seam_free")
    assert all(getattr(again.spec, each) == getattr(network.spec, each) for each in told)
    assert not any(isinstance(layer, BatchRenorm) for layer in again.module.modules())


def test_onnx_is_computed_by_another_runtime_at_any_size(network, tmp_path):
    written = export_network(network, tmp_path / "cells.onnx")
    session = onnxruntime.InferenceSession(str(written.path))
    (given,), (found,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape[2:]) == ("image", ["y", "x"])
    assert (found.name, found.shape[2:]) == ("probabilities", ["y", "x"])
    for shape in ((32, 32), (64, 40)):
        image = noise(network, *shape)
        by_them = session.run(None, {given.name: image.numpy()})[0]
        np.testing.assert_allclose(by_them, probabilities(network, image), rtol=0, atol=1e-5)
    onnx.checker.check_model(onnx.load(written.path), full_check=True)


def test_a_state_dict_is_one_of_plain_batch_norm(cells, tmp_path):
    written = export_network(cells, tmp_path / "cells.pth")
    state = torch.load(written.path, weights_only=True)
    assert state.keys() == cells.module.state_dict().keys()
    said = json.loads((tmp_path / "cells.pth.json").read_text())
    assert (said["architecture"], said["arguments"]["norm"]) == ("unet", "batch")
    assert set(open_network(written.path).spec.norm_counts) == {"batch"}


def test_a_package_states_all_and_its_test_is_reproduced(network, tmp_path):
    about = About(authors=("A. Nobody",), license="MIT", citations=("A work, doi:10.1000/182.",))
    written = export_network(network, tmp_path / "package", about=about)
    assert written.difference <= 1e-5
    said = yaml.safe_load((written.path / "rdf.yaml").read_text())
    assert (said["license"], said["authors"]) == ("MIT", [{"name": "A. Nobody"}])
    assert said["cite"] == [{"text": "A work, doi:10.1000/182.", "doi": "10.1000/182"}]
    assert set(said["weights"]) == {"onnx", "torchscript"}
    again = open_network(written.path)
    assert again.spec.self_test is not None
    assert again.spec.self_test.reproduces
    assert again.spec.classes == network.spec.classes
    sizes, space = network.spec.padded_sizes, said["inputs"][0]["axes"][2:]
    assert [axis["size"]["step"] for axis in space] == list(sizes.step)
    halos = [axis["halo"] for axis in said["outputs"][0]["axes"][2:]]
    assert halos == [max(sides) for sides in network.spec.default_halo]
    assert all(axis["size"]["min"] > 2 * halo for axis, halo in zip(space, halos, strict=True))
    page = (written.path / "README.md").read_text()
    assert all(note in page for note in written.notes)
    assert network.spec.input_normalization.words in page


def test_a_zip_file_holds_the_same_package(halved, tmp_path):
    first = export_network(halved, tmp_path / "one.zip")
    folder = export_network(halved, tmp_path / "one")
    with zipfile.ZipFile(first.path) as archive:
        assert set(archive.namelist()) == {each.name for each in folder.path.iterdir()}
        again = (folder.path / "test_output.npy").read_bytes()
        assert archive.read("test_output.npy") == again
    assert open_network(first.path).spec.self_test.reproduces


def test_the_middle_of_an_image_becomes_the_test(halved, tmp_path):
    image = np.random.default_rng(0).integers(0, 4000, (2, 300, 200)).astype("u2")
    written = export_network(halved, tmp_path / "package", image=image)
    raw = np.load(written.path / "test_input.npy")
    assert raw.shape == (1, 2, 128, 128)
    np.testing.assert_array_equal(raw[0], image[:, 86:214, 36:164])
    with pytest.raises(NetworkError, match="2 channels and the axes yx"):
        export_network(halved, tmp_path / "other", image=image[:1])
    with pytest.raises(NetworkError, match="at least"):
        export_network(halved, tmp_path / "other", image=image[:, :3, :3])
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Percentiles(low=1, high=99.8, clip=True),),
        (Percentiles(low=2, high=98, per_channel=False, to=(-1.0, 1.0)),),
        (ZeroMean(eps=1e-6),),
        (ZeroMean(per_channel=False, eps=1e-3), Clip(low=-2.0, high=2.0)),
        (Linear(gain=(0.5, 2.0), offset=(1.0, -1.0)), Clip(high=3.0)),
        (Linear(gain=0.25, offset=1.0, channels=(1, 0)),),
        (Linear(gain=(0.5, 2.0), offset=3.0, channels=(1, 0)),),
    ],
)
def test_steps_of_intensities_are_read_back_as_what_they_do(steps):
    said = processing_of(steps, "yx", 2)
    assert said.is_complete
    axes = [Axis(kind="channel", letter="c", size=2), *(Axis(kind="space", letter=each) for each in "yx")]
    back = preparation(operations(said.steps, "a package"), axes, "image", "a package").steps
    values = np.random.default_rng(0).normal(100, 30, (2, 20, 30)).astype("f4")
    wanted, found = prepare_array(values, steps), prepare_array(values, back)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "step",
    [ZeroMean(over="mask"), Percentiles(channels=(1,)), ZeroMean(floor=True, eps=0.1), ZeroMean(eps=5.0)],
)
def test_what_a_package_cannot_say_of_intensities_is_left_to_the_user_and_said(step):
    said = processing_of((Clip(low=0.0), step), "yx", 2)
    assert not said.is_complete
    assert said.steps == []
    assert "prepare them before" in said.notes[0]


def test_a_file_that_gives_something_else_is_not_written(halved, tmp_path, monkeypatch):
    traced = torch.jit.trace

    def one_size_only(module, example, **_):
        other = example.clone()

        class Fixed(nn.Module):
            def forward(self, image):
                return module(other) + 0 * image.sum()

        return traced(Fixed(), (example,), check_trace=False)

    monkeypatch.setattr(programs.torch.jit, "trace", one_size_only)
    with pytest.raises(NetworkError, match=r"something else|does not compute"):
        export_network(halved, tmp_path / "halved.torchscript")
    assert list(tmp_path.glob("halved*")) == []


def test_without_the_packages_that_write_onnx_one_is_told_what_to_install(halved, tmp_path, monkeypatch):
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(NetworkError, match=r"napari-tileseg\[export\]"):
        export_network(halved, tmp_path / "halved.onnx")
    with pytest.raises(NetworkError, match=r"napari-tileseg\[export\]"):
        export_network(halved, tmp_path / "package")
    assert list(tmp_path.glob("*")) == []


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("cells.tif", None, "onnx"),
        ("cells.onnx", "state_dict", "ends like onnx"),
        ("cells.onnx", "caffe", "one of"),
        ("cells.zip", "torchscript", "ends like bioimageio"),
    ],
)
def test_a_name_that_says_nothing_or_something_else_is_refused(halved, tmp_path, name, asked, words):
    with pytest.raises(StoreError, match=words):
        export_network(halved, tmp_path / name, format=asked)


def test_nothing_that_is_there_is_lost(halved, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        export_network(halved, tmp_path / "package")
    (tmp_path / "halved.json").write_text("{}")
    with pytest.raises(StoreError, match="describes another network"):
        export_network(halved, tmp_path / "halved.pt2")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        export_network(halved, tmp_path / "folder.onnx")
    assert (tmp_path / "package" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "halved.json").read_text() == "{}"


def test_a_licence_and_a_citation_are_checked():
    with pytest.raises(NetworkError, match="SPDX"):
        About(license="do what you like")
    with pytest.raises(NetworkError, match="DOI"):
        About(citations=("a work",))
