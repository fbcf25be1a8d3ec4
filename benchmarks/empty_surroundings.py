"""Objects found and invented in mostly empty images, by the way that statistics and intensities are had.

    python benchmarks/empty_surroundings.py [--embryos NAME ...] [--times N ...] [--ways WORD ...]

Embryos that no network here has seen are placed in the middle of an image of as many times their area, filled
with background drawn from their own dark voxels, and predicted as the command predicts, by the networks that
come with the package. An object is where foreground or boundary is above one half; Dice is that of objects
over the whole image; invented are voxels of objects outside of the embryo's box. It prints a table and writes
``benchmarks/results/empty_surroundings.json``. With ``--picture FILE`` it draws what two ways make of the
sample volume that comes with the package.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from embryos import Volume, embryo
from measuring import about_machine

from napari_tileseg._progress import drain
from napari_tileseg.images.image import Image
from napari_tileseg.labels import hard_dice
from napari_tileseg.nets import Network, open_network
from napari_tileseg.prediction import open_prediction, plan_prediction, predict_to_store
from napari_tileseg.samples.images import nuclei_volume
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

RESULT = Path(__file__).parent / "results" / "empty_surroundings.json"
EMBRYOS, TIMES = ("Emb04_t401", "Emb08_t401"), (1, 3, 9)
#: Percentile up to which voxels are background, and windows of MONAI's sliding inference.
DARK, WINDOW = 5, (48, 96, 96)
INSTANCE, RENORM = "sample:nuclei_3d_instance", "sample:nuclei_3d_batch_renorm"


@dataclass(frozen=True, eq=False)
class Scene:
    """An embryo in empty surroundings.

    Parameters
    ----------
    image : Image
        All of it.
    place : Box
        Where the embryo is.
    objects : ndarray
        Whether each voxel is of an object.
    """

    image: Image
    place: Box
    objects: np.ndarray


def placed(volume: Volume, times: int) -> Scene:
    """An embryo in the middle of an image of as many times its area."""
    voxels = np.asarray(volume.image.data)
    dark = voxels[voxels < np.percentile(voxels, DARK)]
    depth, *plane = voxels.shape
    wide = tuple(round(n * times**0.5) for n in plane)
    surroundings = np.random.default_rng(0).choice(dark, size=(depth, *wide)).astype(voxels.dtype)
    start = (0, *((n - m) // 2 for n, m in zip(wide, plane, strict=True)))
    place = Box(start, tuple(a + n for a, n in zip(start, voxels.shape, strict=True)))
    surroundings[place.slices] = voxels
    objects = np.zeros(surroundings.shape, bool)
    objects[place.slices] = volume.masks.any(axis=0)
    return Scene(replace(volume.image, data=surroundings), place, objects)


#: Gives the probabilities of a scene, and what else is to be told.
Way = Callable[[Scene], np.ndarray]


def _settings(**chosen: Any) -> PredictSettings:
    return PredictSettings(device="cpu", **{"statistics": "tile", **chosen})


def predicted(name: str, **chosen: Any) -> Way:
    """A prediction into a store, as the command makes it."""

    def way(scene: Scene) -> np.ndarray:
        own = chosen.get("region") == "embryo"
        settings = _settings(**{**chosen, "region": _ends(scene.place) if own else None})
        with TemporaryDirectory() as folder:
            path = Path(folder, "prediction.ome.zarr")
            for _ in predict_to_store(scene.image, _network(name), settings, path):
                pass
            return np.asarray(open_prediction(path).view())

    return way


def windows(scene: Scene) -> np.ndarray:
    """MONAI's sliding windows, blended; intensities of the suggested region."""
    from monai.inferers import sliding_window_inference

    network = _network(INSTANCE)
    settings = _settings(statistics="region")
    plan = drain(plan_prediction(scene.image, network, settings))
    values = torch.from_numpy(plan.prepared.read(Box.of_shape(plan.grid.padded_shape)))[None]
    with torch.inference_mode():
        module = network.module
        result = sliding_window_inference(values, WINDOW, 1, module, overlap=0.5, mode="gaussian")
    return torch.sigmoid(result)[0].numpy()[(slice(None), *(slice(n) for n in scene.image.shape))]


def _ends(box: Box) -> tuple[tuple[int, int], ...]:
    return tuple(zip(box.start, box.stop, strict=True))


_OPENED: dict[str, Network] = {}


def _network(name: str) -> Network:
    if name not in _OPENED:
        _OPENED[name] = open_network(name)
    return _OPENED[name]


