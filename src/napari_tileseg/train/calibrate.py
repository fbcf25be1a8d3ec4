"""From a trained network to one with batch renormalization, its statistics measured on the user's images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.predict.events import Noted, Progress
from napari_tileseg.predict.plan import Plan
from napari_tileseg.train.events import Calibrated

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels of the tiles on which statistics are measured.
EFFORT = 2**21


def convert_network(
    network: Network,
    plans: Sequence[Plan],
    *,
    tile: Shape | None = None,
    voxels: int = EFFORT,
    seed: int = 0,
) -> Generator[Progress | Noted | Calibrated, None, Network]:
    """Replace the normalization layers of a network by batch renormalization, weights kept, and calibrate.

    Layer after layer takes the moments of what it is given by the layers already converted before it,
    pooled over all tiles and weighted by count; voxels nearer to a tile's border than the halo are left out.
    It is the only work in training that runs on many tiles at once.

    Parameters
    ----------
    network : Network
        The opened network; it is not changed.
    plans : sequence of Plan
        How the images are prepared, and on which device (that of the first) it is computed.
    tile : tuple of int, optional
        Voxels of a tile along the network's axes; derived by default.
    voxels : int
        Voxels of all tiles together, about.
    seed : int
        Of the places of the tiles.

    Yields
    ------
    Progress, Noted or Calibrated
        `Calibrated` once, at the end, with the effect on the prediction.

    Returns
    -------
    Network
        In memory; see `napari_tileseg.nets.save_described`. The network itself where it has no layer to
        convert; then there is no `Calibrated`.

    Raises
    ------
    NetworkError
        If the layers of the network cannot be replaced (TorchScript).
    """
    raise NotImplementedError
    yield
