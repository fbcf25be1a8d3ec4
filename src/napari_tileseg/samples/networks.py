"""The networks that come with the package, trained on the synthetic images by a script of the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "networks"
_NUCLEI = "Foreground and boundary of nuclei in a volume, 1.75 x 0.8 x 0.8 um; U-Net with "
_CELLS = "Foreground and boundary of cells in a flat image, 0.65 x 0.65 um; U-Net with "
_ABOUT = {
    "nuclei_3d_batch_renorm": (
        "nuclei 3D, BatchRenorm",
        _NUCLEI + "batch renormalization, alike in training and evaluation, and free of seams.",
    ),
    "nuclei_3d_batch": (
        "nuclei 3D, BatchNorm",
        _NUCLEI + "batch normalization trained at batch size 1: free of seams, but not alike in training and "
        "evaluation.",
    ),
    "nuclei_3d_instance": (
        "nuclei 3D, InstanceNorm",
        _NUCLEI + "instance normalization, which depends on the tile and so makes seams.",
    ),
    "cells_2d_batch_renorm": (
        "cells 2D, BatchRenorm",
        _CELLS + "batch renormalization, free of seams.",
    ),
}


@dataclass(frozen=True, slots=True)
class SampleNetwork:
    """A network that comes with the package; opened as ``sample:NAME``.

    Parameters
    ----------
    name : str
        Its name after ``sample:``.
    path : Path
        Its file.
    title : str
        A few words for a list.
    description : str
        One sentence.
    """

    name: str
    path: Path
    title: str
    description: str


def sample_networks() -> tuple[SampleNetwork, ...]:
    """List the networks that come with the package, the recommended one first; loads none of them.

    Examples
    --------
    >>> [network.title for network in sample_networks()][0]
    'nuclei 3D, BatchRenorm'
    """
    return tuple(
        SampleNetwork(name, _FOLDER / f"{name}.safetensors", title, description)
        for name, (title, description) in _ABOUT.items()
    )
