"""Which weights learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.nets.inspection import norm_layers

#: Norm layers that need several values a channel in a batch, and in each sample.
_OF_BATCH, _OF_SAMPLE = {"batch", "batch_renorm", "group"}, {"instance", "instance_tracked"}


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer with weights was given when the network ran.

    Parameters
    ----------
    path : str
        Its path in the network.
    shape : tuple of int
        Of its input, batch and channels included.
    """

    path: str
    shape: Shape


def run_order(module: nn.Module, shape: Shape, in_channels: int, batch: int = 1) -> tuple[Layer, ...]:
    """Return the layers with weights and the normalization layers, in the order of their last run on zeros.

    Parameters
    ----------
    module : torch.nn.Module
        The network; it is run in evaluation mode, and left in it.
    shape : tuple of int
        Spatial shape of the input.
    in_channels, batch : int
        Channels and samples of the input.

    Raises
    ------
    NetworkError
        If it does not run on such an input.
    SettingsError
        If a normalization layer would take its statistics from one voxel.
    """
    ran: dict[str, Layer] = {}
    kinds = {layer.path: layer.kind for layer in norm_layers(module)}
    with_weights = [
        (path, layer)
        for path, layer in module.named_modules()
        if path in kinds or any(True for _ in layer.parameters(recurse=False))
    ]

    def note(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                seen = tuple(inputs[0].shape)
                _check_count(path, kinds.get(path), seen, shape)
                ran.pop(path, None)
                ran[path] = Layer(path, seen)

        return hook

    hooks = [layer.register_forward_pre_hook(note(path)) for path, layer in with_weights]
    device = next(module.parameters()).device
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(batch, in_channels, *shape, device=device))
    except SettingsError:
        raise
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        raise NetworkError(
            f"The network should run on patches of {by_axis(shape)} voxels and failed: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(ran.values())


def _check_count(path: str, kind: str | None, seen: Shape, patch: Shape) -> None:
    """Raise where a layer would divide by a deviation of one value."""
    if kind not in _OF_BATCH | _OF_SAMPLE or len(seen) < 3:
        return
    count = prod(seen[2:]) * (seen[0] if kind in _OF_BATCH else 1)
    if count < 2:
        raise SettingsError(
            f"A patch of {by_axis(patch)} voxels leaves one voxel at the normalization layer {path}: "
            "statistics of "
            "one voxel mean nothing. Take a patch twice as long along one axis at least."
        )


def choose_weights(
    module: nn.Module, choice: str, order: Sequence[Layer]
) -> tuple[frozenset[str], frozenset[str]]:
    """Let the chosen weights of a network learn, and freeze the others.

    The decoder begins with the last layer that is given the coarsest resolution: in a U-Net with the first
    up-sampling.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights' `requires_grad` is set.
    choice : {"everything", "decoder_and_norms", "norms", "last_layer"}
        Which weights.
    order : sequence of Layer
        As `run_order` gives.

    Returns
    -------
    layers : frozenset of str
        Paths of the layers that learn.
    norms : frozenset of str
        Paths of the normalization layers that learn; the others keep their statistics.

    Raises
    ------
    NetworkError
        If nothing in the network can learn.
    """
    norms = {layer.path for layer in norm_layers(module)}
    paths = [layer.path for layer in order]
    weighted = [layer.path for layer in order if layer.path not in norms]
    chosen = {
        "everything": set(dict(module.named_modules())),
        "decoder_and_norms": norms | set(paths[_bottom(order) :]),
        "norms": norms,
        "last_layer": set(weighted[-1:]),
    }[choice]
    learns = False
    for path, layer in module.named_modules():
        for weight in layer.parameters(recurse=False):
            weight.requires_grad_(path in chosen)
            learns |= path in chosen
    if not learns:
        raise NetworkError(
            f"Nothing in the network can learn where only {choice.replace('_', ' ')} may: it has no such "
            "weights. Let everything learn, or take a network with weights."
        )
    return frozenset(chosen), frozenset(norms & chosen)


def _bottom(order: Sequence[Layer]) -> int:
    """Return the index of the last layer that is given the coarsest resolution."""
    sizes = {n: prod(layer.shape[2:]) for n, layer in enumerate(order) if len(layer.shape) > 3}
    sizes = sizes or {n: prod(layer.shape[2:]) for n, layer in enumerate(order)}
    least = min(sizes.values())
    return max(n for n, size in sizes.items() if size == least)


def set_training(module: nn.Module, norms: frozenset[str]) -> None:
    """Put a network into training mode, but for the normalization layers that do not learn."""
    module.train()
    for layer in norm_layers(module):
        if layer.path not in norms:
            module.get_submodule(layer.path if layer.path in dict(module.named_modules()) else "").eval()
