"""What the methods of `bench.py` are run on: networks with random weights, and volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.geometry import measure
from napari_tileseg.tiling import Box, TileGrid

QUICK_FEATURES = (4, 8)


@dataclass(frozen=True)
class Subject:
    """A network and what it looks at.

    Parameters
    ----------
    name : str
        Name of the network.
    network : Network
        The opened network; it gives logits.
    arguments : dict
        What its architecture was built with; empty where it is none of ours.
    image : ndarray
        ``(1, *shape)``, float32: normalized, and a multiple of the stride.
    window : tuple of int
        Windows of the methods that have windows.
    """

    name: str
    network: Network
    arguments: dict[str, Any]
    image: np.ndarray
    window: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.image.shape[1:]

    @property
    def halo(self) -> tuple[int, ...]:
        """Context that is enough on both sides, a multiple of the stride."""
        grid = self.grid(self.window)
        return tuple(max(before, after) for before, after in grid.aligned_halo)

    def grid(self, core: tuple[int, ...], shape: tuple[int, ...] = ()) -> TileGrid:
        """Tiles with such cores over the image, or over one of another shape."""
        spec, geometry = self.network.spec, self.network.spec.geometry
        halo = geometry.halo or spec.default_halo
        return TileGrid(shape or self.shape, core, halo, geometry.stride, geometry.read.minimum)

    # As an engine sees it.
    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of the padded image."""
        return self.shape

    def read(self, box: Box) -> np.ndarray:
        """Voxels of a box."""
        return self.image[(slice(None), *box.slices)]


def _unet(
    name: str, ndim: int, features: tuple[int, ...], size: int, window: int, norm: str = "batch"
) -> Subject:
    arguments = {"ndim": ndim, "features": features, "norm": norm}
    torch.manual_seed(0)
    module = build("unet", **arguments)
    image = texture((size,) * ndim)
    settle(module, image, min(size, 64))
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.safetensors")
        save_network(module, path, Description(architecture="unet", arguments=arguments, activation="none"))
        network = open_network(path)
    return Subject(name, network, arguments, image, (window,) * ndim)


class Same(nn.Module):
    """Gives back a copy of what it gets: some methods scale in place what a network gives."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See `Same`."""
        return x * 1


def _identity(size: int, window: int) -> Subject:
    """A network that gives back what it gets, so that only the cost of going through an image is left."""
    like = _unet("identity", 3, QUICK_FEATURES, size, window)
    module = Same().eval()
    spec = replace(
        like.network.spec,
        out_channels=1,
        classes=("same",),
        geometry=measure(module, 3, 1).geometry,
        default_halo=((0, 0),) * 3,
    )
    network = replace(like.network, spec=spec, module=module, sha256="identity")
    return replace(like, network=network, arguments={})


def texture(shape: tuple[int, ...]) -> np.ndarray:
    """Waves and noise between 0 and 1."""
    waves = sum(
        np.sin(np.arange(n, dtype="f4") / (5 + 2 * axis)).reshape(-1, *(1,) * (len(shape) - axis - 1))
        for axis, n in enumerate(shape)
    )
    noise = np.random.default_rng(0).random(shape, dtype="f4")
    return np.clip(0.3 + 0.1 * waves + 0.4 * noise, 0, 1, dtype="f4")[np.newaxis]


def settle(module: nn.Module, image: np.ndarray, size: int) -> None:
    """Give BatchNorm the statistics of a part of an image, and norms scales and shifts other than 1 and 0."""
    generator = torch.Generator().manual_seed(1)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._NormBase)]
    with torch.no_grad():
        for layer in norms:
            layer.momentum = None  # the plain mean over what it sees
            if layer.weight is None:
                continue
            layer.weight.copy_(0.5 + torch.rand(layer.weight.shape, generator=generator))
            layer.bias.copy_(0.4 * torch.rand(layer.bias.shape, generator=generator) - 0.2)
        module.train()
        module(torch.from_numpy(image[(np.newaxis, slice(None), *(slice(size),) * (image.ndim - 1))]))
    module.eval()


#: Name of a network to what makes its subject from the size of the image and of the windows.
SUBJECTS: dict[str, Callable[[int, int], Subject]] = {
    "unet_3d": partial(_unet, "unet_3d", 3, (32, 64, 128)),
    "unet_3d_four_levels": partial(_unet, "unet_3d_four_levels", 3, (32, 64, 128, 256)),
    "unet_2d": partial(_unet, "unet_2d", 2, (32, 64, 128, 256)),
    "unet_3d_instance": partial(_unet, "unet_3d_instance", 3, (32, 64, 128), norm="instance"),
    "identity": _identity,
    "quick": partial(_unet, "quick", 3, QUICK_FEATURES),
}
#: Those that compute something over all of space.
OVER_SPACE = {"unet_3d_instance"}
#: Size of image and windows, where no other is asked for.
SIZES = {
    "unet_3d": (192, 96),
    "unet_3d_four_levels": (192, 96),
    "unet_2d": (2048, 512),
    "unet_3d_instance": (192, 96),
    "identity": (256, 96),
    "quick": (32, 16),
}


def make(name: str, size: int | None = None, window: int | None = None) -> Subject:
    """The subject of that name."""
    default_size, default_window = SIZES[name]
    return SUBJECTS[name](size or default_size, window or default_window)
