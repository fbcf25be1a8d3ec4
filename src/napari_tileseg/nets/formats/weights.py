"""From a state dict and an architecture to a module, with every mismatch named."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_tileseg._words import by_axis, few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.design import build_described
from napari_tileseg.nets.formats.unwrapping import OPTIONAL
from napari_tileseg.nets.norm_layers import D_MAX, R_MAX, set_limits

_NAMED = 5


def build_with_weights(description: Description, state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return the described architecture with the weights of `state`, in float32.

    Batch renormalization gets the limits that training reached; where a file does not say, those at the end.

    Raises
    ------
    NetworkError
        If names or shapes differ, or a weight is not a finite real number.
    """
    # Fresh weights are about to be replaced: the caller's random numbers stay as they were.
    with torch.random.fork_rng(devices=[]):
        module = build_described(description, source)
    limits = (description.r_max, R_MAX), (description.d_max, D_MAX)
    set_limits(module, *(usual if said is None else said for said, usual in limits))
    wanted = module.state_dict()
    compare(wanted, state, f"{source}, read as {description.architecture}")
    check_values(state, source)
    module.load_state_dict({name: state.get(name, value) for name, value in wanted.items()})
    return module


def compare(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    """Raise `NetworkError`, naming the first few, unless names and shapes agree."""
    missing = [
        f"{n} {by_axis(_shape(t))}" for n, t in wanted.items() if n not in state and not n.endswith(OPTIONAL)
    ]
    extra = [f"{n} {by_axis(_shape(t))}" for n, t in state.items() if n not in wanted]
    wrong = [
        f"{name} (expected {by_axis(_shape(tensor))}, got {by_axis(_shape(state[name]))})"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    found = {"weights missing": missing, "weights too many": extra, "weights of another shape": wrong}
    said = [f"{len(names)} {what}: {few(names, _NAMED)}" for what, names in found.items() if names]
    if said:
        raise NetworkError(
            f"The weights do not fit the architecture in {source}: {'; '.join(said)}. "
            "Name the architecture and the arguments that the network was trained with."
        )


def check_stored(state: Mapping[str, Tensor], size: int, source: str) -> None:
    """Raise `NetworkError` unless each weight can lie in a file of `size` bytes; none has memory yet."""
    _check_plain(state, source)
    spread = [
        name
        for name, tensor in state.items()
        if tensor.numel() * tensor.element_size() > min(size, tensor.untyped_storage().nbytes())
    ]
    if spread:
        raise NetworkError(
            f"{source} has fewer bytes than its weights: {few(spread, _NAMED)}. Copy it again, or write it "
            "anew: torch.save(network.state_dict(), path)."
        )


def check_values(state: Mapping[str, Tensor], source: str) -> None:
    """Raise `NetworkError` unless all weights are finite real numbers."""
    _check_plain(state, source)
    broken = [n for n, t in state.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise NetworkError(
            f"{source} has weights that are NaN or infinite: {few(broken, _NAMED)}. "
            "The training went wrong; take an earlier checkpoint."
        )


def _check_plain(state: Mapping[str, Tensor], source: str) -> None:
    strange = [
        f"{name} ({tensor.dtype})"
        for name, tensor in state.items()
        if tensor.is_complex() or tensor.is_quantized or tensor.layout is not torch.strided
    ]
    if strange:
        raise NetworkError(f"Weights are plain real numbers; {source} has {few(strange, _NAMED)}.")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
