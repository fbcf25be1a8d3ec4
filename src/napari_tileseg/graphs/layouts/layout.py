"""Where batch, channels and space lie among the axes of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

from torch import Tensor

from napari_tileseg._types import Shape

#: What an axis is: None for the batch; a number of channels; or the spatial axes that it runs over, the last
#: one fastest.
Axis: TypeAlias = int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """The axes of a tensor, of which a feature map ``(batch, channels, *space)`` is the plain form.

    Channels may be spread over several axes: the plain form holds them one after the other, the last one
    fastest. A spatial axis that is missing has one voxel.

    Parameters
    ----------
    axes : tuple
        What each axis is.
    ndim : int
        Spatial axes of the plain form.
    """

    axes: tuple[Axis, ...]
    ndim: int

    @classmethod
    def plain(cls, channels: int, ndim: int) -> Layout:
        """Return the layout of a feature map."""
        return cls((None, channels, *((axis,) for axis in range(ndim))), ndim)

    @property
    def is_plain(self) -> bool:
        """Whether it is that of a feature map."""
        return (
            None in self.axes
            and len(self.channels) == 1
            and self == Layout.plain(self.channels[0], self.ndim)
        )

    @property
    def with_batch(self) -> Layout:
        """The same where a first axis of one is the batch, as of what does not depend on the image."""
        single = None not in self.axes and self.axes[:1] == (1,)
        return replace(self, axes=(None, *self.axes[1:])) if single else self

    @property
    def channels(self) -> Shape:
        """Numbers of channels, in the order of the axes."""
        return tuple(axis for axis in self.axes if isinstance(axis, int))

    @property
    def space(self) -> Shape:
        """The spatial axes that are there, in the order of the tensor's."""
        return tuple(axis for group in self.axes if isinstance(group, tuple) for axis in group)

    def opened(self, value: Tensor) -> Tensor:
        """Bring a feature map into this layout; a view where it can be."""
        if self.is_plain:
            return value
        batch, space, count = value.shape[0], value.shape[2:], len(self.channels)
        order: list[int] = []
        apart = value.reshape(batch, *self.channels, *space)
        channel = iter(range(1, 1 + count))
        for axis in self.axes:
            if isinstance(axis, tuple):
                order.extend(1 + count + each for each in axis)
            else:
                order.append(0 if axis is None else next(channel))
        missing = [1 + count + axis for axis in range(self.ndim) if axis not in self.space]
        if None not in self.axes:
            missing.append(0)
        moved = apart.permute(*order, *missing)
        return moved.reshape(self.shape(batch, space))

    def closed(self, value: Tensor, space: Shape) -> Tensor:
        """Bring a tensor of this layout into the form of a feature map.

        Parameters
        ----------
        value : Tensor
            The tensor.
        space : tuple of int
            Voxels of the feature map; 1 along axes that the layout lacks.
        """
        if self.is_plain:
            return value
        batch = value.shape[self.axes.index(None)] if None in self.axes else 1
        sizes: list[int] = []
        kinds: list[tuple[int, int]] = []
        for axis in self.axes:
            if isinstance(axis, tuple):
                sizes.extend(space[each] for each in axis)
                kinds.extend((2, each) for each in axis)
            else:
                sizes.append(batch if axis is None else axis)
                kinds.append((0, 0) if axis is None else (1, len(kinds)))
        apart = value.reshape(sizes)
        order = sorted(range(len(kinds)), key=kinds.__getitem__)
        return apart.permute(order).reshape(batch, prod(self.channels), *space)

    def shape(self, batch: int, space: Sequence[int]) -> list[int]:
        """Return the shape of a tensor of this layout."""
        return [
            prod(space[each] for each in axis) if isinstance(axis, tuple) else batch if axis is None else axis
            for axis in self.axes
        ]

    def labels(self, dims: Any) -> list[tuple[int, Axis]]:
        """Return the axes of the tensor that an argument of torch names, and what they are."""
        if dims is None:
            found = list(range(len(self.axes)))
        else:
            found = [dims] if isinstance(dims, int) else list(dims)
            found = [dim % len(self.axes) for dim in found]
        return [(dim, self.axes[dim]) for dim in found]
