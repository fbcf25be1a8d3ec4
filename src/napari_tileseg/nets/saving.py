"""Saving a network in the project's own format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from napari_tileseg._outputs import NETWORK, check_output
from napari_tileseg.nets.activation import usual_activation
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.architectures.registry import signature
from napari_tileseg.nets.formats import safetensors
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.weights import build_with_weights
from napari_tileseg.nets.spec import Activation, InputNormalization
from napari_tileseg.nets.specification import check_said


def save_network(
    module: nn.Module,
    path: str | Path,
    *,
    architecture: str,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    input_normalization: InputNormalization | None = None,
    voxel_size: Sequence[float] | None = None,
    renormalized: Sequence[str] = (),
    r_max: float | None = None,
    d_max: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a network in the project's own format: one ``.safetensors`` file that describes itself.

    The file is written whole or not at all, and the same network gives the same bytes.

    Parameters
    ----------
    module : torch.nn.Module
        Built by `napari_tileseg.nets.architectures.registry.build`, possibly converted by
        `napari_tileseg.nets.normalization.conversion.renormalize`, then trained.
    path : str or Path
        Where to; an existing file is replaced.
    architecture : str
        Its registered name.
    arguments : mapping
        What it was built with; values that JSON holds.
    name : str, optional
        What to call it; the file's name by default.
    classes : sequence of str, optional
        Name of each output channel.
    activation : {"none", "sigmoid", "softmax"}, optional
        By default "sigmoid" for one channel and "softmax" for more.
    input_normalization : InputNormalization, optional
        How intensities are prepared.
    voxel_size : sequence of float, optional
        Voxel size along each spatial axis in micrometers.
    renormalized : sequence of str
        Paths of the layers that were replaced by batch renormalization.
    r_max, d_max : float, optional
        Limits of batch renormalization that training reached.
    provenance : mapping, optional
        Where it comes from: anything that JSON holds.

    Returns
    -------
    Path
        Absolute path of the file.

    Raises
    ------
    NetworkError
        If the description does not fit the module, so that the file could not be opened again.
    StoreError
        If it cannot be written, or is not called ``.safetensors``.
    """
    check_output(path, NETWORK)
    path = Path(path).expanduser().absolute()
    description = Description(
        architecture=architecture,
        arguments=dict(arguments or {}),
        name=name or path.stem,
        classes=None if classes is None else tuple(classes),
        activation=activation or usual_activation(signature(architecture, arguments or {}).out_channels),
        input_normalization=input_normalization or InputNormalization(),
        voxel_size=None if voxel_size is None else tuple(voxel_size),
        renormalized=tuple(renormalized),
        r_max=r_max,
        d_max=d_max,
        provenance=dict(provenance or {}),
    )
    return save_described(module, description, path)


def save_described(module: nn.Module, description: Description, path: str | Path) -> Path:
    """Write a network with a description that is there already, such as that of an opened network.

    Parameters
    ----------
    module : torch.nn.Module
        The described network.
    description : Description
        What to say of it, its architecture included.
    path : str or Path
        Where to; an existing file is replaced.

    Returns
    -------
    Path
        Absolute path of the file.

    Raises
    ------
    NetworkError, StoreError
        As `save_network` does.
    """
    check_output(path, NETWORK)
    path = Path(path).expanduser().absolute()
    # What is not of JSON fails here, before anything is written.
    description = Description.from_json(description.to_json(), str(path))
    state = {key: value.detach().cpu().clone().contiguous() for key, value in module.state_dict().items()}
    build_with_weights(description, state, str(path))
    assert description.architecture is not None  # or it could not have been built
    check_said(description, registry.signature(description.architecture, description.arguments), path)
    safetensors.save(state, description, path)
    return path
