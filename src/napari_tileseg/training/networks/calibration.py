"""From a trained network to one with batch renormalization, its statistics measured on the user's images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from copy import deepcopy
from dataclasses import replace
from math import ceil, prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from napari_tileseg._progress import Noted, Progress
from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.device import ran_out_of_memory, release_memory
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.labels.dice import soft_dice
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.architectures.convolutions import HalvedConvolutions
from napari_tileseg.nets.listed.by_graph import by_graph
from napari_tileseg.nets.listed.network import ListedNetwork
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.norm_layers import BatchRenorm, convertible, renormalize
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.tiling import Box
from napari_tileseg.training.data.patches import choose_patch, context_of, counting
from napari_tileseg.training.events import Calibrated

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels of the tiles on which statistics are measured, about.
EFFORT = 2**21
_WHAT = "Measuring statistics"
#: Parts of a tile along each spatial axis, from 0 to 1, that are no halo.
_Inside: TypeAlias = tuple[tuple[float, float], ...]


def convert_network(
    network: Network,
    plans: Sequence[Plan],
    *,
    device: str | None = None,
    tile: Shape | None = None,
    voxels: int = EFFORT,
    seed: int = 0,
) -> Generator[Progress | Noted | Calibrated, None, Network]:
    """Replace the normalization layers of a network by batch renormalization and calibrate it; weights stay.

    Layer after layer takes the moments of what it is given by the layers already converted before it,
    pooled over all tiles and weighted by count; voxels nearer to a tile's border than the halo are left
    out, as far as the tile has others. For that all tiles go through the network at once.

    Parameters
    ----------
    network : Network
        The opened network; it is not changed.
    plans : sequence of Plan
        How the images are prepared.
    device : str, optional
        A device that `resolve_device` gave; that of the first plan by default.
    tile : tuple of int, optional
        Voxels of a tile along the grid axes; derived by default.
    voxels : int
        Voxels of all tiles together, about; one tile is always measured.
    seed : int
        Of the positions of the tiles.

    Yields
    ------
    Progress, Noted or Calibrated
        `Calibrated` once, at the end, with the effect on the prediction.

    Returns
    -------
    Network
        In memory. The network itself where it has no layer to convert; then there is no `Calibrated`.

    Raises
    ------
    NetworkError
        If the layers of the network cannot be replaced, as `by_graph`.
    DeviceError
        If memory does not suffice for one tile.
    """
    network = trainable(network)
    if not convertible(network.module):
        return network
    module, paths = renormalize(network.module)
    # In evaluation mode a layer uses the statistics it holds: the hooks below set them just before that, so
    # that one pass measures all layers, each on what the converted ones before it give.
    module, device = module.eval(), device or plans[0].device
    tiles, inside = _read_tiles(network, plans, tile, voxels, seed)
    yield Progress(_WHAT, 0.0)
    if isinstance(module, ListedNetwork) and not module.takes_batches:
        tiles, inside = tiles[:1], inside[:1]
        yield Noted(f"{network.spec.name} takes one image at a time: statistics are measured on one tile.")
    before = _run(deepcopy(network.module), tiles, device)
    # All tiles in one batch, or the moments would not be those of all of them together; fewer where memory is
    # short. The original network runs first: where its pass fits, the one that measures should, too.
    while before is None:
        if len(tiles) == 1:
            raise DeviceError(
                f"{device} has too little memory to measure statistics on one tile of "
                f"{by_axis(tiles[0].shape)}. "
                "Take a smaller patch, or another device."
            )
        tiles, inside = tiles[: len(tiles) // 2], inside[: len(inside) // 2]
        yield Noted(f"Memory of {device} ran out: statistics are measured on {len(tiles)} tiles.")
        before = _run(deepcopy(network.module), tiles, device)
    yield Progress(_WHAT, 0.5)
    hooks = [module.get_submodule(path).register_forward_pre_hook(_measurer(inside)) for path in paths]
    after = _run(module, tiles, device)
    for hook in hooks:
        hook.remove()
    if after is None:
        raise DeviceError(f"{device} has too little memory to measure statistics. Take a smaller patch.")
    description = replace(network.description, renormalized=paths, frozen=(), r_max=None, d_max=None)
    converted = network_in_memory(module.cpu(), description, ancestor=network.sha256)
    maps = [_inner(apply_activation(each, network.spec.activation), inside) for each in (before, after)]
    yield Calibrated(
        layers=paths,
        dice=tuple(soft_dice(a, b) for a, b in zip(*maps, strict=True)),
        max_abs_difference=float(np.abs(maps[0] - maps[1]).max()),
    )
    return converted


def trainable(network: Network) -> Network:
    """Return a network whose layers can be replaced and whose weights can be saved.

    Parameters
    ----------
    network : Network
        An opened network; it is not changed.

    Returns
    -------
    Network
        As `by_graph` gives it.

    Raises
    ------
    NetworkError
        As `by_graph`, and if the network has no weights.
    """
    if not any(True for _ in network.module.parameters()):
        frozen = isinstance(network.module, torch.jit.ScriptModule)
        why = f" It is a {network.spec.architecture} file that was frozen." if frozen else ""
        raise NetworkError(f"{network.spec.name} has no weights: there is nothing in it to learn.{why}")
    return by_graph(network)


def _read_tiles(
    network: Network, plans: Sequence[Plan], tile: Shape | None, voxels: int, seed: int
) -> tuple[list[Array], list[_Inside]]:
    """Read tiles spread at random over the images; return them, and which part of each is no halo."""
    rng = np.random.default_rng(seed)
    lattice = network.spec.lattice(plans[0].grid.ndim)
    room = tuple(min(sizes) for sizes in zip(*(plan.grid.padded_shape for plan in plans), strict=True))
    shape = tile or choose_patch(lattice, room, plans[0].tiles.image.voxel_size)
    context = context_of(shape, lattice.default_halo, dense=False)
    count = max(1, voxels // prod(shape))
    tiles: list[Array] = []
    inside: list[_Inside] = []
    # Where there are more images than tiles, some have none: the first ones are as good as any.
    for plan in plans[:count]:
        prepared = plan.prepared
        for box in _places(prepared.padded_shape, shape, lattice.stride, max(1, count // len(plans)), rng):
            values = prepared.read(box)
            tiles.append(values.reshape(len(values), *box.shape[lattice.lead :]))
            inside.append(_parts(box, counting(box, context, prepared.padded_shape), lattice.lead))
    return tiles, inside


def _places(room: Shape, shape: Shape, stride: Shape, count: int, rng: np.random.Generator) -> list[Box]:
    """Draw different boxes on the stride."""
    steps = [(most - n) // step + 1 for most, n, step in zip(room, shape, stride, strict=True)]
    chosen = rng.choice(prod(steps), size=min(count, prod(steps)), replace=False)
    starts = np.stack(np.unravel_index(np.sort(chosen), steps), axis=1) * np.array(stride)
    return [Box.of_shape(shape).shift([int(n) for n in start]) for start in starts]


def _parts(box: Box, part: Box, lead: int) -> _Inside:
    axes = zip(box.start[lead:], box.shape[lead:], part.start[lead:], part.stop[lead:], strict=True)
    return tuple(((a - start) / n, (b - start) / n) for start, n, a, b in axes)


def _run(module: nn.Module, tiles: list[Array], device: str) -> Tensor | None:
    """Return the outputs of all tiles at once, on the CPU; None where memory ran out."""
    try:
        with torch.inference_mode(), HalvedConvolutions():
            outputs: Tensor = module.to(device)(torch.from_numpy(np.stack(tiles)).to(device)).float().cpu()
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        # Memory is given back after this block: until then the traceback holds the tensors.
        fits = False
    else:
        fits = True
    if not fits:
        release_memory(device)
    return outputs if fits else None


def _measurer(inside: list[_Inside]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """Return a hook that gives a layer the statistics of its input just before it uses them."""

    def measure(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(layer, BatchRenorm)
        mean, variance = pooled_moments(inputs[0], inside)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)

    return measure


def pooled_moments(values: Tensor, inside: Sequence[_Inside]) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance of each channel over the inner parts of all samples.

    Parameters
    ----------
    values : Tensor
        ``(batch, channels, *space)``, at any resolution.
    inside : sequence of tuple of (float, float)
        For each sample the part along each axis that counts, from 0 to 1.
    """
    inner = [
        each[(slice(None), *_cut(part, each.shape[1:]))].flatten(1)
        for each, part in zip(values, inside, strict=True)
    ]
    count = sum(each.shape[1] for each in inner)
    mean = torch.stack([each.sum(1, dtype=torch.float64) for each in inner]).sum(0) / count
    # In two passes: the difference of two large sums would be rounding where values are nearly constant.
    apart = [(each - mean[:, None].to(each.dtype)).square().sum(1, dtype=torch.float64) for each in inner]
    return mean, torch.stack(apart).sum(0) / max(count - 1, 1)


def _cut(part: _Inside, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the part at a layer's resolution, one voxel at least; all where a layer has other axes."""
    if len(part) != len(shape):
        return tuple(slice(None) for _ in shape)
    cuts = []
    # Rounded inwards on both sides: a voxel that is partly halo at this resolution counts for nothing.
    for (a, b), n in zip(part, shape, strict=True):
        start = min(ceil(a * n - 1e-6), n - 1)
        cuts.append(slice(start, max(start + 1, int(b * n + 1e-6))))
    return tuple(cuts)


def _inner(maps: Tensor, inside: Sequence[_Inside]) -> Array:
    """Return the values of each class over the inner parts of all tiles: ``(classes, voxels)``."""
    inner = [
        each[(slice(None), *_cut(part, each.shape[1:]))].flatten(1)
        for each, part in zip(maps, inside, strict=True)
    ]
    return np.concatenate([each.numpy() for each in inner], axis=1)
