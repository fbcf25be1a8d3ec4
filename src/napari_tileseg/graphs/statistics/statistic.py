"""Finding what a network computes over all of space, and in which order that can be gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_tileseg.graphs.graph import Graph, Node, NoRuleError
from napari_tileseg.graphs.operations.reductions import Global, GlobalNorm, Reduced
from napari_tileseg.graphs.statistics.gathered import Extremes, Gathered, Moments

#: The order of a norm that follows from means and deviations.
_EUCLIDEAN = 2


@dataclass(frozen=True, slots=True)
class Statistic:
    """Something that one operation computes over all of space.

    Parameters
    ----------
    number : int
        The operation's feature map in the graph.
    source : int
        The feature map that it looks at.
    level : int
        Which of the passes over an image can gather it: those of a level need those of the levels before.
    layer : str
        Path of its layer; empty for the network itself.
    operation : GlobalNorm or Reduced
        What it computes.
    network : int
        Which of the networks it belongs to where the graph is of several, none of which needs numbers of
        another, such as those that are averaged, or mirrored copies. Their levels follow each other.
    """

    number: int
    source: int
    level: int
    layer: str
    operation: GlobalNorm | Reduced
    network: int = 0

    @property
    def gathers(self) -> type[Moments] | type[Extremes]:
        """What has to be known of the feature map."""
        return Extremes if self.operation.joined in {"max", "min"} else Moments

    def numbers(self, whole: Gathered) -> tuple[Tensor, ...]:
        """Return what the operation computes of a feature map of which that is known.

        Parameters
        ----------
        whole : Moments or Extremes
            Of all of space, as one part.

        Returns
        -------
        tuple of Tensor
            Mean and variance of each channel for a normalization, else the value of each channel of the
            result; float64.
        """
        if isinstance(self.operation, GlobalNorm):
            assert isinstance(whole, Moments)
            return _of_norm(self.operation, whole)
        return (_of_reduced(self.operation, whole),)


def find_statistics(graph: Graph) -> tuple[Statistic, ...]:
    """Find what a network computes over all of space, in the order of its operations.

    Raises
    ------
    NoRuleError
        If something of it cannot be put together from parts of the image, such as attention.
    """
    found: list[Statistic] = []
    # Of each feature map, the levels that have to be known before it can be computed.
    level = [0] * (len(graph.nodes) + 1)
    for number, node in enumerate(graph.nodes, start=1):
        before = max((level[source] for source in node.inputs), default=0)
        level[number] = before
        if isinstance(node.operation, Global):
            found.append(_statistic(number, node, before))
            level[number] = before + 1
        elif node.operation.obstacle:
            raise NoRuleError(node.operation.obstacle)
    return _network_by_network(graph, found)


def _network_by_network(graph: Graph, found: Sequence[Statistic]) -> tuple[Statistic, ...]:
    """Let the levels of each network begin where those of the one before it end.

    What is kept of a network from pass to pass is given back before the next one begins.
    """
    networks = _networks(graph, found)
    order = list(dict.fromkeys(networks.values()))
    depth = [1 + max(each.level for each in found if networks[each.number] == name) for name in order]
    return tuple(
        replace(each, level=each.level + sum(depth[:place]), network=place)
        for each in found
        for place in [order.index(networks[each.number])]
    )


def _networks(graph: Graph, found: Sequence[Statistic]) -> dict[int, int]:
    """Return, by the number of each statistic, the first one of those that are connected with it.

    Those of one feature map are, as it is looked at in one pass.
    """
    first: dict[int, int] = {}
    statistics = {each.number: each for each in found}
    # Of each feature map, the networks whose numbers it needs, or that look at it.
    behind: list[set[int]] = [set() for _ in range(len(graph.nodes) + 1)]
    for number, node in enumerate(graph.nodes, start=1):
        needed = {first[name] for source in node.inputs for name in behind[source]}
        if number in statistics:
            source = statistics[number].source
            joined = min(needed, default=number)
            first |= {each: joined for each, name in first.items() if name in needed}
            first[number] = joined
            needed = {joined}
            if source:
                behind[source].add(joined)
        behind[number] = needed
    return first


def _statistic(number: int, node: Node, level: int) -> Statistic:
    operation = node.operation
    if not isinstance(operation, (GlobalNorm, Reduced)) or not all(operation.over):
        raise NoRuleError(operation.obstacle)
    if isinstance(operation, Reduced) and operation.joined == "norm" and _order(operation) != _EUCLIDEAN:
        raise NoRuleError(operation.obstacle)
    if len(node.inputs) != 1 or (isinstance(operation, Reduced) and node.weights):
        raise NoRuleError(operation.obstacle)
    return Statistic(number, node.inputs[0], level, node.layer, operation)


def _order(reduced: Reduced) -> float:
    """Return the order of a norm: what stands after its tensor."""
    said = reduced.function.arguments[1:2]
    return float(said[0]) if said and isinstance(said[0], (int, float)) else float(_EUCLIDEAN)


def _of_norm(norm: GlobalNorm, whole: Moments) -> tuple[Tensor, Tensor]:
    of_groups = whole.over_groups(norm.groups)
    each = whole.means.shape[1] // norm.groups
    mean, variance = (values[0].repeat_interleave(each) for values in (of_groups.means, of_groups.variances))
    return mean, variance


def _of_reduced(reduced: Reduced, whole: Gathered) -> Tensor:
    """Return what a function gives of a feature map, from one or two voxels that stand for all of it."""
    ones = (1,) * len(reduced.along)
    if isinstance(whole, Extremes):
        value = whole.largest if reduced.joined == "max" else whole.least
        return _result(reduced, value.reshape(1, -1, *ones))
    count = float(whole.counts[0])
    mean = whole.means.reshape(1, -1, *ones)
    variance = whole.variances.reshape(1, -1, *ones)
    if reduced.joined == "moments":
        return _spread(reduced, mean, variance, count)
    if reduced.joined == "norm":
        return _result(reduced, (count * (variance + mean.square())).sqrt())
    result = _result(reduced, mean)
    return result * count if reduced.function.function.startswith("sum") else result


def _spread(reduced: Reduced, mean: Tensor, variance: Tensor, count: float) -> Tensor:
    """Return a variance or a standard deviation.

    Two voxels, one spread above the mean and one below, have the moments of the whole; only the number of
    values that the function divides by is theirs.
    """
    deviation = variance.sqrt()
    pair = torch.cat((mean - deviation, mean + deviation), dim=2)
    result = _result(reduced, pair)
    channels = mean.shape[1] // max(1, result.numel())
    few, many = 2.0 * channels, count * channels
    factor = (few - reduced.freedom) / few * many / (many - reduced.freedom)
    return result * (factor**0.5 if reduced.function.function.startswith("std") else factor)


def _result(reduced: Reduced, value: Tensor) -> Tensor:
    return reduced.run([value], (), None, reuse=False).reshape(-1)
