"""What an engine is: something that computes the cores of tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling import Box, Tile

if TYPE_CHECKING:
    from napari_tileseg.graphs.graph import Graph


class PaddedImage(Protocol):
    """An image that is normalized, and padded at its far end, as a network wants it."""

    @property
    def padded_shape(self) -> Shape:
        """Voxels along each grid axis, padding included."""
        ...

    def read(self, box: Box) -> Array:
        """Read the voxels of a box inside the padded image: ``(channels, *box.shape)``, floating.

        They are not written to, but torch looks at them in place: the array is a writable one and no axis of
        it is reversed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """How an engine computes a tile.

    Parameters
    ----------
    kind : {"regions", "plain"}
        Of every feature map what the core needs; or the whole tile, cropped to the core.
    reason : str
        Why tiles are computed whole, as the end of a sentence; empty where they are not.
    graph : Graph, optional
        The network as operations with rules, from which cores are planned; None where tiles are computed
        whole. Two routes are equal whatever their graphs.
    """

    kind: Literal["regions", "plain"]
    reason: str = ""
    graph: Graph | None = field(default=None, compare=False, repr=False)

    @property
    def words(self) -> str:
        """How tiles are computed, as a phrase."""
        if self.kind == "regions":
            return "each layer computes no more than a tile's core needs"
        return f"computed whole, core and halo, because {self.reason}"


#: The route of whoever needs no more than the image of a plan, and does not look at the network's layers.
WHOLE_TILES = Route("plain", "it was asked for")


class Engine(ABC):
    """Computes a network's probabilities on the cores of tiles.

    How it does so (which voxels it reads, how many tiles go at once) is its own business.
    """

    @property
    @abstractmethod
    def route(self) -> Route:
        """How it computes a tile; it may change when it is first used."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Number format it computes in; `verify` may change it to float32."""

    @abstractmethod
    def read_of(self, shape: Shape, tile: Tile) -> Box:
        """Return the box of the image that it reads for a tile.

        Parameters
        ----------
        shape : tuple of int
            Shape of the padded image.
        tile : Tile
            A tile over it.
        """

    @abstractmethod
    def compute(self, image: PaddedImage, tiles: Sequence[Tile]) -> list[Array]:
        """Compute the probabilities on the core of each tile.

        Parameters
        ----------
        image : PaddedImage
            What to look at.
        tiles : sequence of Tile
            Tiles of one grid over the padded image.

        Returns
        -------
        list of ndarray
            For each tile ``(classes, *core.shape)``, the network's activation applied; float32, or float64
            where the engine computes in float64.

        Raises
        ------
        DeviceError
            If the device has too little memory for one tile, however it is cut.
        NetworkError
            If the network cannot run on the tile, or its output has another shape than promised.
        """

    @abstractmethod
    def sweeps(self, shape: Shape) -> bool:
        """Whether `sweep` can compute an image of that padded shape."""

    @abstractmethod
    def sweep(self, image: PaddedImage, box: Box, planes: int) -> Iterator[tuple[Box, Array]]:
        """Compute a box of the result slab by slab along the network's first axis, nothing twice along it.

        Parameters
        ----------
        image : PaddedImage
            What to look at. Each voxel of it is read once, in order.
        box : Box
            What to compute; on the other axes it is computed from what it needs, as a core is.
        planes : int
            Planes of the image at once, at least 1.

        Yields
        ------
        tuple of Box and ndarray
            The next part of the result, and its probabilities ``(classes, *part.shape)``. The parts follow
            each other along the network's first axis, those of one position on the axes before it together.

        Raises
        ------
        DeviceError
            If the device has too little memory for one plane.
        NetworkError
            If it cannot sweep.
        """

    @abstractmethod
    def verify(self, image: PaddedImage, tile: Tile) -> None:
        """Check the way of computing, and reduced precision against float32; fall back where it fails.

        Raises
        ------
        DeviceError
            If the device cannot compute in the chosen format.
        """

    @abstractmethod
    def take_notes(self) -> tuple[str, ...]:
        """Return what the user should know and has not been shown yet, such as a smaller batch."""

    @abstractmethod
    def close(self) -> None:
        """Give the device's memory back. The engine cannot compute afterwards."""
