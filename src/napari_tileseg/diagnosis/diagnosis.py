"""The whole diagnosis of an image and a network: how much tiles disagree, why, and what to do."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from napari_tileseg._progress import Progress, Steps
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.causes.audit import audit, audit_pairs
from napari_tileseg.diagnosis.causes.audit_pairs import worst_pairs
from napari_tileseg.diagnosis.causes.causes import agreement, inspect
from napari_tileseg.diagnosis.events import PairDone
from napari_tileseg.diagnosis.measured import Disparity, Mismatch, TileStatistics
from napari_tileseg.diagnosis.measures.disparity import (
    measure_disparity,
    switch_of,
    with_batch_statistics,
)
from napari_tileseg.diagnosis.measures.mismatch import (
    measure_mismatch,
    nothing_to_compare,
)
from napari_tileseg.diagnosis.measures.moments import Records, watch, watched_layers
from napari_tileseg.diagnosis.measures.quality import check_masks, compare_with_labels, masks_on
from napari_tileseg.diagnosis.measures.statistics import (
    measure_statistics,
    summarize,
)
from napari_tileseg.diagnosis.pair_sampling import Budget, choose_pairs, disparity_tiles, why_no_seam
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan
from napari_tileseg.diagnosis.region_predictor import RegionPredictor, network_regions, planned_regions
from napari_tileseg.diagnosis.result import DISPARITY, Audit, Diagnosis
from napari_tileseg.engine import route_of
from napari_tileseg.images.image import Image
from napari_tileseg.labels.masks import class_masks, instance_masks
from napari_tileseg.nets.network import Network
from napari_tileseg.prediction.plan.measuring import measure_plan
from napari_tileseg.prediction.plan.plan import Plan, lay_plan
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from torch import nn

#: Pairs of tiles by which the cause is looked for: those that differ most.
AUDITED = 2


DiagnoseEvent: TypeAlias = Progress | PairDone


def diagnose(
    image: Image,
    network: Network,
    settings: PredictSettings | None = None,
    diagnosis: DiagnoseSettings | None = None,
    labels: Array | None = None,
    *,
    values: Mapping[str, int] | None = None,
    tiling: Tiling | None = None,
) -> Generator[DiagnoseEvent, None, Diagnosis]:
    """Diagnose a prediction without making it.

    Closing the generator stops it after the current tile.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings, optional
        How it is, or would be, predicted: just that is diagnosed, with the very tiles of a prediction.
    diagnosis : DiagnoseSettings, optional
        How it is diagnosed.
    labels : ndarray, optional
        What is right: objects, numbered from 1, or, with `values`, classes, over the image's grid axes; or
        boolean masks ``(classes, *grid axes)``.
    values : mapping of str to int, optional
        Value of each class in the labels.
    tiling : Tiling, optional
        How the image is really cut into tiles, where another tool does so.

    Yields
    ------
    DiagnoseEvent
        As `diagnose_plan`.

    Raises
    ------
    ImageError
        If the labels do not fit the image.
    NetworkError, SettingsError, DeviceError
        As `plan_prediction`, and if a prediction is NaN.
    """
    settings = settings or PredictSettings()
    laid = lay_plan(image, network, settings, route_of(network, settings.device))
    masks = _masks(labels, values, network.spec.classes, image)
    if masks is not None:
        masks = masks_on(masks, image, laid.tiles.image)
    plan = yield from measure_plan(laid)
    return (yield from diagnose_plan(plan, diagnosis, masks, tiling=tiling))


def diagnose_plan(
    plan: Plan,
    settings: DiagnoseSettings | None = None,
    masks: npt.NDArray[np.bool_] | None = None,
    *,
    tiling: Tiling | None = None,
    part: Box | None = None,
) -> Generator[DiagnoseEvent, None, Diagnosis]:
    """Diagnose the prediction of a plan.

    Parameters
    ----------
    plan : Plan
        How the image is predicted: its tiles are those that are compared.
    settings : DiagnoseSettings, optional
        How it is diagnosed.
    masks : ndarray of bool, optional
        What is right: ``(classes, *grid axes)``.
    tiling : Tiling, optional
        How the image is really cut into tiles, where another tool does so.
    part : Box, optional
        Voxels to look at; all that is predicted by default.

    Yields
    ------
    DiagnoseEvent
        `Progress`, and one `PairDone` for each pair of tiles.

    Returns
    -------
    Diagnosis
        All that was found.

    Raises
    ------
    NetworkError, SettingsError, DeviceError
        If a prediction is NaN, tiles cannot be compared, or no voxel of the part is predicted.
    """
    settings = settings or DiagnoseSettings()
    if masks is not None:
        check_masks(masks, plan.classes, plan.tiles.image)
    budget = Budget(plan, settings, part)
    pairs = choose_pairs(plan, settings, budget, part)
    boxes = disparity_tiles(plan, pairs, budget, settings.seed)
    mismatch, statistics = yield from _compare(plan, pairs, settings, boxes)
    disparity = yield from measure_disparity(plan, boxes, threshold=settings.threshold)
    budget.spend(2 * boxes[: disparity.tiles])
    dice = (yield from _dice(plan, boxes, masks, settings)) if masks is not None else None
    why = yield from _explain(plan, tiling, mismatch, settings, budget)
    return Diagnosis(
        image=plan.tiles.image.name,
        network=plan.network.spec.name,
        axes=plan.tiles.image.grid_axes,
        shape=plan.tiles.image.shape,
        core=plan.grid.core,
        mismatch=mismatch,
        disparity=disparity,
        statistics=statistics,
        audit=_with_disparity(why, disparity),
        dice=dice,
        voxels=budget.spent + why.voxels,
        prediction_voxels=budget.prediction,
        image_voxels=plan.grid.covered.size,
        intensities=plan.normalization.sentence,
    )


def _compare(
    plan: Plan, pairs: PairPlan | None, settings: DiagnoseSettings, boxes: Sequence[Box]
) -> Generator[DiagnoseEvent, None, tuple[Mismatch, TileStatistics]]:
    """Compare pairs, and look at the layers while at it, or where that cannot be, in some tiles."""
    if pairs is None:
        mismatch = nothing_to_compare(plan.grid, plan.classes, why_no_seam(plan.tiles))
        return mismatch, (yield from measure_statistics(plan, boxes))
    layers = watched_layers(plan.network.module)
    module: nn.Module | None = None
    records: Records = {}
    if layers:
        module, records = watch(plan.network.module, layers)
    planned = any(pair.cores for pair in pairs.pairs[:1])
    regions = (planned_regions if planned else network_regions)(plan, module=module)
    mismatch = yield from measure_mismatch(regions, pairs, plan.classes, threshold=settings.threshold)
    tiles = max((len(record) for record in records.values()), default=0)
    if layers and not tiles:
        return mismatch, (yield from measure_statistics(plan, boxes))
    return mismatch, summarize(plan.network.module, records, tiles)


def _masks(
    labels: Array | None, values: Mapping[str, int] | None, classes: tuple[str, ...], image: Image
) -> npt.NDArray[np.bool_] | None:
    if labels is None:
        return None
    if values is not None:
        return class_masks(labels, classes, values, image.shape)
    if labels.dtype == np.bool_ and labels.ndim == len(image.shape) + 1:
        check_masks(labels, classes, image)
        return labels
    return instance_masks(labels, classes, image.shape)


def _dice(
    plan: Plan,
    boxes: Sequence[Box],
    masks: npt.NDArray[np.bool_],
    settings: DiagnoseSettings,
) -> Generator[Progress, None, tuple[tuple[float, float | None], ...]]:
    """Measure Dice with the labels of each class in both modes, over the voxels of all tiles."""
    switch = switch_of(plan.network.module)
    modes: list[RegionPredictor] = [network_regions(plan)]
    if switch.switchable and switch.layers:
        modes.append(network_regions(plan, module=with_batch_statistics(plan.network.module)))
    parts = [box.clip(plan.grid.box) for box in boxes]
    steps = Steps("Comparing with labels", len(modes) * len(boxes))
    wanted = _flat([masks[(slice(None), *part.slices)] for part in parts])
    found = []
    for regions in modes:
        values = []
        for box, part in zip(boxes, parts, strict=True):
            values.append(regions(box)[(slice(None), *part.within(box))])
            yield steps.count()
        found.append(_flat(values))
    quality = compare_with_labels(wanted, *found, threshold=settings.threshold)
    alike = quality.dice_eval if switch.switchable else (None,) * len(plan.classes)
    return tuple(zip(quality.dice_eval, quality.dice_train or alike, strict=True))


def _flat(parts: Sequence[Array]) -> Array:
    """Join the voxels of several boxes: ``(classes, voxels)``."""
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _explain(
    plan: Plan,
    tiling: Tiling | None,
    mismatch: Mismatch,
    settings: DiagnoseSettings,
    budget: Budget,
) -> Generator[Progress, None, Audit]:
    """Find the cause, where there is something to explain."""
    if mismatch.seam_free and tiling is None:
        return agreement(mismatch, plan.network.spec)
    known = inspect(plan.network.spec, plan.network.module)
    if not settings.explain:
        return known
    small = tiling is None and plan.tiles.regions is None
    chosen = worst_pairs(mismatch, AUDITED) if small else ()
    if chosen:
        found = yield from audit_pairs(plan, chosen, budget=budget.left)
    else:
        found = yield from audit(plan, tiling=tiling, seed=settings.seed, budget=budget.left)
    return known if found.seam_free and not mismatch.seam_free else found


def _with_disparity(why: Audit, disparity: Disparity) -> Audit:
    """Blame the running statistics where tiles agree, but batch and running statistics do not."""
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
