"""Which feature maps are kept from pass to pass: the least work within memory and disk space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias, final

from napari_tileseg._types import Shape
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.statistics.statistic import Statistic

#: By the number of a feature map, the last pass that reads it.
_Holds: TypeAlias = Mapping[int, int]
#: Floating-point operations that take as long as moving one byte.
_BALANCE = 10.0


@dataclass(frozen=True, slots=True)
class PassPlan:
    """Passes, and what is kept between them.

    Parameters
    ----------
    holds : mapping of int to int
        By the number of a feature map that is kept, the last pass that reads it. It is written by the pass
        that looks at it.
    passes : float
        Operations of all passes, the prediction included, relative to those of one pass over the whole image.
    kept : int
        Bytes of all that is kept at the same time at most.
    """

    holds: Mapping[int, int] = field(default_factory=dict)
    passes: float = 1.0
    kept: int = 0


@final
class PassPlanner:
    """Plans passes for one image.

    Parameters
    ----------
    graph : Graph
        The network.
    statistics : sequence of Statistic
        What it computes over all of space.
    wholes : sequence of tuple of int
        Shape of each whole feature map, as `Graph.wholes` gives it for the padded image.
    itemsize : int
        Bytes of a number.
    predicts : bool, optional
        Whether the prediction begins at kept maps; otherwise it begins at the image.
    """

    def __init__(
        self,
        graph: Graph,
        statistics: Sequence[Statistic],
        wholes: Sequence[Shape],
        itemsize: int,
        *,
        predicts: bool = True,
    ) -> None:
        self._graph, self._wholes, self._itemsize = graph, wholes, itemsize
        self._predicts = predicts
        self._levels = 1 + max((each.level for each in statistics), default=-1)
        self._level_of = {each.source: each.level for each in statistics if each.source}
        self._known: dict[tuple[int, frozenset[int]], tuple[float, float]] = {}

    @property
    def last(self) -> int:
        """Number of the pass that predicts; those before it gather."""
        return self._levels

    def ends(self, number: int) -> tuple[int, ...]:
        """Return the feature maps that a pass computes: those that are looked at, or the result."""
        if number == self.last:
            return (len(self._graph.nodes),)
        return tuple(source for source, level in self._level_of.items() if level == number)

    def level_of(self, source: int) -> int:
        """Return the pass that looks at a feature map, and can write it."""
        return self._level_of[source]

    def best(self, room: int) -> PassPlan:
        """Choose what is kept.

        Each step holds one map for some passes longer, the one that saves most work for the bytes that it
        takes, as long as there is room. When nothing more fits, one map is held longer and another one
        shorter, as long as that saves work.

        Parameters
        ----------
        room : int
            Bytes that kept maps may take together.
        """
        holds: dict[int, int] = {}
        for changes in (self._longer, self._exchanged):
            while True:
                found = self._next(holds, room, changes)
                if found is None:
                    break
                holds = found
        return self.of(holds)

    def of(self, holds: Mapping[int, int]) -> PassPlan:
        """Return what some choice costs."""
        flops = sum(self._costs(number, holds)[1] for number in range(self._levels + 1))
        whole = self._cost(self.last, frozenset())[1]
        return PassPlan(dict(holds), flops / whole if whole else 1.0, self._kept(holds))

    def _next(
        self, holds: _Holds, room: int, changes: Callable[[_Holds], Iterator[tuple[int, dict[int, int]]]]
    ) -> dict[int, int] | None:
        """Return the change that saves most for the bytes of the map that is held longer."""
        best: tuple[float, dict[int, int]] | None = None
        before = self._work(holds)
        for source, changed in changes(holds):
            saved = (before - self._work(changed)) / self._size(source)
            if saved > 0 and (best is None or saved > best[0]) and self._kept(changed) <= room:
                best = saved, changed
        return None if best is None else best[1]

    def _longer(self, holds: _Holds) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield what is possible by holding one map longer, and that map."""
        for source, level in self._level_of.items():
            for until in range(max(level, holds.get(source, 0)) + 1, self._levels + self._predicts):
                yield source, {**holds, source: until}

    def _exchanged(self, holds: _Holds) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield what is possible by holding one map longer, and another one until then or not at all."""
        for source, longer in self._longer(holds):
            for other in holds:
                if other == source:
                    continue
                without = {each: until for each, until in longer.items() if each != other}
                yield source, without
                if self._level_of[other] < self._level_of[source] < holds[other]:
                    yield source, {**longer, other: self._level_of[source]}

    def _work(self, holds: Mapping[int, int]) -> float:
        return sum(self._costs(number, holds)[0] for number in range(self._levels + 1))

    def _costs(self, number: int, holds: Mapping[int, int]) -> tuple[float, float]:
        return self._cost(number, self.available(number, holds))

    def available(self, number: int, holds: Mapping[int, int]) -> frozenset[int]:
        """Return the maps that a pass can read."""
        if number == self.last and not self._predicts:
            return frozenset()
        return frozenset(
            source for source, until in holds.items() if self._level_of[source] < number <= until
        )

    def _cost(self, number: int, kept: frozenset[int]) -> tuple[float, float]:
        """Return the work of a pass, and its floating-point operations."""
        key = number, kept
        if key not in self._known:
            flops = moved = 0
            for place in self._computed(self.ends(number), kept):
                node, whole = self._graph.nodes[place - 1], self._wholes[place]
                taken = prod(self._wholes[node.inputs[0]]) if node.inputs else 0
                flops += node.operation.flops(prod(whole), taken)
                moved += self._size(place)
            self._known[key] = flops + _BALANCE * moved, float(flops)
        return self._known[key]

    def _computed(self, ends: Sequence[int], kept: frozenset[int]) -> Iterator[int]:
        """Yield the feature maps that have to be computed for some."""
        wanted = {end for end in ends if end}
        for place in range(len(self._graph.nodes), 0, -1):
            if place in wanted and place not in kept:
                wanted.update(source for source in self._graph.nodes[place - 1].inputs if source)
                yield place

    def _size(self, number: int) -> int:
        return prod(self._wholes[number]) * self._graph.nodes[number - 1].channels * self._itemsize

    def _kept(self, holds: Mapping[int, int]) -> int:
        """Return the bytes that are kept at the same time at most.

        While a pass reads a map for the last time it gives back what it has read: what it writes meanwhile
        takes that room.
        """
        most = 0
        for number in range(self._levels + 1):
            read = self.available(number, holds)
            given_back = sum(self._size(each) for each in read if holds[each] == number < self.last)
            stays = sum(self._size(each) for each in read) - given_back
            written = sum(
                self._size(each) for each in self.ends(number) if each in holds and number < self.last
            )
            most = max(most, stays + max(given_back, written))
        return most
