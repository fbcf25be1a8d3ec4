"""From the weights after a step to a network, in memory or as a file."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.normalization.conversion import set_limits
from napari_tileseg.nets.saving import save_described
from napari_tileseg.training.state import Snapshot
from napari_tileseg.training.steps.schedule import Limits

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def take_snapshot(module: nn.Module, step: int, limits: Limits) -> Snapshot:
    """Copy of a module's weights and statistics, on the CPU."""
    weights = {name: values.detach().cpu().clone() for name, values in module.state_dict().items()}
    return Snapshot(step, weights, limits)


def network_of(network: Network, snapshot: Snapshot) -> Network:
    """The network with other weights, which is a copy, in evaluation mode.

    Parameters
    ----------
    network : Network
        With the layers that the weights are of; it is not changed.
    snapshot : Snapshot
        Weights, and the limits of batch renormalization that they were trained under.
    """
    module = deepcopy(network.module)
    module.load_state_dict(snapshot.weights)
    description, limits = network.description, snapshot.limits
    if limits.phase != "none":
        description = replace(description, r_max=limits.r_max, d_max=limits.d_max)
        set_limits(module, limits.r_max, limits.d_max)
    return network_in_memory(module, description, network.spec)


def save_snapshot(network: Network, snapshot: Snapshot, provenance: dict[str, Any], path: str | Path) -> Path:
    """Write the network with other weights as a file of our own.

    Parameters
    ----------
    network, snapshot : Network, Snapshot
        As `network_of` takes them.
    provenance : dict
        Where it comes from; step and limits are added.
    path : str or Path
        Where to, ``.safetensors``.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    made = network_of(network, snapshot)
    said = {**provenance, "step": snapshot.step, "limits": asdict(snapshot.limits)}
    return save_described(made.module, replace(made.description, name=Path(path).stem, provenance=said), path)
