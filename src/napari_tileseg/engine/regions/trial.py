"""Trying regions before they are first used: whether they are right, and which order of axes is faster."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, final
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg.engine.device import release_memory, true_float32
from napari_tileseg.engine.lattice import padded_sizes
from napari_tileseg.engine.regions.comparison import (
    Difference,
    differences,
    regions_for_check,
    whole_for_check,
)
from napari_tileseg.engine.regions.compiled import refuse
from napari_tileseg.engine.regions.graph import Graph
from napari_tileseg.engine.regions.program import Program
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Largest difference that rounding explains, relative to the largest value, at least 1.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
#: Voxels on which both orders of axes are timed, and how often.
_TIMED, _TIMES = 2**16, 2
#: Order of axes by network, device and number format: tried once.
_TRIED: WeakKeyDictionary[Graph, dict[tuple[str, torch.dtype], bool]] = WeakKeyDictionary()
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a network's tiles are computed whole after all.

    Parameters
    ----------
    reason : str
        Why, as the end of a sentence.
    note : str
        What to tell whoever asked for the computation.
    """

    reason: str
    note: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Binds a network's graph to a device and a number format, and tries it the first time.

    Parameters
    ----------
    network : Network
        The network.
    graph : Graph
        The same as operations with rules.
    device : str
        Device.
    dtype : torch.dtype
        Number format. Reduced precision is tried in float32: that says whether the rules are right.
    """

    network: Network
    graph: Graph
    device: str
    dtype: torch.dtype

    def program(self, padded: Shape) -> Program | Fault:
        """Program to run, or what was wrong with it.

        Parameters
        ----------
        padded : tuple of int
            Shape of the padded image on the network's axes.
        """
        known = _TRIED.setdefault(self.graph, {})
        with _LOCK:
            if (self.device, self.dtype) not in known:
                fault = self._compare(padded)
                if fault is not None:
                    refuse(self.network, fault.reason)
                    return fault
                known[self.device, self.dtype] = self._is_faster_last(padded)
        return self._bind(self.dtype, channels_last=known[self.device, self.dtype])

    def _bind(self, dtype: torch.dtype, *, channels_last: bool) -> Program:
        return Program(self.graph, self.network.module, self.device, dtype, channels_last=channels_last)

    @property
    def _precise(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def _compare(self, padded: Shape) -> Fault | None:
        """Compare one interior region and two at the border with the plain network on a small image."""
        shape = whole_for_check(self.network.spec, padded)
        regions = regions_for_check(shape, padded_sizes(self.network.spec).step)
        program = self._bind(self._precise, channels_last=True)
        try:
            with true_float32(self.device):
                found = differences(program, self._module(), self._noise(shape), regions)
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            return _failed(error)
        finally:
            release_memory(self.device)
        off = [each for each in found if not each.share <= TOLERANCE[self._precise]]
        return _differs(off[0]) if off else None

    def _module(self) -> nn.Module:
        if self._precise == torch.float32 and self.device == "cpu":
            return self.network.module
        return copy.deepcopy(self.network.module).to(self.device, self._precise)

    def _noise(self, shape: Shape) -> Tensor:
        random = torch.Generator().manual_seed(0)
        values = torch.rand(1, self.network.spec.in_channels, *shape, generator=random)
        return values.to(self.device, self._precise)

    def _is_faster_last(self, padded: Shape) -> bool:
        """Whether channels last in memory is the faster order.

        On the CPU it was in every trial, by half; there, timing would let chance decide how sums are rounded,
        and a run that is gone on with would not leave the bytes of one that was never interrupted.
        """
        if self.network.spec.ndim == 1 or self.device == "cpu":
            return self.network.spec.ndim > 1
        shape = whole_for_check(self.network.spec, padded, _TIMED)
        values = self._noise(shape)
        seconds = []
        for last in (False, True):
            program = self._bind(self.dtype, channels_last=last)
            seconds.append(min(self._seconds(program, values, shape) for _ in range(_TIMES)))
        release_memory(self.device)
        return seconds[1] <= seconds[0]

    def _seconds(self, program: Program, values: Tensor, shape: Shape) -> float:
        schedule = program.schedule(shape, Box.of_shape(shape))
        with torch.inference_mode(), true_float32(self.device):
            placed = program.place(values)
            begun = time.perf_counter()
            program.run(placed, schedule).sum().item()
            return time.perf_counter() - begun


def _failed(error: Exception) -> Fault:
    return Fault(
        f"region by region it fails ({error})",
        f"Computing region by region failed ({error}): tiles are computed whole, which is slower.",
    )


def _differs(difference: Difference) -> Fault:
    where = f"{difference.region.name} region"
    return Fault(
        f"computed region by region, the {where} differed from the plain network",
        f"Computing region by region gave another result than the plain network (checked on one {where}, off "
        f"by {difference.share:.1g} of the largest value): tiles are computed whole, which is slower.",
    )
