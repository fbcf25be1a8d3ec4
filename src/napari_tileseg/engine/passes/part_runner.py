"""Taking parts of an image through a network level by level, as images by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import final

import torch
from torch import Tensor

from napari_tileseg.engine.passes.fixed_network import placeholders
from napari_tileseg.engine.passes.part_maps import PartMaps
from napari_tileseg.engine.passes.parts import Part, Parts
from napari_tileseg.engine.passes.pass_planner import PassPlanner
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.regions.cores.cost import cost_of
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.engine.regions.program.schedule import Schedule
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.graphs.operations.coordinates import Given
from napari_tileseg.graphs.statistics.fixing import fixed
from napari_tileseg.tiling import Box


@final
class PartRunner:
    """Computes what a network looks at over all of space, of parts of one image.

    Of each feature map it computes what the inside of a part needs, within the part's margin.

    Parameters
    ----------
    network : PlacedNetwork
        The network.
    parts : Parts
        How the image is cut.
    read : callable
        Reads the image, as for `sweep`.

    Raises
    ------
    NoRuleError
        As `find_statistics`.
    """

    def __init__(self, network: PlacedNetwork, parts: Parts, read: Read) -> None:
        self._network, self._parts, self._read = network, parts, read
        self.statistics = network.statistics
        #: What `Statistic.numbers` returned, by the number of its feature map; given level by level.
        self.numbers: dict[int, tuple[Tensor, ...]] = {}
        self._programs: dict[tuple[int, frozenset[int]], Program] = {}
        self._current: PartMaps | None = None
        # Sizes are expressions, which take a while to work out; there are few shapes.
        self._wholes = lru_cache(network.graph.wholes)
        # The network as if all numbers were known: what of each feature map a part needs in the end.
        numbers = placeholders(network.graph, self.statistics)
        self._result = network.program(fixed(network.graph, self.statistics, numbers), "meta")
        self._sources = tuple(dict.fromkeys(each.source for each in self.statistics if each.source))
        shortened, _ = network.ending_at(self._sources, numbers, {})
        self._needs = network.program(shortened, "meta") if self._sources else None

    @property
    def fits(self) -> bool:
        """Whether parts are computed as the network computes images."""
        shapes = {
            self._parts[number].read.shape for number in (0, len(self._parts) // 2, len(self._parts) - 1)
        }
        return all(map(self._result.fits, shapes))

    @property
    def work(self) -> float:
        """Work of one part relative to that of a pass over the image."""
        part, whole = self._parts[len(self._parts) // 2], self._parts.shape
        shape, wholes = part.read.shape, self._result.wholes
        one = cost_of(self._result, shape, part.of_map(wholes(shape)[-1]))
        return one.work / cost_of(self._result, whole, Box.of_shape(wholes(whole)[-1])).work

    def holds(self, room: int) -> Mapping[int, int]:
        """Return which feature maps of a part are held and until when, as a `PassPlan` has it.

        Parameters
        ----------
        room : int
            Bytes that they may take.
        """
        return self._planner.best(room).holds

    def advance(self, held: PartMaps, holds: Mapping[int, int]) -> None:
        """Take a part past its next level, with the numbers of all levels before."""
        here = [each for each in self.statistics if each.level == held.level]
        part = held.part
        with self._network.running():
            if any(each.source == 0 for each in here):
                whole = Box.of_shape(part.read.shape)
                held.take(here, 0, whole, part.of_map(whole.shape), self._read(part.read))
            ends = tuple(dict.fromkeys(each.source for each in here if each.source))
            if ends:
                self._compute(held, ends)
        held.finish_level(holds)

    def _compute(self, held: PartMaps, ends: Sequence[int]) -> None:
        part, program = held.part, self._program(held, ends)
        boxes, wholes = self._boxes(part), self._wholes(part.read.shape)
        schedule = program.schedule_of_maps(part.read.shape, tuple(boxes[source] for source in ends))
        image = program.to_device(self._image(part, schedule))
        here = [each for each in self.statistics if each.level == held.level]
        self._current = held
        for source, values in zip(ends, program.run_maps(image, schedule), strict=True):
            held.take(here, source, boxes[source], part.of_map(wholes[source]), values)

    def outputs(self, parts: Sequence[Part]) -> Iterator[Tensor]:
        """Yield the network's output on the inside of parts, with all numbers."""
        program = self._network.program(fixed(self._network.graph, self.statistics, self.numbers))
        for part in parts:
            shape = part.read.shape
            schedule = program.schedule(shape, part.of_map(program.wholes(shape)[-1]))
            with self._network.running():
                image = program.to_device(self._image(part, schedule))
                output = program.run(image, schedule)
            yield output

    def _image(self, part: Part, schedule: Schedule) -> Tensor:
        """Read what a schedule needs of the image, if anything."""
        box = schedule.read
        return self._read(box.shift(part.read.start)) if box.size else torch.empty(0)

    def _program(self, held: PartMaps, ends: Sequence[int]) -> Program:
        """Return what computes some feature maps from those that are held."""
        key = held.level, held.kept
        if key not in self._programs:
            given = {source: Given(self._reader(source)) for source in held.kept}
            graph, _ = self._network.ending_at(ends, self.numbers, given)
            self._programs[key] = self._network.program(graph)
        return self._programs[key]

    def _reader(self, source: int) -> Callable[[Box], Tensor]:
        """Return what reads a feature map of the part that is computed at the moment."""

        def read(box: Box) -> Tensor:
            assert self._current is not None
            return self._current.read(source, box)

        return read

    def _boxes(self, part: Part) -> dict[int, Box]:
        """Return what a part needs of each feature map that is looked at: its inside, more for later ones."""
        if self._needs is None:
            return {}
        wholes = self._wholes(part.read.shape)
        insides = tuple(part.of_map(wholes[source]) for source in self._sources)
        boxes = self._needs.schedule_of_maps(part.read.shape, insides).boxes
        return {source: boxes[place] for source, place in zip(self._sources, self._needs.ends, strict=True)}

    @cached_property
    def _planner(self) -> PassPlanner:
        """Plans what is held of a part from level to level."""
        part = self._parts[len(self._parts) // 2]
        shapes = list(self._wholes(part.read.shape))
        for source, box in self._boxes(part).items():
            shapes[source] = box.shape
        network = self._network
        return PassPlanner(network.graph, self.statistics, shapes, network.dtype.itemsize, predicts=False)
