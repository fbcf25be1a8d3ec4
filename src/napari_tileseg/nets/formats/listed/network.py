"""A module that carries out a list of operations, with its weights under the paths that their file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_tileseg.nets.formats.listed.carrying import (
    DEVICE,
    call_of,
    carry_out,
    is_overwriting,
    last_uses,
)
from napari_tileseg.nets.formats.listed.layers import layers_of
from napari_tileseg.nets.formats.listed.listing import Listing, Operation


class ListedNetwork(nn.Module):
    """A network that its file lists, operation by operation.

    Its normalization layers are layers of `torch.nn`, so that they can be recognised and replaced; its other
    weights are parameters under their paths.

    Parameters
    ----------
    listing : Listing
        The operations; checked.
    weights : mapping of str to Tensor
        Numbers of the listing's weights, by path.
    shapes : mapping of str to tuple of int
        Shapes of all values, as `shapes_in` gives them.
    """

    def __init__(
        self,
        listing: Listing,
        weights: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.listing, self.sizes = listing, listing.sizes
        layers = layers_of(listing, shapes)
        moved = {path for layer in layers.values() for path in layer.weights.values()}
        for path, value in weights.items():
            if path not in moved:
                _attach(self, path, value)
        for layer in layers.values():
            _attach(self, layer.path, layer.build(weights))
        self._layers = {result: layer.path for result, layer in layers.items()}
        self._names = {name: path for name, path in listing.names.items() if path not in moved}
        self._overwrites = any(map(is_overwriting, listing.operations))
        self._uses = last_uses(listing.operations, listing.result)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        self.sizes.check(tuple(x.shape[2:]))
        if x.shape[0] != 1:
            # Files state one image at a time, and some have that number in their shapes.
            return torch.cat([self._one(each[None]) for each in x])
        return self._one(x)

    def _one(self, x: Tensor) -> Tensor:
        image = x.clone() if self._overwrites else x
        values: dict[str, Any] = {DEVICE: x.device, self.listing.image: image}
        values.update((name, _found(self, path)) for name, path in self._names.items())
        operations = self.listing.operations
        carry_out(map(self._call, operations), values, operations, self._uses)
        result: Tensor = values[self.listing.result]
        return result

    def _call(self, operation: Operation) -> Any:
        path = self._layers.get(str(operation.results[0]))
        if path is None:
            return call_of(operation)
        layer, taken = self.get_submodule(path), next(operation.taken())
        return lambda values: layer(values[taken])

    @contextmanager
    def beyond_its_range(self) -> Iterator[None]:
        """Take larger images than its file states for as long as this lasts.

        How far it looks, and from where, follows from its operations, whatever sizes they were exported for;
        to see it takes longer images than some may ever have.
        """
        stated, self.sizes = self.sizes, replace(self.sizes, most=())
        try:
            yield
        finally:
            self.sizes = stated

    def extra_repr(self) -> str:
        """Return what `print` shows beside the layers."""
        return f"{len(self.listing.operations)} operations"


def build_listed(
    listing: Listing, weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> nn.Module:
    """Return a listed network with its weights, in float32."""
    return ListedNetwork(listing, weights, shapes).float()


def _found(module: nn.Module, path: str) -> Tensor:
    parent, _, name = path.rpartition(".")
    found: Tensor = getattr(module.get_submodule(parent), name)
    return found


def _attach(module: nn.Module, path: str, value: Tensor | nn.Module) -> None:
    """Give a module a weight or a layer at a path, with empty modules on the way."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in module._modules:
            module.add_module(parent, nn.Module())
        module = module.get_submodule(parent)
    if isinstance(value, nn.Module):
        module.add_module(name, value)
    elif value.is_floating_point():
        module.register_parameter(name, nn.Parameter(value))
    else:
        module.register_buffer(name, value)
