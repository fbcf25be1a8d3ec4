"""How space can be turned: its axes in another order, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from torch import Tensor

from napari_tileseg._types import Shape
from napari_tileseg.tiling import Box

_T = TypeVar("_T")


@final
@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """Axes of space put in another order, some of which then run the other way.

    Parameters
    ----------
    order : tuple of int
        Which axis of what is turned each axis is.
    mirrored : tuple of int
        Axes, in that order, along which it is mirrored; the least first.

    Examples
    --------
    >>> turn = Turn((1, 2, 0), (2,))
    >>> turn.back
    Turn(order=(2, 0, 1), mirrored=(0,))
    >>> turn.after(turn.back).is_none
    True
    """

    order: Shape
    mirrored: Shape = ()

    @classmethod
    def none(cls, ndim: int) -> Turn:
        """Return the one that leaves all as it is."""
        return cls(tuple(range(ndim)))

    @property
    def reorders(self) -> bool:
        """Whether axes come in another order."""
        return self.order != tuple(range(len(self.order)))

    @property
    def is_none(self) -> bool:
        """Whether it leaves all as it is."""
        return not self.mirrored and not self.reorders

    @property
    def back(self) -> Turn:
        """The one that undoes it."""
        order = tuple(map(self.order.index, range(len(self.order))))
        return Turn(order, tuple(axis for axis, place in enumerate(order) if place in self.mirrored))

    def after(self, first: Turn) -> Turn:
        """Return what another one and then this one make together."""
        mirrored = (
            place
            for place, axis in enumerate(self.order)
            if (axis in first.mirrored) != (place in self.mirrored)
        )
        return Turn(self.of(first.order), tuple(mirrored))

    def of(self, along: Sequence[_T]) -> tuple[_T, ...]:
        """Return what there is one of for each axis, such as a shape, in the new order."""
        return tuple(along[axis] for axis in self.order)

    def box(self, box: Box, whole: Shape) -> Box:
        """Return where a box of a feature map of a shape lies, once that is turned."""
        ends = [
            (n - last, n - first) if place in self.mirrored else (first, last)
            for place, (first, last, n) in enumerate(
                self.of(list(zip(box.start, box.stop, whole, strict=True)))
            )
        ]
        return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))

    def tensor(self, value: Tensor) -> Tensor:
        """Turn the axes of a tensor behind the first two; a view where none is mirrored."""
        if self.reorders:
            value = value.permute(0, 1, *(axis + 2 for axis in self.order))
        return value.flip([axis + 2 for axis in self.mirrored]) if self.mirrored else value
