"""A network as a list of operations: plain data that a file states, nothing that could run by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Steps beyond the least size, on the first axis, of an image that a network is tried on.
_SPARE = 2
#: Voxels of the coarsest feature map in such an image, at least.
_COARSE = 4


@dataclass(frozen=True, slots=True)
class Named:
    """A value by its name: the image, a weight, or what an operation gave."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a function of the table.

    Parameters
    ----------
    function : str
        Its name there, such as ``aten.conv2d.default``.
    arguments : mapping
        By the names of the function's own parameters: numbers, text, types, lists of these, and `Named`.
    results : tuple of str or None
        Names of what it gives; None for what nobody takes.
    several : bool
        Whether it gives a list, whose parts are the results, in order.
    """

    function: str
    arguments: Mapping[str, Any]
    results: tuple[str | None, ...]
    several: bool = False

    def taken(self) -> Iterator[str]:
        """Yield the names of the values that it takes."""
        for value in self.arguments.values():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, Named):
                    yield each.name


@dataclass(frozen=True, slots=True)
class Sizes:
    """Spatial shapes of images that a network takes, as its file states them.

    Parameters
    ----------
    example : tuple of int
        A shape that it takes.
    fixed : bool
        Whether that is the only one.
    least : tuple of int
        Voxels along each axis, at least.
    multiple : tuple of int
        What the voxels along each axis are a multiple of.
    most : tuple of int
        Voxels along each axis, at most; empty where nothing bounds them.
    """

    example: Shape
    fixed: bool = False
    least: Shape = ()
    multiple: Shape = ()
    most: Shape = ()

    @classmethod
    def measured(cls, read: ReadShape, stride: Shape) -> Sizes:
        """Return the sizes that a network was seen to take.

        Its example is of another length on each axis, and long enough for several voxels of the coarsest
        feature map: what is followed there is not mistaken for what one voxel alone would need.

        Parameters
        ----------
        read : ReadShape
            What was measured.
        stride : tuple of int
            Voxels of the image in one of the coarsest feature map, along each axis.
        """
        if read.fixed:
            return cls(read.minimum, fixed=True)
        longer = tuple(
            round_up(max(n, _COARSE * apart), step) + (_SPARE + axis) * step
            for axis, (n, step, apart) in enumerate(zip(read.minimum, read.step, stride, strict=True))
        )
        example = tuple(min(pair) for pair in zip(longer, read.maximum or longer, strict=True))
        return cls(example, least=read.minimum, multiple=read.step, most=read.maximum or ())

    def check(self, shape: tuple[Any, ...]) -> None:
        """Raise `ValueError` unless a spatial shape is one of these; sizes without a number are not checked.

        Examples
        --------
        >>> Sizes((16, 16), least=(8, 8), multiple=(2, 2)).check((9, 16))
        Traceback (most recent call last):
        ValueError: it takes multiples of 2 x 2 from 8 x 8 voxels on, not 9 x 16
        """
        if not all(type(size) is int for size in shape):
            return
        if self.fixed and shape != self.example:
            raise ValueError(f"it was exported for {by_axis(self.example)} voxels alone")
        broken = any(size < least for size, least in zip(shape, self.least, strict=False)) or any(
            size % step for size, step in zip(shape, self.multiple, strict=False)
        )
        if broken:
            raise ValueError(
                f"it takes multiples of {by_axis(self.multiple)} from {by_axis(self.least)} voxels on, not "
                f"{by_axis(shape)}"
            )
        if any(size > most for size, most in zip(shape, self.most, strict=False)):
            raise ValueError(
                f"it was exported for up to {by_axis(self.most)} voxels, and takes no {by_axis(shape)}"
            )


@dataclass(frozen=True, slots=True)
class Listing:
    """A network as its file states it.

    Parameters
    ----------
    operations : tuple of Operation
        In the order in which they are carried out; each takes only what is there by then.
    weights : mapping of str to Tensor
        Weights by the paths under which the module has them, on the meta device: shapes without numbers.
    sources : mapping of str to str
        Names of the same weights in the file, by path.
    names : mapping of str to str
        Paths of weights by the names that operations use.
    image, result : str
        Names of the input, and of what the network gives.
    channels : int
        Channels of the input.
    sizes : Sizes
        Images that it takes.
    fixed : frozenset of str
        Paths of weights that do not learn: buffers and constants.
    """

    operations: tuple[Operation, ...]
    weights: Mapping[str, torch.Tensor]
    sources: Mapping[str, str]
    names: Mapping[str, str]
    image: str
    result: str
    channels: int
    sizes: Sizes
    fixed: frozenset[str] = frozenset()

    def needed(self) -> Listing:
        """Return the same without operations and weights that nothing is computed from."""
        wanted, kept = {self.result}, []
        for operation in reversed(self.operations):
            if wanted & set(operation.results) or operation.function.endswith("_.default"):
                wanted.update(operation.taken())
                kept.append(operation)
        names = {name: path for name, path in self.names.items() if name in wanted}
        weights = {path: self.weights[path] for path in names.values()}
        sources = {path: self.sources[path] for path in names.values()}
        return replace(
            self,
            operations=tuple(reversed(kept)),
            names=names,
            weights=weights,
            sources=sources,
            fixed=self.fixed & weights.keys(),
        )
