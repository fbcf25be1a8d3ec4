"""Trying regions before they are first used: whether they are right, and which order of axes is faster."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, final

import torch
from torch import nn

from napari_tileseg._types import Shape
from napari_tileseg.engine.device import ran_out_of_memory, release_memory, true_float32
from napari_tileseg.engine.regions.check.captured import CaptureCache, Fault
from napari_tileseg.engine.regions.check.comparison import (
    MOST,
    TOLERANCE,
    Difference,
    differences,
    noise,
    regions_for_check,
    whole_for_check,
    whole_for_timing,
)
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import DeviceError, reason_of
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True)
class Timing:
    """How the two orders of axes are timed.

    Parameters
    ----------
    sizes : tuple of int
        Voxels of the images, one after the other until a run takes `long`.
    long : float
        Seconds of a run from which on launching it does not count.
    times : int
        Runs of which the shortest counts. One more comes before: it chooses kernels and fills caches.
    margin : float
        Share of the other order's time below which channels last is taken, so that chance does not decide.
    clock : callable
        Returns the time in seconds, counted from any moment.
    """

    sizes: tuple[int, ...] = (2**16, 2**18, 2**20)
    long: float = 0.02
    times: int = 3
    margin: float = 0.9
    clock: Callable[[], float] = time.perf_counter

    def is_faster_last(self, seconds: Callable[[bool, int], float]) -> bool:
        """Whether channels last is the faster order by more than chance.

        Parameters
        ----------
        seconds : callable
            Times one order (whether channels come last) on one size; infinite where it cannot run.
        """
        faster = False
        for size in self.sizes:
            first, last = seconds(False, size), seconds(True, size)
            if min(first, last) < inf:
                faster = last < self.margin * first
            if max(first, last) >= self.long:
                break
        return faster


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Binds a network's graph to a device and a number format, and tries it the first time.

    That its rules are right is known by then: what is tried is the device, in the order of axes that is used.

    Parameters
    ----------
    network : Network
        The network.
    graph : Graph
        The same as operations with rules.
    device : str
        Device.
    dtype : torch.dtype
        Number format. Reduced precision is tried in float32, in which a difference means something.
    cache : CaptureCache
        Remembers what was found, so that it is tried once.
    timing : Timing, optional
        How the faster order of axes is found.
    compared : tuple of int, optional
        Most voxels of the image that is compared, each tried where memory does not suffice for the one
        before.
    """

    network: Network
    graph: Graph
    device: str
    dtype: torch.dtype
    cache: CaptureCache
    timing: Timing = Timing()
    compared: tuple[int, ...] = (MOST, MOST // 8, MOST // 64)

    def program(self) -> Program | Fault:
        """Return the program to run, or what was wrong with it on the device.

        Raises
        ------
        DeviceError
            If memory does not suffice for a small image. It is tried again the next time.
        """
        found = self.cache.channels_last(self.network, self.graph, self.device, self.dtype, self._tried)
        return found if isinstance(found, Fault) else self._bind(self.dtype, found)

    def _bind(self, dtype: torch.dtype, last: bool) -> Program:
        return Program(self.graph, self.network.module, self.device, dtype, channels_last=last)

    @property
    def _precise(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def _tried(self) -> bool | Fault:
        """Whether channels come last, or why neither order of axes is used."""
        orders = self._orders()
        for most in self.compared:
            try:
                return self._right(orders, most)
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
            release_memory(self.device)
        raise DeviceError(
            f"{self.device} has too little memory for {self.network.spec.name}, even on a small image. Close "
            "other programs, or choose another device or network."
        )

    def _right(self, orders: Sequence[bool], most: int) -> bool | Fault:
        """Return the first order of axes that equals the plain network, or the first one's fault."""
        faults = []
        for last in orders:
            fault = self._compare(last, most)
            if fault is None:
                return last
            faults.append(fault)
        return faults[0]

    def _compare(self, last: bool, most: int) -> Fault | None:
        """Compare one interior region and two at the border with the plain network on a small image."""
        spec = self.network.spec
        shape = whole_for_check(spec, most)
        regions = regions_for_check(shape, spec.padded_sizes.step)
        try:
            program, module = self._bind(self._precise, last), self._module()
            values = noise(spec, shape).to(self.device, self._precise)
            with true_float32(self.device):
                found = differences(program, module, values, regions)
        except (RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
            if ran_out_of_memory(error):
                raise
            return _failed(error, self.device)
        finally:
            release_memory(self.device)
        off = [each for each in found if not each.share <= TOLERANCE[self._precise]]
        return _differs(off[0], self.device) if off else None

    def _module(self) -> nn.Module:
        return copy.deepcopy(self.network.module).to(self.device, self._precise)

    def _orders(self) -> tuple[bool, ...]:
        """Whether channels come last in memory, for each order of axes to be tried, the faster one first.

        On the CPU channels last was in every trial, by half; there, timing would let chance decide how sums
        are rounded, and a resumed run would not leave the bytes of one that was never
        interrupted.
        """
        if self.network.spec.ndim == 1:
            return (False,)
        last = self.device == "cpu" or self.timing.is_faster_last(self._seconds)
        return (last, not last)

    def _seconds(self, last: bool, most: int) -> float:
        """Time one run; infinite where it fails, which the comparison will report."""
        shape = whole_for_timing(self.network.spec, most)
        try:
            return self._time(last, shape)
        except (MemoryError, RuntimeError, TypeError):
            return inf
        finally:
            release_memory(self.device)

    def _time(self, last: bool, shape: Shape) -> float:
        program = self._bind(self.dtype, last)
        schedule = program.schedule(shape, Box.of_shape(shape))
        seconds = []
        with torch.inference_mode(), true_float32(self.device):
            values = program.to_device(noise(self.network.spec, shape))
            for _ in range(1 + self.timing.times):
                begun = self.timing.clock()
                program.run(values, schedule).sum().item()
                seconds.append(self.timing.clock() - begun)
        return min(seconds[1:])


def _failed(error: Exception, device: str) -> Fault:
    what = reason_of(error)
    return Fault(
        f"region by region it fails on {device} ({what})",
        f"Computing region by region failed on {device} ({what}): tiles are computed whole, which is slower.",
    )


def _differs(difference: Difference, device: str) -> Fault:
    where = f"{difference.region.name} region"
    return Fault(
        f"computed region by region on {device}, the {where} differed from the plain network",
        f"Computing region by region on {device} gave another result than the plain network (checked on one "
        f"{where}, off by {difference.share:.1g} of the largest value): tiles are computed whole, which is "
        "slower.",
    )
