"""Sweeping over an image: slabs along the network's first axis, one position before it at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import final

import torch

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.engine.device import failure, ran_out_of_memory, release_memory, true_float32
from napari_tileseg.engine.engine import PaddedImage
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.sweep import Read, sweep
from napari_tileseg.errors import DeviceError
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.spec import Activation, NetworkSpec
from napari_tileseg.tiling import Box


def probabilities(output: torch.Tensor, activation: Activation) -> Array:
    """Turn a network's output into probabilities in memory: float32, or float64 where it is that."""
    output = output if output.dtype == torch.float64 else output.float()
    values: Array = apply_activation(output, activation).contiguous().cpu().numpy()
    return values


def shortage(device: str, name: str, what: str) -> str:
    """Say that memory is too small for the least there is."""
    return (
        f"{device} has too little memory for {name} on {what}. Close other programs, or choose another "
        "device or network."
    )


@final
@dataclass(frozen=True, slots=True)
class Sweeping:
    """Sweeps over an image with a program.

    Parameters
    ----------
    program : Program
        The network.
    spec : NetworkSpec
        What is known of it.
    device : str
        Where it runs.
    lock : lock
        Held while it runs.
    on_thinner : callable
        Hears to how many planes slabs have been cut, because thicker ones did not fit into memory.
    """

    program: Program
    spec: NetworkSpec
    device: str
    lock: threading.RLock
    on_thinner: Callable[[int], None]

    def parts(self, image: PaddedImage, box: Box, planes: int) -> Iterator[tuple[Box, Array]]:
        """As `Engine.sweep`."""
        lead = box.ndim - self.spec.ndim
        space = Box(box.start[lead:], box.stop[lead:])
        for index in product(*map(range, box.start[:lead], box.stop[:lead])):
            ahead = tuple(n + 1 for n in index)

            def read(part: Box, index: Shape = index, ahead: Shape = ahead) -> torch.Tensor:
                values = image.read(Box(index + part.start, ahead + part.stop))
                return self.program.to_device(torch.from_numpy(values.reshape(1, -1, *part.shape)))

            for part, values in self._slabs(image.padded_shape[lead:], space, planes, read):
                whole = Box(index + part.start, ahead + part.stop)
                yield whole, values.reshape(-1, *whole.shape)

    def _slabs(self, shape: Shape, box: Box, planes: int, read: Read) -> Iterator[tuple[Box, Array]]:
        """Sweep one volume; where memory runs out, what is left of it in thinner slabs."""
        slabs = sweep(self.program, shape, box, planes, read, self._alone)
        while box.start[0] < box.stop[0]:
            made = self._next(slabs)
            if made is not None:
                yield made
                box = Box((made[0].stop[0], *box.start[1:]), box.stop)
                continue
            release_memory(self.device)
            planes //= 2
            if not planes:
                raise DeviceError(
                    shortage(self.device, self.spec.name, f"one plane of {by_axis(box.shape[1:])} voxels")
                )
            self.on_thinner(planes)
            slabs = sweep(self.program, shape, box, planes, read, self._alone)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Run the network while nobody else does. Reading is left out: it may wait for others."""
        with self.lock, true_float32(self.device), torch.inference_mode():
            yield

    def _next(self, slabs: Iterator[tuple[Box, torch.Tensor]]) -> tuple[Box, Array] | None:
        """Compute the next part; None if memory ran out."""
        try:
            part, output = next(slabs)
            with self._alone():
                return part, probabilities(output, self.spec.activation)[0]
        except (MemoryError, RuntimeError) as error:
            if ran_out_of_memory(error):
                return None
            raise failure(error, self.device, self.spec.name, "a slab of the image") from error
