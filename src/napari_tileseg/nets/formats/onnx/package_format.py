"""ONNX networks: how they are recognised, and what they state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.described_listing import described_listing
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.onnx import recognition
from napari_tileseg.nets.formats.onnx.model import read_model
from napari_tileseg.nets.formats.onnx.tensors import Numbers
from napari_tileseg.nets.formats.onnx.translation import listing_of
from napari_tileseg.nets.formats.packages.package import ITSELF, Package
from napari_tileseg.nets.listed.checks import check_listing
from napari_tileseg.nets.listed.freeing import freed
from napari_tileseg.nets.listed.listing import Listing, Sizes
from napari_tileseg.nets.listed.network import build_listed
from napari_tileseg.nets.listed.trial import shapes_in

#: Bytes of a model: what protocol buffers hold at most.
_LARGEST = 2**31
_AGAIN = "Export it again, and copy it with the file of its weights."


@dataclass(frozen=True, slots=True)
class _Read:
    """A model that was read.

    Parameters
    ----------
    listing : Listing
        Its operations.
    shapes : mapping of str to tuple of int
        Shapes of all values.
    build : callable
        Returns the module.
    members : tuple of str
        The model and the files in which its weights lie.
    notes : tuple of str
        What the user should know.
    """

    listing: Listing
    shapes: Mapping[str, tuple[int, ...]]
    build: Callable[[], nn.Module]
    members: tuple[str, ...]
    notes: tuple[str, ...]


def recognises(package: Package) -> bool:
    """Return whether a file begins like an ONNX model."""
    return package.file is not None and is_one(package)


def is_one(package: Package, name: str = ITSELF) -> bool:
    """Return whether a member begins like an ONNX model."""
    content = package.content(name)
    return recognition.recognises(content.head, content.size)


def read(package: Package, given: Given) -> Candidate:
    """Return the network in a chosen file, with weights that may lie beside it.

    Raises
    ------
    NetworkError
        If it is broken, lacks its weights, or holds an operator that is not carried out here.
    """
    found = _read(package, ITSELF)
    source = str(package.path)
    description, outside = described_listing(package, given, found.listing, found.shapes, source)
    return _candidate(found, description, outside)


def described(package: Package, name: str, description: Description) -> Candidate:
    """Return the network in a member that is an ONNX model, by what its package states of it.

    Raises
    ------
    NetworkError
        As `read` does.
    """
    found = _read(package, name)
    example = found.listing.sizes.example
    fits = (len(description.axes or ""), description.in_channels) == (len(example), found.listing.channels)
    shape = example if fits else description.read_shape
    about = replace(description, architecture=None, arguments={}, read_shape=shape)
    return _candidate(found, about, None)


def _candidate(found: _Read, description: Description, outside: str | None) -> Candidate:
    return Candidate(
        kind="ONNX",
        description=replace(description, notes=(*description.notes, *found.notes)),
        build=found.build,
        members=found.members,
        outside=outside,
    )


def _read(package: Package, name: str) -> _Read:
    source = str(package.content(name).path)
    with answering(NetworkError, f"{source} should be a complete ONNX network", _AGAIN):
        data = memoryview(package.read(name, _LARGEST))
        model, numbers = read_model(data, source), Numbers(package, name)
        try:
            numbers.check(model.tensors.values())
        except NetworkError as error:
            raise NetworkError(f"{source} cannot be opened: {error}.") from error
        stated, stored, covers = listing_of(model, numbers, source)
        check_listing(stated, source)
        ((_, declared),) = model.inputs.items()
        fixed = None not in declared[2:] and bool(declared)
        listing = freed(stated, source) if not (covers and fixed) else _bound(stated)
        shapes = shapes_in(listing, source)

    def build() -> nn.Module:
        """Read the weights, and return the module."""
        with answering(NetworkError, f"{source} should hold its weights", _AGAIN):
            weights = {path: _numbers(numbers, each) for path, each in stored.items()}
            return build_listed(listing, weights, shapes)

    note = (
        f"Its file states images of {by_axis(stated.sizes.example)} voxels; its operations take others too."
    )
    notes = (note,) if fixed and not listing.sizes.fixed else ()
    return _Read(listing, shapes, build, (name, *numbers.used), notes)


def _bound(listing: Listing) -> Listing:
    return replace(listing, sizes=Sizes(listing.sizes.example, fixed=True))


def _numbers(numbers: Numbers, stored: Any) -> Tensor:
    return stored if isinstance(stored, Tensor) else numbers.load(stored)
