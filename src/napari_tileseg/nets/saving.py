"""Saving a network in the project's own format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from napari_tileseg._outputs import NETWORK, check_output
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.activation import usual_activation
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.architectures.registry import signature
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.pytorch import safetensors
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.nets.specification import check_description
from napari_tileseg.nets.weights import build_with_weights


def save_network(module: nn.Module, path: str | Path, description: Description) -> Path:
    """Write a network in the project's own format: one ``.safetensors`` file that describes itself.

    The file is written whole or not at all, and the same network gives the same bytes.

    Parameters
    ----------
    module : torch.nn.Module
        Built by `napari_tileseg.nets.architectures.registry.build`, possibly converted by
        `napari_tileseg.nets.norm_layers.renormalize`, then trained.
    path : str or Path
        Where to; an existing file is replaced.
    description : Description
        At least its architecture and what it was built with. The name is that of the file where none is
        given, the activation "sigmoid" for one channel and "softmax" for more where the architecture does not
        end in one, and intensities are prepared as `InputNormalization` does by default.

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
    if description.architecture is None:
        raise NetworkError(
            "A network is saved under the name of its architecture; the description has none. Give one of "
            f"{', '.join(registry.names())}."
        )
    channels = signature(description.architecture, description.arguments).out_channels
    inside = registry.final_activation(description.architecture, description.arguments)
    usual = usual_activation(channels) if inside == "none" else "none"
    whole = replace(
        description,
        name=description.name or Path(path).stem,
        activation=description.activation or usual,
        input_normalization=description.input_normalization or InputNormalization(),
    )
    return save_described(module, whole, path)


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
    check_description(description, registry.signature(description.architecture, description.arguments), path)
    safetensors.save(state, description, path)
    return path
