"""Objects found and invented in mostly empty images, by the way that statistics and intensities are had.

    python benchmarks/empty_surroundings.py [--images NAME ...] [--times N ...] [--networks NAME[=PATH] ...]
        [--ways WAY ...] [--missing]

Embryos and an ovule that no network here has seen are placed in the middle of an image of as many times their
area, filled with background drawn from their own dark voxels, and predicted as the command predicts. An
object is where a class other than background is above one half; Dice is that of objects over the whole
image; invented are voxels of objects outside of the box of what was placed; of networks with running
statistics, disparity is measured as well. It prints rows, and puts each
into ``benchmarks/results/empty_surroundings.json`` in place of one of the same name; with ``--missing`` only
those are measured that are not there. With ``--picture FILE`` it draws what two ways make of the sample
volume that comes with the package.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import about_machine
from surroundings import (
    IMAGES,
    SHIPPED,
    SUBJECTS,
    Scene,
    Subject,
    placed,
    sample_volume,
    subject_of,
    volume_of,
)

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import diagnose
from napari_tileseg.labels import hard_dice
from napari_tileseg.nets import Network
from napari_tileseg.prediction import open_prediction, plan_prediction, predict_to_store
from napari_tileseg.samples import nuclei_volume
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box

RESULT = Path(__file__).parent / "results" / "empty_surroundings.json"
TIMES = (1, 3, 9)
#: Windows of MONAI's sliding inference.
WINDOW = (48, 96, 96)
#: What a row is known by.
KEY = ("image", "network", "times", "way")
#: Gives the probabilities of a scene.
Way = Callable[[Scene, Network], np.ndarray]


def _settings(**chosen: Any) -> PredictSettings:
    return PredictSettings(device="cpu", **{"statistics": "tile", **chosen})


def predicted(*, own: bool = False, **chosen: Any) -> Way:
    """A prediction into a store, as the command makes it; `own` names the region: what was placed."""

    def way(scene: Scene, network: Network) -> np.ndarray:
        settings = _settings(**chosen, region=_ends(scene.place) if own else None)
        with TemporaryDirectory() as folder:
            path = Path(folder, "prediction.ome.zarr")
            for _ in predict_to_store(scene.image, network, settings, path):
                pass
            return np.asarray(open_prediction(path).view())

    return way


def windows(scene: Scene, network: Network) -> np.ndarray:
    """MONAI's sliding windows, blended; intensities of the suggested region."""
    from monai.inferers import sliding_window_inference

    plan = drain(plan_prediction(scene.image, network, _settings(statistics="region")))
    values = torch.from_numpy(plan.prepared.read(Box.of_shape(plan.grid.padded_shape)))[None]
    with torch.inference_mode():
        module = network.module
        result = sliding_window_inference(values, WINDOW, 1, module, overlap=0.5, mode="gaussian")[0]
    shares = result.softmax(0) if network.spec.activation == "softmax" else result.sigmoid()
    return shares.numpy()[(slice(None), *(slice(n) for n in scene.image.shape))]


def _ends(box: Box) -> tuple[tuple[int, int], ...]:
    return tuple(zip(box.start, box.stop, strict=True))


#: With networks that compute something over space. Intensities are those of the suggested region unless it is
#: said otherwise.
OVER_SPACE: dict[str, Way] = {
    **{
        f"each tile, core of {core}": predicted(core=(core,) * 3, intensities="region")
        for core in (32, 64, 112)
    },
    "each window, MONAI 0.5 gaussian": windows,
    "whole image": predicted(statistics="whole", intensities="region"),
    "whole image, its intensities": predicted(statistics="whole"),
    "sample": predicted(statistics="sample", intensities="region"),
    "region, suggested": predicted(statistics="region"),
    "region, its own box": predicted(statistics="region", own=True),
    "region, suggested; intensities of the whole image": predicted(statistics="region", intensities="image"),
}
#: With those that do not: where intensities are measured.
INTENSITIES = {"running statistics": "region", "running statistics, intensities of the whole image": "image"}
RUNNING: dict[str, Way] = {way: predicted(intensities=each) for way, each in INTENSITIES.items()}
#: Core of the tiles that disparity is measured on.
CORE = 64


