"""Which spatial shapes a network accepts."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg._types import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadShape:
    """Spatial shapes that a network accepts: one, or every ``minimum + k * step``, up to a maximum.

    Parameters
    ----------
    minimum : tuple of int
        Least voxels along each axis, a multiple of `step`.
    step : tuple of int
        Accepted shapes are multiples of this.
    fixed : bool
        Whether `minimum` is the only shape.
    maximum : tuple of int, optional
        Most voxels along each axis; None where nothing bounds them.
    """

    minimum: Shape
    step: Shape
    fixed: bool = False
    maximum: Shape | None = None
