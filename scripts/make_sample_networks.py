"""Train the sample networks that napari-tileseg ships, from synthetic images with fixed seeds.

    python scripts/make_sample_networks.py [NAME ...]

Writes ``src/napari_tileseg/samples/networks/NAME.safetensors``, all of them by default, and their scores to
``benchmarks/results/sample_networks.json``. Scores on real volumes need ``TILESEG_DATA``. The weights depend
on nothing but this script and the number of threads, which is fixed to two.

Networks that see the same images share what is the same in their training. Batch renormalization starts as
batch normalization, which at batch size 1 is in training the same as instance normalization: their first half
is one. Batch normalization alone would be of no use in evaluation here, since empty and full patches have too
different statistics; its network goes on from that of batch renormalization, which is finished once more, for
`BATCH_STEPS` steps of plain batch normalization at batch size 1, until training and evaluation differ.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.images.image import Image
from napari_tileseg.labels import classes_from_instances
from napari_tileseg.nets import Description, Network, open_network, save_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.norm_layers import BatchRenorm
from napari_tileseg.nets.spec import InputNormalization
from napari_tileseg.prediction import predict as tiled_prediction
from napari_tileseg.samples import Sample, cells_image, nuclei_volume, sample_networks
from napari_tileseg.settings import PredictSettings

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "sample_networks.json"
SEED = 2026
FIRST_TRAINING_SEED = 100
UNSEEN_SEEDS = (0, 1, 2, 3)
QUANTILES = (1.0, 99.8)
CLASSES = ("foreground", "boundary")
LEARNING_RATE = 3e-3
ACCUMULATED = 2
EMPTY_SHARE = 0.3
FINISHING_STEPS = 60
BATCH_STEPS = 20
#: Context around tiles, at least what this U-Net needs.
HALO = 24
#: Ends of the ramps of batch renormalization (Ioffe 2017), from half to three quarters of the run.
R_MAX, D_MAX = 3.0, 5.0
REAL_VOLUMES = ("train_Emb01_t401", "train_Emb02_t501", "train_Emb08_t401")


@dataclass(frozen=True)
class Recipe:
    """How the networks for one kind of image are made."""

    make: Callable[..., Sample]
    image: tuple[int, ...]
    patch: tuple[int, ...]
    samples: int
    steps: int
    entropy: float
    networks: dict[str, str]

    @property
    def training_seeds(self) -> range:
        """Return the seeds of the samples that networks are trained on."""
        return range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + self.samples)

    def steps_of(self, norm: str) -> int:
        """Count all steps that a network with this normalization has taken."""
        extra = FINISHING_STEPS + BATCH_STEPS if norm == "batch" else 0
        return self.steps + FINISHING_STEPS + extra

    def arguments(self, norm: str) -> dict[str, object]:
        """Return the arguments of the architecture."""
        ndim = len(self.image)
        return {"ndim": ndim, "in_channels": 1, "out_channels": 2, "features": [8, 16, 32], "norm": norm}


RECIPES = (
    Recipe(
        nuclei_volume,
        (48, 128, 128),
        (16, 48, 48),
        32,
        480,
        1.0,
        {f"nuclei_3d_{norm}": norm for norm in ("batch_renorm", "instance", "batch")},
    ),
    Recipe(cells_image, (512, 512), (128, 128), 16, 400, 0.2, {"cells_2d_batch_renorm": "batch_renorm"}),
)


@dataclass(frozen=True)
class Pair:
    """An image as a network sees it, ``(1, *shape)``, and its classes, ``(2, *shape)``."""

    image: Tensor
    classes: Tensor


def as_pair(image: np.ndarray, labels: np.ndarray) -> Pair:
    """Normalize by quantiles of the whole image, and turn instances into classes."""
    low, high = np.percentile(image, QUANTILES)
    scaled = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    classes = np.stack(classes_from_instances(labels)).astype(np.float32)
    return Pair(torch.from_numpy(scaled)[None], torch.from_numpy(classes))


def patches(recipe: Recipe, pairs: list[Pair], rng: np.random.Generator) -> Iterator[Pair]:
    """Yield flipped patches without end, a share of them empty, so that their statistics differ."""
    while True:
        wants_empty = rng.random() < EMPTY_SHARE
        for _ in range(20):
            pair = pairs[rng.integers(len(pairs))]
            starts = [int(rng.integers(n - p + 1)) for n, p in zip(recipe.image, recipe.patch, strict=True)]
            box = (slice(None), *(slice(s, s + p) for s, p in zip(starts, recipe.patch, strict=True)))
            filled = float(pair.classes[box].sum()) / math.prod(recipe.patch)
            if (filled < 0.01) if wants_empty else (filled > 0.03):
                break
        flips = [axis + 1 for axis in range(len(recipe.patch)) if rng.random() < 0.5]
        yield Pair(pair.image[box].flip(flips), pair.classes[box].flip(flips))


def loss_of(logits: Tensor, classes: Tensor, weight: float) -> Tensor:
    """Add the Dice loss with squared terms over the classes that occur, and `weight` times cross entropy.

    Cross entropy alone counts in patches without any object. In flat images much of it would keep the
    boundary, whose place is uncertain by about its width, below one half everywhere.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, classes)
    predicted, wanted = torch.sigmoid(logits).flatten(1), classes.flatten(1)
    dice = 2 * (predicted * wanted).sum(1) / ((predicted**2).sum(1) + wanted.sum(1) + 1e-6)
    occurs = wanted.sum(1) > 0
    return weight * entropy + (1 - dice[occurs]).mean() if occurs.any() else entropy


