"""Sample data for napari's menu."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_tileseg.samples import Sample, cells_image, nuclei_volume

#: Percentiles shown black and white: a few voxels of the bright band would else leave dim objects unseen.
_SHOWN = (1.0, 99.8)


def nuclei() -> list[tuple[Any, dict[str, Any], str]]:
    """Return synthetic nuclei in a volume, 64 x 256 x 256 voxels, with their labels."""
    return _layers(nuclei_volume())


def cells() -> list[tuple[Any, dict[str, Any], str]]:
    """Return synthetic cells in a flat image, 1024 x 1024 pixels, with their labels."""
    return _layers(cells_image())


def _layers(sample: Sample) -> list[tuple[Any, dict[str, Any], str]]:
    placement = {
        "scale": sample.voxel_size,
        "units": ("micrometer",) * sample.image.ndim,
        "axis_labels": tuple("zyx"[-sample.image.ndim :]),
    }
    low, high = np.percentile(sample.image, _SHOWN)
    shown = {"contrast_limits": (float(low), float(high))}
    return [
        (sample.image, {"name": sample.name, **shown, **placement}, "image"),
        (sample.labels, {"name": f"{sample.name} labels", "visible": False, **placement}, "labels"),
    ]