#: Intensities are those of the suggested region unless it is said otherwise.
WAYS: dict[str, Way] = {
    **{
        f"each tile, core of {core}": predicted(INSTANCE, core=(core,) * 3, intensities="region")
        for core in (32, 64, 112)
    },
    "each window, MONAI 0.5 gaussian": windows,
    "whole image": predicted(INSTANCE, statistics="whole", intensities="region"),
    "whole image, its intensities": predicted(INSTANCE, statistics="whole"),
    "sample": predicted(INSTANCE, statistics="sample", intensities="region"),
    "region, suggested": predicted(INSTANCE, statistics="region"),
    "region, the embryo's box": predicted(INSTANCE, statistics="region", region="embryo"),
    "region, suggested; intensities of the whole image": predicted(
        INSTANCE, statistics="region", intensities="image"
    ),
    "BatchRenorm": predicted(RENORM, intensities="region"),
    "BatchRenorm, intensities of the whole image": predicted(RENORM),
}


def scored(scene: Scene, probabilities: np.ndarray) -> dict[str, Any]:
    """Dice of objects, and voxels of objects where there is no embryo."""
    found = (probabilities > 0.5).any(axis=0)
    outside = found.copy()
    outside[scene.place.slices] = False
    return {
        "dice": round(hard_dice(found.astype(float), scene.objects.astype(float)), 4),
        "invented": int(outside.sum()),
    }


#: What is drawn, and its title.
DRAWN = {
    "each tile, core of 64": "InstanceNorm, each tile by itself",
    "region, suggested": "the same network, statistics of one region",
}
#: Voxels to a pixel, edge between panels and height of titles in pixels, and the colours of objects.
COARSE, EDGE, TITLE = 2, 8, 26
FOUND, INVENTED = (90, 200, 250), (255, 80, 60)


def draw(path: Path) -> None:
    """Draw the sample volume in empty surroundings, and its objects by two ways; invented ones stand out."""
    from PIL import Image as Picture
    from PIL import ImageDraw, ImageFont

    sample = nuclei_volume()
    units = ("micrometer",) * 3
    image = Image(sample.image, "zyx", name=sample.name, voxel_size=sample.voxel_size, units=units)
    scene = placed(Volume(sample.name, image, sample.labels), times=9)
    light = np.asarray(scene.image.data).max(axis=0)[::COARSE, ::COARSE].astype(float)
    light = np.clip((light - light.min()) / (np.percentile(light, 99.8) - light.min()), 0, 1) ** 0.5
    grey = np.repeat((200 * light).astype("u1")[..., np.newaxis], 3, axis=2)
    panels = {"image, brightest voxel of each column": grey}
    for way, title in DRAWN.items():
        found = (WAYS[way](scene) > 0.5).any(axis=0)
        outside = found.copy()
        outside[scene.place.slices] = False
        colours = grey.copy()
        colours[found.any(axis=0)[::COARSE, ::COARSE]] = FOUND
        colours[outside.any(axis=0)[::COARSE, ::COARSE]] = INVENTED
        panels[title] = colours
    height, width = light.shape
    sheet = Picture.new("RGB", (len(panels) * (width + EDGE) - EDGE, height + TITLE), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (title, pixels) in enumerate(panels.items()):
        left = number * (width + EDGE)
        pen.text((left, 2), title, fill="black", font=font)
        sheet.paste(Picture.fromarray(pixels), (left, TITLE))
    sheet.save(path, optimize=True)


def main() -> None:
    """Print the table as it grows, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embryos", nargs="+", default=EMBRYOS)
    parser.add_argument("--times", nargs="+", type=int, default=TIMES)
    parser.add_argument("--ways", nargs="+", default=[""], help="words, one of which a way has to begin with")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--picture", type=Path, help="draw a picture to this file, and measure nothing")
    options = parser.parse_args()
    if options.picture:
        draw(options.picture)
        return
    rows: list[dict[str, Any]] = []
    for row in _rows(options):
        rows.append(row)
        print(row, flush=True)
        options.out.parent.mkdir(exist_ok=True, parents=True)
        options.out.write_text(json.dumps({"machine": about_machine(), "rows": rows}, indent=1) + "\n")


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for times in options.times:
        for name in options.embryos:
            scene = placed(embryo(name), times)
            for way, predict in WAYS.items():
                if way.startswith(tuple(options.ways)):
                    yield {"embryo": name, "times": times, "way": way, **scored(scene, predict(scene))}


if __name__ == "__main__":
    main()
