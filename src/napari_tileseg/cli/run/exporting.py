"""Drives the export of a network for the shell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_tileseg._types import Array
from napari_tileseg.errors import NetworkError
from napari_tileseg.images import open_image
from napari_tileseg.nets import About, Network, export_network, open_network
from napari_tileseg.settings import ImageSettings, NetworkSettings
from napari_tileseg.tiling import Box

#: Voxels along each axis that are read of a test image at most, by number of axes.
_READ = {1: 4096, 2: 1024, 3: 192}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCommand:
    """What ``tileseg export`` is asked for.

    Parameters
    ----------
    network : str
        Path, or ``sample:NAME``.
    out : Path
        What to write.
    format : str, optional
        Its format, where its ending does not say.
    authors, license, description, citations
        See `About`.
    image : str, optional
        Image of which the test image is.
    image_settings, network_settings : settings
        How image and network are opened.
    """

    network: str
    out: Path
    format: str | None
    authors: tuple[str, ...]
    license: str
    description: str
    citations: tuple[str, ...]
    image: str | None
    image_settings: ImageSettings
    network_settings: NetworkSettings


def run_export(command: ExportCommand) -> dict[str, Any]:
    """Export a network; give plain values, ready for JSON.

    Raises
    ------
    TilesegError
        As `open_network`, `open_image` and `export_network`.
    """
    about = About(
        authors=command.authors,
        license=command.license,
        description=command.description,
        citations=command.citations,
    )
    network = open_network(command.network, command.network_settings)
    image = None if command.image is None else _middle(command.image, command.image_settings, network)
    done = export_network(network, command.out, format=command.format, about=about, image=image)
    return {
        "output": str(done.path),
        "format": done.format,
        "bytes": done.bytes,
        "difference": done.difference,
        "notes": list(done.notes),
    }


def _middle(path: str, settings: ImageSettings, network: Network) -> Array:
    """Return the middle of an image, ``(channels, *space)`` on the axes of the network."""
    image, axes = open_image(path, settings), network.spec.axes
    missing = [axis for axis in axes if axis not in image.grid_axes]
    if missing:
        raise NetworkError(
            f"{image.name} has the axes {image.grid_axes}; the network takes {axes}. Choose another test "
            "image."
        )
    most = [_READ[len(axes)] if axis in axes else 1 for axis in image.grid_axes]
    starts = [max(0, (size - n) // 2) for size, n in zip(image.shape, most, strict=True)]
    stops = [min(size, start + n) for size, start, n in zip(image.shape, starts, most, strict=True)]
    values = image.read(Box(tuple(starts), tuple(stops)))
    # What the network does not know, such as time, is read at one place.
    return values.reshape(
        len(values), *(n for n, axis in zip(values.shape[1:], image.grid_axes, strict=True) if axis in axes)
    )
