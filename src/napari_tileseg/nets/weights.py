"""A network's weights: what its architecture wants, and the module that is built with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.overrides import TorchFunctionMode

from napari_tileseg._words import by_axis, few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.unwrapping import OPTIONAL
from napari_tileseg.nets.norm_layers import D_MAX, R_MAX, freeze, renormalize, set_limits

#: Layers that an architecture has at most: so many beside those that the file's weights ask for, and in all.
_LAYERS, _LAYERS_A_WEIGHT, _MOST_LAYERS = 2000, 8, 10_000
#: While it is built, a weight may come up more than once, in layers that are replaced.
_TIMES = 4
_FEW_WEIGHTS = 2**20
_NAMED = 5


class _Values(TorchFunctionMode):
    """Lets constructors that compute with a handful of numbers do so: on the meta device there are none."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if func is torch.linspace:
            keywords["device"] = "cpu"
        return func(*args, **keywords)


def build_described(description: Description, source: str) -> nn.Module:
    """Return the described architecture with fresh weights, in float32, its layers converted as described.

    Raises
    ------
    NetworkError
        If it names no architecture, or arguments that this does not take.
    """
    if description.architecture is None:
        raise NetworkError(
            f"The description of {source} should name an architecture: one of {', '.join(registry.names())}."
        )
    module = registry.build(description.architecture, **description.arguments).float()
    if description.renormalized:
        module, _ = renormalize(module, description.renormalized)
    if description.frozen:
        module = freeze(module, description.frozen)
    return module


def weights_wanted(description: Description, tensors: int, size: int, source: str) -> dict[str, Tensor]:
    """Return the weights that the described architecture has, as tensors without memory.

    Parameters
    ----------
    description : Description
        Names the architecture and its arguments, which somebody else may have written.
    tensors : int
        Tensors in the file whose weights are to be used.
    size : int
        Bytes of that file, in which each weight has one at least.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If the description fits no architecture, or one of far more weights or layers than the file has.
    """
    layers = min(_LAYERS + _LAYERS_A_WEIGHT * tensors, _MOST_LAYERS)
    with _limited(layers, _TIMES * size + _FEW_WEIGHTS, source), torch.device("meta"), _Values():
        return dict(build_described(description, source).state_dict())


@contextmanager
def _limited(layers: int, weights: int, source: str) -> Iterator[None]:
    """Within, building a network in this thread ends as soon as it has more layers or weights than that."""
    thread, left = threading.get_ident(), {"layers": layers, "weights": weights}

    def spend(what: str, count: int) -> None:
        left[what] -= count
        if left[what] < 0:
            raise NetworkError(
                f"The weights do not fit the architecture in {source}: its description asks for more {what} "
                f"than the file can hold. Name the arguments that the network was trained with."
            )

    def on_layer(*_: object) -> None:
        if threading.get_ident() == thread:
            spend("layers", 1)

    def on_weight(_parent: nn.Module, _name: str, weight: Tensor | None) -> None:
        if threading.get_ident() == thread and weight is not None:
            spend("weights", weight.numel())

    hooks = (
        torch_modules.register_module_module_registration_hook(on_layer),
        torch_modules.register_module_parameter_registration_hook(on_weight),
        torch_modules.register_module_buffer_registration_hook(on_weight),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
    r_max, d_max = description.r_max, description.d_max
    set_limits(module, R_MAX if r_max is None else r_max, D_MAX if d_max is None else d_max)
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
    misfits = [f"{len(names)} {what}: {few(names, _NAMED)}" for what, names in found.items() if names]
    if misfits:
        raise NetworkError(
            f"The weights do not fit the architecture in {source}: {'; '.join(misfits)}. "
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
