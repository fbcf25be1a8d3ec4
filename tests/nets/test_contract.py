"""What a network must be to be tiled, and that one which is not is called by its name when it is opened."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tileseg.engine import PlainEngine, open_engine
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import Network, network_in_memory, open_network
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.pytorch.torchscript import first_convolution
from napari_tileseg.settings import NetworkSettings
from napari_tileseg.tiling import TileGrid


class Formula(nn.Module):
    """A convolution, and a function of its result."""

    def __init__(self, formula: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.formula = nn.Conv2d(1, 2, 3, padding=1), formula

    def forward(self, x: torch.Tensor) -> Any:
        return self.formula(self.conv(x))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, image: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.cat([image, context], dim=1))


def opened(module: nn.Module, ndim: int = 2, channels: int = 1) -> Network:
    return network_in_memory(module, Description(axes="zyx"[3 - ndim :], in_channels=channels))


def half() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))


OUTSIDE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "half": (half, "gives 1 voxel for each 2 x 2 (32 x 32 for an input of 64 x 64)"),
    "a third, rounded off": (lambda: nn.MaxPool2d(3), "gives 1 voxel for each 3 x 3"),
    "half along one axis": (lambda: nn.Conv2d(1, 1, 3, (1, 2), 1), "gives 1 voxel for each 1 x 2"),
    "double": (lambda: nn.Upsample(scale_factor=2), "gives 2 x 2 voxels for each one"),
    "transposed": (lambda: nn.ConvTranspose2d(1, 1, 4, 4), "gives 4 x 4 voxels for each one"),
    "valid": (lambda: nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 5)), "gives 6 x 6 voxels less"),
    "more": (lambda: nn.Conv2d(1, 1, 3, padding=2), "gives 2 x 2 voxels more"),
    "one value": (lambda: nn.AdaptiveAvgPool2d(1), "gives another one (1 x 1 for an input of"),
    "two inputs": (TwoInputs, "takes 2 inputs (image, context)"),
    "two outputs": (lambda: Formula(lambda y: (y, y)), "a tuple of 2"),
    "side outputs": (lambda: Formula(lambda y: [y, y[:, :1]]), "a list of 2"),
    "names": (lambda: Formula(lambda y: {"out": y, "aux": y}), "a dict of 2 (out, aux)"),
    "no axis of channels": (lambda: Formula(lambda y: y[:, 0]), "has an axis of channels"),
    "classes of the whole": (lambda: Formula(lambda y: y.mean((2, 3))), "has an axis of channels"),
    "its own error": (lambda: Formula(lambda y: y[:, {}["missing"]]), "It says: KeyError: 'missing'"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_network_outside_the_contract_is_called_by_its_name(name: str) -> None:
    make, words = OUTSIDE[name]
    with pytest.raises(NetworkError, match=re.escape(words)):
        opened(make())


@pytest.mark.parametrize("make", [half, TwoInputs, lambda: nn.Conv2d(1, 1, 3)], ids=["half", "two", "valid"])
def test_torchscript_outside_the_contract_is_called_by_the_same_name(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    path = tmp_path / "net.pt"
    torch.jit.script(make()).save(str(path))
    with pytest.raises(NetworkError) as scripted:
        trusted(path)
    with pytest.raises(NetworkError) as eager:
        opened(make())
    assert str(scripted.value) == str(eager.value)


def trusted(path: Path) -> Network:
    try:
        return open_network(path)
    except NetworkError as error:
        sha256 = getattr(error, "sha256", None)
        if sha256 is None:
            raise
        return open_network(path, NetworkSettings(trust_sha256=sha256))


@pytest.mark.parametrize(
    ("formula", "shape"),
    [
        (lambda y: y.reshape(1, 2, 24, 24), (24, 24)),
        (lambda y: functional.interpolate(y, size=(24, 24)), (24, 24)),
        (lambda y: y + torch.zeros(1, 1, 16, 16), (16, 16)),
    ],
    ids=["reshaped", "resized", "positions"],
)
def test_one_size_only_is_said_where_it_is_true(formula: Any, shape: tuple[int, ...]) -> None:
    read = opened(Formula(formula)).spec.geometry.read
    assert (read.fixed, read.minimum) == (True, shape)


def test_a_step_larger_than_any_that_is_common_is_no_fixed_size() -> None:
    pool = nn.Sequential(nn.AvgPool2d(128), nn.Upsample(scale_factor=128))
    assert not opened(pool).spec.geometry.read.fixed


ONE: dict[str, Callable[[torch.Tensor], Any]] = {
    "tuple": lambda y: (y,),
    "list": lambda y: [y],
    "nested": lambda y: ([y],),
}


@pytest.mark.parametrize("name", ONE)
def test_one_tensor_in_a_list_is_that_tensor_when_measured_and_when_computed(name: str) -> None:
    network = opened(Formula(ONE[name]))
    image = torch.randn(1, 1, 12, 12)
    with torch.inference_mode():
        expected = network.module.conv(image)[0].numpy()  # type: ignore[operator, union-attr]
    for engine in (open_engine(network, "cpu"), PlainEngine(network, "cpu", "float32", 1)):
        assert engine_values(engine, image) == pytest.approx(expected, abs=1e-5)


def engine_values(engine: Any, image: torch.Tensor) -> Any:
    class Padded:
        padded_shape = tuple(image.shape[2:])

        def read(self, box: Any) -> Any:
            return image[0][(slice(None), *box.slices)].numpy().copy()

    grid = TileGrid(Padded.padded_shape, Padded.padded_shape, ((0, 0),) * 2, (1, 1), (1, 1))
    return engine.compute(Padded(), list(grid))[0]


class Wrapped(nn.Module):
    def __init__(self, norm: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.conv = norm(nn.Conv2d(1, 2, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class KeepsComputed(nn.Module):
    """Keeps, beside its weights, a tensor that was computed from them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.scaled = self.conv.weight * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.scaled.to(x.dtype), padding=1)


