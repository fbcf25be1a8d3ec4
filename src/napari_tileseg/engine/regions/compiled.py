"""Networks that have been captured in this process, and why others could not be."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import nn

from napari_tileseg.engine.device import ran_out_of_memory
from napari_tileseg.engine.lattice import padded_sizes
from napari_tileseg.engine.regions.capture import capture, first_line
from napari_tileseg.engine.regions.comparison import Region, differences
from napari_tileseg.engine.regions.graph import Graph, NoRuleError
from napari_tileseg.engine.regions.program import Program
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

_LOCK = threading.RLock()
#: By module, not by hash: a changed copy of a network has its hash, and other layers. Where there is no
#: graph, why, in words: an error would keep alive all that its traceback has seen, the network with it.
_KNOWN: WeakKeyDictionary[nn.Module, Graph | str] = WeakKeyDictionary()
#: Sizes, in steps beyond the least one, at which the graph is compared with the network.
_TRIED = (1, 2)
_TOLERANCE = 1e-5


def graph_of(network: Network) -> Graph:
    """Graph of a network, captured when first asked for, which takes seconds.

    Raises
    ------
    NoRuleError
        If it cannot be computed region by region.
    """
    with _LOCK:
        known = _KNOWN.get(network.module)
        if known is None:
            known = _KNOWN[network.module] = _captured(network)
    if isinstance(known, str):
        raise NoRuleError(known)
    return known


def is_known(network: Network) -> bool:
    """Whether `graph_of` answers at once."""
    return network.module in _KNOWN


def known_graph(network: Network) -> Graph | None:
    """Graph of a network, if it has been captured and can be computed region by region; takes no time."""
    known = _KNOWN.get(network.module)
    return known if isinstance(known, Graph) else None


def refuse(network: Network, reason: str) -> None:
    """Remember that a network's graph gave something else than the network."""
    with _LOCK:
        _KNOWN[network.module] = reason


def _captured(network: Network) -> Graph | str:
    """Graph of a network, or why there is none.

    Raises
    ------
    NoRuleError
        If memory ran out, which may be otherwise the next time.
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
        raise NoRuleError(f"its exported graph cannot be followed ({first_line(error)})") from error


def _capture(network: Network) -> Graph:
    read = padded_sizes(network.spec)
    graph = capture(network.module, network.spec.in_channels, read)
    program = Program(graph, network.module, "cpu", torch.float32)
    for steps in _TRIED:
        shape = tuple(
            least + step * ((steps + axis) % 2)
            for axis, (least, step) in enumerate(zip(read.minimum, read.step, strict=True))
        )
        values = torch.rand(1, network.spec.in_channels, *shape, generator=torch.Generator().manual_seed(0))
        whole = Region("whole", Box.of_shape(shape))
        (difference,) = differences(program, network.module, values, [whole])
        if not difference.share <= _TOLERANCE:
            raise NoRuleError(
                f"its exported graph gives another result than the network itself on {shape} voxels "
                f"(off by {difference.share:.1g} of the largest value)"
            )
    return graph
