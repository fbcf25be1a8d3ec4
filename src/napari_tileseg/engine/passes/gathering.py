"""Gathering what a network computes over all of space of an image, pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.engine.passes.cells import Collector, Columns
from napari_tileseg.engine.passes.finite import Place
from napari_tileseg.engine.passes.fixed_network import placeholders
from napari_tileseg.engine.passes.kept_map import KeptMap
from napari_tileseg.engine.passes.pass_planner import PassPlan, PassPlanner
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.regions.cores.core_planner import PLANES
from napari_tileseg.engine.regions.cores.cost import peak_of_sweep
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.sweep import Read, sweep_maps
from napari_tileseg.errors import ImageError
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.operations.coordinates import Given
from napari_tileseg.graphs.statistics.gathered import Gathered, Moments
from napari_tileseg.graphs.statistics.statistic import Statistic
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

#: Shares of the memory that kept maps may take where half is not enough, and planes of slabs that have to fit
#: beside them: with thinner ones, more time goes into beginning to compute than into computing.
_LARGE_SHARES, _THIN = (5 / 8, 3 / 4, 7 / 8), 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What passes may take.

    Parameters
    ----------
    memory : int
        Bytes of all that is held in memory, kept feature maps included.
    scratch : int
        Bytes of kept feature maps on disk.
    folder : Path, optional
        Where these are; needed where `scratch` is not 0.
    """

    memory: int
    scratch: int = 0
    folder: Path | None = None


@final
@dataclass(slots=True, eq=False)
class Known:
    """What is known of one image: numbers, and feature maps that are kept.

    Parameters
    ----------
    numbers : dict
        By the number of a statistic's feature map, what `Statistic.numbers` returned.
    maps : dict of int to KeptMap
        By its number, each feature map that is kept.
    """

    numbers: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)
    maps: dict[int, KeptMap] = field(default_factory=dict)


