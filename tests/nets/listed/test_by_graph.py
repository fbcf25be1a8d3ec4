"""Networks without a registered architecture: kept by their graph, trained further, frozen, opened anew."""

import hashlib
import io
import json
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import napari_tileseg as ts
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import NetworkError
from napari_tileseg.images import Image
from napari_tileseg.nets import Network, by_graph, open_module, open_network, save_described
from napari_tileseg.prediction.plan.plan import find_way, lay_plan
from napari_tileseg.settings import LabelSettings, NetworkSettings, PredictSettings, TrainSettings
from napari_tileseg.training import convert_network, freeze_network

#: Opens a network where nothing of this test is, and prints what it gives for an image.
ANEW = """
import sys, numpy as np, torch
from napari_tileseg.nets import open_network
network = open_network(sys.argv[1])
torch.manual_seed(0)
with torch.inference_mode():
    np.save(sys.argv[2], network.module(torch.randn(1, 1, 32, 48)).numpy())
loaded = [name for name in sys.modules if name.split(".")[0] in {"monai", "onnx", "torchvision"}]
print(loaded, network.spec.seam_free, sorted(network.spec.norm_counts))
"""


class Net(nn.Module):
    """Two levels that nobody has registered, with a buffer that must not learn."""

    def __init__(self, norm=None, classes: int = 2, end: nn.Module | None = None) -> None:
        super().__init__()
        norm = norm or partial(nn.InstanceNorm2d, affine=True)
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), norm(4)
        self.deep, self.inner = nn.Conv2d(4, 8, 3, padding=1), norm(8)
        self.up, self.head = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Conv2d(8, classes, 1)
        self.register_buffer("scale", torch.tensor([1.5]))
        self.end = end or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.leaky_relu(self.norm(self.first(x * self.scale)), 0.1, inplace=True)
        z = F.relu(self.inner(self.deep(F.max_pool2d(y, 2))))
        return self.end(self.head(torch.cat([y, self.up(z)], 1)))


def made(**how) -> nn.Module:
    torch.manual_seed(0)
    return Net(**how).eval()


def in_memory(_: Path, **how) -> Network:
    activation = None if "end" in how else "softmax"
    return open_module(made(**how), axes="yx", in_channels=1, activation=activation)


def exported(folder: Path, **how) -> Network:
    file = io.BytesIO()
    sizes = {
        2: 2 * torch.export.Dim("rows", min=4, max=512),
        3: 2 * torch.export.Dim("columns", min=4, max=512),
    }
    program = torch.export.export(made(**how), (torch.zeros(1, 1, 16, 24),), dynamic_shapes=(sizes,))
    torch.export.save(program, file)
    (folder / "net.pt2").write_bytes(file.getvalue())
    return open_network(folder / "net.pt2", NetworkSettings(architecture='{"activation": "softmax"}'))


def scripted(folder: Path, **how) -> Network:
    return trusted(torch.jit.script(made(**how)), folder)


def traced(folder: Path, **how) -> Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trusted(torch.jit.trace(made(**how), torch.zeros(1, 1, 16, 24)), folder)


def trusted(module: torch.jit.ScriptModule, folder: Path) -> Network:
    path = folder / "net.pt"
    module.save(str(path))
    said = {"axes": "yx", "in_channels": 1, "activation": "softmax"}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return open_network(path, NetworkSettings(architecture=json.dumps(said), trust_sha256=digest))


SORTS = {"in memory": in_memory, "exported": exported, "scripted": scripted, "traced": traced}


@pytest.fixture(params=SORTS)
def network(request, tmp_path) -> Network:
    return SORTS[request.param](tmp_path)


def output(network: Network, shape=(1, 1, 32, 48)) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.inference_mode():
        return network.module(torch.randn(shape))


