"""Small opened networks and images to diagnose."""

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


def _give_statistics(module: torch.nn.Module) -> None:
    """Weights that pass signals on, and running statistics that are not the default; always the same."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
            elif name.endswith("bias"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point():
                noise = torch.rand(buffer.shape, generator=generator)
                buffer.copy_(0.2 + noise if "var" in name else noise - 0.5)


@pytest.fixture(scope="session")
def make_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkFactory:
    """Make an opened U-Net of stride 2 with two sigmoid classes."""
    folder = tmp_path_factory.mktemp("networks")

    @cache
    def make(norm: str = "batch", ndim: int = 2, **about: Any) -> Network:
        arguments = {"ndim": ndim, "norm": norm, "in_channels": 1, "features": (3, 4), "blocks": 1}
        module = build("unet", **arguments)
        _give_statistics(module)
        path = folder / f"{norm}{ndim}{len(list(folder.iterdir()))}.safetensors"
        save_network(
            module,
            path,
            Description(
                architecture="unet",
                arguments=arguments,
                activation="sigmoid",
                classes=("foreground", "boundary"),
                **about,
            ),
        )
        return open_network(path)

    return make


@pytest.fixture
def picture() -> Image:
    """Make a flat image, uneven from end to end, that is no multiple of the stride."""
    rng = np.random.default_rng(3)
    voxels = rng.normal(size=(61, 143)) + np.linspace(0, 4, 143) * np.linspace(0, 1, 61)[:, None]
    return Image(voxels.astype(np.float32), "yx", name="picture")
