"""Networks that are known by their graph alone: an architecture whose arguments are all operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Listing, Named, Operation
from napari_tileseg.nets.listed.network import build_listed
from napari_tileseg.nets.listed.stated import as_data, read_data
from napari_tileseg.nets.listed.trial import shapes_in

#: What the file is called in messages here, where nobody knows its path.
_SOURCE = "A network's own file"
#: Operations that a network may end in to give probabilities.
_ENDS = {
    "aten.sigmoid.default": "sigmoid",
    "aten.sigmoid_.default": "sigmoid",
    "aten.softmax.int": "softmax",
    "aten._softmax.default": "softmax",
}
_CALLS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("aten.sigmoid.default", {}),
    "softmax": ("aten.softmax.int", {"dim": 1}),
}


def build_graph(
    graph: Mapping[str, Any],
    *,
    ndim: int,
    in_channels: int,
    out_channels: int,
    final_activation: str | None = None,
) -> nn.Module:
    """Build a network from its operations, with zeros as weights.

    Parameters
    ----------
    graph : mapping
        Operations and weights, as `napari_tileseg.nets.listed.stated.as_data` gives them.
    ndim : int
        Spatial axes.
    in_channels, out_channels : int
        Channels in and out.
    final_activation : {"sigmoid", "softmax"}, optional
        What follows the last operation.

    Raises
    ------
    NetworkError
        If the operations are damaged, or give something else than they are said to.
    """
    listing = read_data(graph, in_channels, _SOURCE)
    if final_activation is not None:
        listing = _ending_in(listing, final_activation)
    shapes = shapes_in(listing, _SOURCE)
    found = shapes[listing.result]
    if len(listing.sizes.example) != ndim or len(found) != ndim + 2 or found[1] != out_channels:
        raise NetworkError(
            f"{_SOURCE} states a graph of {out_channels} channels out on {ndim} axes, whose operations give "
            f"{tuple(found)}. Copy it again."
        )
    weights = {path: torch.zeros(each.shape, dtype=each.dtype) for path, each in listing.weights.items()}
    return build_listed(listing, weights, shapes)


def arguments_of_graph(listing: Listing, out_channels: int) -> dict[str, Any]:
    """Return the arguments with which `build_graph` builds a network that is known by its operations.

    Parameters
    ----------
    listing : Listing
        The operations.
    out_channels : int
        Channels that they give.
    """
    activation = _activation_of(listing)
    if activation is not None:
        last = listing.operations[-1]
        (result,) = last.taken()
        listing = replace(listing, operations=listing.operations[:-1], result=result)
    said = {"ndim": len(listing.sizes.example), "in_channels": listing.channels, "out_channels": out_channels}
    return {
        "graph": as_data(listing),
        **said,
        **({} if activation is None else {"final_activation": activation}),
    }


def _activation_of(listing: Listing) -> str | None:
    """Return the activation that the last operation is; None where it is something else."""
    last = listing.operations[-1] if listing.operations else None
    if last is None or last.results != (listing.result,):
        return None
    found = _ENDS.get(last.function)
    # A softmax over anything but the channels is no activation.
    return None if found == "softmax" and last.arguments.get("dim") != 1 else found


def _ending_in(listing: Listing, activation: str) -> Listing:
    if activation not in _CALLS:
        raise NetworkError(f"A graph ends in {' or '.join(_CALLS)}, or in none; got {activation[:40]!r}.")
    function, arguments = _CALLS[activation]
    name = "activated"
    operation = Operation(function, {"self": Named(listing.result), **arguments}, (name,))
    return replace(listing, operations=(*listing.operations, operation), result=name)
