"""The picture of a package: its test image beside what the network makes of it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from napari_tileseg._types import Array

#: Pixels of each of the two pictures along both axes.
_EDGE = 256
#: Percentiles of the image that become black and white.
_ENDS = (1.0, 99.8)


def cover(image: Array, probabilities: Array) -> bytes:
    """Return a PNG of twice the width of its height.

    Parameters
    ----------
    image, probabilities : ndarray
        ``(channels, *space)``, finite; the first channel is shown, and of volumes the plane in the middle.
    """
    low, high = np.percentile(image[0], _ENDS)
    grey = (image[0] - low) / max(high - low, np.finfo(np.float32).tiny)
    pair = np.concatenate([_square(grey), _square(probabilities[0])], axis=1)
    file = io.BytesIO()
    Image.fromarray(np.round(255 * pair.clip(0, 1)).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def _square(values: Array) -> Array:
    """Return the middle plane as a square, the rest of the longer axis cut off."""
    while values.ndim > 2:
        values = values[len(values) // 2]
    edge = min(values.shape)
    starts = [(size - edge) // 2 for size in values.shape]
    part = values[tuple(slice(start, start + edge) for start in starts)]
    picture = Image.fromarray(part.astype(np.float32)).resize((_EDGE, _EDGE), Image.Resampling.BILINEAR)
    return np.asarray(picture)
