"""Why tiles disagree: taken apart by experiment, one candidate at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from torch import nn

from napari_tileseg._progress import Progress, Steps, map_events
from napari_tileseg.diagnosis.causes import causes as words
from napari_tileseg.diagnosis.causes.audit_pairs import PairRule, voxels_of
from napari_tileseg.diagnosis.causes.candidates import Scene
from napari_tileseg.diagnosis.measured import Mismatch
from napari_tileseg.diagnosis.measures.mismatch import measure_mismatch
from napari_tileseg.diagnosis.measures.moments import Moments, Records, hold, is_scripted, mean_moments, watch
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.diagnosis.pairs.pair_plan import PairPlan, TilePair
from napari_tileseg.diagnosis.region_predictor import network_regions
from napari_tileseg.diagnosis.result import Audit, Candidate, Cause, LayerEffect
from napari_tileseg.prediction.input.normalization import resolve_normalization
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets.inspection import NormLayer
    from napari_tileseg.prediction.input.normalization import Normalization
    from napari_tileseg.prediction.plan.plan import Plan

#: Layers that are held fixed one at a time; the others are ranked by their statistics.
LAYERS_TESTED = 3
#: Voxels between two tiles that are drawn at random: near each other they show the same causes at less cost.
SHIFT = 16
#: Voxels of a read above which smaller ones are drawn.
LIMIT = 2**18
_NOTHING: frozenset[Candidate] = frozenset()
#: From what was taken away to what then was measured.
_Runs: TypeAlias = dict[frozenset[Candidate], Mismatch]


def audit(
    plan: Plan,
    *,
    tiling: Tiling | None = None,
    pairs: int = 2,
    seed: int = 0,
    layers_tested: int = LAYERS_TESTED,
    budget: int | None = None,
) -> Generator[Progress, None, Audit]:
    """Find out why tiles disagree, on pairs that are drawn at random; see `audit_pairs`.

    They lie to each other as neighbours of the tiling do, near each other and not too large: they show the
    same causes at less cost.

    Parameters
    ----------
    plan : Plan
        The prediction: its normalization and tiles are what is audited.
    tiling : Tiling, optional
        How the image is really cut, where that is not the plan's grid.
    pairs : int
        Pairs to look at.
    seed : int
        Same seed, same pairs.
    layers_tested, budget
        As `audit_pairs` takes them.

    Yields
    ------
    Progress
        As `audit_pairs`.

    Raises
    ------
    ImageError
        If the image is too small for two tiles.
    NetworkError, DeviceError
        As `audit_pairs`.
    """
    scene = Scene.of(plan, tiling)
    rule = PairRule(
        tiling=scene.tiling,
        lattice=scene.lattice,
        padded_shape=plan.grid.padded_shape,
        axes=plan.tiles.image.grid_axes,
        shift=SHIFT,
        limit=LIMIT,
    )
    return (yield from _audited(scene, rule.choose(pairs, seed), layers_tested, budget))


def audit_pairs(
    plan: Plan,
    pairs: Sequence[TilePair],
    *,
    layers_tested: int = LAYERS_TESTED,
    budget: int | None = None,
) -> Generator[Progress, None, Audit]:
    """Find out why the tiles of some pairs disagree.

    They are predicted as they are, with one candidate cause taken away, and with all others taken away, and
    compared on the same voxels. One cause may hide another, so a candidate's part is the mean of what goes
    with it and of what comes where it is alone (for two candidates, their Shapley values). What stays when
    all are gone is the rest. Shares are these parts of their sum.

    Parameters
    ----------
    plan : Plan
        The prediction: its normalization and tiles are what is audited.
    pairs : sequence of TilePair
        What to look at, at least one.
    layers_tested : int
        Layers to hold fixed one at a time; the others are ranked by their statistics.
    budget : int, optional
        Voxels that may go through the network. First layers are not tested, then fewer pairs looked at; one
        pair always is.

    Yields
    ------
    Progress
        One for each pair and run.

    Returns
    -------
    Audit
        Why tiles disagree, and what to do.

    Raises
    ------
    NetworkError, DeviceError
        If the network cannot run, or gives NaN.
    """
    return (yield from _audited(Scene.of(plan, None), tuple(pairs), layers_tested, budget))


def _audited(
    scene: Scene, pairs: tuple[TilePair, ...], layers_tested: int, budget: int | None
) -> Generator[Progress, None, Audit]:
    if budget is not None:
        pairs, layers_tested = _affordable(pairs, layers_tested, scene, budget)
    return (yield from _Experiment(scene, pairs, layers_tested).run())


def _affordable(
    pairs: tuple[TilePair, ...], layers_tested: int, scene: Scene, budget: int
) -> tuple[tuple[TilePair, ...], int]:
    """Return as many pairs, and layers to test, as a budget of voxels allows."""
    count = len(scene.layers) if len(scene.layers) > 1 else 0
    while len(pairs) > 1 and _runs(scene) * voxels_of(pairs) > budget:
        pairs = pairs[:-1]
    spare = (budget - _runs(scene) * voxels_of(pairs)) // voxels_of(pairs[:1]) - 1
    return pairs, max(0, min(layers_tested, count, spare))


def _runs(scene: Scene) -> int:
    """Count how often all pairs are predicted: as they are, without each candidate, all others, and all."""
    count = len(scene.candidates)
    return 1 + count + (count > 1) + (count if count > 2 else 0)


class _Experiment:
    """Runs the same pairs again and again, with other candidates taken away."""

    def __init__(self, scene: Scene, pairs: tuple[TilePair, ...], layers_tested: int) -> None:
        self._scene, self._pairs, self._tested = scene, pairs, layers_tested
        extra = min(len(scene.layers), layers_tested) + 1 if len(scene.layers) > 1 and layers_tested else 0
        self._steps = Steps("Finding the cause", _runs(scene) * len(pairs) + extra)
        self._moments: dict[str, Moments] = {}
        self._global: Normalization | None = None
        self._voxels = 0

    def run(self) -> Generator[Progress, None, Audit]:
        """Do all runs that are needed, and put them together."""
        scene = self._scene
        watched, records = watch(scene.network.module, scene.layers) if scene.layers else (None, {})
        before = yield from self._measure(self._pairs, _NOTHING, watched)
        self._moments = {path: mean_moments(record) for path, record in records.items() if record}
        if before.seam_free:
            return self._put_together(before, {}, ())
        apart = self._repeated(self._pairs[0].first)
        if apart > before.tolerance:
            return self._random(before, apart)
        runs = yield from self._try_all(before)
        layers = yield from self._rank(records)
        return self._put_together(before, runs, layers)

    def _repeated(self, tile: Box) -> float:
        """Return the largest difference of two predictions of one tile: nothing but chance can make it."""
        regions = network_regions(self._scene.plan)
        self._voxels += 2 * tile.size
        return float(np.abs(regions(tile) - regions(tile)).max())

    def _random(self, before: Mismatch, apart: float) -> Audit:
        sentence, cure = words.chance_words(apart)
        cause = Cause(name="chance", share=None, layers=(), sentence=sentence, cure=cure)
        return Audit(
            causes=(cause,),
            cause=sentence,
            cure=cure,
            mean_difference=before.mean_abs_difference,
            largest_difference=before.max_abs_difference,
            seam_free=False,
            pairs=len(self._pairs),
            tile=self._pairs[0].first.shape,
            voxels=self._voxels,
        )

    def _try_all(self, before: Mismatch) -> Generator[Progress, None, _Runs]:
        """Measure the mismatch without each candidate, without all others, and without all."""
        every = frozenset(self._scene.candidates)
        runs = {_NOTHING: before}
        for candidate in self._scene.candidates:
            for without in (frozenset({candidate}), every - {candidate}, every):
                if without not in runs:
                    runs[without] = yield from self._measure(self._pairs, without)
        return runs

    def _measure(
        self, pairs: Sequence[TilePair], without: frozenset[Candidate], module: nn.Module | None = None
    ) -> Generator[Progress, None, Mismatch]:
        scene = self._scene
        mended = tuple(scene.mend(pair, without) for pair in pairs)
        self._voxels += voxels_of(mended)
        plan = scene.plan
        if "input normalization" in without:
            plan = replace(plan, normalization=self._global_normalization())
        if "feature normalization" in without and module is None:
            module = hold(scene.network.module, self._moments)
        regions = network_regions(plan, module=module)
        comparing = measure_mismatch(regions, self._planned(mended), plan.classes)
        return (yield from map_events(comparing, lambda _: self._steps.count()))

    def _planned(self, pairs: tuple[TilePair, ...]) -> PairPlan:
        scene = self._scene
        return PairPlan(
            pairs=pairs,
            shift=tuple(b - a for a, b in zip(pairs[0].first.start, pairs[0].second.start, strict=True)),
            tile=pairs[0].first.shape,
            halo=scene.tiling.halo,
            stride=scene.lattice.stride,
            axes=scene.plan.tiles.image.grid_axes,
            skipped=(),
            total=len(pairs),
            sampled=True,
        )

    def _global_normalization(self) -> Normalization:
        if self._global is None:
            plan = self._scene.plan
            settings = replace(plan.settings, normalize="quantiles")
            self._global = resolve_normalization(plan.tiles.image, self._scene.network.spec, settings)
        return self._global

    def _rank(self, records: Records) -> Generator[Progress, None, tuple[LayerEffect, ...]]:
        """Rank layers by what goes when each is held fixed; those not tested by their statistics."""
        effects = sorted(
            (_untested(layer, records[layer.path]) for layer in self._scene.layers if records[layer.path]),
            key=lambda effect: effect.distance,
            reverse=True,
        )
        if len(effects) < 2 or not self._tested:
            return tuple(effects)
        pair = self._pairs[:1]
        before = yield from self._measure(pair, _NOTHING)
        tested = []
        for effect in effects[: self._tested]:
            module = hold(self._scene.network.module, {effect.path: self._moments[effect.path]})
            after = yield from self._measure(pair, _NOTHING, module)
            gone = 1 - after.mean_abs_difference / max(before.mean_abs_difference, 1e-12)
            tested.append(replace(effect, gone=gone))
        tested.sort(key=lambda effect: effect.gone or 0.0, reverse=True)
        return (*tested, *effects[self._tested :])

    def _put_together(
        self,
        before: Mismatch,
        runs: _Runs,
        layers: tuple[LayerEffect, ...],
    ) -> Audit:
        found = () if before.seam_free else self._causes(runs, layers)
        if found:
            cause, cure = found[0].sentence, _with_effect(found[0], before)
        else:
            cause = "The tiles that were compared agree to float tolerance: there is nothing to explain."
            cure = "Nothing needs to be done."
        return Audit(
            causes=found,
            cause=cause,
            cure=cure,
            layers=layers,
            mean_difference=before.mean_abs_difference,
            largest_difference=before.max_abs_difference,
            seam_free=before.seam_free,
            pairs=len(self._pairs),
            tile=self._pairs[0].first.shape,
            voxels=self._voxels,
        )

    def _causes(self, runs: _Runs, layers: Sequence[LayerEffect]) -> tuple[Cause, ...]:
        """Return every candidate with its share, and the rest where there is any."""
        every = frozenset(self._scene.candidates)
        parts = {candidate: _part(candidate, every, runs) for candidate in self._scene.candidates}
        rest = 0.0 if runs[every].seam_free else runs[every].mean_abs_difference
        total = (sum(parts.values()) + rest) or 1.0
        found = [
            self._cause(candidate, part / total, runs[frozenset({candidate})].max_abs_difference, layers)
            for candidate, part in parts.items()
        ]
        if rest:
            found.append(self._rest(rest / total))
        return tuple(sorted(found, key=lambda cause: cause.share or 0.0, reverse=True))

    def _cause(
        self, name: Candidate, share: float, difference: float, layers: Sequence[LayerEffect]
    ) -> Cause:
        scene = self._scene
        paths: tuple[str, ...] = ()
        if name == "feature normalization":
            by_path = {layer.path: layer for layer in scene.layers}
            ranked = [by_path[effect.path] for effect in layers]
            paths = tuple(layer.path for layer in ranked)
            sentence, cure = words.feature_words(ranked)
        elif name == "input normalization":
            sentence, cure = words.input_words()
        elif name == "halo":
            sentence, cure = words.halo_words(scene)
        else:
            sentence, cure = words.alignment_words(scene)
        return Cause(
            name=name,
            share=share,
            layers=paths,
            sentence=sentence,
            cure=cure,
            difference_without=difference,
        )

    def _rest(self, share: float) -> Cause:
        """Return what stays; of TorchScript also its normalization, which cannot be held fixed."""
        network = self._scene.network
        if is_scripted(network.module):
            found = words.blamed_norms(network.spec, network.module)
            if found:
                sentence, cure = words.feature_words(found)
                paths = tuple(layer.path for layer in found)
                return Cause(
                    name="feature normalization", share=share, layers=paths, sentence=sentence, cure=cure
                )
        mixers = words.other_layers(network.spec, network.module)
        sentence, cure = words.rest_words(network.spec, mixers)
        return Cause(name="the rest", share=share, layers=mixers, sentence=sentence, cure=cure)


def _part(candidate: Candidate, every: frozenset[Candidate], runs: _Runs) -> float:
    """Average the mismatch that goes with a candidate, and that which comes with it alone."""
    goes = runs[_NOTHING].mean_abs_difference - runs[frozenset({candidate})].mean_abs_difference
    comes = runs[every - {candidate}].mean_abs_difference - runs[every].mean_abs_difference
    return max(0.0, (goes + comes) / 2)


def _untested(layer: NormLayer, record: Sequence[Moments]) -> LayerEffect:
    middle = mean_moments(record)
    distances = [((each.mean - middle.mean).abs() / middle.deviation).mean() for each in record]
    distance = float(sum(distances)) / len(distances)
    return LayerEffect(path=layer.path, kind=layer.kind, distance=distance, gone=None)


def _with_effect(cause: Cause, before: Mismatch) -> str:
    """Return the cure, and what it was measured to do."""
    if cause.difference_without is None:
        return cause.cure
    return (
        f"{cause.cure} In the tiles that were tried this takes the largest difference from "
        f"{before.max_abs_difference:.2g} to {cause.difference_without:.2g}."
    )
