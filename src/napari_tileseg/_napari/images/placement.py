"""Where a layer's voxels lie: its axes, and all that its results must carry over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_tileseg._napari.images.layer_file import filed
from napari_tileseg._types import Array, Indices, Shape
from napari_tileseg.images.axes import ORDER, complete_axes, letter_of
from napari_tileseg.tiling import Box


def axes_of(layer: Layer) -> str:
    """Name the axes of a layer's data: by its axis labels, else by its file, else as files without names are.

    Parameters
    ----------
    layer : Layer
        An image layer; the colours of an RGB layer become a channel axis at the end.

    Returns
    -------
    str
        One letter of ``tczyx`` for each axis of the data; empty where there are too many.
    """
    colors = "c" if getattr(layer, "rgb", False) else ""
    if named := labelled_axes(layer):
        return named + colors
    found = filed(layer) if isinstance(layer, ImageLayer) else None
    if found is not None and found.axes.endswith(colors):
        return found.axes
    if not 2 <= layer.ndim <= len(ORDER) - len(colors):
        return ""
    return complete_axes("?" * layer.ndim + colors, (), layer.name)


def labelled_axes(layer: Layer) -> str:
    """Return the axes of a layer as its labels name them, without colours; "" where some have no name."""
    letters = [letter_of(str(label)) for label in layer.axis_labels]
    return "".join(letters) if all(letters) and len(set(letters)) == len(letters) else ""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The placement of a voxel grid in a viewer's world, with all of napari's spatial metadata.

    Parameters
    ----------
    scale, translate : ndarray
        ``(ndim,)``.
    rotate, shear : ndarray
        ``(ndim, ndim)``; shear is upper triangular with ones on the diagonal.
    affine : ndarray
        ``(ndim + 1, ndim + 1)``, applied last.
    units : tuple of object
        Unit of each axis, as napari holds it.
    axis_labels : tuple of str
        Name of each axis.
    world_axes : tuple of int
        Axis of the viewer that each axis of the grid lies on, counted from the end: -1 is the last.
    """

    scale: Array
    translate: Array
    rotate: Array
    shear: Array
    affine: Array
    units: tuple[Any, ...]
    axis_labels: tuple[str, ...]
    world_axes: Indices

    @classmethod
    def of_layer(cls, layer: Layer, axes: Sequence[int], factors: Sequence[float] = ()) -> Placement:
        """Take the placement of some axes of a layer.

        Parameters
        ----------
        layer : Layer
            Any layer with voxels.
        axes : sequence of int
            Axes of the layer that the grid has, in order: all but the channel.
        factors : sequence of float, optional
            Voxels of the finest level to one voxel of the grid, for each axis of the grid; ones by default.
        """
        chosen = np.asarray(axes, dtype=int)
        square = np.ix_(chosen, chosen)
        corner = np.append(chosen, layer.ndim)
        return cls(
            scale=np.asarray(layer.scale)[chosen] * (np.asarray(factors) if len(factors) else 1.0),
            translate=np.asarray(layer.translate)[chosen],
            rotate=np.asarray(layer.rotate)[square],
            shear=_as_matrix(np.asarray(layer.shear), layer.ndim)[square],
            affine=np.asarray(layer.affine)[np.ix_(corner, corner)],
            units=tuple(layer.units[i] for i in chosen),
            axis_labels=tuple(layer.axis_labels[i] for i in chosen),
            world_axes=tuple(int(i) - layer.ndim for i in chosen),
        )

    @property
    def linear(self) -> Array:
        """Rotation, shear and scale in one matrix, in the order in which napari applies them."""
        linear: Array = self.rotate @ self.shear @ np.diag(self.scale)
        return linear

    @property
    def to_world(self) -> Array:
        """Homogeneous matrix from voxels of the grid to the world."""
        matrix = np.eye(len(self.scale) + 1)
        matrix[:-1, :-1] = self.linear
        matrix[:-1, -1] = self.translate
        return np.asarray(self.affine @ matrix)

    def regridded(self, factors: Sequence[float], start: Sequence[float]) -> Placement:
        """Return the placement of another grid over the same axes.

        Parameters
        ----------
        factors : sequence of float
            Voxels of this grid to one of the other, along each axis.
        start : sequence of float
            Position of the other grid's first voxel in this grid.
        """
        return replace(
            self,
            scale=self.scale * np.asarray(factors, dtype=float),
            translate=self.translate + self.linear @ np.asarray(start, dtype=float),
        )

    def same_as(self, other: Placement) -> bool:
        """Return whether another grid of as many axes lies in the same way."""
        mine, theirs = self.as_layer(), other.as_layer()
        numbers = ("scale", "translate", "rotate", "shear", "affine")
        words = ("units", "axis_labels")
        return all(np.array_equal(mine[name], theirs[name]) for name in numbers) and all(
            mine[name] == theirs[name] for name in words
        )

    @property
    def untouched(self) -> bool:
        """Whether it was left at its default: voxels of one pixel at the origin."""
        ndim = len(self.scale)
        plain = (np.ones(ndim), np.zeros(ndim), np.eye(ndim), np.eye(ndim), np.eye(ndim + 1))
        mine = (self.scale, self.translate, self.rotate, self.shear, self.affine)
        same = all(np.array_equal(a, b) for a, b in zip(mine, plain, strict=True))
        return same and all(str(unit) == "pixel" for unit in self.units)

    def as_layer(self) -> dict[str, Any]:
        """Return keyword arguments for napari's layers."""
        return {
            "scale": self.scale,
            "translate": self.translate,
            "rotate": self.rotate,
            "shear": self.shear,
            "affine": self.affine,
            "units": self.units,
            "axis_labels": self.axis_labels,
        }

    def box_between(self, low: Array, high: Array, shape: Shape) -> Box:
        """Return the voxels that a box of the world touches.

        Parameters
        ----------
        low, high : ndarray
            World coordinates of two opposite corners on the grid's axes.
        shape : tuple of int
            Voxels of the grid; the box is clipped to it, and may be empty.
        """
        choices = np.stack([low, high])
        ndim = len(shape)
        corners = np.array(
            [[choices[(i >> axis) & 1, axis] for axis in range(ndim)] + [1.0] for i in range(2**ndim)]
        )
        voxels = (np.linalg.inv(self.to_world) @ corners.T)[:-1]
        start = np.floor(voxels.min(axis=1) + 0.5).astype(int)
        stop = np.floor(voxels.max(axis=1) + 0.5).astype(int) + 1
        return Box(tuple(start.tolist()), tuple(stop.tolist())).clip(Box.of_shape(shape))


def _as_matrix(shear: Array, ndim: int) -> Array:
    """Return the shear as a matrix; napari gives the entries above the diagonal, or the matrix itself."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
