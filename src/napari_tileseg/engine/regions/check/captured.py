"""Graphs of the networks that were captured in this process, and why others could not be."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import nn

from napari_tileseg.engine.device import ran_out_of_memory
from napari_tileseg.engine.regions.check.rules_check import check_rules
from napari_tileseg.errors import reason_of
from napari_tileseg.graphs.capture import capture
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.tiling.read_shape import ReadShape

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

_LOCK = threading.RLock()
#: By module, not by hash: a changed copy of a network has its hash, and other layers; and by channels and
#: sizes of images, for which it was captured. Where there is no graph, why, in words: an error would keep
#: alive all that its traceback has seen, the network with it.
_KNOWN: WeakKeyDictionary[nn.Module, dict[tuple[int, ReadShape], Graph | str]] = WeakKeyDictionary()
#: Why regions are not used on a device, by its name.
_REFUSED: WeakKeyDictionary[nn.Module, dict[str, str]] = WeakKeyDictionary()


def graph_of(network: Network, device: str = "") -> Graph:
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
    with _LOCK:
        known = _found(network)
        if known is None:
            known = _KNOWN.setdefault(network.module, {})[_case(network)] = _captured(network)
        refused = _REFUSED.get(network.module, {}).get(device)
    if isinstance(known, str):
        raise NoRuleError(known)
    if refused is not None:
        raise NoRuleError(refused)
    return known


def is_known(network: Network) -> bool:
    """Whether `graph_of` answers at once."""
    return _found(network) is not None


def _case(network: Network) -> tuple[int, ReadShape]:
    return network.spec.in_channels, network.spec.padded_sizes


def _found(network: Network) -> Graph | str | None:
    return _KNOWN.get(network.module, {}).get(_case(network))


def refuse(network: Network, device: str, reason: str) -> None:
    """Remember that on a device a network's graph gave something else than the network."""
    with _LOCK:
        _REFUSED.setdefault(network.module, {})[device] = reason


def _captured(network: Network) -> Graph | str:
    """Return the graph of a network, or why there is none.

    Raises
    ------
    NoRuleError
        If memory ran out; a later call may succeed.
    """
    try:
        return _checked(network)
    except NoRuleError as error:
        if error.__cause__ is not None and ran_out_of_memory(error.__cause__):
            raise
        return str(error)


def _checked(network: Network) -> Graph:
    try:
        return _capture(network)
    except NoRuleError:
        raise
    except Exception as error:
        # Whatever its own code or a rule runs into: the network can still be run on whole tiles.
        raise NoRuleError(f"its exported graph cannot be followed ({reason_of(error)})") from error


def _capture(network: Network) -> Graph:
    graph = capture(network.module, network.spec.in_channels, network.spec.padded_sizes)
    check_rules(network, graph)
    return graph