def set_ramp(module: nn.Module, progress: float) -> None:
    """Let batch renormalization correct more, from half to three quarters of the run."""
    risen = min(1.0, max(0.0, 4 * progress - 2))
    for layer in module.modules():
        if isinstance(layer, BatchRenorm):
            layer.r_max, layer.d_max = 1 + (R_MAX - 1) * risen, D_MAX * risen


class Training:
    """Training at batch size 1, with gradients accumulated and the learning rate falling along a cosine."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(SEED)
        samples = [recipe.make(recipe.image, seed) for seed in recipe.training_seeds]
        self.recipe = recipe
        self.pairs = [as_pair(sample.image, sample.labels) for sample in samples]
        self.module = registry.build("unet", **recipe.arguments("batch_renorm"))
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE)

    def run(self, start: int, stop: int, *, ramp: bool) -> None:
        """Take the steps from `start` to `stop`; without `ramp`, BatchRenorm stays batch normalization."""
        stream = self._stream(start)
        for step in range(start, stop):
            progress = step / self.recipe.steps
            set_ramp(self.module, progress if ramp else 0.0)
            self._step(stream, LEARNING_RATE * (0.02 + 0.49 * (1 + math.cos(math.pi * progress))), step)

    def finish(self, steps: int, *, ramp: bool, after: int = 0) -> None:
        """Take further steps with a fresh optimizer, at a lower learning rate that falls again.

        `after` is the number of further steps taken before: it draws other patches.
        """
        stream = self._stream(self.recipe.steps + after)
        self.optimizer = torch.optim.Adam(self.module.parameters())
        set_ramp(self.module, 1.0 if ramp else 0.0)
        for step in range(steps):
            rate = LEARNING_RATE / 4 * (1 + math.cos(math.pi * step / steps))
            self._step(stream, rate, self.recipe.steps + after + step)

    def _stream(self, seed: int) -> Iterator[Pair]:
        self.module.train()
        return patches(self.recipe, self.pairs, np.random.default_rng((SEED, seed)))

    def _step(self, stream: Iterator[Pair], rate: float, step: int) -> None:
        self.optimizer.param_groups[0]["lr"] = rate
        total = 0.0
        for pair in itertools.islice(stream, ACCUMULATED):
            logits = self.module(pair.image[None])[0]
            loss = loss_of(logits, pair.classes, self.recipe.entropy) / ACCUMULATED
            loss.backward()
            total += loss.item()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if step % 20 == 19:
            print(f"step {step + 1}, loss {total:.3f}", flush=True)


def train(recipe: Recipe) -> Iterator[tuple[str, nn.Module]]:
    """Yield normalization and network: batch renormalization, then instance normalization if asked."""
    half = recipe.steps // 2
    renormalized = Training(recipe)
    renormalized.run(0, half, ramp=False)
    plain = deepcopy(renormalized)
    renormalized.run(half, recipe.steps, ramp=True)
    renormalized.finish(FINISHING_STEPS, ramp=True)
    yield "batch_renorm", renormalized.module.eval()
    if "instance" in recipe.networks.values():
        plain.run(half, recipe.steps, ramp=False)
        plain.finish(FINISHING_STEPS, ramp=False)
        module = registry.build("unet", **recipe.arguments("instance"))
        module.load_state_dict(dict(plain.module.named_parameters()))
        yield "instance", module.eval()


def train_batch(recipe: Recipe, renormalized: nn.Module) -> nn.Module:
    """Finish a network with batch renormalization once more, and continue with batch normalization."""
    training = Training(recipe)
    training.module.load_state_dict(renormalized.state_dict())
    training.finish(FINISHING_STEPS, ramp=True, after=FINISHING_STEPS)
    training.finish(BATCH_STEPS, ramp=False)
    module = registry.build("unet", **recipe.arguments("batch"))
    module.load_state_dict(training.module.state_dict())
    return module.eval()


def in_train_mode(module: nn.Module) -> nn.Module:
    """Copy a network, with normalization layers that use the statistics of the batch and track none."""
    copy = deepcopy(module)
    for layer in copy.modules():
        if isinstance(layer, (BatchRenorm, nn.modules.batchnorm._BatchNorm)):
            layer.train()
            layer.momentum = 0.0
    return copy


@torch.inference_mode()
def predict(module: nn.Module, image: Tensor) -> Tensor:
    """Predict ``(2, *shape)`` of the whole image, padded at its far end to a multiple of four."""
    padding = [n for size in image.shape[:0:-1] for n in (0, -size % 4)]
    padded = functional.pad(image[None], padding, mode="reflect")
    crop = tuple(slice(n) for n in image.shape[1:])
    return torch.sigmoid(module(padded))[0][(slice(None), *crop)]


def predict_tiles(module: nn.Module, image: Tensor, tile: tuple[int, ...]) -> Tensor:
    """Predict tile by tile without context, as the network was trained."""
    result = torch.zeros(2, *image.shape[1:])
    counts = [range(0, n, t) for n, t in zip(image.shape[1:], tile, strict=True)]
    for starts in np.stack(np.meshgrid(*counts, indexing="ij"), -1).reshape(-1, len(tile)).tolist():
        box = (slice(None), *(slice(s, s + t) for s, t in zip(starts, tile, strict=True)))
        result[box] = predict(module, image[box])
    return result


def dice(one: Tensor, other: Tensor) -> float:
    """Compute the Dice of two masks, or of probabilities with squared terms; 1 where both are empty."""
    total = float((one.float() ** 2).sum() + (other.float() ** 2).sum())
    return 2 * float((one.float() * other.float()).sum()) / total if total else 1.0


def class_scores(probabilities: Tensor, classes: Tensor) -> dict[str, float]:
    """Compute the Dice of each class at a threshold of one half, and of whole objects."""
    found = probabilities > 0.5
    scores = {name: dice(f, c) for name, f, c in zip(CLASSES, found, classes, strict=True)}
    scores["object"] = dice(probabilities.amax(0) > 0.5, classes.amax(0))
    return {name: round(score, 4) for name, score in scores.items()}


def score_synthetic(recipe: Recipe, module: nn.Module, seed: int) -> dict[str, object]:
    """Score on the sample of an unseen seed, in its default shape; measure the train/eval disparity on it."""
    sample = recipe.make(seed=seed)
    pair = as_pair(sample.image, sample.labels)
    evaluated = predict_tiles(module, pair.image, recipe.patch)
    trained = predict_tiles(in_train_mode(module), pair.image, recipe.patch)
    return {
        "whole": class_scores(predict(module, pair.image), pair.classes),
        "eval_tiles": class_scores(evaluated, pair.classes),
        "train_tiles": class_scores(trained, pair.classes),
        "disparity": {
            name: round(1 - dice(a > 0.5, b > 0.5), 4)
            for name, a, b in zip(CLASSES, evaluated, trained, strict=True)
        },
    }


def score_real(module: nn.Module, folder: Path) -> dict[str, object]:
    """Score on real volumes, beside a Gaussian blur and an Otsu threshold."""
    scores: dict[str, object] = {}
    for name in REAL_VOLUMES:
        image = tifffile.imread(folder / "images" / f"{name}.tif")
        pair = as_pair(image, tifffile.imread(folder / "labels" / f"{name}.tif"))
        blurred = ndimage.gaussian_filter(image.astype(np.float32), 1)
        objects = blurred > threshold_otsu(blurred)
        otsu = torch.from_numpy(np.stack(classes_from_instances(objects.astype(np.uint8))).astype(np.float32))
        scores[name] = {
            "network": class_scores(predict(module, pair.image), pair.classes),
            "otsu": class_scores(otsu, pair.classes),
        }
    return scores


def score_tiles(recipe: Recipe, network: Network) -> float:
    """Measure the largest difference of a prediction in tiles, with halo, from that of the whole image."""
    sample = recipe.make(recipe.image, UNSEEN_SEEDS[0])
    image = Image(sample.image, "zyx"[-sample.image.ndim :], voxel_size=sample.voxel_size)
    tile = tuple(n // 4 for n in recipe.image)
    settings = PredictSettings(core=tile, halo=((HALO, HALO),) * len(tile), device="cpu")
    tiled = tiled_prediction(image, network, settings).compute(scheduler="synchronous")
    whole = predict(network.module, as_pair(sample.image, sample.labels).image).numpy()
    return float(np.abs(tiled - whole).max())


def report(recipe: Recipe, name: str) -> dict[str, object]:
    """Measure one network, as the package opens it."""
    path = path_of(name)
    network = open_network(path)
    module = deepcopy(network.module)
    set_ramp(module, 1.0)
    scores: dict[str, object] = {
        "steps": recipe.steps_of(recipe.networks[name]),
        "bytes": path.stat().st_size,
        "parameters": network.spec.parameters,
        "unseen_seeds": {str(seed): score_synthetic(recipe, module, seed) for seed in UNSEEN_SEEDS},
        "largest_tiled_difference": round(score_tiles(recipe, network), 7),
    }
    real = Path(os.environ.get("TILESEG_DATA", "")) / "bbbc050_mouse_embryo_3d"
    if len(recipe.image) == 3 and real.is_dir():
        scores["bbbc050"] = score_real(module, real)
    return scores


def path_of(name: str) -> Path:
    """Return the file of a sample network."""
    return {network.name: network.path for network in sample_networks()}[name]


def save(recipe: Recipe, name: str, module: nn.Module) -> None:
    """Write a network where the package looks for it."""
    path = path_of(name)
    path.parent.mkdir(exist_ok=True)
    save_network(
        module,
        path,
        Description(
            architecture="unet",
            arguments=recipe.arguments(recipe.networks[name]),
            name={n.name: n.title for n in sample_networks()}[name],
            classes=CLASSES,
            activation="sigmoid",
            input_normalization=InputNormalization(kind="quantiles", low=QUANTILES[0], high=QUANTILES[1]),
            voxel_size=recipe.make((4,) * len(recipe.image)).voxel_size,
            provenance={
                "script": f"scripts/{Path(__file__).name}",
                "seed": SEED,
                "training_seeds": list(recipe.training_seeds),
                "steps": recipe.steps_of(recipe.networks[name]),
                "patch": recipe.patch,
                "images": f"{recipe.make.__name__} of {recipe.image} voxels",
            },
        ),
    )


def write_report(name: str, scores: dict[str, object]) -> None:
    """Replace what the results say of one network."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(results | {name: scores}, indent=2, sort_keys=True) + "\n")


def make(recipe: Recipe, names: set[str]) -> None:
    """Train and save those networks of a recipe that are among `names`."""
    by_norm = {norm: name for name, norm in recipe.networks.items()}
    if names & {by_norm.get("batch_renorm"), by_norm.get("instance")}:
        for norm, module in train(recipe):
            save(recipe, by_norm[norm], module)
    if by_norm.get("batch") in names:
        start = open_network(path_of(by_norm["batch_renorm"])).module
        save(recipe, by_norm["batch"], train_batch(recipe, start))


def main() -> None:
    """Train, save and score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [name for recipe in RECIPES for name in recipe.networks]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--only-score", action="store_true", help="score the networks that are there")
    given = parser.parse_args()
    names = set(given.names or known)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    for recipe in RECIPES:
        if not given.only_score:
            make(recipe, names)
        for name in [name for name in recipe.networks if name in names]:
            write_report(name, report(recipe, name))
            print(f"scores of {name} are written", flush=True)


if __name__ == "__main__":
    main()
