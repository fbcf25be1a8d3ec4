"""Where a layer's voxels lie: its axes, and all that its results must carry over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_tileseg._types import Array, Shape
from napari_tileseg.tiling import Box

_LETTERS = {
    "t": "t",
    "time": "t",
    "frame": "t",
    "c": "c",
    "ch": "c",
    "channel": "c",
    "z": "z",
    "plane": "z",
    "y": "y",
    "row": "y",
    "x": "x",
    "column": "x",
}
_USUAL = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}


def axes_of(layer: Layer) -> str:
    """Name the axes of a layer's data: by its axis labels where they tell, else by the usual order.

    Parameters
    ----------
    layer : Layer
        An image layer; the colours of an RGB layer become a channel axis at the end.

    Returns
    -------
    str
        One letter of ``tczyx`` for each axis of the data; empty where there is no usual order.
    """
    letters = [_LETTERS.get(str(label).lower(), "") for label in layer.axis_labels]
    told = all(letters) and len(set(letters)) == len(letters)
    axes = "".join(letters) if told else _USUAL.get(layer.ndim, "")
    return f"{axes}c" if axes and getattr(layer, "rgb", False) else axes


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The place of a voxel grid in a viewer's world, with all of napari's spatial metadata.

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
    world_axes: Shape

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
        keep = np.asarray(axes, dtype=int)
        square = np.ix_(keep, keep)
        corner = np.append(keep, layer.ndim)
        return cls(
            scale=np.asarray(layer.scale)[keep] * (np.asarray(factors) if len(factors) else 1.0),
            translate=np.asarray(layer.translate)[keep],
            rotate=np.asarray(layer.rotate)[square],
            shear=_as_matrix(np.asarray(layer.shear), layer.ndim)[square],
            affine=np.asarray(layer.affine)[np.ix_(corner, corner)],
            units=tuple(layer.units[i] for i in keep),
            axis_labels=tuple(layer.axis_labels[i] for i in keep),
            world_axes=tuple(int(i) - layer.ndim for i in keep),
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
        """Placement of another grid over the same axes.

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
        """Whether another grid of as many axes lies in the same way."""
        mine, theirs = self.as_layer(), other.as_layer()
        numbers = ("scale", "translate", "rotate", "shear", "affine")
        words = ("units", "axis_labels")
        return all(np.array_equal(mine[name], theirs[name]) for name in numbers) and all(
            mine[name] == theirs[name] for name in words
        )

    def as_layer(self) -> dict[str, Any]:
        """Keyword arguments of napari's layers."""
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
        """Voxels that a box of the world touches.

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
    """Shear as a matrix; napari gives the entries above the diagonal, or the matrix itself."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
