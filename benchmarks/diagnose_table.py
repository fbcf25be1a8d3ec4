"""Diagnose networks on a synthetic and on real volumes, beside another tool's blending, and time it.

    python benchmarks/diagnose_table.py [train] [tables] [blending] [overhead]

Writes ``benchmarks/results/diagnose.json``; without a part named, all run. Networks that are not shipped are
trained as the shipped ones are, for fewer steps, and kept in ``benchmarks/.cache``; ``batch`` has BatchNorm
at batch size 1 from beginning to end. Real volumes need ``TILESEG_DATA``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import function_regions, measure_mismatch, network_regions
from napari_tileseg.diagnosis.diagnosis import diagnose
from napari_tileseg.diagnosis.pairs.pair_plan import network_pairs
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import plan_prediction, predict
from napari_tileseg.samples import nuclei_volume
from napari_tileseg.settings import DiagnoseSettings, ImageSettings, PredictSettings
from napari_tileseg.tiling import Box

HERE = Path(__file__).parent
RESULTS, CACHE = HERE / "results" / "diagnose.json", HERE / ".cache"
SHIPPED = ("nuclei_3d_batch_renorm", "nuclei_3d_batch", "nuclei_3d_instance")
REAL = ("train_Emb01_t401", "train_Emb02_t501")
REAL_VOXEL_SIZE = (1.75, 0.8, 0.8)
#: Real volumes are 125 voxels wide: two tiles fit when moved by this much.
SHIFT = 16
STEPS = {"batch": 240, "identity": 240, "unetr": 160}
UNETR_SIZE = (32, 80, 80)
#: Of the sliding window: the read and overlap that its documentation starts from.
WINDOW, OVERLAP = (32, 96, 96), 0.25
CPU = PredictSettings(device="cpu", statistics="tile")
Cost: TypeAlias = dict[str, float]


def training_script() -> ModuleType:
    """The script that trains the shipped networks, as a module."""
    path = HERE.parent / "scripts" / "make_sample_networks.py"
    found = importlib.util.spec_from_file_location("make_sample_networks", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def architecture(name: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of an architecture that is not shipped."""
    if name != "unetr":
        channels = {"in_channels": 1, "out_channels": 2, "features": [8, 16, 32]}
        return "unet", {"ndim": 3, "norm": name, **channels}
    small = {"patch": 8, "hidden": 96, "heads": 4, "layers": 3, "mlp": 192, "features": 8}
    return "unetr", {
        "image_size": UNETR_SIZE,
        "in_channels": 1,
        "out_channels": 2,
        "norm": "batch_renorm",
        **small,
    }


def train(name: str) -> Path:
    """Train a network as the shipped ones are, unless it is there."""
    path = CACHE / f"{name}_{STEPS[name]}.safetensors"
    if path.exists():
        return path
    script = training_script()
    recipe = replace(script.RECIPES[0], steps=STEPS[name])
    if name == "unetr":
        recipe = replace(recipe, patch=UNETR_SIZE)
    training = script.Training(recipe)
    kind, arguments = architecture(name)
    torch.manual_seed(script.SEED)
    training.module = registry.build(kind, **arguments)
    training.optimizer = torch.optim.Adam(training.module.parameters(), lr=script.LEARNING_RATE / 3)
    training.run(0, recipe.steps, ramp=True)
    CACHE.mkdir(exist_ok=True)
    save_network(
        training.module.eval(),
        path,
        Description(
            architecture=kind,
            arguments=arguments,
            name=name,
            classes=script.CLASSES,
            activation="sigmoid",
            input_normalization=InputNormalization(
                kind="quantiles", low=script.QUANTILES[0], high=script.QUANTILES[1]
            ),
            voxel_size=nuclei_volume((4, 4, 4)).voxel_size,
        ),
    )
    return path


def networks() -> Iterator[tuple[str, Network]]:
    """Shipped networks, and those trained here."""
    for name in SHIPPED:
        yield name, open_network(f"sample:{name}")
    for name in STEPS:
        yield name, open_network(train(name))


def images() -> Iterator[tuple[str, Image, np.ndarray]]:
    """The synthetic sample volume, and real ones where there are any; each with its labels."""
    sample = nuclei_volume(seed=1)
    yield "sample volume", Image(sample.image, "zyx", voxel_size=sample.voxel_size), sample.labels
    folder = Path(os.environ.get("TILESEG_DATA", "")) / "bbbc050_mouse_embryo_3d"
    for name in REAL if folder.is_dir() else ():
        image = open_image(folder / "images" / f"{name}.tif", ImageSettings(voxel_size=REAL_VOXEL_SIZE))
        labels = open_image(folder / "labels" / f"{name}.tif")
        yield f"BBBC050 {name}", image, labels.read(Box.of_shape(labels.shape))[0]


