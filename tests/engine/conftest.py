"""Opened networks around modules that a test makes."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from napari_tileseg.nets import Network
from napari_tileseg.nets.network import NetworkReference
from napari_tileseg.nets.spec import Geometry, NetworkSpec
from napari_tileseg.tiling.read_shape import ReadShape

NetworkMaker = Callable[..., Network]


@pytest.fixture
def open_module() -> NetworkMaker:
    """Make an opened network of one channel and two classes, with a stride and a halo."""

    def make(module: nn.Module, halo: int, ndim: int = 2, stride: int = 1) -> Network:
        shape, halos = (stride,) * ndim, ((halo, halo),) * ndim
        spec = NetworkSpec(
            name="little",
            architecture="test",
            axes="zyx"[3 - ndim :],
            in_channels=1,
            out_channels=2,
            classes=("a", "b"),
            activation="none",
            norm_counts={},
            geometry=Geometry(
                stride=shape,
                read=ReadShape(minimum=shape, step=shape),
                halo=halos,
                receptive_field=None,
            ),
            default_halo=halos,
            seam_free=True,
            reason="",
            parameters=1,
        )
        module.eval().requires_grad_(False)
        return Network(spec, module, sha256="", reference=NetworkReference("", ""))

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads cost more than they gain on so few voxels."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
