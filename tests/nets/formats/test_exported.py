"""Exported programs of PyTorch: opened without torch's loader, whatever is in them."""

import copy
import io
import json
import os
import pickle
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, export, save
from torch.nn import functional as F

from napari_tileseg._progress import drain
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.graphs.capture import capture
from napari_tileseg.images import Image
from napari_tileseg.nets import Network, open_network
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.settings import PredictSettings

EVEN = {2: 2 * Dim("rows", min=2, max=512), 3: 2 * Dim("columns", min=2, max=512)}
FREE = {2: Dim.AUTO, 3: Dim.AUTO}


class Net(nn.Module):
    """Two levels, with normalization, dropout and what overwrites its input."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm(4), nn.LeakyReLU(0.1, inplace=True))
        self.deep = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), norm(4), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(x)
        return self.head(torch.cat([y, self.up(self.deep(F.max_pool2d(y, 2)))], 1))


class Odd(nn.Module):
    """Sizes that are computed, constants, and buffers that are not saved."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.register_buffer("scale", torch.arange(1.0, 4.0), persistent=False)
        self.shift = torch.full((1,), 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) * self.scale.view(1, -1, 1, 1) + self.shift + torch.tensor([0.5])
        z = F.interpolate(F.avg_pool2d(y, 2), size=y.shape[2:], mode="bilinear")
        first, *rest = z.split(1, dim=1)
        return torch.cat([F.pad(y, (1, 1, 1, 1))[:, :, 1:-1, 1:-1], first, *rest], 1)


def made(net: nn.Module) -> nn.Module:
    """The same network at each call, with statistics that are not those of a new one."""
    torch.manual_seed(0)
    for weight in net.parameters():
        nn.init.normal_(weight, 0.1, 0.3)
    for name, value in net.named_buffers():
        if "running" in name:
            value.copy_(torch.rand(value.shape) + 0.5)
    return net.eval()


