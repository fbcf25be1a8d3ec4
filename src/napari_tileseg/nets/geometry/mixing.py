"""Which layers carry something from one end of a long tile to the other, found by running each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.footprint import footprint
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.spec import Geometry
from napari_tileseg.tiling.rounding import round_up

#: Places along the coarsest feature map, at least, and voxels of an image, at most, on which it is tried.
_PLACES, _MOST_VOXELS = 16, 2**18


def mixing_layers(module: nn.Module, geometry: Geometry, in_channels: int) -> tuple[str, ...] | None:
    """Return the paths of the innermost layers through which every output depends on the whole tile.

    NaN is put into one end of what each layer is given. The tile is longer than all windows of the network
    reach together: what arrives at the other end has come by statistics of the tile, attention, or the like.

    Parameters
    ----------
    module : torch.nn.Module
        The network; a copy is run.
    geometry : Geometry
        What was measured of it.
    in_channels : int
        Channels that it takes.

    Returns
    -------
    tuple of str or None
        In the network's own order; "the network itself" for what no layer of it does. None where layers
        cannot be watched, as in TorchScript, or no image is long enough.
    """
    if isinstance(module, torch.jit.ScriptModule) or geometry.read.fixed:
        return None
    runner = Runner(module, in_channels)
    for axis in range(len(geometry.stride)):
        shape = _long_shape(runner, geometry, axis)
        if shape is None or runner.size_of_output(shape) != shape:
            return None
        watched = _Watched(runner.module, len(shape), axis)
        with watched:
            runner.run(runner.noise(shape))
        found = set(watched.guilty)
        if found:
            paths = (path for path, _ in module.named_modules())
            inner = (path for path in paths if path in found and _is_innermost(path, found))
            return tuple(path or "the network itself" for path in inner)
    return ()


def _long_shape(runner: Runner, geometry: Geometry, axis: int) -> Shape | None:
    """Return an image longer along an axis than the network's windows reach; None where it is too large."""
    read = geometry.read
    thin = tuple(
        round_up(max(least, stride), step)
        for least, stride, step in zip(read.minimum, geometry.stride, read.step, strict=True)
    )
    wanted = footprint(runner, thin).reach[axis] + _PLACES * geometry.stride[axis]
    shape = (
        *thin[:axis],
        max(thin[axis], round_up(wanted, read.step[axis])),
        *thin[axis + 1 :],
    )
    return shape if prod(shape) <= _MOST_VOXELS else None


def _is_innermost(path: str, found: set[str]) -> bool:
    return not any(other != path and _is_inside(other, path) for other in found)


def _is_inside(path: str, outer: str) -> bool:
    return not outer or path.startswith(f"{outer}.")


class _Watched:
    """While it is entered, every layer of a module is tried by itself before it runs."""

    def __init__(self, module: nn.Module, ndim: int, axis: int) -> None:
        self._module, self._ndim, self._axis = module, ndim, axis
        self._trying = False
        self._hooks: list[Any] = []
        self.guilty: list[str] = []

    def __enter__(self) -> None:
        for path, layer in self._module.named_modules():
            self._hooks.append(layer.register_forward_pre_hook(self._hook(path), with_kwargs=True))

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _hook(self, path: str) -> Any:
        def attempt(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            if not self._trying and path not in self.guilty:
                self._trying = True
                try:
                    self._try(path, layer, inputs, named)
                finally:
                    self._trying = False

        return attempt

    def _try(self, path: str, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not any(map(self._is_long, _tensors((inputs, named)))):
            return
        poisoned: Any = tree_map(self._poisoned, (inputs, named))
        try:
            output = layer(*poisoned[0], **poisoned[1])
        except Exception:  # noqa: BLE001 - code that does not take NaN is not judged
            return
        if any(map(self._arrives, _tensors(output))):
            self.guilty.append(path)

    def _place(self, tensor: torch.Tensor) -> int:
        """Return the axis of a tensor along which the tile is long; of tokens, the one of tokens."""
        return self._axis + 2 if tensor.dim() == self._ndim + 2 else tensor.dim() - 2

    def _is_long(self, value: Any) -> bool:
        """Return whether a value is of the whole tile and has two ends; several samples are windows of it."""
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.dim() < 3:
            return False
        return len(value) == 1 and value.shape[self._place(value)] > 1

    def _poisoned(self, value: Any) -> Any:
        if not self._is_long(value):
            return value
        copy = value.clone()
        copy.select(self._place(copy), 0).fill_(torch.nan)
        return copy

    def _arrives(self, tensor: torch.Tensor) -> bool:
        """Return whether NaN is at the other end, or in what has no ends any more."""
        if self._is_long(tensor):
            tensor = tensor.select(self._place(tensor), -1)
        return bool(tensor.isnan().any())


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, torch.Tensor))