@final
class Passes:
    """Passes over one image with one network.

    Parameters
    ----------
    network : PlacedNetwork
        The network.
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    room : Room
        What they may take.
    predicts : bool
        Whether the prediction will begin at kept maps.
    origin : tuple of int, optional
        Where the image begins in the one that a message is about; 0 on each axis by default.

    Raises
    ------
    NoRuleError
        As `find_statistics`.
    """

    def __init__(
        self,
        network: PlacedNetwork,
        shape: Shape,
        room: Room,
        *,
        predicts: bool = True,
        origin: Shape | None = None,
    ) -> None:
        self._origin = origin or (0,) * len(shape)
        self._network, self._shape, self._room = network, shape, room
        self.statistics = network.statistics
        self._wholes = network.graph.wholes(shape)
        self._planner = PassPlanner(
            network.graph, self.statistics, self._wholes, network.dtype.itemsize, predicts=predicts
        )
        self._columns = Columns.of_image(shape)

    def plan(self, holds: Mapping[int, int] | None = None) -> PassPlan:
        """Choose what is kept: in memory half of what it may take, or more where that saves work.

        The rest is for computing: whatever is kept, slabs of a few planes have to fit beside it.

        Parameters
        ----------
        holds : mapping of int to int, optional
            What was chosen before, as in `PassPlan`, for the same numbers to the last bit.
        """
        if holds is not None:
            return self._laid(self._planner.of(holds))
        best = self._laid(self._planner.best(self._room.memory // 2 + self._room.scratch))
        for share in _LARGE_SHARES:
            plan = self._laid(self._planner.best(int(share * self._room.memory) + self._room.scratch))
            if plan.passes < best.passes and self._peak(plan) <= self._room.memory - plan.in_memory:
                best = plan
        return best

    def plan_in_memory(self) -> PassPlan:
        """Choose what is kept where nothing is kept on disk."""
        return self._laid(self._planner.best(self._room.memory // 2))

    def _laid(self, plan: PassPlan) -> PassPlan:
        """Say what lies in memory: half of what that may take, or more where the disk may take less."""
        return replace(plan, in_memory=max(self._room.memory // 2, plan.kept - self._room.scratch))

    def sweep(
        self, level: int, read: Read, plan: PassPlan, known: Known
    ) -> Generator[float, None, dict[int, Gathered]]:
        """Run one pass, whose numbers enter `known` afterwards.

        Parameters
        ----------
        level : int
            Level of the statistics; those of the levels before are known.
        read, plan, known
            As for `gather`.

        Yields
        ------
        float
            How much of it is done, from 0 to 1.

        Returns
        -------
        dict of int to Moments or Extremes
            By the number of a statistic's feature map, what the statistic looks at.

        Raises
        ------
        ImageError
            If something of that is not finite.
        """
        here = [each for each in self.statistics if each.level == level]
        wholes = yield from self._pass(level, here, read, plan, known)
        self._drop(level, plan, known)
        return wholes

    def final_graph(self, plan: PassPlan, known: Known) -> Graph:
        """Return the network with numbers in place of statistics, beginning at what is kept.

        It holds its weights.
        """
        kept = self._planner.available(self._planner.last, plan.holds) & known.maps.keys()
        graph, _ = self._ending_at((len(self._network.graph.nodes),), kept, known)
        return graph.closed(self._network.module)

    def _peak(self, plan: PassPlan) -> int:
        """Return the bytes of the tensors that any pass holds at most in thin slabs, beside what is kept."""
        numbers = placeholders(self._network.graph, self.statistics)
        planes = round_up(_THIN, self._network.graph.step[0])
        peak = 0
        for number in self._planner.different:
            ends = tuple(end for end in self._planner.ends(number) if end)
            if ends:
                given = {each: Given(_unread) for each in self._planner.available(number, plan.holds)}
                graph, _ = self._network.ending_at(ends, numbers, given)
                program = self._network.program(graph, "meta")
                wanted = {
                    place: Box.of_shape(whole)
                    for place, whole in enumerate(program.wholes(self._shape))
                    if place in program.ends
                }
                peak = max(peak, peak_of_sweep(program, self._shape, wanted, planes))
        return peak

    def todo(self, plan: PassPlan, known: Known) -> set[int]:
        """Return the levels to sweep: whose numbers are not known, or that write what these read.

        A map that was lost is computed again as it was the first time, so that the numbers that follow are
        the same to the last bit.
        """
        todo = {each.level for each in self.statistics if each.number not in known.numbers}
        for number in range(self._planner.last, -1, -1):
            if number == self._planner.last or number in todo:
                lost = self._planner.available(number, plan.holds) - known.maps.keys()
                todo.update(self._planner.level_of(source) for source in lost)
        return todo

    def _ending_at(
        self, ends: Sequence[int], kept: frozenset[int], known: Known
    ) -> tuple[Graph, tuple[int, ...]]:
        given = {number: Given(self._reader(known.maps[number])) for number in kept}
        return self._network.ending_at(ends, known.numbers, given)

    def _reader(self, kept: KeptMap) -> Callable[[Box], Tensor]:
        return lambda box: kept.read(box).to(self._network.device)

    def _pass(
        self, number: int, here: Sequence[Statistic], read: Read, plan: PassPlan, known: Known
    ) -> Generator[float, None, dict[int, Gathered]]:
        """Run one pass; yields how much of it is done, and returns what its statistics look at."""
        collectors = {
            (each.source, each.gathers): Collector(each.gathers, self._wholes[each.source], self._columns)
            for each in here
        }
        places = {
            each.source: Place(self._wholes[each.source], self._shape, self._origin, each.layer)
            for each in here
        }
        for source in (each.source for each in here):
            if source in plan.holds and source not in known.maps:
                known.maps[source] = self._kept_map(source, plan, known)
        for fraction, source, box, values in self._parts(number, here, read, plan, known):
            for (of, _), collector in collectors.items():
                if of == source:
                    with self._network.running():
                        collector.add(box, values)
            places[source].check(box, values)
            if source in known.maps:
                known.maps[source].write(box, values)
            del values
            yield fraction
        wholes = {each.number: collectors[each.source, each.gathers].result() for each in here}
        for each in here:
            check_finite(each, wholes[each.number])
        return wholes

    def _parts(
        self, number: int, here: Sequence[Statistic], read: Read, plan: PassPlan, known: Known
    ) -> Iterator[tuple[float, int, Box, Tensor]]:
        """Yield what a pass computes: how much is done, which feature map, where, and values."""
        if any(each.source == 0 for each in here):
            yield from self._image(read)
        ends = tuple(dict.fromkeys(each.source for each in here if each.source))
        if not ends:
            return
        kept = self._planner.available(number, plan.holds) & known.maps.keys()
        graph, numbers = self._ending_at(ends, kept, known)
        program = self._network.program(graph)
        planes, groups = self._slabs(program, known)
        for each in kept:
            known.maps[each].draining = len(groups) == 1 and plan.holds[each] == number < self._planner.last
        of = {place: numbers[end - 1] for place, end in zip(program.ends, graph.ends, strict=True)}
        for index, (first, last) in enumerate(groups):
            wanted = {place: self._columns.box(self._wholes[of[place]], first, last) for place in of}
            maps = sweep_maps(program, self._shape, wanted, planes, read, self._network.running)
            for place, box, values in maps:
                share = box.stop[0] / self._wholes[of[place]][0]
                yield (index + share) / len(groups), of[place], box, values

    def _image(self, read: Read) -> Iterator[tuple[float, int, Box, Tensor]]:
        """Yield the image itself, which some networks normalize first."""
        for first in range(0, self._shape[0], PLANES):
            last = min(self._shape[0], first + PLANES)
            box = Box((first, *(0,) * (len(self._shape) - 1)), (last, *self._shape[1:]))
            yield 0.0, 0, box, read(box)

    def _slabs(self, program: Program, known: Known) -> tuple[int, list[tuple[int, int]]]:
        """Return planes of a slab and groups of columns, as large as memory allows."""
        free = self._room.memory - sum(each.size for each in known.maps.values() if each.in_memory)
        step = self._network.graph.step[0]
        count = 1
        while True:
            groups = [
                (self._columns.count * i // count, self._columns.count * (i + 1) // count)
                for i in range(count)
            ]
            first, last = groups[len(groups) // 2]
            wholes = program.wholes(self._shape)
            wanted = {place: self._columns.box(wholes[place], first, last) for place in program.ends}
            planes = round_up(PLANES, step)
            while planes >= step:
                if peak_of_sweep(program, self._shape, wanted, planes) <= free:
                    return planes, groups
                planes = planes // 2 // step * step
            if count == self._columns.count:
                return step, groups
            count = min(2 * count, self._columns.count)

    def _kept_map(self, source: int, plan: PassPlan, known: Known) -> KeptMap:
        """Return a map to be written: in memory, as long as there is room for it, and else on disk."""
        channels, dtype = self._network.graph.nodes[source - 1].channels, self._network.dtype
        made = KeptMap(channels, self._wholes[source], dtype)
        held = sum(each.size for each in known.maps.values() if each.in_memory and not each.draining)
        if held + made.size <= plan.in_memory or self._room.folder is None:
            return made
        return KeptMap(channels, self._wholes[source], dtype, self._room.folder)

    def _drop(self, number: int, plan: PassPlan, known: Known) -> None:
        """Give back the maps that no later pass reads."""
        for source in [each for each in known.maps if plan.holds.get(each, -1) <= number]:
            known.maps.pop(source).clear()


def _unread(box: Box) -> Tensor:
    """Stand for a kept map where nothing is computed."""
    raise AssertionError(box)


def check_finite(statistic: Statistic, whole: Gathered) -> None:
    """Raise `ImageError` where what was gathered is not finite."""
    values = (whole.means, whole.deviations) if isinstance(whole, Moments) else (whole.least, whole.largest)
    if not all(bool(torch.isfinite(each).all()) for each in values):
        where = f"layer {statistic.layer}" if statistic.layer else "the network"
        raise ImageError(
            f"Numbers that {where} computes over the whole image are not finite. Look for voxels with huge "
            "values, or predict in float32."
        )