def exported(net: nn.Module, sizes: Any = None, *, channels: int = 1) -> bytes:
    file = io.BytesIO()
    program = export(net, (torch.zeros(1, channels, 16, 24),), dynamic_shapes=sizes and (sizes,))
    save(program, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def static() -> bytes:
    return exported(made(Net()))


def opened(tmp_path: Path, data: bytes, name: str = "net.pt2") -> Network:
    (tmp_path / name).write_bytes(data)
    return open_network(tmp_path / name)


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Network:
    return opened(tmp_path_factory.mktemp("free"), exported(made(Net()), EVEN))


def test_free_sizes_are_read_and_the_network_is_the_one_that_was_exported(network) -> None:
    net = made(Net())
    assert network.spec.architecture == "exported program"
    assert (network.spec.axes, network.spec.in_channels, network.spec.out_channels) == ("yx", 1, 2)
    assert network.spec.geometry.read.step == network.spec.geometry.stride == (2, 2)
    assert network.spec.seam_free
    assert network.spec.norm_counts == {"batch": 2}
    assert any("up to 1024 x 1024" in note for note in network.spec.notes)
    assert {name: value.shape for name, value in network.module.named_parameters()} == {
        name: value.shape for name, value in net.named_parameters()
    }
    image = torch.randn(2, 1, 32, 20)
    given = image.clone()
    torch.testing.assert_close(network.module(image), net(image), rtol=0, atol=1e-6)
    assert torch.equal(image, given), "its layers overwrite, the image is not theirs"


def test_it_is_captured_again_copied_and_learns(network) -> None:
    graph = capture(network.module, 1, network.spec.geometry.read)
    assert len(graph.nodes) > 5
    copied = copy.deepcopy(network.module).requires_grad_(True).train()
    optimizer = torch.optim.SGD(copied.parameters(), 0.05)
    image, wanted = torch.randn(1, 1, 16, 16), torch.zeros(1, 2, 16, 16)
    losses = []
    for _ in range(20):
        loss = F.mse_loss(copied(image), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    torch.testing.assert_close(network.module(image), made(Net())(image), rtol=0, atol=0)


def test_a_fixed_size_is_the_only_one_whatever_the_file_is_called(tmp_path, static) -> None:
    network = opened(tmp_path, static, "renamed.pt")
    assert network.spec.geometry.read.fixed
    assert network.spec.geometry.read.minimum == (16, 24)
    image = torch.randn(1, 1, 16, 24)
    torch.testing.assert_close(network.module(image), made(Net())(image), rtol=0, atol=0)


def ranged(low: int, high: int, step: int = 2) -> Any:
    """Sizes of both axes: multiples of a step, within a range."""
    return {
        axis: step * Dim(name, min=low // step, max=high // step)
        for axis, name in ((2, "rows"), (3, "columns"))
    }


def of_range(tmp_path: Path, low: int, high: int, step: int = 2) -> Network:
    example = torch.zeros(1, 1, low, low + step)
    file = io.BytesIO()
    save(export(made(Net()), (example,), dynamic_shapes=(ranged(low, high, step),)), file)
    return opened(tmp_path, file.getvalue())


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Network:
    return of_range(tmp_path_factory.mktemp("narrow"), 8, 48)


IMAGE = np.random.default_rng(0).normal(size=(150, 34)).astype("f4")


@pytest.mark.parametrize("normalize", ["none", "tile"])
def test_no_tile_is_larger_than_what_it_was_exported_for(narrow, normalize) -> None:
    assert narrow.spec.geometry.read.maximum == (48, 48)
    assert any("up to 48 x 48 voxels: no tile is larger" in note for note in narrow.spec.notes)
    settings = PredictSettings(device="cpu", normalize=normalize)
    plan = drain(plan_prediction(Image(IMAGE, "yx"), narrow, settings))
    assert max(plan.grid.read_shape) <= 48
    assert "as large as the network takes them" in plan.tiles.core_reason
    if normalize == "none":
        # The network that was exported takes the whole image.
        expected = made(Net())(torch.from_numpy(IMAGE)[None, None])[0].detach()
        found = predict(Image(IMAGE, "yx"), narrow, settings).compute()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_core_that_makes_larger_tiles_is_refused_with_the_numbers(narrow) -> None:
    image = Image(IMAGE, "yx")
    how = PredictSettings(device="cpu", normalize="none", core=(48, 34))
    with pytest.raises(SettingsError, match=r"reads of up to 48 x 48 voxels; core 48,34 .* make \d+ x 34"):
        drain(plan_prediction(image, narrow, how))
    wide = PredictSettings(device="cpu", normalize="none", halo=((30, 30), (0, 0)))
    with pytest.raises(SettingsError, match=r"up to 48 x 48 voxels, and a halo of 60 .* no core of 2"):
        drain(plan_prediction(image, narrow, wide))
    with pytest.raises(ValueError, match="exported for up to 48 x 48 voxels, and takes no 50 x 34"):
        narrow.module(torch.zeros(1, 1, 50, 34))


@pytest.mark.parametrize("size", [24, 48])
def test_an_image_that_fits_is_one_tile(narrow, size) -> None:
    image = Image(IMAGE[:size], "yx")
    plan = drain(plan_prediction(image, narrow, PredictSettings(device="cpu", normalize="none")))
    assert len(plan.grid) == 1


def test_a_least_size_and_a_large_divisor_are_kept(tmp_path) -> None:
    network = of_range(tmp_path, 192, 480, 96)
    read = network.spec.geometry.read
    assert (read.minimum, read.step, read.maximum) == ((192, 192), (96, 96), (480, 480))
    plan = drain(
        plan_prediction(
            Image(IMAGE[:20, :20], "yx"), network, PredictSettings(device="cpu", normalize="none")
        )
    )
    assert plan.grid.read_shape == (192, 192)
    larger = of_range(tmp_path, 40, 512, 4).spec.geometry.read
    assert (larger.minimum, larger.step) == ((40, 40), (4, 4))


def test_ranges_of_another_file_of_the_same_layers_are_its_own(tmp_path) -> None:
    sizes = [of_range(tmp_path, 8, most).spec.geometry.read.maximum for most in (48, 64)]
    assert sizes == [(48, 48), (64, 64)]


def test_a_range_without_a_size_is_refused(tmp_path) -> None:
    file = io.BytesIO()
    save(export(made(Net()), (torch.zeros(1, 1, 16, 24),), dynamic_shapes=(ranged(8, 48),)), file)

    def emptied(values: Any) -> None:
        for limits in values["range_constraints"].values():
            limits["min_val"], limits["max_val"] = 20, 10

    with pytest.raises(NetworkError, match="from 40 x 40 to 20 x 20"):
        opened(tmp_path, rewritten(file.getvalue(), {GRAPH: in_json(emptied)}))


def test_sizes_constants_and_parts_are_computed_as_by_the_network(tmp_path) -> None:
    torch.manual_seed(0)
    net = Odd().eval()
    network = opened(tmp_path, exported(net, FREE, channels=2))
    image = torch.randn(1, 2, 20, 28)
    torch.testing.assert_close(network.module(image), net(image), rtol=0, atol=1e-6)


def test_what_was_exported_while_it_learns_is_refused(tmp_path) -> None:
    with pytest.raises(NetworkError, match=r"in training mode .*2 batch_norm, 1 dropout.*network\.eval\(\)"):
        opened(tmp_path, exported(Net().train()))


class Marks:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def rewritten(data: bytes, changes: Mapping[str, Callable[[bytes], bytes]], **added: bytes) -> bytes:
    """The same zip file with some members changed and others added, named from its top folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        top = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            change = changes.get(name.partition("/")[2], bytes)
            new.writestr(name, change(old.read(name)))
        for name, content in added.items():
            new.writestr(f"{top}/{name}", content)
    return file.getvalue()


def in_json(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        values = json.loads(data)
        change(values)
        return json.dumps(values).encode()

    return changed


GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


def nodes(values: Any) -> list[Any]:
    return values["graph_module"]["graph"]["nodes"]


def node(target: str, **inputs: Any) -> dict[str, Any]:
    stated = [{"name": name, "arg": arg, "kind": 1} for name, arg in inputs.items()]
    return {"target": target, "inputs": stated, "outputs": [{"as_tensor": {"name": "new"}}], "metadata": {}}


def replaced(target: str, **inputs: Any) -> Callable[[Any], Any]:
    """A change of the graph: its first operation becomes another, which gives the same name."""

    def change(values: Any) -> None:
        first = nodes(values)[0]
        nodes(values)[0] = {**node(target, **inputs), "outputs": first["outputs"]}

    return change


NAMED = {"as_tensor": {"name": "x"}}
#: What is changed, and what the message says.
HOSTILE: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a call of Python": (GRAPH, replaced("os.system", a={"as_string": "true"}), r"os\.system"),
    "a custom operation": (GRAPH, replaced("torch.ops.mine.f.default", x=NAMED), r"mine\.f"),
    "an operation on files": (
        GRAPH,
        replaced("torch.ops.aten.from_file.default", filename={"as_string": "/etc/passwd"}),
        "from_file",
    ),
    "a private attribute": (GRAPH, replaced("torch.ops.aten.__class__.default", x=NAMED), "__class__"),
    "a graph in the graph": (
        GRAPH,
        replaced("torch.ops.aten.relu.default", self={"as_graph": {"name": "a"}}),
        "as_graph",
    ),
    "a value of the future": (
        GRAPH,
        replaced("torch.ops.aten.relu.default", self={"as_tensor": {"name": "cat"}}),
        "cat, which is not computed before it",
    ),
    "an absurd size": (
        GRAPH,
        replaced("torch.ops.aten.expand.default", self=NAMED, size={"as_ints": [2**20, 2**12, 16, 24]}),
        "fails|numbers",
    ),
    "an absurd repeat": (
        GRAPH,
        replaced("torch.ops.aten.repeat.default", self=NAMED, repeats={"as_ints": [1, 1, 2**15, 2**15]}),
        "more than a network does",
    ),
    "many operations": (GRAPH, lambda v: nodes(v).extend([{}] * 20_000), "operations"),
    "a pickled weight": (
        WEIGHTS,
        lambda v: v["config"]["head.weight"].update(use_pickle=True),
        "as a pickle",
    ),
    "a weight elsewhere": (
        WEIGHTS,
        lambda v: v["config"]["head.weight"].update(path_name="../../../../etc/passwd"),
        "member is missing",
    ),
    "a weight of more numbers": (
        WEIGHTS,
        lambda v: v["config"]["head.weight"]["tensor_meta"].update(
            sizes=[{"as_int": n} for n in (2**20, 2**10, 1, 1)], strides=[{"as_int": 0}] * 4
        ),
        "numbers; its member has",
    ),
    "a weight from before its bytes": (
        WEIGHTS,
        lambda v: v["config"]["head.weight"]["tensor_meta"].update(storage_offset={"as_int": -4}),
        "are no sizes",
    ),
    "a weight from behind its bytes": (
        WEIGHTS,
        lambda v: v["config"]["head.weight"]["tensor_meta"].update(storage_offset={"as_int": 4}),
        "numbers; its member has",
    ),
}


@pytest.mark.parametrize(("member", "change", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_anything_is_made_of_it(
    tmp_path, static, member, change, words
) -> None:
    begun = time.process_time()
    with pytest.raises(NetworkError, match=f"(?s){words}"):
        opened(tmp_path, rewritten(static, {member: in_json(change)}))
    assert time.process_time() - begun < 5


def test_pickled_members_are_not_looked_at(tmp_path, static) -> None:
    evil = pickle.dumps(Marks(tmp_path / "ran"))
    changes = {"data/sample_inputs/model.pt": lambda _: evil}
    network = opened(tmp_path, rewritten(static, changes, **{"data.pkl": evil, "constants.pkl": evil}))
    assert network.spec.out_channels == 2
    assert not (tmp_path / "ran").exists()


def test_several_inputs_or_outputs_are_counted(tmp_path) -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, x * 2

    with pytest.raises(NetworkError, match="1 inputs and 2 outputs"):
        opened(tmp_path, exported(Two()))
