"""Exported programs of PyTorch: how they are recognised, and what they state."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.described_listing import described_listing
from napari_tileseg.nets.formats.exported.graph import read_listing
from napari_tileseg.nets.formats.exported.tensors import Tensors
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.listed.network import build_listed
from napari_tileseg.nets.listed.trial import shapes_in

_GRAPH = "models/model.json"
#: Bytes of a graph: an operation has about a thousand.
_LARGEST = 2**24


def recognises(package: Package) -> bool:
    """Return whether a zip file has the graph and the mark of an exported program."""
    return package.file is not None and package.file.is_zip and {_GRAPH, "archive_format"} <= {*package.names}


def read(package: Package, given: Given) -> Candidate:
    """Return the network in an exported program; none of its pickled members is looked at.

    Raises
    ------
    NetworkError
        If it is broken, was exported in training mode, or holds what is not of the table of operations.
    """
    source = str(package.path)
    with answering(NetworkError, f"{source} should be an exported program of PyTorch", "Export it again."):
        tensors = Tensors(package)
        listing, notes = read_listing(package.read(_GRAPH, _LARGEST), tensors.empty(), source)
    shapes = shapes_in(listing, source)

    def build() -> nn.Module:
        """Read the weights, and return the module."""
        with answering(NetworkError, f"{source} should hold its weights", "Export it again."):
            return build_listed(listing, tensors.load(listing.sources), shapes)

    description, outside = described_listing(package, given, listing, shapes, source)
    return Candidate(
        kind="exported program",
        description=replace(description, notes=(*description.notes, *notes)),
        build=build,
        outside=outside,
    )
