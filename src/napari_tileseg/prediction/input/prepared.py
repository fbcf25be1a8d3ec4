"""An image as an engine reads it: padded, cleaned and normalized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array, Shape
from napari_tileseg.images.computed import computed
from napari_tileseg.images.image import Image
from napari_tileseg.nets.intensities.foreground import holes_in
from napari_tileseg.prediction.input.limits import behind_splines, over_prepared
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.input.scan import NonFinite
from napari_tileseg.tiling import Box, Padding, read_padded


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImage:
    """Normalized voxels of an image that is continued past its far end.

    Parameters
    ----------
    image : Image
        The image.
    normalization : Normalization
        Applied to what is read, padding included.
    padded_shape : tuple of int
        Voxels along each grid axis, padding included.
    padding : {"reflect", "edge", "zero"}
        How voxels past the far end are made.
    nonfinite : {"refuse", "zero"}
        What to do with NaN and infinity.
    """

    image: Image
    normalization: Normalization
    padded_shape: Shape
    padding: Padding = "reflect"
    nonfinite: Literal["refuse", "zero"] = "refuse"

    def read(self, box: Box) -> npt.NDArray[np.float32]:
        """Read the voxels of a box inside the padded image.

        Returns
        -------
        ndarray of float32
            ``(channels, *box.shape)``.

        Raises
        ------
        ImageError
            If the voxels cannot be read, or are NaN or infinite and that is refused.
        """
        shape, holes = self.image.shape, None
        if self.normalization.holes:
            holes = read_padded(self._holes, shape, box, self.padding)
        return self.normalization.apply(read_padded(self._read, shape, box, self.padding), holes)

    def _holes(self, box: Box) -> Array:
        return holes_in(self.normalization.holes, self.image.shape, box.start, box.shape)

    def _read(self, box: Box) -> Array:
        found = NonFinite(self.image.name)
        cleaned = found.clean(self.image.read(box), box.start)
        if self.nonfinite == "refuse":
            found.refuse()
        return cleaned


def prepared_image(
    image: Image,
    normalization: Normalization,
    padded_shape: Shape,
    padding: Padding = "reflect",
    nonfinite: Literal["refuse", "zero"] = "refuse",
) -> PreparedImage:
    """Return an image as an engine reads it; takes what `PreparedImage` does.

    Where the image is brought to another voxel size by splines, its intensities are prepared first, unless
    each tile has its own: splines through them are those that the network saw in training.
    """
    behind = behind_splines(image)
    if behind is None or normalization.kind == "tile":
        return PreparedImage(image, normalization, padded_shape, padding, nonfinite)
    first = PreparedImage(behind, normalization, behind.shape, padding, nonfinite)
    through = over_prepared(image, computed(behind, first.read, np.dtype(np.float32)), normalization.limits)
    return PreparedImage(through, Normalization(kind="none"), padded_shape, padding)
