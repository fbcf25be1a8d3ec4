"""Small types that every floor may use."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
#: Voxels of context ``(before, after)`` for each axis.
Halo: TypeAlias = tuple[tuple[int, int], ...]
#: Voxels ``(start, stop)`` for each axis, the stop not among them.
Ranges: TypeAlias = tuple[tuple[int, int], ...]
#: Indices along one axis, such as channels, or numbers of axes.
Indices: TypeAlias = tuple[int, ...]


@runtime_checkable
class ImageSource(Protocol):
    """Anything that is read lazily by slicing: NumPy, dask and zarr arrays, napari layer data."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, key: tuple[slice | int, ...], /) -> Any: ...