COMPUTED: dict[str, Callable[[], nn.Module]] = {
    "weight norm": lambda: Wrapped(nn.utils.weight_norm),
    "spectral norm": lambda: Wrapped(nn.utils.spectral_norm),
    "parametrized": lambda: Wrapped(nn.utils.parametrizations.weight_norm),
    "kept": KeepsComputed,
}


@pytest.mark.parametrize("name", COMPUTED)
def test_modules_that_keep_computed_tensors_open(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, of the older functions
        module = COMPUTED[name]()
    assert opened(module).spec.geometry.halo == ((1, 1), (1, 1))


def test_an_exported_module_is_refused_in_words() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(nn.Conv2d(1, 1, 3, padding=1).eval(), (torch.zeros(1, 1, 16, 16),))
    with pytest.raises(NetworkError, match="it was exported from"):
        opened(program.module())


def test_a_module_that_cannot_be_copied_is_refused_in_words() -> None:
    module = nn.Conv2d(1, 1, 1)
    module.lock = Lock()  # type: ignore[assignment]
    with pytest.raises(NetworkError, match="copying it fails"):
        opened(module)


class MeanFirst(nn.Module):
    """Parameters of four axes come before the first convolution, which has three."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, 1, 1, 1))
        self.place = nn.Parameter(torch.zeros(1, 2, 1, 1, 1))
        self.conv = nn.Conv3d(2, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x - self.mean - self.place)


class UnusedFirst(nn.Module):
    """A convolution that is not called comes before the one that is."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv3d(5, 1, 1)
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


FIRST: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "mean in front": (MeanFirst, 3, 2),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1), 2, 4),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 5, 2, 2), nn.AvgPool2d(2)), 2, 3),
    "transposed in groups": (
        lambda: nn.Sequential(nn.ConvTranspose3d(4, 4, 2, 2, groups=2), nn.AvgPool3d(2)),
        3,
        4,
    ),
    "unused in front": (UnusedFirst, 2, 3),
    "same padding": (lambda: nn.Conv2d(2, 3, 3, padding="same"), 2, 2),
    "one axis": (lambda: nn.Conv1d(2, 3, 3, padding=1), 1, 2),
}


@pytest.mark.parametrize(
    "make", [torch.jit.script, torch.jit.trace, "frozen"], ids=["scripted", "traced", "frozen"]
)
@pytest.mark.parametrize("name", FIRST)
def test_axes_and_channels_are_those_of_the_layer_that_sees_the_image(
    name: str, make: Any, tmp_path: Path
) -> None:
    build, ndim, channels = FIRST[name]
    module = build().eval()
    if make is torch.jit.trace:
        module = make(module, torch.zeros(1, channels, *(8,) * ndim))
    else:
        module = torch.jit.script(module)
        module = torch.jit.freeze(module) if make == "frozen" else module
    module.save(str(tmp_path / "net.pt"))  # type: ignore[operator]
    assert first_convolution(torch.jit.load(tmp_path / "net.pt")) == (ndim, channels)
