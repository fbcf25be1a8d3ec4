"""A tiled prediction is the network on the padded whole image, through the public `predict`.

The networks' weights make far voxels count: they are positive, so that no rectifier silences them, and along
the first axis heaviest at the kernels' ends; running statistics are random. Whether the test has power is
tested too: one stride less halo, and tiles off the stride, have to show.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.engine import PlainEngine, route_of
from napari_tileseg.engine.region_engine import RegionEngine
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.network import Network, open_network
from napari_tileseg.prediction import lazy, predict
from napari_tileseg.settings import PredictSettings

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
EXAMPLES = {2: 8, 3: 5}


def _monai(ndim: int, **arguments: Any) -> dict[str, Any]:
    return {"spatial_dims": ndim, "in_channels": 1, "out_channels": 2, **arguments}


def _recipes(ndim: int) -> dict[str, tuple[str, dict[str, Any]]]:
    unet = {"ndim": ndim, "features": (2, 3, 4)}
    ours = {
        f"unet_{norm}": ("unet", {**unet, "norm": norm}) for norm in ("batch", "batch_renorm", "identity")
    }
    return {
        **ours,
        "unet_linear": ("unet", {**unet, "norm": "batch", "upsampling": "linear"}),
        "basic_unet": ("basic_unet", _monai(ndim, features=(2, 2, 2, 2, 2, 2), norm="batch")),
        "monai_unet": (
            "monai_unet",
            _monai(ndim, channels=(2, 3, 4), strides=(2, 2), num_res_units=1, norm="batch"),
        ),
        "dynunet": (
            "dynunet",
            _monai(
                ndim,
                kernel_size=(3, 3, 3),
                strides=(1, 2, 2),
                upsample_kernel_size=(2, 2),
                filters=(2, 3, 4),
                norm_name="batch",
            ),
        ),
        "segresnet": (
            "segresnet",
            _monai(ndim, init_filters=2, blocks_down=(1, 1, 1), blocks_up=(1, 1), norm="batch"),
        ),
    }


CASES = [(name, ndim) for ndim in (2, 3) for name in _recipes(ndim)]
IDS = [f"{name}-{ndim}d" for name, ndim in CASES]


def make_far_voxels_count(module: nn.Module) -> None:
    """Let every layer average its inputs with positive weights, and shift and scale by random statistics."""
    random = torch.Generator().manual_seed(7)

    def between(low: float, high: float, like: torch.Tensor) -> torch.Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=random)

    with torch.no_grad():
        for part in module.modules():
            for name, value in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
                if value.ndim > 2:
                    value.copy_(_averaging(part, between(0.5, 1.5, value)))
                elif name in {"weight", "running_var"}:
                    value.copy_(between(0.7, 1.3, value))
                elif name in {"bias", "running_mean"}:
                    value.copy_(between(0.0, 0.2, value))


def _averaging(convolution: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    transposed = "Transpose" in type(convolution).__name__
    outputs = 1 if transposed else 0
    for axis in range(2, weight.ndim):
        # Along the first axis a kernel's ends carry the most, and with them the farthest voxels; on the
        # others, which tests keep thin, its centre does, so that little is lost at the border.
        profile = torch.ones(weight.shape[axis])
        if axis == 2:
            profile[0] = profile[-1] = 4.0
        else:
            profile[len(profile) // 2] = 16.0 if len(profile) % 2 else 1.0
        weight = weight * profile.reshape(-1, *[1] * (weight.ndim - axis - 1))
    total = weight.sum([axis for axis in range(weight.ndim) if axis != outputs], keepdim=True)
    return weight / total * (np.prod(convolution.stride) if transposed else 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the networks' files."""
    return tmp_path_factory.mktemp("networks")


@cache
def opened(name: str, ndim: int, folder: Path) -> Network:
    """Network from its file, as users open it."""
    architecture, arguments = _recipes(ndim)[name]
    torch.manual_seed(0)
    module = registry.build(architecture, **arguments)
    make_far_voxels_count(module)
    path = folder / f"{name}{ndim}.safetensors"
    save_network(module, path, Description(architecture=architecture, arguments=arguments, activation="none"))
    return open_network(path)


