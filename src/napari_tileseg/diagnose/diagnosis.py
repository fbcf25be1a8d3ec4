"""The whole diagnosis of an image and a network: how much tiles disagree, why, and what to do."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_tileseg._types import Array
from napari_tileseg.diagnose.audit import Audit, Audited, audit, inspect
from napari_tileseg.diagnose.cut import Cut
from napari_tileseg.diagnose.disparity import (
    Disparity,
    DisparityMeasured,
    measure_disparity,
    switch_of,
    with_batch_statistics,
)
from napari_tileseg.diagnose.events import PairDone, TileCompared
from napari_tileseg.diagnose.findings import ClassDiagnosis, Diagnosed, Diagnosis
from napari_tileseg.diagnose.mismatch import Measured, Mismatch, measure_mismatch
from napari_tileseg.diagnose.moments import Records, watch, watched_layers
from napari_tileseg.diagnose.pairs import PairPlan, network_pairs
from napari_tileseg.diagnose.quality import compare_with_labels
from napari_tileseg.diagnose.regions import RegionPredictor, network_regions
from napari_tileseg.diagnose.statistics import TileStatistics, summarize
from napari_tileseg.diagnose.working import Clock, Working
from napari_tileseg.engine import Lattice
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.masks import class_masks, instance_masks
from napari_tileseg.predict.events import Progress
from napari_tileseg.predict.plan import Plan, measure_plan
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from torch import nn

from napari_tileseg.nets.network import Network

__all__ = ["ClassDiagnosis", "DiagnoseEvent", "Diagnosed", "Diagnosis", "diagnose"]
#: Parts of the effort that pairs and disparity may take; the audit gets what is left.
_FOR_PAIRS, _FOR_DISPARITY = 0.5, 0.25
#: Disparity from which on running statistics do not fit.
DISPARITY = 0.05


DiagnoseEvent: TypeAlias = Progress | PairDone | TileCompared | Working | Diagnosed


def diagnose(
    image: Image,
    network: Network,
    predict_settings: PredictSettings | None = None,
    settings: DiagnoseSettings | None = None,
    labels: Array | None = None,
    *,
    values: Mapping[str, int] | None = None,
    cut: Cut | None = None,
) -> Iterator[DiagnoseEvent]:
    """Diagnose a prediction without making it.

    Closing the iterator stops it after the current tile.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    predict_settings : PredictSettings, optional
        How it is, or would be, predicted: just that is diagnosed.
    settings : DiagnoseSettings, optional
        How it is diagnosed.
    labels : ndarray, optional
        What is right: objects, numbered from 1, or, with `values`, classes, over the image's grid axes; or
        boolean masks ``(classes, *grid axes)``.
    values : mapping of str to int, optional
        Value of each class in the labels.
    cut : Cut, optional
        How the image is really cut into tiles, where another tool does so.

    Yields
    ------
    DiagnoseEvent
        What goes on, and `Diagnosed` at the end.

    Raises
    ------
    ImageError
        If the image is too small for two tiles, or the labels do not fit it.
    NetworkError, SettingsError, DeviceError
        As `make_plan`, and if a prediction is NaN.
    """
    settings = settings or DiagnoseSettings()
    plan = yield from measure_plan(image, network, predict_settings or PredictSettings())
    masks = _masks(labels, values, plan)
    budget = _Budget(plan, settings)
    pairs = _plan_pairs(plan, network, settings, budget)
    mismatch, statistics = yield from _compare(plan, network, pairs, settings)
    boxes = _boxes(pairs, budget)
    disparity = yield from _ending(
        measure_disparity(plan, network, boxes, threshold=settings.threshold), DisparityMeasured, "disparity"
    )
    budget.spend(2 * boxes[: disparity.tiles])
    dice = (yield from _dice(plan, network, boxes, masks, settings)) if masks is not None else None
    why = yield from _explain(plan, network, cut, mismatch, settings, budget)
    yield Diagnosed(
        Diagnosis(
            image=image.name,
            network=network.spec.name,
            classes=_classes(mismatch, disparity, dice),
            mismatch=mismatch,
            disparity=disparity,
            statistics=statistics,
            audit=_with_disparity(why, disparity),
            labelled=masks is not None,
            voxels=budget.spent + why.voxels,
            image_voxels=budget.image,
        )
    )


class _Budget:
    """Voxels that a diagnosis may put through the network."""

    def __init__(self, plan: Plan, settings: DiagnoseSettings) -> None:
        self.image = plan.grid.covered.size
        self.allowed = int(settings.effort * self.image)
        self.spent = 0

    def spend(self, boxes: Sequence[Box]) -> None:
        """Note boxes that were predicted."""
        self.spent += sum(box.size for box in boxes)

    @property
    def left(self) -> int:
        """What has not been spent."""
        return max(0, self.allowed - self.spent)


def _plan_pairs(plan: Plan, network: Network, settings: DiagnoseSettings, budget: _Budget) -> PairPlan:
    fixed = Lattice.of(network.spec, plan.grid.ndim).fixed

    def draw(count: int | None) -> PairPlan:
        return network_pairs(plan, shift=settings.shift, sample=count, seed=settings.seed, fixed=fixed)

    if settings.everything:
        pairs = draw(None)
    elif settings.sample is not None:
        pairs = draw(settings.sample)
    else:
        tile = prod(draw(1).tile)
        pairs = draw(max(1, int(_FOR_PAIRS * budget.allowed / (2 * tile))))
    budget.spend([box for pair in pairs.pairs for box in (pair.first, pair.second)])
    return pairs


def _boxes(pairs: PairPlan, budget: _Budget) -> tuple[Box, ...]:
    """Tiles for the disparity: first tiles of pairs, as many as its part of the effort allows."""
    tiles = pairs.tiles
    count = int(_FOR_DISPARITY * budget.allowed / (2 * tiles[0].size))
    return tiles[: max(1, count)]


def _compare(
    plan: Plan, network: Network, pairs: PairPlan, settings: DiagnoseSettings
) -> Generator[PairDone, None, tuple[Mismatch, TileStatistics]]:
    """Compare pairs, and look at the layers while at it."""
    layers = watched_layers(network.module)
    module: nn.Module | None = None
    records: Records = {}
    if layers:
        module, records = watch(network.module, layers)
    regions = network_regions(plan, network, module=module)
    mismatch = yield from _ending(
        measure_mismatch(regions, pairs, plan.classes, threshold=settings.threshold), Measured, "mismatch"
    )
    tiles = max((len(record) for record in records.values()), default=0)
    return mismatch, summarize(network.module, records, tiles)


def _ending(events: Iterator[Any], last: type, name: str) -> Generator[Any, None, Any]:
    """Pass events on, but for the last one, which holds the result under `name`."""
    for event in events:
        if isinstance(event, last):
            return getattr(event, name)
        yield event
    raise AssertionError("a measurement ends with its result")


def _masks(
    labels: Array | None, values: Mapping[str, int] | None, plan: Plan
) -> npt.NDArray[np.bool_] | None:
    shape = plan.tiles.image.shape
    if labels is None:
        return None
    if values is not None:
        return class_masks(labels, plan.classes, values, shape)
    if labels.dtype == np.bool_ and labels.ndim == len(shape) + 1:
        if labels.shape == (len(plan.classes), *shape):
            return labels
        raise ImageError(
            f"Masks should be of {(len(plan.classes), *shape)}, one for each class; got {labels.shape}. "
            "Take those of this image."
        )
    return instance_masks(labels, plan.classes, shape)


def _dice(
    plan: Plan,
    network: Network,
    boxes: Sequence[Box],
    masks: npt.NDArray[np.bool_],
    settings: DiagnoseSettings,
) -> Generator[Working, None, list[tuple[float, float | None]]]:
    """Dice with the labels of each class in both modes, over the voxels of all tiles."""
    switch = switch_of(network.module)
    modes: list[RegionPredictor] = [network_regions(plan, network)]
    if switch.switchable and switch.layers:
        modes.append(network_regions(plan, network, module=with_batch_statistics(network.module)))
    parts = [box.clip(plan.grid.box) for box in boxes]
    clock = Clock("Comparing with labels", len(modes) * len(boxes))
    wanted = _flat([masks[(slice(None), *part.slices)] for part in parts])
    found = []
    for regions in modes:
        values = []
        for box, part in zip(boxes, parts, strict=True):
            values.append(regions(box)[(slice(None), *part.within(box))])
            yield clock.step()
        found.append(_flat(values))
    quality = compare_with_labels(wanted, *found, threshold=settings.threshold)
    alike = quality.dice_eval if switch.switchable else (None,) * len(plan.classes)
    return list(zip(quality.dice_eval, quality.dice_train or alike, strict=True))


def _flat(parts: Sequence[Array]) -> Array:
    """All voxels of several boxes in one line: ``(classes, voxels)``."""
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _explain(
    plan: Plan,
    network: Network,
    cut: Cut | None,
    mismatch: Mismatch,
    settings: DiagnoseSettings,
    budget: _Budget,
) -> Generator[Working, None, Audit]:
    """Find the cause, where there is something to explain."""
    if mismatch.seam_free and cut is None:
        return Audit(
            causes=(),
            cause=f"Tiles agree: the largest difference in {_counted(mismatch.pairs)} is "
            f"{mismatch.max_abs_difference:.1g}, no more than rounding.",
            cure="Nothing needs to be done.",
            seam_free=True,
        )
    known = inspect(network.spec, network.module)
    if not settings.explain:
        return known
    found = yield from _ending(
        audit(plan, network, cut=cut, seed=settings.seed, budget=budget.left), Audited, "audit"
    )
    return known if found.seam_free and not mismatch.seam_free else found


def _counted(pairs: int) -> str:
    return "one pair of tiles" if pairs == 1 else f"{pairs} pairs of tiles"


def _with_disparity(why: Audit, disparity: Disparity) -> Audit:
    """Where tiles agree, but batch and running statistics do not, that is what to look after."""
    worst = max((each.train_eval_disparity or 0.0 for each in disparity.classes), default=0.0)
    if not why.seam_free or worst < DISPARITY:
        return why
    return replace(
        why,
        cause=f"{why.cause} But the running statistics of {len(disparity.layers)} normalization layer(s) "
        f"do not fit this image: with those of the tile the prediction differs by {worst:.2f} (1 - Dice).",
        cure="Train on, or fine-tune, with BatchRenorm or with larger batches, so that the running "
        "statistics are those that the weights were trained with.",
    )


def _classes(
    mismatch: Mismatch, disparity: Disparity, dice: list[tuple[float, float | None]] | None
) -> tuple[ClassDiagnosis, ...]:
    none: list[tuple[float | None, float | None]] = [(None, None)] * len(mismatch.classes)
    rows = zip(mismatch.classes, disparity.classes, dice or none, strict=True)
    return tuple(
        ClassDiagnosis(
            name=tiles.name,
            tile_mismatch=tiles.tile_mismatch,
            tile_mismatch_thresholded=tiles.tile_mismatch_thresholded,
            interval=tiles.interval,
            empty_pairs=tiles.empty_pairs,
            train_eval_disparity=modes.train_eval_disparity,
            train_eval_disparity_thresholded=modes.train_eval_disparity_thresholded,
            dice_eval=usual,
            dice_train=batch,
        )
        for tiles, modes, (usual, batch) in rows
    )
