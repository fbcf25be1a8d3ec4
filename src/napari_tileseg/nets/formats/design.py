"""The names and shapes of a described architecture's weights, found without memory for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.overrides import TorchFunctionMode

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.norm_layers import renormalize

#: Layers that an architecture has at most: so many beside those that the file's weights ask for, and in all.
_LAYERS, _LAYERS_A_WEIGHT, _MOST_LAYERS = 2000, 8, 10_000
#: While it is built, a weight may come up more than once, in layers that are replaced.
_TIMES = 4
_FEW_WEIGHTS = 2**20


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
