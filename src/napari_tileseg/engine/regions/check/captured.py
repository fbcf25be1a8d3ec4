"""What was found out about the networks of a process: their graphs, and what was tried with these."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final
from weakref import WeakKeyDictionary

import torch
from torch import nn

from napari_tileseg.engine.device import DTYPES, ran_out_of_memory
from napari_tileseg.engine.regions.check.rules_check import check_rules
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import reason_of
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.tiling.read_shape import ReadShape

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Channels, and the sizes of images, for which a network was captured.
_Case: TypeAlias = tuple[int, ReadShape]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a network's tiles are computed whole after all.

    Parameters
    ----------
    reason : str
        Why, as the end of a sentence.
    note : str
        A sentence for the user.
    """

    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class _Findings:
    """What was found out about one network.

    Parameters
    ----------
    graphs : dict
        Its graphs; where there is none, why, in words: an error would hold all that its traceback has seen,
        the network with it.
    whole_graphs : dict
        The same of graphs in which operations may look at all of space.
    refusals : dict of str to str
        By device, why regions are not used on it.
    orders : dict
        Whether channels come last in memory, by graph, device and number format.
    programs : dict
        Programs bound to no device, by graph and number format. They hold graph and sizes, no weights.
    """

    graphs: dict[_Case, Graph | str] = field(default_factory=dict)
    whole_graphs: dict[_Case, Graph | str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    orders: dict[tuple[Graph, str, torch.dtype], bool] = field(default_factory=dict)
    programs: dict[tuple[Graph, str], Program] = field(default_factory=dict)


@final
class CaptureCache:
    """Remembers of each network what takes seconds to find out, as long as the network is in memory.

    Engines and planners of one network are given the same cache, so that the network is captured once and
    tried once on a device. It may be used from several threads.
    """

    def __init__(self) -> None:
        # By module, not by hash: a changed copy of a network has its hash, and other layers.
        self._networks: WeakKeyDictionary[nn.Module, _Findings] = WeakKeyDictionary()
        self._capturing, self._trying = threading.RLock(), threading.Lock()

    def _of(self, network: Network) -> _Findings:
        # Without a lock: a panel asks while another network is being captured.
        return self._networks.setdefault(network.module, _Findings())

    def graph_of(self, network: Network, device: str = "") -> Graph:
        """Return the graph of a network, captured when first asked for, which takes seconds.

        Parameters
        ----------
        network : Network
            The network.
        device : str
            A device that `resolve_device` gave, where it matters whether regions went wrong on it.

        Raises
        ------
        NoRuleError
            If it cannot be computed region by region.
        """
        graph = self._graph_of(network, self._of(network).graphs, _local)
        refusal = self._of(network).refusals.get(device)
        if refusal is not None:
            raise NoRuleError(refusal)
        return graph

    def whole_graph_of(self, network: Network) -> Graph:
        """Return the graph of a network in which operations may look at all of space.

        Parameters
        ----------
        network : Network
            The network.

        Raises
        ------
        NoRuleError
            If an operation of it has no rule.
        """
        return self._graph_of(network, self._of(network).whole_graphs, _whole)

    def _graph_of(
        self, network: Network, known: dict[_Case, Graph | str], find: Callable[[Network], Graph]
    ) -> Graph:
        case = _case(network)
        with self._capturing:
            found = known.get(case)
            if found is None:
                found = known[case] = _found(network, find)
        if isinstance(found, str):
            raise NoRuleError(found)
        return found

    def state(self, network: Network, graph: Graph) -> None:
        """Take a graph to be that of a network that was made from it."""
        self._of(network).graphs[_case(network)] = graph

    def is_known(self, network: Network) -> bool:
        """Whether `graph_of` answers at once."""
        return _case(network) in self._of(network).graphs

    def is_whole_known(self, network: Network) -> bool:
        """Whether `whole_graph_of` answers at once."""
        return _case(network) in self._of(network).whole_graphs

    def channels_last(
        self,
        network: Network,
        graph: Graph,
        device: str,
        dtype: torch.dtype,
        find: Callable[[], bool | Fault],
    ) -> bool | Fault:
        """Whether channels come last in memory, found once; a fault refuses regions on the device.

        Parameters
        ----------
        network : Network
            The network.
        graph : Graph
            The same as operations with rules.
        device : str
            A device that `resolve_device` gave.
        dtype : torch.dtype
            Number format.
        find : callable
            Finds it out, or what is wrong on the device; what it raises is not remembered.
        """
        findings, key = self._of(network), (graph, device, dtype)
        with self._trying:
            if key not in findings.orders:
                found = find()
                if isinstance(found, Fault):
                    with self._capturing:
                        findings.refusals[device] = found.reason
                    return found
                findings.orders[key] = found
            return findings.orders[key]

    def planning_program(self, network: Network, graph: Graph, dtype: str) -> Program:
        """Return a program that is bound to no device: it computes nothing, and predicts costs.

        Parameters
        ----------
        network : Network
            The network.
        graph : Graph
            The same as operations with rules.
        dtype : {"float32", "bfloat16", "float16", "float64"}
            Number format.
        """
        programs, key = self._of(network).programs, (graph, dtype)
        if key not in programs:
            last = len(graph.step) > 1
            programs[key] = Program(graph, network.module, "meta", DTYPES[dtype], channels_last=last)
        return programs[key]


#: The cache of this process, which engines, routes and planners share unless they are given another.
PROCESS_CACHE = CaptureCache()


def _case(network: Network) -> _Case:
    return network.spec.in_channels, network.spec.padded_sizes


def _found(network: Network, find: Callable[[Network], Graph]) -> Graph | str:
    """Return the graph of a network, or why there is none.

    Raises
    ------
    NoRuleError
        If memory ran out; a later call may succeed.
    """
    try:
        return _followed(network, find)
    except NoRuleError as error:
        if error.__cause__ is not None and ran_out_of_memory(error.__cause__):
            raise
        return str(error)


def _followed(network: Network, find: Callable[[Network], Graph]) -> Graph:
    try:
        return find(network)
    except NoRuleError:
        raise
    except Exception as error:
        # Whatever its own code or a rule runs into: the network can still be run on whole tiles.
        raise NoRuleError(f"its exported graph cannot be followed ({reason_of(error)})") from error


def _local(network: Network) -> Graph:
    """Return a graph whose operations are all local."""
    graph = _captured(network)
    if graph.obstacle:
        raise NoRuleError(graph.obstacle)
    check_rules(network, graph)
    return graph


def _whole(network: Network) -> Graph:
    """Return a graph whose operations may look at all of space."""
    graph = _captured(network)
    check_rules(network, graph)
    return graph


def _captured(network: Network) -> Graph:
    return capture(network.module, network.spec.in_channels, network.spec.padded_sizes)
