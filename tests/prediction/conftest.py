"""Small real networks, saved and opened again, and small images."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures.registry import build

NetworkFactory = Callable[..., Network]


def _let_far_voxels_count(module: torch.nn.Module) -> None:
    """Weights under which every tap of every convolution matters, and statistics that are not the default."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            spread = parameter.shape[1:].numel() if parameter.ndim > 1 else 1
            sign = torch.where(torch.rand(parameter.shape, generator=generator) < 0.3, -1.0, 1.0)
            size = 0.5 + torch.rand(parameter.shape, generator=generator)
            parameter.copy_(sign * size * (2.0 / spread if parameter.ndim > 1 else 0.3))
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point():
                noise = torch.rand(buffer.shape, generator=generator)
                buffer.copy_(noise + 0.5 if "var" in name or "std" in name else noise - 0.5)


@pytest.fixture(scope="session")
def make_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkFactory:
    """Make an opened U-Net of two features a level."""
    folder = tmp_path_factory.mktemp("networks")

    @cache
    def make(ndim: int = 3, norm: str = "batch", in_channels: int = 1, **about: Any) -> Network:
        arguments = {
            "ndim": ndim,
            "norm": norm,
            "in_channels": in_channels,
            "features": (2, 4, 4),
            "blocks": 1,
        }
        module = build("unet", **arguments)
        _let_far_voxels_count(module)
        name = f"{ndim}{norm}{in_channels}{len(list(folder.iterdir()))}"
        path = save_network(
            module,
            folder / f"{name}.safetensors",
            Description(architecture="unet", arguments=arguments, **about),
        )
        return open_network(path)

    return make


@pytest.fixture
def volume() -> Image:
    """Make a volume that no axis of is a multiple of the stride, placed in the world."""
    voxels = np.random.default_rng(7).integers(0, 4000, (13, 41, 30)).astype(np.uint16)
    return Image(
        voxels,
        "zyx",
        name="volume",
        voxel_size=(2.0, 0.5, 0.5),
        translation=(1.0, -3.0, 0.25),
        units=("micrometer",) * 3,
    )
