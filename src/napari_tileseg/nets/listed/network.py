"""A module that carries out a list of operations, with its weights under the paths that their file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_tileseg.nets.listed.carrying import (
    DEVICE,
    call_of,
    carry_out,
    is_overwriting,
    last_uses,
)
from napari_tileseg.nets.listed.layers import layers_of
from napari_tileseg.nets.listed.listing import Listing, Operation
from napari_tileseg.nets.listed.trial import takes_batches


class ListedNetwork(nn.Module):
    """A network that its file lists, operation by operation.

    Its convolutions and normalization layers are layers of `torch.nn`, so that they can be recognised, chosen
    to learn, and replaced; its other weights are parameters under their paths, or buffers.

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
                learns = value.is_floating_point() and path not in listing.fixed
                _attach(self, path, nn.Parameter(value) if learns else value)
        for layer in layers.values():
            _attach(self, layer.path, layer.build(weights))
        self._layers = {result: (layer.path, layer.image) for result, layer in layers.items()}
        self._names = {name: path for name, path in listing.names.items() if path not in moved}
        self._overwrites = any(map(is_overwriting, listing.operations))
        self._uses = last_uses(listing.operations, listing.result)
        #: Whether it computes several images at once, or one after the other.
        self.takes_batches = takes_batches(listing, shapes)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        self.sizes.check(tuple(x.shape[2:]))
        if x.shape[0] != 1 and not self.takes_batches:
            return torch.cat([self._together(each[None]) for each in x])
        return self._together(x)

    def _together(self, x: Tensor) -> Tensor:
        image = x.clone() if self._overwrites else x
        values: dict[str, Any] = {DEVICE: x.device, self.listing.image: image}
        values.update((name, _found(self, path)) for name, path in self._names.items())
        operations = self.listing.operations
        carry_out(map(self._call, operations), values, operations, self._uses)
        result: Tensor = values[self.listing.result]
        return result

    def _call(self, operation: Operation) -> Any:
        found = self._layers.get(str(operation.results[0]))
        if found is None:
            return call_of(operation)
        layer, image = self.get_submodule(found[0]), found[1]
        return lambda values: layer(values[image])

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
    elif isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)
