"""The region engine: of every feature map it computes what a core needs, and no more."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING, final

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
from napari_tileseg.engine.engine import Engine, PaddedImage, Route
from napari_tileseg.engine.image_sweep import Sweeping, probabilities, shortage
from napari_tileseg.engine.plain_engine import ABSURD_ERROR, PlainEngine, relative_error
from napari_tileseg.engine.regions.check.captured import CaptureCache, Fault
from napari_tileseg.engine.regions.check.device_trial import Trial
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.tiling import Box, Tile
from napari_tileseg.tiling.rounding import halves

if TYPE_CHECKING:
    from napari_tileseg.graphs.graph import Graph
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Feature maps of one image that have been computed already.

    Parameters
    ----------
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    graph : Graph
        The network, beginning at these maps.
    """

    shape: Shape
    graph: Graph


@final
class RegionEngine(Engine):
    """Computes cores region by region, and as a plain engine where that is not to be had.

    Before it is first used, regions are compared with the plain network on a small image; where they differ,
    and for tiles whose read leaves out what the core needs, tiles are computed whole. It may be used from
    several threads; one at a time runs the network.

    Parameters
    ----------
    network : Network
        The opened network; it is not changed.
    graph : Graph
        The same as operations with rules.
    device : str
        A device that `resolve_device` gave.
    dtype : str
        Number format.
    batch : int
        Tiles at once, at least 1.
    cache : CaptureCache
        What is known of the network, and was tried with it.
    kept : Kept, optional
        Feature maps of the image that is predicted, in the number format.
    trial : callable, optional
        Makes the `Trial` of network and graph on a device in a number format, with the cache.
    """

    def __init__(
        self,
        network: Network,
        graph: Graph,
        device: str,
        dtype: str,
        batch: int,
        cache: CaptureCache,
        kept: Kept | None = None,
        trial: Callable[[Network, Graph, str, torch.dtype, CaptureCache], Trial] = Trial,
    ) -> None:
        check_dtype(dtype, device)
        self._cache, self._trial = cache, trial
        self._network, self._graph = network, graph
        self._spec, self._device, self._dtype = network.spec, device, dtype
        self._batch = batch
        self._program: Program | None = None
        self._kept = kept
        self._from_kept: Program | None = None
        self._plain: PlainEngine | None = None
        self._route = Route("regions", graph=graph)
        self._largest: int | None = None
        self._planes = sys.maxsize
        self._verified = DTYPES[dtype].itemsize >= torch.float32.itemsize
        self._notes: list[str] = []
        self._lock = threading.RLock()
        self._closed = False

    @property
    def route(self) -> Route:
        """See `Engine.route`."""
        return self._route

    @property
    def dtype(self) -> str:
        """See `Engine.dtype`."""
        return self._dtype if self._plain is None or self.route.kind == "regions" else self._plain.dtype

    def take_notes(self) -> tuple[str, ...]:
        """See `Engine.take_notes`."""
        notes, self._notes = tuple(self._notes), []
        return notes + (self._plain.take_notes() if self._plain else ())

    def close(self) -> None:
        """See `Engine.close`."""
        if self._plain is not None:
            self._plain.close()
        self._program = self._plain = self._from_kept = self._kept = None
        self._closed = True
        release_memory(self._device)

    def read_of(self, shape: Shape, tile: Tile) -> Box:
        """See `Engine.read_of`."""
        program = self._ready(shape)
        needed = None if program is None else self._needed(program, shape, tile)
        return tile.read if needed is None else needed

    def compute(self, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array]:
        """See `Engine.compute`."""
        program = self._ready(image.padded_shape)
        results: list[Array] = []
        for group in self._groups(program, image.padded_shape, tiles):
            if program is None or self._needed(program, image.padded_shape, group[0]) is None:
                results.extend(self._as_plain().compute(image, group))
            else:
                results.extend(self._compute_group(program, image, group))
        return results

    def verify(self, image: PaddedImage, tile: Tile) -> None:
        """See `Engine.verify`."""
        program = self._ready(image.padded_shape)
        if program is None:
            self._as_plain().verify(image, tile)
        elif not self._verified:
            self._verified = True
            self._compare_formats(program, image, tile)

    def _compare_formats(self, program: Program, image: PaddedImage, tile: Tile) -> None:
        """Compute one core in reduced precision and in float32; if they are far apart, go on in float32."""
        core = self._first_piece(tile.core)
        precise = program.in_format(self._graph, self._network.module, torch.float32)
        (expected,) = self._attempt(precise, image, [core]) or (None,)
        (values,) = self._attempt(program, image, [core]) or (None,)
        if values is None or expected is None:
            return
        if not (np.isfinite(values).all() and relative_error(values, expected) <= ABSURD_ERROR):
            self._notes.append(
                f"{self._dtype} went wrong on {self._device} (checked on one tile): using float32."
            )
            self._program, self._dtype = precise, "float32"
        release_memory(self._device)

    def _first_piece(self, core: Box) -> Box:
        """Return a core, or the part of it that fits into memory."""
        while self._largest is not None and core.size > self._largest:
            core = self._halves(core)[0]
        return core

    def _ready(self, padded: Shape) -> Program | None:
        """Return the program to run, tried before it is first used; None where tiles are computed whole."""
        program = self._tried()
        kept = self._kept
        if program is None or kept is None or padded[len(padded) - self._spec.ndim :] != kept.shape:
            return program
        with self._lock:
            # In another format than they have, kept maps are of no use.
            if self._from_kept is None and self._program is program:
                self._from_kept = program.in_format(kept.graph, self._network.module, DTYPES[self._dtype])
            return self._from_kept

    def _tried(self) -> Program | None:
        with self._lock:
            if self._closed:
                raise RuntimeError(f"The engine of {self._spec.name} has been closed. Open another.")
            if self._program is None and self._route.kind == "regions":
                dtype = DTYPES[self._dtype]
                trial = self._trial(self._network, self._graph, self._device, dtype, self._cache)
                found = trial.program()
                if isinstance(found, Fault):
                    self._route = Route("plain", found.reason)
                    self._notes.append(found.note)
                else:
                    self._program = found
            return self._program

    def _as_plain(self) -> PlainEngine:
        with self._lock:
            if self._plain is None:
                self._plain = PlainEngine(self._network, self._device, self._dtype, self._batch)
            return self._plain

    def _needed(self, program: Program, padded: Shape, tile: Tile) -> Box | None:
        """Return what a core needs of the image; None where its read is meant to leave some of it out."""
        lead = len(padded) - self._spec.ndim
        if not program.fits(padded[lead:]):
            return None
        schedule = program.schedule(padded[lead:], tile.core.drop_axes(lead))
        needed = Box(tile.core.start[:lead] + schedule.read.start, tile.core.stop[:lead] + schedule.read.stop)
        if not needed.size:
            return Box(tile.core.start, tile.core.start)
        if tile.read.contains(needed):
            return needed
        return needed if self._spec.lattice(len(padded)).sees(tile, padded) else None

    def _groups(
        self, program: Program | None, padded: Shape, tiles: Sequence[Tile]
    ) -> Iterator[Sequence[Tile]]:
        """Group tiles that can be computed in one batch: those at the same position on the network's axes."""
        lead = len(padded) - self._spec.ndim
        if program is None:
            yield tiles
            return
        for _, alike in groupby(
            tiles, key=lambda tile: (tile.core.drop_axes(lead), tile.read.drop_axes(lead))
        ):
            group = list(alike)
            yield from (group[i : i + self._batch] for i in range(0, len(group), self._batch))

    def _compute_group(self, program: Program, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array]:
        cores = [tile.core for tile in tiles]
        fits = self._largest is None or sum(core.size for core in cores) <= self._largest
        values = self._attempt(program, image, cores) if fits else None
        if values is not None:
            return values
        if len(cores) == 1:
            return [self._in_halves(program, image, cores[0])]
        self._remember(sum(core.size for core in cores) // 2)
        return [values for tile in tiles for values in self._compute_group(program, image, [tile])]

    def _in_halves(self, program: Program, image: PaddedImage, core: Box) -> Array:
        """Compute a core that memory cannot hold from parts of it: the result is the same."""
        parts = []
        for part in self._halves(core):
            fits = self._largest is None or part.size <= self._largest
            values = self._attempt(program, image, [part]) if fits else None
            parts.append((part.within(core), values[0] if values else self._in_halves(program, image, part)))
        whole = np.empty((self._spec.out_channels, *core.shape), parts[0][1].dtype)
        for inside, values_of_part in parts:
            whole[(slice(None), *inside)] = values_of_part
        self._remember(max(prod(values.shape[1:]) for _, values in parts))
        return whole

    def _halves(self, core: Box) -> tuple[Box, ...]:
        """Cut a core in two, on the stride.

        Raises
        ------
        DeviceError
            If it is too small to be cut.
        """
        parts = halves(core, self._spec.lattice(core.ndim).stride)
        if not parts:
            least = f"a core of {by_axis(core.shape)} voxels, the least that it can be"
            raise DeviceError(shortage(self._device, self._spec.name, least))
        return parts

    def _remember(self, size: int) -> None:
        """Do not try again what did not fit."""
        if self._largest is None or size < self._largest:
            self._largest = size
            self._notes.append(
                f"Memory of {self._device} ran out: at most {size:,} voxels are computed at once, "
                "which gives the same result more slowly."
            )

    def _attempt(self, program: Program, image: PaddedImage, cores: Sequence[Box]) -> list[Array] | None:
        """Compute cores at the same position on the network's axes; None if memory ran out."""
        values = None
        try:
            values = self._run(program, image, cores)
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                work = f"cores of {by_axis(cores[0].shape)}"
                raise failure(error, self._device, self._spec.name, work) from error
        if values is None:  # only here has the traceback released the tensors
            release_memory(self._device)
        return values

    def sweeps(self, shape: Shape) -> bool:
        """See `Engine.sweeps`."""
        program = self._tried()
        return program is not None and program.fits(shape[len(shape) - self._spec.ndim :])

    def sweep(self, image: PaddedImage, box: Box, planes: int) -> Iterator[tuple[Box, Array]]:
        """See `Engine.sweep`."""
        program = self._ready(image.padded_shape)
        if program is None or not self.sweeps(image.padded_shape):
            why = self._route.reason or "images of this size take another branch in it"
            raise NetworkError(f"{self._spec.name} is computed in whole tiles, because {why}.")
        sweeping = Sweeping(program, self._spec, self._device, self._lock, self._limit_planes)
        yield from sweeping.parts(image, box, min(planes, self._planes))

    def _limit_planes(self, planes: int) -> None:
        """Do not try thicker slabs again: they did not fit."""
        self._planes = planes
        self._notes.append(
            f"Memory of {self._device} ran out: slabs of {planes} planes from now on, with the same result."
        )

    def _run(self, program: Program, image: PaddedImage, cores: Sequence[Box]) -> list[Array]:
        lead = len(image.padded_shape) - self._spec.ndim
        schedule = program.schedule(image.padded_shape[lead:], cores[0].drop_axes(lead))
        reads = []
        for core in cores:
            box = Box(core.start[:lead] + schedule.read.start, core.stop[:lead] + schedule.read.stop)
            if not box.size:
                reads.append(np.empty((1, self._spec.in_channels, *schedule.read.shape), np.float32))
                continue
            values = np.moveaxis(image.read(box), 0, lead)
            reads.append(values.reshape(-1, *values.shape[lead:]))
        samples = reads[0] if len(reads) == 1 else np.concatenate(reads)
        with self._lock, true_float32(self._device), torch.inference_mode():
            output = program.run(program.to_device(torch.from_numpy(samples)), schedule)
            values = probabilities(output, self._spec.activation)
        if np.may_share_memory(values, samples):
            values = values.copy()  # a network may give back what it was given
        counts = np.cumsum([len(read) for read in reads])[:-1]
        return [
            np.ascontiguousarray(np.moveaxis(part.reshape(*core.shape[:lead], *part.shape[1:]), lead, 0))
            for part, core in zip(np.split(values, counts), cores, strict=True)
        ]
