"""Opening our predictions in napari, with rotation, shear and affine, which OME-Zarr cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_tileseg._napari.finished import ChunkCache, ClassTiles
from napari_tileseg._napari.layer_image import placement_of_image
from napari_tileseg._napari.results import class_options
from napari_tileseg.predict.store import OURS

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Give a reader for a prediction that napari-tileseg wrote; None for anything else."""
    if not isinstance(path, str):
        return None
    try:
        about = json.loads((Path(path) / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_prediction if OURS in about.get("attributes", {}) else None


def read_prediction(path: str) -> list[LayerData]:
    """Read a prediction as one image layer for each class, lazily; tiles that are not done are NaN.

    Raises
    ------
    StoreError
        If the store is broken.
    """
    from napari_tileseg.predict import open_prediction

    store = open_prediction(path)
    caches = [ChunkCache(level) for level in store.levels]
    place = placement_of_image(store.image).as_layer()
    network = str(store.provenance["network"]["name"])
    layers = []
    for index, name in enumerate(store.classes):
        levels = [ClassTiles(cache, index) for cache in caches]
        data = levels if len(levels) > 1 and store.complete else levels[0]
        options = class_options(store.image.name, name, index, network)
        layers.append((data, {**options, **place, "multiscale": isinstance(data, list)}, "image"))
    return layers
