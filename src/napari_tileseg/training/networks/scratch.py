"""A network with fresh weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from napari_tileseg.nets.activation import usual_activation
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.spec import Activation, InputNormalization

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def scratch_network(
    architecture: str,
    arguments: Mapping[str, Any],
    *,
    classes: Sequence[str],
    name: str | None = None,
    activation: Activation | None = None,
    input_normalization: InputNormalization | None = None,
    voxel_size: Sequence[float] | None = None,
    seed: int = 0,
) -> Network:
    """Build a registered architecture with fresh weights, and measure it.

    Parameters
    ----------
    architecture : str
        Its registered name, such as ``unet``.
    arguments : mapping
        What it takes; `out_channels` follows from `classes` unless it is given.
    classes : sequence of str
        Name of each output channel.
    name : str, optional
        What to call it; the architecture's name by default.
    activation, input_normalization, voxel_size : optional
        As `napari_tileseg.nets.save_network` takes them.
    seed : int
        Of the weights; the caller's random numbers stay as they were.

    Returns
    -------
    Network
        In memory: it has no file until it is saved.

    Raises
    ------
    NetworkError
        If there is no such architecture or argument, or classes and channels differ.
    """
    description = Description(
        architecture=architecture,
        arguments={"out_channels": len(classes), **arguments},
        name=name or architecture,
        classes=tuple(classes),
        activation=activation or usual_activation(len(classes)),
        input_normalization=input_normalization or InputNormalization(),
        voxel_size=None if voxel_size is None else tuple(voxel_size),
    )
    # As a file would give it back: lists for tuples.
    description = Description.from_json(description.to_json(), architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = registry.build(architecture, **description.arguments).float()
    return network_in_memory(module, description)