def whole(network: Network, values: Array) -> Array:
    """Network in float64 on the padded image, cropped: NumPy and torch only."""
    read, stride = network.spec.geometry.read, network.spec.geometry.stride
    sizes = zip(values.shape, read.minimum, stride, strict=True)
    pads = [(0, -(-max(n, least) // step) * step - n) for n, least, step in sizes]
    padded = np.pad(values, pads, mode="reflect")
    with torch.inference_mode():
        double = registry_copy(network).double()
        output = double(torch.from_numpy(padded).double()[None, None])[0].numpy()
    return output[(slice(None), *(slice(n) for n in values.shape))]


def registry_copy(network: Network) -> nn.Module:
    """Second module with the same weights, built anew."""
    name, arguments = _recipes(network.spec.ndim)[network.spec.name[:-1]]
    module = registry.build(name, **arguments).eval()
    module.load_state_dict(network.module.state_dict())
    return module


def image_of(shape: Shape, seed: int = 0) -> Array:
    """Noise with a gradient, so that mirrored and shifted parts differ; exact in float32, as images are."""
    values = np.random.default_rng(seed).uniform(0, 2, shape)
    return (values + np.linspace(0, 1, shape[-1])).astype(np.float32)


def tiled(network: Network, values: Array, **chosen: Any) -> Array:
    """What the product gives."""
    image = Image(values, "zyx"[3 - values.ndim :])
    how = PredictSettings(normalize="none", device="cpu", **chosen)
    result: Array = predict(image, network, how).compute(scheduler="synchronous")
    return result


def error(result: Array, expected: Array) -> float:
    """Largest difference, relative to the largest value above one."""
    assert result.shape == expected.shape
    return float(np.abs(result - expected).max() / max(1.0, np.abs(expected).max()))


@st.composite
def layouts(draw: st.DrawFn, network: Network) -> tuple[Shape, Shape, Halo, Halo]:
    """Image, core, halo and box: one axis is long, the others thin enough to be quick."""
    geometry = network.spec.geometry
    assert geometry.halo is not None
    ndim = network.spec.ndim
    along = draw(st.integers(0, ndim - 1))
    shape, core, halo, box = [], [], [], []
    for axis, (step, needed) in enumerate(zip(geometry.stride, geometry.halo, strict=True)):
        longest = sum(needed) + 4 * step if axis == along else 3 * step
        size = draw(st.integers(1, longest))
        shape.append(size)
        core.append(step * draw(st.integers(1, 4) if axis != along else st.integers(2, 6)))
        halo.append(tuple(side + draw(st.integers(0, step)) for side in needed))
        start = draw(st.integers(0, size - 1)) // step * step
        box.append((start, draw(st.integers(start + 1, size))))
    return tuple(shape), tuple(core), tuple(halo), tuple(box)


@pytest.mark.parametrize(("name", "ndim"), CASES, ids=IDS)
def test_tiles_give_the_whole_images_prediction(name: str, ndim: int, folder: Path) -> None:
    network = opened(name, ndim, folder)
    assert network.spec.seam_free
    assert route_of(network).kind == "regions"

    @settings(max_examples=EXAMPLES[ndim])
    @given(layouts(network), st.sampled_from(["float64", "float64", "float32"]), st.booleans())
    def check(layout: tuple[Shape, Shape, Halo, Halo], dtype: str, part: bool) -> None:
        shape, core, halo, box = layout
        values = image_of(shape)
        expected = whole(network, values)
        chosen: dict[str, Any] = {"core": core, "halo": halo, "dtype": dtype}
        if part:
            chosen["box"] = box
            expected = expected[(slice(None), *(slice(a, b) for a, b in box))]
        assert error(tiled(network, values, **chosen), expected) <= TOLERANCE[dtype]

    check()


def _long_image(network: Network, seed: int = 0) -> tuple[Array, Shape]:
    """Image with an interior that no border reaches on its first axis, and a core of two strides there."""
    geometry = network.spec.geometry
    assert geometry.halo is not None
    stride, least = geometry.stride, geometry.read.minimum
    length = (sum(geometry.halo[0]) // stride[0] + 8) * stride[0]
    across = tuple(-(-n // step) * step for n, step in zip(least[1:], stride[1:], strict=True))
    return image_of((length, *across), seed), (2 * stride[0], *across)


def _shows(network: Network, halo: Halo, seed: int) -> bool:
    values, core = _long_image(network, seed)
    with pytest.warns(UserWarning, match="halo is too small"):
        result = tiled(network, values, core=core, halo=halo, dtype="float64")
    return error(result, whole(network, values)) > 10 * TOLERANCE["float64"]


@pytest.mark.parametrize(("name", "ndim"), CASES, ids=IDS)
def test_the_measured_halo_is_enough_and_one_stride_less_is_not(name: str, ndim: int, folder: Path) -> None:
    network = opened(name, ndim, folder)
    values, core = _long_image(network)
    needed, step = network.spec.default_halo, network.spec.geometry.stride[0]
    assert error(tiled(network, values, core=core, dtype="float64"), whole(network, values)) <= 1e-10
    for side in (0, 1):
        less = [-(-n // step) * step for n in needed[0]]
        less[side] -= step
        halo = ((less[0], less[1]), *needed[1:])
        # In some noise a max-pooling passes the farthest voxel nowhere.
        assert any(_shows(network, halo, seed) for seed in range(8)), f"side {side}"


@pytest.mark.parametrize(("name", "ndim"), CASES, ids=IDS)
def test_whole_tiles_off_the_stride_show(
    name: str, ndim: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = opened(name, ndim, folder)
    values, core = _long_image(network)
    geometry = network.spec.geometry
    expected = whole(network, values)
    # A network that claims to have no stride is read from anywhere; its reads keep a length it takes.
    one = (1,) * ndim
    claimed = replace(geometry, stride=one, read=replace(geometry.read, step=one))
    liar = replace(network, spec=replace(network.spec, geometry=claimed))
    step = geometry.stride[0]
    off = step // 2 or 1
    sides = [-(-side // step) * step + step for side in network.spec.default_halo[0]]
    halo = ((sides[0] + off, sides[1] + step - off), *network.spec.default_halo[1:])
    chosen = {"core": core, "halo": halo, "dtype": "float64"}
    # Regions know where they lie in the image: they need no stride.
    graph = PROCESS_CACHE.graph_of(network)
    monkeypatch.setattr(
        lazy, "open_engine", lambda _, *how: RegionEngine(network, graph, *how, 1, PROCESS_CACHE)
    )
    assert error(tiled(liar, values, **chosen), expected) <= TOLERANCE["float64"]
    monkeypatch.setattr(lazy, "open_engine", lambda network, *how: PlainEngine(network, *how, 1))
    assert error(tiled(liar, values, **chosen), expected) > 100 * TOLERANCE["float64"]
