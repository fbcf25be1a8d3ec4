"""Opening our predictions in napari, with the placement that OME-Zarr cannot hold, and other OME-Zarr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_tileseg._napari.files.omezarr_reader import LayerData, read_omezarr
from napari_tileseg._napari.images.layer_image import placement_of_image
from napari_tileseg._napari.results.finished_tiles import ClassTiles, FinishedChunks
from napari_tileseg._napari.results.result_layers import class_options, network_title
from napari_tileseg.errors import TilesegError
from napari_tileseg.images.formats.omezarr import is_omezarr
from napari_tileseg.images.metadata import from_json, mapping
from napari_tileseg.prediction.store.store import OURS


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a prediction of napari-tileseg, or for another OME-Zarr image; else None."""
    if not isinstance(path, str):
        return None
    if _is_prediction(Path(path)):
        return read_prediction
    try:
        return read_omezarr if is_omezarr(Path(path)) else None
    except TilesegError:
        return None  # the next reader may make something of it


def _is_prediction(path: Path) -> bool:
    try:
        about = mapping(from_json((path / "zarr.json").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return False
    return OURS in mapping(about.get("attributes"))


def read_prediction(path: str) -> list[LayerData]:
    """Read a prediction as one image layer for each class, lazily; tiles that are not done are NaN.

    Raises
    ------
    StoreError
        If the store is broken.
    """
    from napari_tileseg.prediction import open_prediction

    store = open_prediction(path)
    caches = [FinishedChunks(level) for level in store.levels]
    placed = placement_of_image(store.image).as_layer()
    network = network_title(str(store.provenance["network"]["name"]), store.provenance)
    layers = []
    for index, name in enumerate(store.classes):
        levels = [ClassTiles(cache, index) for cache in caches]
        data = levels if len(levels) > 1 and store.complete else levels[0]
        options = class_options(store.image.name, name, index, network)
        layers.append((data, {**options, **placed, "multiscale": isinstance(data, list)}, "image"))
    return layers
