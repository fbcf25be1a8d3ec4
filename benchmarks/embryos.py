"""Real labelled volumes for the benchmarks of training, and how whole volumes are scored.

The volumes are those of BBBC050 (mouse embryos) and of an Arabidopsis ovule; ``TILESEG_DATA`` names their
folder. They are divided by embryo, never by slice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from torch import nn

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import (
    measure_disparity,
    measure_mismatch,
    network_pairs,
    network_regions,
    with_batch_statistics,
)
from napari_tileseg.engine import WHOLE_TILES, PlainEngine
from napari_tileseg.images.image import Image
from napari_tileseg.labels import classes_from_instances, hard_dice
from napari_tileseg.nets import Network
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
CLASSES = ("foreground", "boundary")
VOXEL_SIZE = (1.75, 0.8, 0.8)
CPU = PredictSettings(device="cpu", statistics="tile")
#: Volumes are 125 voxels wide: two tiles fit when moved by this much.
SHIFT = 16


@dataclass(frozen=True, eq=False)
class Volume:
    """A labelled volume."""

    name: str
    image: Image
    labels: np.ndarray

    @property
    def masks(self) -> np.ndarray:
        """What is right, ``(foreground and boundary, *shape)``."""
        return np.stack(classes_from_instances(self.labels))

    @property
    def truth(self) -> np.ndarray:
        """Number of each voxel's class: 0 foreground, 1 boundary, 2 background."""
        foreground, boundary = self.masks
        return np.where(foreground, 0, np.where(boundary, 1, 2))


def data_folder() -> Path:
    """Folder of the real data.

    Raises
    ------
    SystemExit
        If ``TILESEG_DATA`` does not name it.
    """
    folder = Path(os.environ.get("TILESEG_DATA", ""))
    if not (folder / "bbbc050_mouse_embryo_3d").is_dir():
        raise SystemExit("Set TILESEG_DATA to the folder that holds bbbc050_mouse_embryo_3d.")
    return folder


@cache
def embryo(name: str) -> Volume:
    """A volume of a mouse embryo, such as ``Emb01_t401``."""
    folder = data_folder() / "bbbc050_mouse_embryo_3d"
    image, labels = (tifffile.imread(folder / kind / f"train_{name}.tif") for kind in ("images", "labels"))
    units = ("micrometer",) * 3
    return Volume(name, Image(image, "zyx", name=name, voxel_size=VOXEL_SIZE, units=units), labels)


@cache
def ovule() -> Volume:
    """The nuclei of an Arabidopsis ovule."""
    (path,) = (data_folder() / "gonuclear_ovule_nuclei_3d").glob("*1135*.h5")
    with h5py.File(path) as file:
        raw, labels = file["raw"][:], file["label"][:]
        size = tuple(float(value) for value in file["raw"].attrs["element_size_um"])
    units = ("micrometer",) * 3
    return Volume("ovule 1135", Image(raw, "zyx", name="ovule", voxel_size=size, units=units), labels)


def whole_prediction(
    volume: Volume, network: Network, settings: PredictSettings = CPU, module: nn.Module | None = None
) -> np.ndarray:
    """Probabilities of the whole volume as one tile."""
    plan = drain(plan_prediction(volume.image, network, settings, route=WHOLE_TILES))
    padded = Box.of_shape(plan.grid.padded_shape)
    values = network_regions(plan, module=module)(padded)
    return values[(slice(None), *(slice(n) for n in volume.image.shape))]


def tiled_prediction(volume: Volume, network: Network, core: tuple[int, ...]) -> np.ndarray:
    """Probabilities from tiles without any halo, each computed by itself."""
    settings = replace(CPU, core=core, halo=((0, 0),) * len(core))
    plan = drain(plan_prediction(volume.image, network, settings, route=WHOLE_TILES))
    engine = PlainEngine(network, "cpu", "float32", 1)
    result = np.empty((network.spec.out_channels, *volume.image.shape), np.float32)
    for tile in plan.grid:
        kept = plan.grid.kept(tile)
        values = engine.compute(plan.prepared, [tile])[0]
        result[(slice(None), *kept.slices)] = values[(slice(None), *kept.within(tile.core))]
    return result


def class_dice(predicted: np.ndarray, volume: Volume) -> list[float]:
    """Dice of each class at a threshold of one half."""
    return [hard_dice(p, m.astype(float)) for p, m in zip(predicted, volume.masks, strict=True)]


def seams(
    volume: Volume, network: Network, settings: PredictSettings = CPU, pairs: int = 4
) -> dict[str, Any]:
    """Tile mismatch and train/eval disparity on a few pairs of tiles; the larger one of the classes."""
    plan = drain(plan_prediction(volume.image, network, settings, route=WHOLE_TILES))
    places = network_pairs(plan, shift=SHIFT, sample=pairs)
    mismatch = drain(measure_mismatch(network_regions(plan), places, network.spec.classes))
    disparity = drain(measure_disparity(plan, places.tiles))
    return {
        "mismatch": "no" if mismatch.seam_free else "yes",
        "tile_mismatch": max(each.tile_mismatch for each in mismatch.classes),
        "max_abs_difference": mismatch.max_abs_difference,
        "disparity": max(each.train_eval_disparity or 0.0 for each in disparity.classes),
    }


def both_modes(volume: Volume, network: Network, settings: PredictSettings = CPU) -> dict[str, Any]:
    """Dice of each class on the whole volume with running and with batch statistics."""
    usual = whole_prediction(volume, network, settings)
    batch = whole_prediction(volume, network, settings, with_batch_statistics(network.module))
    return {"dice_eval": class_dice(usual, volume), "dice_train": class_dice(batch, volume)}


def means(rows: Sequence[Sequence[float]]) -> list[float]:
    """Mean over volumes, class by class."""
    return [round(float(value), 4) for value in np.mean(rows, axis=0)]


def write_results(path: Path, **values: Any) -> None:
    """Replace some entries of a file of results."""
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | values, indent=2, sort_keys=True) + "\n")