def scored(scene: Scene, probabilities: np.ndarray, network: Network) -> dict[str, Any]:
    """Dice of objects, and voxels of objects where nothing was placed."""
    found = np.zeros(scene.objects.shape, bool)
    for name, values in zip(network.spec.classes, probabilities, strict=True):
        if name != "background":
            found |= values > 0.5
    outside = found.copy()
    outside[scene.place.slices] = False
    return {
        "dice": round(hard_dice(found.astype("f4"), scene.objects.astype("f4")), 4),
        "invented": int(outside.sum()),
    }


def disparity(scene: Scene, network: Network, intensities: str) -> dict[str, float]:
    """How differently each class is predicted with a tile's statistics and the running ones, as diagnosed."""
    settings = _settings(core=(CORE,) * 3, intensities=intensities)
    found = drain(diagnose(scene.image, network, settings, DiagnoseSettings())).disparity.classes
    return {each.name: round(each.train_eval_disparity, 4) for each in found}


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

    scene, network = placed(sample_volume(nuclei_volume()), times=9), SHIPPED[0].open()
    light = np.asarray(scene.image.data).max(axis=0)[::COARSE, ::COARSE].astype(float)
    light = np.clip((light - light.min()) / (np.percentile(light, 99.8) - light.min()), 0, 1) ** 0.5
    grey = np.repeat((200 * light).astype("u1")[..., np.newaxis], 3, axis=2)
    panels = {"image, brightest voxel of each column": grey}
    for way, title in DRAWN.items():
        found = (OVER_SPACE[way](scene, network) > 0.5).any(axis=0)
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


class Table:
    """Rows of a file, each known by `KEY`.

    Parameters
    ----------
    path : Path
        The file; what it holds already is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = json.loads(path.read_text())["rows"] if path.exists() else []
        self._rows = {self._key(row): row for row in rows}

    def __contains__(self, row: dict[str, Any]) -> bool:
        return self._key(row) in self._rows

    def add(self, row: dict[str, Any]) -> None:
        """Put a row in, in place of one of the same name, and write the file."""
        self._rows[self._key(row)] = row
        rows = sorted(self._rows.values(), key=_order)
        self._path.parent.mkdir(exist_ok=True, parents=True)
        self._path.write_text(json.dumps({"machine": about_machine(), "rows": rows}, indent=1) + "\n")

    @staticmethod
    def _key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in KEY)


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    """Where a row belongs: what is known in the order of this module, and others by name at the end."""
    known = {
        "network": [each.name for each in SUBJECTS],
        "image": IMAGES,
        "times": (),
        "way": (*OVER_SPACE, *RUNNING),
    }
    places = [
        (each.index(row[name]) if row[name] in each else len(each), row[name]) for name, each in known.items()
    ]
    return tuple(places)


def main() -> None:
    """Print rows as they are measured, and keep them."""
    ways = [*OVER_SPACE, *RUNNING]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="+", default=IMAGES)
    parser.add_argument("--times", nargs="+", type=int, default=TIMES)
    parser.add_argument("--networks", nargs="+", default=[each.name for each in SHIPPED])
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways, metavar="WAY")
    parser.add_argument("--missing", action="store_true", help="leave out what the file has")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--picture", type=Path, help="draw a picture to this file, and measure nothing")
    options = parser.parse_args()
    if options.picture:
        draw(options.picture)
        return
    table = Table(options.out)
    for subject in map(subject_of, options.networks):
        network = subject.open()
        for row in _asked(subject, network, options):
            if not (options.missing and row in table):
                row |= _measured(row, network)
                print(row, flush=True)
                table.add(row)


def _asked(subject: Subject, network: Network, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    ways = [way for way in _ways_of(network) if way in options.ways]
    images = [name for name in options.images if name not in subject.seen]
    for times, name, way in product(options.times, images, ways):
        yield {"image": name, "network": subject.name, "times": times, "way": way}


def _ways_of(network: Network) -> dict[str, Way]:
    return RUNNING if network.spec.seam_free else OVER_SPACE


def _measured(row: dict[str, Any], network: Network) -> dict[str, Any]:
    scene, way = placed(volume_of(row["image"]), row["times"]), row["way"]
    found = scored(scene, _ways_of(network)[way](scene, network), network)
    if way in INTENSITIES:
        found["disparity"] = disparity(scene, network, INTENSITIES[way])
    return found


if __name__ == "__main__":
    main()