def tables() -> dict[str, Any]:
    """Both indicators, the cause, and Dice, of each network on each image."""
    settings = DiagnoseSettings(shift=SHIFT, sample=4)
    found: dict[str, Any] = {}
    opened = list(networks())
    for image_name, image, labels in images():
        found[image_name] = {}
        for name, network in opened:
            values = drain(diagnose(image, network, CPU, settings, labels)).as_dict()
            kept = ("classes", "max_dice_mismatch", "max_abs_difference", "mean_abs_difference", "seam_free")
            also = ("pairs", "tile", "halo", "stride", "cause")
            shares = {each["name"]: each["share"] for each in values["causes"]}
            found[image_name][name] = {key: values[key] for key in (*kept, *also)} | {"shares": shares}
            worst = max(each["train_eval_disparity"] for each in values["classes"])
            print(
                f"{image_name}, {name}: largest difference {values['max_abs_difference']:.2g}, "
                f"largest 1 - Dice {values['max_dice_mismatch']:.2g}, disparity {worst:.4f}",
                flush=True,
            )
    return found


def blended(network: Network) -> Callable[[np.ndarray], np.ndarray]:
    """MONAI's sliding window with gaussian blending, on what the product gives to a network."""

    def run(voxels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            probabilities = sliding_window_inference(
                torch.from_numpy(np.ascontiguousarray(voxels))[None],
                WINDOW,
                1,
                lambda tile: torch.sigmoid(network.module(tile)),
                overlap=OVERLAP,
                mode="gaussian",
            )
        return np.asarray(probabilities[0])

    return run


def blending() -> dict[str, Any]:
    """Gaussian blending and ours, over the same pairs of regions of the same image."""
    found: dict[str, Any] = {}
    name, image, _ = next(images())
    for network_name in ("nuclei_3d_batch_renorm", "nuclei_3d_instance"):
        network = open_network(f"sample:{network_name}")
        plan = drain(plan_prediction(image, network, CPU, route=WHOLE_TILES))
        pairs = network_pairs(plan, shift=SHIFT * 4, sample=2)
        ways = {
            "gaussian blending": function_regions(plan.prepared, blended(network)),
            "ours": network_regions(plan),
        }
        found[network_name] = {"image": name, "window": WINDOW, "overlap": OVERLAP, "tile": pairs.tile}
        for way, regions in ways.items():
            values = drain(measure_mismatch(regions, pairs, plan.classes)).as_dict()
            kept = ("classes", "max_dice_mismatch", "max_abs_difference", "mean_abs_difference", "seam_free")
            found[network_name][way] = {key: values[key] for key in kept}
            print(f"{network_name}, {way}: largest difference {values['max_abs_difference']:.2g}", flush=True)
    return found


def overhead(times: int = 3) -> dict[str, Any]:
    """Cost of a sampled diagnosis, and of predicting the same image once, one after the other.

    The ratio is that of the least processor seconds, on one thread: unlike those of a clock, they leave out
    what else the machine is doing, and threads that wait for each other.
    """
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    sample = nuclei_volume((64, 512, 512), seed=1)
    image = Image(sample.image, "zyx", voxel_size=sample.voxel_size)
    for name in ("nuclei_3d_batch_renorm", "nuclei_3d_instance"):
        network = open_network(f"sample:{name}")
        costs: dict[str, list[Cost]] = {"diagnosis": [], "prediction": []}
        for _ in range(times):
            diagnosed, cost = measured(partial(drain, diagnose(image, network, CPU, DiagnoseSettings())))
            costs["diagnosis"].append(cost)
            lazy = predict(image, network, CPU)
            costs["prediction"].append(measured(partial(lazy.compute, scheduler="synchronous"))[1])
        least = {what: min(cost["processor_seconds"] for cost in all_of) for what, all_of in costs.items()}
        ratio = least["diagnosis"] / least["prediction"]
        found[name] = {
            **costs,
            "ratio": ratio,
            "voxels_ratio": diagnosed.voxels / diagnosed.image_voxels,
            "pairs": diagnosed.mismatch.pairs,
        }
        print(f"{name}: a diagnosis takes {ratio:.3f} of a prediction", flush=True)
    return found


def measured(work: Callable[[], Any]) -> tuple[Any, Cost]:
    """Result of some work, and its seconds by the clock and of processors."""
    begun, busy = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": time.process_time() - busy,
    }


def machine() -> dict[str, Any]:
    """Where this was measured."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "tables": tables,
    "blending": blending,
    "overhead": overhead,
}


def main() -> None:
    """Run the parts that are asked for, and replace their results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of train, {', '.join(PARTS)}")
    given = parser.parse_args().parts or list(PARTS)
    if "train" in given:
        for name in STEPS:
            print(f"{name}: {train(name)}", flush=True)
    for part in [part for part in PARTS if part in given]:
        values = PARTS[part]()
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results |= {part: values, "machine": machine()}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
