"""Which feature maps are kept from pass to pass: the least work within memory and disk space."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import prod
from typing import TypeAlias, final

from napari_tileseg._types import Shape
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.graphs.statistics.statistic import Statistic

#: Floating-point operations that take as long as moving one byte.
_BALANCE = 10.0
#: Choices that are followed from pass to pass, and maps that one of them may leave out at a time. Twice as
#: many found nothing better for U-Nets of three to six levels.
_FOLLOWED, _LEFT_OUT = 8, 2


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
    work : float
        Predicted time of all passes, in floating-point operations.
    kept : int
        Bytes of all that is kept at the same time at most.
    in_memory : int
        Bytes of it that may lie in memory; what is more lies on disk.
    """

    holds: Mapping[int, int] = field(default_factory=dict)
    passes: float = 1.0
    work: float = 0.0
    kept: int = 0
    in_memory: int = 0

    @property
    def on_disk(self) -> int:
        """Bytes of kept maps that lie on disk at most."""
        return max(0, self.kept - self.in_memory)


@dataclass(frozen=True, slots=True)
class _Way:
    """Work of the passes up to some, and what is held after each of them."""

    work: float = 0.0
    held: tuple[frozenset[int], ...] = ()


_Ways: TypeAlias = Mapping[frozenset[int], _Way]


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
        self._predicts, self._statistics = predicts, statistics
        self._levels = 1 + max((each.level for each in statistics), default=-1)
        self._level_of = {each.source: each.level for each in statistics if each.source}
        self._known: dict[tuple[int, frozenset[int]], tuple[float, float]] = {}
        # Planners of single networks, by what counts of these, each with the one that it plans.
        self._alone: dict[Hashable, tuple[PassPlanner, Sequence[Statistic]]] = {}

    @property
    def last(self) -> int:
        """Number of the pass that predicts; those before it gather."""
        return self._levels

    @property
    def different(self) -> tuple[int, ...]:
        """Numbers of passes that differ: of networks that are copies of one, those of the first."""
        first = dict(reversed(list(self._networks())))
        levels = {each.level for own in first.values() for each in own}
        return (*sorted(levels), self.last)

    def ends(self, number: int) -> tuple[int, ...]:
        """Return the feature maps that a pass computes: those that are looked at, or the result."""
        if number == self.last:
            return (len(self._graph.nodes),)
        return tuple(source for source, level in self._level_of.items() if level == number)

    def level_of(self, source: int) -> int:
        """Return the pass that looks at a feature map, and can write it."""
        return self._level_of[source]

    def best(self, room: int) -> PassPlan:
        """Choose what is kept: the least work within some room.

        What is held after each pass is chosen pass by pass. Of all choices up to there, a few are followed:
        those whose work would be least if there was room for all that is still to come, a bound that no
        continuation can undercut.

        Several networks are planned one by one: as each is gone through before the next one begins, it has
        all room for itself, or a share of it where the prediction is to begin at what is kept.

        Parameters
        ----------
        room : int
            Bytes that kept maps may take together.
        """
        networks = {each.network for each in self._statistics}
        if len(networks) > 1:
            plans = [self._in_turn(room, predicts=False)]
            if self._predicts:
                plans.append(self._in_turn(room // len(networks), predicts=True))
            return min(plans, key=lambda plan: plan.work)
        ways: _Ways = {frozenset(): _Way()}
        for number in range(self._levels):
            ways = self._promising(number + 1, self._continued(number, ways, room))
        best = next(iter(self._promising(self.last, ways)))
        until = {source: number for number, held in enumerate(ways[best].held, 1) for source in held}
        return self.of(until)

    def _in_turn(self, room: int, *, predicts: bool) -> PassPlan:
        """Choose what is kept of several networks, each of which has some room."""
        chosen: dict[Hashable, list[int]] = {}
        holds: dict[int, int] = {}
        for kind, own in self._networks():
            first, last = min(each.level for each in own), 1 + max(each.level for each in own)
            if (kind, predicts) not in self._alone:
                self._alone[kind, predicts] = self._of_one(own, first, predicts=predicts), own
            if kind not in chosen:
                planner, alike = self._alone[kind, predicts]
                until = planner.best(room).holds
                chosen[kind] = [until.get(each.source, -1) for each in alike]
            for each, held in zip(own, chosen[kind], strict=True):
                if held >= 0:
                    holds[each.source] = self.last if first + held == last else first + held
        return self.of(holds)

    def _networks(self) -> Iterator[tuple[Hashable, list[Statistic]]]:
        """Yield the statistics of each network, and what those have in common that are copies of one."""
        for network in sorted({each.network for each in self._statistics}):
            own = [each for each in self._statistics if each.network == network]
            first = min(each.level for each in own)
            yield tuple((each.level - first, self._wholes[each.source]) for each in own), own

    def _of_one(self, own: Sequence[Statistic], first: int, *, predicts: bool) -> PassPlanner:
        """Return a planner for one of several networks, whose passes begin at 0."""
        alone = [replace(each, level=each.level - first, network=0) for each in own]
        return PassPlanner(self._graph, alone, self._wholes, self._itemsize, predicts=predicts)

    def _continued(self, number: int, ways: _Ways, room: int) -> _Ways:
        """Return what can be held after a pass, each with the least work that leads there."""
        after: dict[frozenset[int], _Way] = {}
        for before, way in ways.items():
            work = way.work + self._cost(number, before)[0]
            for held in self._holdable(number, before, room):
                if held not in after or work < after[held].work:
                    after[held] = _Way(work, (*way.held, held))
        return after

    def _promising(self, following: int, ways: _Ways) -> _Ways:
        """Return the few of some choices that bound the work least; of equal ones, those that hold least."""

        def rank(held: frozenset[int]) -> tuple[float, int, list[int]]:
            bound = ways[held].work + self._least_work(following, held)
            return bound, self._bytes(held), sorted(held)

        return {held: ways[held] for held in sorted(ways, key=rank)[:_FOLLOWED]}

    def _holdable(self, number: int, before: frozenset[int], room: int) -> Iterator[frozenset[int]]:
        """Yield what may be held after a pass: all there is, or without one or two, or nothing."""
        there = before.union(source for source in self.ends(number) if source in self._level_of)
        if number == self.last - 1 and not self._predicts:
            there = frozenset()
        for count in range(min(_LEFT_OUT, len(there)) + 1):
            for left_out in combinations(sorted(there), count):
                held = self._useful(number + 1, there.difference(left_out))
                if self._room(before, held) <= room:
                    yield held
        yield frozenset()

    def _useful(self, following: int, held: frozenset[int]) -> frozenset[int]:
        """Return what is of use later, beside the others, however much room there will be."""
        least = self._least_work(following, held)
        for source in sorted(held, key=lambda source: (-self._size(source), source)):
            if self._least_work(following, held - {source}) <= least:
                held -= {source}
        return held

    def _least_work(self, following: int, held: frozenset[int]) -> float:
        """Return the work of a pass and all after it, if all that they write was kept."""
        work = 0.0
        for number in range(following, self.last + 1):
            if number == self.last and not self._predicts:
                held = frozenset()
            work += self._cost(number, held)[0]
            held = held.union(source for source in self.ends(number) if source in self._level_of)
        return work

    def _room(self, before: frozenset[int], after: frozenset[int]) -> int:
        """Return the bytes that are kept in a pass.

        While a pass reads a map for the last time it gives back what it has read: what it writes meanwhile
        takes that room.
        """
        given_back, written = self._bytes(before - after), self._bytes(after - before)
        return self._bytes(before & after) + max(given_back, written)

    def _bytes(self, held: Iterable[int]) -> int:
        return sum(map(self._size, held))

    def of(self, holds: Mapping[int, int]) -> PassPlan:
        """Return what some choice costs."""
        costs = [self._cost(number, self.available(number, holds)) for number in range(self._levels + 1)]
        work, flops = map(sum, zip(*costs, strict=True))
        whole = self._cost(self.last, frozenset())[1]
        return PassPlan(dict(holds), flops / whole if whole else 1.0, work, self._kept(holds))

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
        for place in range(max(wanted, default=0), 0, -1):
            if place in wanted and place not in kept:
                wanted.update(source for source in self._graph.nodes[place - 1].inputs if source)
                yield place

    def _size(self, number: int) -> int:
        return prod(self._wholes[number]) * self._graph.nodes[number - 1].channels * self._itemsize

    def _kept(self, holds: Mapping[int, int]) -> int:
        """Return the bytes that are kept at the same time at most."""
        held = [self.available(number, holds) for number in range(self._levels + 1)]
        return max(map(self._room, held, held[1:]), default=0)
