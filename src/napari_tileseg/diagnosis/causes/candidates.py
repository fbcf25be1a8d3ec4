"""What may make tiles disagree, and how each candidate is taken away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg._types import Halo
from napari_tileseg.diagnosis.measures.moments import watched_layers
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.diagnosis.pairs.pair_plan import TilePair
from napari_tileseg.diagnosis.result import Candidate
from napari_tileseg.nets.inspection import NormLayer
from napari_tileseg.tiling import Box, Lattice
from napari_tileseg.tiling.rounding import round_up

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.prediction.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A prediction under audit: what was used, and what would be right.

    Parameters
    ----------
    plan : Plan
        The prediction.
    tiling : Tiling
        Its tiling.
    layers : tuple of NormLayer
        Layers that use the statistics of the tile, and can be held fixed.
    """

    plan: Plan
    tiling: Tiling
    layers: tuple[NormLayer, ...]

    @classmethod
    def of(cls, plan: Plan, tiling: Tiling | None) -> Scene:
        """Return the scene of a prediction; its own grid is the tiling unless another is given."""
        layers = tuple(layer for layer in watched_layers(plan.network.module) if layer.sees_tile)
        return cls(plan=plan, tiling=tiling or Tiling.of(plan.grid), layers=layers)

    @property
    def network(self) -> Network:
        """The network of the prediction."""
        return self.plan.network

    @property
    def lattice(self) -> Lattice:
        """The network's geometry on the axes of the image."""
        return self.plan.tiles.lattice

    @property
    def needed_halo(self) -> Halo:
        """Context that a core needs: measured, or the stated default, rounded up to the stride."""
        pairs = zip(self.lattice.default_halo, self.lattice.stride, strict=True)
        return tuple((round_up(a, n), round_up(b, n)) for (a, b), n in pairs)

    @property
    def missing_halo(self) -> Halo:
        """Context that the tiling lacks."""
        pairs = zip(self.needed_halo, self.tiling.halo, strict=True)
        return tuple((max(0, a - c), max(0, b - d)) for (a, b), (c, d) in pairs)

    @property
    def remainders(self) -> tuple[int, ...]:
        """Largest distance off the stride between neighbouring reads, along each axis."""
        strides = enumerate(self.lattice.stride)
        return tuple(max(self.tiling.remainders(axis, step), default=0) for axis, step in strides)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Candidate causes that apply to this prediction."""
        found: list[Candidate] = []
        if self.layers:
            found.append("feature normalization")
        if self.plan.normalization.kind == "tile":
            found.append("input normalization")
        if any(map(any, self.missing_halo)) and not self.lattice.fixed:
            found.append("halo")
        if any(self.remainders):
            found.append("alignment to the stride")
        return tuple(found)

    def mend(self, pair: TilePair, without: frozenset[Candidate]) -> TilePair:
        """Return the pair with the halo that is needed, or on the stride, where those are taken away."""
        second = pair.second
        if "alignment to the stride" in without:
            strides = zip(second.start, pair.first.start, self.lattice.stride, strict=True)
            second = second.shift(tuple(-((a - b) % step) for a, b, step in strides))
        first = pair.first
        if "halo" in without:
            whole = Box.of_shape(self.plan.grid.padded_shape)
            first, second = (_grown(box, self.missing_halo, whole, self.lattice) for box in (first, second))
        return replace(pair, first=first, second=second)


def _grown(box: Box, halo: Halo, whole: Box, lattice: Lattice) -> Box:
    """Give `box` more context, on the stride and inside the image."""
    start, stop = list(box.start), list(box.stop)
    for axis, ((before, after), step) in enumerate(zip(halo, lattice.stride, strict=True)):
        start[axis] -= min(round_up(before, step), start[axis] // step * step)
        stop[axis] += min(round_up(after, step), (whole.stop[axis] - stop[axis]) // step * step)
    return Box(tuple(start), tuple(stop))