def opened_elsewhere(path: Path, folder: Path) -> tuple[np.ndarray, str]:
    done = subprocess.run(
        [sys.executable, "-c", ANEW, str(path), str(folder / "there.npy")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return np.load(folder / "there.npy"), done.stdout.strip()


def test_kept_by_its_graph_it_is_the_same_anywhere(network, tmp_path) -> None:
    kept = by_graph(network)
    assert kept.description.architecture == "graph"
    assert by_graph(kept) is kept
    path = save_described(kept.module, kept.description, tmp_path / "kept.safetensors")
    again = open_network(path)
    assert torch.equal(output(again), output(network))
    assert again.spec.seam_layers == ("norm", "inner")
    assert not network.spec.seam_free
    assert (again.spec.classes, again.spec.activation) == (network.spec.classes, network.spec.activation)
    there, said = opened_elsewhere(path, tmp_path)
    np.testing.assert_array_equal(there, output(network).numpy())
    assert said == "[] False ['instance']"
    assert save_described(again.module, again.description, tmp_path / "b.safetensors").read_bytes() == (
        path.read_bytes()
    )


def test_twenty_steps_make_it_seam_free_and_are_kept(network, tmp_path) -> None:
    random = np.random.default_rng(0)
    image = Image(random.normal(100, 40, (64, 96)).astype(np.float32), "yx")
    strokes = np.zeros((64, 96), np.uint8)
    strokes[4:60:6, 5:90] = np.arange(1, 3)[np.arange(10) % 2][:, None]
    out = tmp_path / "tuned.safetensors"
    result = ts.drain(
        ts.finetune(
            image,
            strokes,
            network,
            TrainSettings(steps=20, patch=(32, 32), device="cpu", validate_every=10),
            meaning=LabelSettings(labels_kind="strokes", map=((1, "class 1"), (2, "class 2"))),
            out=out,
        )
    )
    tuned = open_network(out)
    assert tuned.spec.seam_free
    assert tuned.description.renormalized == ("norm", "inner")
    assert torch.equal(tuned.module.scale, torch.tensor([1.5]))
    assert not torch.equal(tuned.module.head.weight, network.module.head.weight)
    torch.testing.assert_close(output(tuned), output(result), rtol=0, atol=1e-6)
    there, said = opened_elsewhere(out, tmp_path)
    np.testing.assert_allclose(there, output(result).numpy(), rtol=0, atol=1e-6)
    assert said == "[] True ['batch_renorm']"
    whole = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu")))
    tiles = np.asarray(ts.predict(image, tuned, PredictSettings(device="cpu", core=(16, 16))))
    np.testing.assert_allclose(tiles, whole, atol=1e-5)


def test_frozen_it_holds_the_numbers_of_an_image(tmp_path) -> None:
    network = exported(tmp_path)
    image = Image(np.random.default_rng(0).normal(size=(64, 96)).astype(np.float32), "yx")
    settings = PredictSettings(device="cpu", statistics="whole", normalize="none")
    frozen = ts.drain(freeze_network([lay_plan(image, network, settings, find_way(network, settings))]))
    path = save_described(frozen.module, frozen.description, tmp_path / "frozen.safetensors")
    again = open_network(path)
    assert again.spec.seam_free
    assert again.spec.norm_counts.keys() == {"batch"}
    plain = PredictSettings(device="cpu", normalize="none", core=(32, 32))
    np.testing.assert_allclose(
        np.asarray(ts.predict(image, again, plain)),
        np.asarray(ts.predict(image, network, settings)),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("end", "activation"), [(nn.Sigmoid(), "sigmoid"), (nn.Softmax(1), "softmax"), (nn.Tanh(), "none")]
)
def test_an_activation_at_its_end_is_told_apart(end, activation, tmp_path) -> None:
    network = in_memory(tmp_path, end=end)
    kept = by_graph(network)
    path = save_described(kept.module, kept.description, tmp_path / "kept.safetensors")
    again = open_network(path)
    assert torch.equal(output(again), output(network))
    assert again.spec.activation == "none"
    assert again.description.arguments.get("final_activation", "none") == activation


def test_groups_learn_on_as_many_axes_as_convolutions_have(tmp_path) -> None:
    network = exported(tmp_path, norm=lambda channels: nn.GroupNorm(2, channels))
    module, paths = ts.nets.renormalize(by_graph(network).module)
    assert paths == ("norm", "inner")
    assert module.norm.ndim == 2


class AnySize(nn.Module):
    """Takes images down to one voxel, as it makes coarse maps as large as what is beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.first(x))
        z = self.deep(F.max_pool2d(F.max_pool2d(y, 2, ceil_mode=True), 2, ceil_mode=True))
        return torch.cat([y, F.interpolate(z, size=y.shape[2:], mode="nearest")], 1)


def test_what_takes_the_smallest_images_is_not_bound_to_them(tmp_path) -> None:
    torch.manual_seed(0)
    network = open_module(AnySize().eval(), axes="yx", in_channels=1)
    assert max(network.spec.geometry.read.minimum) < 4
    kept = by_graph(network)
    again = open_network(save_described(kept.module, kept.description, tmp_path / "kept.safetensors"))
    for shape in ((1, 1, 32, 48), (1, 1, 13, 7), (1, 1, 5, 5)):
        assert torch.equal(output(again, shape), output(network, shape))


class Branches(nn.Module):
    """Computes otherwise by what is in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) if float(x.mean()) > 0 else x


class OneAtATime(Net):
    """Has the number of images in a shape, as exporters that know one image alone write it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y.reshape(1, 2, *y.shape[2:]) if x.shape[0] == 1 else y


def test_several_images_are_computed_together_where_that_is_the_same() -> None:
    for kind, together in ((Net, True), (OneAtATime, False)):
        torch.manual_seed(0)
        network = by_graph(open_module(kind().eval(), axes="yx", in_channels=1))
        assert network.module.takes_batches is together
        images = torch.randn(3, 1, 16, 24)
        seen = []
        network.module.norm.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0])))
        with torch.inference_mode():
            apart = torch.cat([network.module(each[None]) for each in images])
            torch.testing.assert_close(network.module(images), apart)
        assert seen == [1, 1, 1, 3] if together else seen == [1] * 6


def test_statistics_of_what_takes_one_image_are_those_of_one_tile() -> None:
    network = open_module(OneAtATime().eval(), axes="yx", in_channels=1)
    image = Image(np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32), "yx")
    settings = PredictSettings(device="cpu", normalize="none")
    plan = ts.drain(ts.plan_prediction(image, network, settings, route=WHOLE_TILES))
    events = []
    converted = ts.drain(convert_network(network, [plan], tile=(32, 32), voxels=4 * 32 * 32), events.append)
    assert any("one image at a time" in str(each) for each in events)
    assert converted.spec.seam_free


def test_what_has_no_graph_is_refused_with_the_reason() -> None:
    branches = open_module(Branches(), axes="yx", in_channels=1)
    with pytest.raises(NetworkError, match=r"because its code does not show as a graph: torch cannot export"):
        by_graph(branches)


def test_its_description_says_all_and_no_more_than_json_does(network) -> None:
    kept = by_graph(network)
    said = json.loads(kept.description.to_json())
    assert said["arguments"]["graph"]["version"] == 1
    assert said["arguments"]["graph"]["fixed"] == ["scale"]
    assert ts.Description.from_json(kept.description.to_json(), "here") == kept.description
