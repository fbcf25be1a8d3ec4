"""An image as the product sees it: lazy voxels, named axes, a position in the world."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from napari_tileseg._types import Array, ImageSource, Indices, Shape
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.errors import ImageError, answering
from napari_tileseg.images.source import chunk_of
from napari_tileseg.tiling.box import Box

SPATIAL = "zyx"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One level of an image, read channel first whatever the order of its axes.

    The *grid axes* are all axes but the channel, in the array's order: time first, then space. They are
    what tiles lie on.

    Parameters
    ----------
    data : ImageSource
        Voxels; any integer, boolean or floating type and byte order.
    axes : str
        Name of each axis of `data`: ``t``, ``c``, ``z``, ``y``, ``x``, each at most once, ``y`` and ``x``
        always.
    name : str
        What to call it.
    voxel_size : tuple of float, optional
        Size along each grid axis (time: the interval), in `units`; ones if unknown.
    translation : tuple of float, optional
        World position of the first voxel's centre along each grid axis, in `units`; zeros if unknown.
    units : tuple of str, optional
        Unit of each grid axis, such as ``micrometer``; ``pixel`` where unknown.
    affine : tuple of tuple of float, optional
        Homogeneous matrix over the grid axes from scaled and translated coordinates to the world, where the
        image is rotated or sheared too (napari's ``Layer.affine`` composed with rotate and shear).
    channel_names : tuple of str
        One for each channel; empty where there is no channel axis.
    channels : tuple of int, optional
        Channels to read, in this order; all by default.
    uri : str
        Where it came from, such as a path; empty for an array in memory.
    notes : tuple of str
        A sentence for each thing that the file left open, stated unclearly, or that was not read.

    Raises
    ------
    ImageError
        If the axes do not fit the data, the type is not a real number's, or the image is empty.
    """

    data: ImageSource
    axes: str
    name: str = "image"
    voxel_size: tuple[float, ...] = ()
    translation: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    affine: tuple[tuple[float, ...], ...] | None = None
    channel_names: tuple[str, ...] = ()
    channels: Indices | None = None
    uri: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_axes()
        if np.dtype(self.data.dtype).kind not in "buif":
            raise ImageError(
                f"{self.name} should hold real numbers; it holds {np.dtype(self.data.dtype)}. "
                "Take the magnitude, or one field, first."
            )
        if prod(self.data.shape) == 0:
            raise ImageError(
                f"An image needs at least one voxel along each axis; {self.name} is empty, with the shape "
                f"{by_axis(self.data.shape)}. Check that it is the right file, and whole."
            )
        chosen = self.channel_indices
        if not chosen or not all(0 <= c < self._stored_channels for c in chosen):
            raise ImageError(
                f"{self.name} has channels 0 to {self._stored_channels - 1}; got {as_typed(chosen)}. "
                "Choose one or more among them."
            )
        ndim = len(self.grid_axes)
        object.__setattr__(self, "voxel_size", self.voxel_size or (1.0,) * ndim)
        object.__setattr__(self, "translation", self.translation or (0.0,) * ndim)
        object.__setattr__(self, "units", self.units or ("pixel",) * ndim)
        if {len(self.voxel_size), len(self.translation), len(self.units)} != {ndim}:
            raise ImageError(
                f"{self.name} has grid axes {self.grid_axes}: voxel size, translation and units need "
                f"{ndim} entries; got {as_typed(self.voxel_size)}, {as_typed(self.translation)}, "
                f"{as_typed(self.units)}."
            )
        self._check_place()

    def _check_place(self) -> None:
        matrix = [] if self.affine is None else [value for row in self.affine for value in row]
        finite = all(map(math.isfinite, (*self.voxel_size, *self.translation, *matrix)))
        if not finite or 0 in self.voxel_size:
            raise ImageError(
                f"Voxel size and position should be finite numbers, and no size 0; {self.name} has the size "
                f"{as_typed(self.voxel_size)} and the position {as_typed(self.translation)}. Correct its "
                "scale and translation."
            )

    def _check_axes(self) -> None:
        known = set(self.axes) <= set("tczyx") and {"y", "x"} <= set(self.axes)
        ordered = [a for a in self.axes if a != "c"] == [a for a in "tzyx" if a in self.axes]
        if len(self.axes) != len(self.data.shape) or len(set(self.axes)) != len(self.axes) or not known:
            raise ImageError(
                f"{self.name} has {len(self.data.shape)} axes of lengths {by_axis(self.data.shape)}: "
                "name each "
                f"once, from t, c, z, y, x, with y and x among them; got {self.axes!r}."
            )
        if not ordered:
            raise ImageError(
                f"The axes other than the channel should come in the order t, z, y, x; got {self.axes!r}. "
                "Transpose the array first."
            )
        if prod(self.data.shape) > sys.maxsize:
            raise ImageError(
                f"{self.name} has axes of lengths {by_axis(self.data.shape)}: more voxels than can be "
                "counted. "
                "Its metadata are damaged; copy it again."
            )

    @property
    def grid_axes(self) -> str:
        """Axes that tiles lie on: all but the channel."""
        return self.axes.replace("c", "")

    @property
    def spatial_axes(self) -> str:
        """Axes of space."""
        return self.grid_axes.replace("t", "")

    @property
    def shape(self) -> Shape:
        """Voxels along each grid axis."""
        return tuple(int(n) for n, a in zip(self.data.shape, self.axes, strict=True) if a != "c")

    @property
    def chunk(self) -> Shape | None:
        """Shape on the grid axes of the pieces in which voxels are stored; None where that is not known."""
        chunk = chunk_of(self.data)
        return chunk and tuple(n for n, axis in zip(chunk, self.axes, strict=True) if axis != "c")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, in the machine's byte order."""
        return np.dtype(self.data.dtype).newbyteorder("=")

    @property
    def _stored_channels(self) -> int:
        return int(self.data.shape[self.axes.index("c")]) if "c" in self.axes else 1

    @property
    def channel_indices(self) -> Indices:
        """Channels that are read, in order."""
        return tuple(range(self._stored_channels)) if self.channels is None else self.channels

    def with_channels(self, channels: Sequence[int] | None) -> Image:
        """Return the same image, reading these channels of the stored ones (all if None)."""
        return replace(self, channels=None if channels is None else tuple(channels))

    def read(self, box: Box) -> Array:
        """Return the voxels of a box inside the image.

        Parameters
        ----------
        box : Box
            Over the grid axes.

        Returns
        -------
        ndarray
            ``(channels, *box.shape)``, of type `dtype`; a new array or a view, not to be written to.

        Raises
        ------
        ImageError
            If the source cannot be read or decoded there.
        DeviceError
            If that takes more memory than is free.
        """
        what = f"{self.name} should have voxels in {box}"
        cure = (
            f"See that {self.uri or 'its source'} is still there and whole, and may be read; copy it again."
        )
        with answering(ImageError, what, cure):
            return self._read(box)

    def stored_box(self, box: Box) -> Box:
        """Return the box of the source, its channels included, that is read for a box on the grid axes."""
        at = self.axes.find("c")
        if at < 0:
            return box
        first, last = min(self.channel_indices), max(self.channel_indices)
        return Box(
            (*box.start[:at], first, *box.start[at:]),
            (*box.stop[:at], last + 1, *box.stop[at:]),
        )

    def _read(self, box: Box) -> Array:
        values = self._native(self.data[self.stored_box(box).slices])
        if "c" not in self.axes:
            return values[np.newaxis]
        picked = self.channel_indices
        return np.moveaxis(values, self.axes.index("c"), 0)[[c - min(picked) for c in picked]]

    def _native(self, values: Any) -> Array:
        return np.asarray(values).astype(self.dtype, copy=False)
