"""What is stated of a listed network, by its file and beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.candidate import Given
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.formats.outside import described_outside
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.listed.listing import Listing


def described_listing(
    package: Package,
    given: Given,
    listing: Listing,
    shapes: Mapping[str, tuple[int, ...]],
    source: str,
) -> tuple[Description, str | None]:
    """Return the description of a chosen file, and the part of it that the file does not carry, as JSON.

    Raises
    ------
    NetworkError
        If what is stated beside the file contradicts its graph.
    """
    stated = described_outside(package.content(), given.architecture)
    return with_graph(stated or Description(), listing, shapes, source), stated.to_json() if stated else None


def with_graph(
    stated: Description, listing: Listing, shapes: Mapping[str, tuple[int, ...]], source: str
) -> Description:
    """Return a description completed by what a graph shows: axes, channels and a size that is accepted.

    An architecture does not count: the file holds its own graph.

    Raises
    ------
    NetworkError
        If they contradict each other.
    """
    axes = axes_of(len(listing.sizes.example))
    if (stated.axes or axes) != axes or (stated.in_channels or listing.channels) != listing.channels:
        raise NetworkError(
            f"{source} takes an image of {listing.channels} channels with axes {axes}; its description says "
            f"{stated.in_channels or listing.channels} and {stated.axes or axes}. Correct the description."
        )
    found = shapes[listing.result]
    if len(found) != len(axes) + 2:
        raise NetworkError(
            f"{source} gives {by_axis(found)} for an image of {by_axis(shapes[listing.image])}; networks "
            "that give a batch of channels with the image's axes are opened."
        )
    return replace(
        stated,
        architecture=None,
        arguments={},
        axes=axes,
        in_channels=listing.channels,
        read_shape=listing.sizes.example,
    )
