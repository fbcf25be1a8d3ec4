"""The plain engine: run the network on core and halo, and crop to the core."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.device import (
    DTYPES,
    check_dtype,
    failure,
    ran_out_of_memory,
    release_memory,
    true_float32,
)
from napari_tileseg.engine.engine import WHOLE_TILES, Engine, PaddedImage, Route
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.tiling import Box, Tile, TileGrid
from napari_tileseg.tiling.rounding import halve

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Mean error of reduced precision, relative to the largest float32 value (at least 1), that is a fault
#: rather than rounding.
ABSURD_ERROR = 0.05


@final
class PlainEngine(Engine):
    """Reads core and halo, runs the network on it, and crops the core.

    It may be used from several threads; one at a time runs the network.

    Parameters
    ----------
    network : Network
        The opened network; it is not changed.
    device : str
        A device that `resolve_device` gave.
    dtype : str
        Number format.
    batch : int
        Tiles at once, at least 1.
    reason : str
        Why tiles are computed whole, as the end of a sentence.
    """

    def __init__(
        self,
        network: Network,
        device: str,
        dtype: str,
        batch: int,
        reason: str = WHOLE_TILES.reason,
    ) -> None:
        check_dtype(dtype, device)
        self._route = Route("plain", reason)
        self._spec = network.spec
        self._device = device
        self._dtype = DTYPES[dtype]
        self._source = network.module
        self._module = self._copy_as(self._dtype)
        self._batch = batch
        self._piece: Shape | None = None
        self._verified = self._dtype.itemsize >= torch.float32.itemsize
        self._notes: list[str] = []
        self._lock = threading.Lock()

    def _copy_as(self, dtype: torch.dtype) -> Any:
        if dtype == torch.float32 and self._device == "cpu":
            return self._source
        try:
            return copy.deepcopy(self._source).to(device=self._device, dtype=dtype)
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            raise DeviceError(
                f"{self._device} has too little memory for the {self._spec.parameters:,} weights of "
                f"{self._spec.name}. Close other programs, or choose another device or network."
            ) from error

    @property
    def route(self) -> Route:
        """See `Engine.route`."""
        return self._route

    @property
    def dtype(self) -> str:
        """See `Engine.dtype`."""
        return str(self._dtype).removeprefix("torch.")

    def read_of(self, shape: Shape, tile: Tile) -> Box:
        """See `Engine.read_of`."""
        del shape
        return tile.read

    def sweeps(self, shape: Shape) -> bool:
        """See `Engine.sweeps`."""
        del shape
        return False

    def sweep(self, image: PaddedImage, box: Box, planes: int) -> Iterator[tuple[Box, Array]]:
        """See `Engine.sweep`."""
        del image, box, planes
        raise NetworkError(f"{self._spec.name} is computed in whole tiles, because {self._route.reason}.")

    def take_notes(self) -> tuple[str, ...]:
        """See `Engine.take_notes`."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def close(self) -> None:
        """See `Engine.close`."""
        del self._module, self._source
        release_memory(self._device)

    def compute(self, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array]:
        """See `Engine.compute`."""
        results: list[Array] = []
        while len(results) < len(tiles):
            group = tiles[len(results) : len(results) + self._batch]
            cores = None if self._piece else self._attempt(image, group)
            if cores is not None:
                results.extend(cores)
            elif len(group) > 1:
                self._batch = len(group) // 2
                self._notes.append(
                    f"Memory of {self._device} ran out: {self._batch} tiles at once instead of {len(group)}."
                )
            else:
                results.append(self._compute_in_pieces(image, group[0]))
        return results

    def verify(self, image: PaddedImage, tile: Tile) -> None:
        """See `Engine.verify`."""
        if self._verified:
            return
        self._verified = True
        chosen = self.dtype
        try:
            (values,) = self.compute(image, [tile])
        except NetworkError as error:
            raise DeviceError(f"{self._device} cannot run this network in {chosen}. Use float32.") from error
        reduced, self._module = self._module, self._copy_as(torch.float32)
        dtype, self._dtype = self._dtype, torch.float32
        (expected,) = self.compute(image, [tile])
        if np.isfinite(values).all() and relative_error(values, expected) <= ABSURD_ERROR:
            self._module, self._dtype = reduced, dtype
        else:
            self._notes.append(f"{chosen} went wrong on {self._device} (checked on one tile): using float32.")
        release_memory(self._device)

    def _attempt(self, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array] | None:
        """Compute the cores of `tiles` with one call of the network; None if memory ran out."""
        try:
            cores = self._run(image, tiles)
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise failure(error, self._device, self._spec.name, "a tile") from error
            cores = None
        if cores is None:  # only here has the traceback released the tensors
            release_memory(self._device)
        return cores

    def _run(self, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array]:
        lead = len(image.padded_shape) - self._spec.ndim
        reads = [np.moveaxis(image.read(tile.read), 0, lead) for tile in tiles]
        samples = np.stack(reads).reshape(-1, *reads[0].shape[lead:])
        with self._lock, true_float32(self._device), torch.inference_mode():
            outputs = self._forward(samples)
            outputs = outputs.reshape(len(tiles), *reads[0].shape[:lead], *outputs.shape[1:])
            return [self._core(output, tile, lead) for output, tile in zip(outputs, tiles, strict=True)]

    def _core(self, output: torch.Tensor, tile: Tile, lead: int) -> Array:
        """Crop an output ``(*leading, classes, *spatial)`` to ``(classes, *core.shape)``."""
        cut = tile.core.within(tile.read)
        cropped = output[(*cut[:lead], slice(None), *cut[lead:])]
        flat = cropped.reshape(-1, *cropped.shape[lead:])
        flat = flat if flat.dtype == torch.float64 else flat.float()
        values = apply_activation(flat, self._spec.activation).reshape(cropped.shape)
        return values.movedim(lead, 0).contiguous().cpu().numpy()

    def _forward(self, samples: Array) -> torch.Tensor:
        inputs = torch.from_numpy(np.ascontiguousarray(samples)).to(self._device, self._dtype)
        try:
            outputs = only_tensor(self._module(inputs))
        except (RuntimeError, ValueError, IndexError) as error:
            if ran_out_of_memory(error):
                raise
            work = f"inputs of {by_axis(samples.shape)} (samples, channels, {', '.join(self._spec.axes)})"
            raise failure(error, self._device, self._spec.name, work) from error
        expected = (len(samples), self._spec.out_channels, *samples.shape[2:])
        if outputs.shape == expected:
            return outputs
        raise NetworkError(
            f"{self._spec.name} should give an output of {by_axis(expected)} for inputs of "
            f"{by_axis(samples.shape)}; it "
            f"gave {by_axis(outputs.shape)}. Networks that shrink their input cannot be tiled."
        )

    def _compute_in_pieces(self, image: PaddedImage, tile: Tile) -> Array:
        """Compute the core of a tile that memory cannot hold, from smaller reads with the same result."""
        for grid in self._finer_grids(image, tile) if self._can_cut(image, tile) else ():
            values = self._assemble(image, tile, grid)
            if values is not None:
                self._remember(grid)
                return values
        raise DeviceError(self._shortage(image, tile))

    def _can_cut(self, image: PaddedImage, tile: Tile) -> bool:
        """Whether pieces of the core give what the whole core gives."""
        lattice = self._spec.lattice(tile.core.ndim)
        return lattice.sees(tile, image.padded_shape) and self._spec.seam_free

    def _finer_grids(self, image: PaddedImage, tile: Tile) -> Iterator[TileGrid]:
        """Generate grids over the tile's core, each with smaller reads than the one before."""
        lattice = self._spec.lattice(len(image.padded_shape))
        core = self._piece or halve(tile.core.shape, lattice.stride)
        last = tile.read.size + 1
        while core:
            grid = lattice.tiles(image.padded_shape, core, tile.core)
            if prod(grid.read_shape) < last:
                last = prod(grid.read_shape)
                yield grid
            core = halve(core, lattice.stride)

    def _assemble(self, image: PaddedImage, tile: Tile, grid: TileGrid) -> Array | None:
        parts = []
        for part in grid:
            cores = self._attempt(image, [part])
            if cores is None:
                return None
            parts.append((part.core.within(tile.core), cores[0]))
        whole = np.empty((self._spec.out_channels, *tile.core.shape), parts[0][1].dtype)
        for inside, values in parts:
            whole[(slice(None), *inside)] = values
        return whole

    def _remember(self, grid: TileGrid) -> None:
        if grid.core != self._piece:
            self._piece = grid.core
            self._notes.append(
                f"Memory of {self._device} ran out: tiles are computed in pieces of {by_axis(grid.core)} "
                "voxels, "
                "which gives the same result more slowly."
            )

    def _shortage(self, image: PaddedImage, tile: Tile) -> str:
        """Say what does not fit, and what would."""
        fits = next((grid.core for grid in self._finer_grids(image, tile) if self._fits(image, grid)), None)
        lead = len(image.padded_shape) - self._spec.ndim
        cure = (
            f"A core of {','.join(map(str, fits[lead:]))} would fit: set the core to that"
            if fits
            else "No smaller core would fit: close other programs, or choose another device or network"
        )
        return (
            f"{self._device} has too little memory for {self._spec.name} on reads of "
            f"{by_axis(tile.read.shape)} "
            f"voxels (core {by_axis(tile.core.shape)} and halo). {cure}."
        )

    def _fits(self, image: PaddedImage, grid: TileGrid) -> bool:
        first = grid[(0,) * grid.ndim]
        return self._attempt(image, [first]) is not None


def relative_error(values: Array, expected: Array) -> float:
    """Return the mean difference, relative to the largest expected value, at least 1."""
    return float(np.abs(values - expected).mean() / max(1.0, np.abs(expected).max()))
