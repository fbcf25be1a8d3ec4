"""What statistics cost that are gathered before tiles are computed, before any are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from napari_tileseg._words import bytes_words, time_words
from napari_tileseg.nets.architectures.ensembles import runs_in
from napari_tileseg.prediction.plan.numbers.gather_statistics import planned_passes, planned_sample

if TYPE_CHECKING:
    from napari_tileseg.prediction.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Passes over an image that gather statistics and predict.

    Parameters
    ----------
    passes : float
        Operations of all of them, relative to those of one pass over the whole image.
    memory, scratch : int
        Bytes of feature maps that are kept from pass to pass in memory, and on disk.
    runs : int
        Networks, and mirrored copies of them, that a pass runs.
    most : float, optional
        As `passes`, if it takes more than that; None where it does not.
    """

    passes: float
    memory: int
    scratch: int
    runs: int = 1
    most: float | None = None

    def words(self, seconds_of_pass: float | None = None) -> str:
        """Return it as a sentence.

        Parameters
        ----------
        seconds_of_pass : float, optional
            What one pass over the image takes, where that is known.
        """
        parts = [self._passes]
        if seconds_of_pass is not None:
            parts.append(
                f"about {time_words(self.passes * seconds_of_pass)}{' or more' if self.most else ''}"
            )
        if self.memory:
            parts.append(f"{bytes_words(self.memory)} of memory")
        if self.scratch:
            parts.append(f"{bytes_words(self.scratch)} of scratch")
        return f"Statistics and prediction: {', '.join(parts)}."

    @property
    def _passes(self) -> str:
        several = self.passes >= 1.05 or self.most is not None
        what = f"{self.passes:.1f} passes over the image" if several else "one pass over the image"
        if self.most is not None:
            what = f"{self.passes:.1f} to {self.most:.1f} passes over the image"
        if self.runs > 1:
            what += f" ({'each of' if several else 'of'} {self.runs} runs)"
        return what


def forecast(plan: Plan) -> Forecast | None:
    """Say what the statistics of a plan cost; that takes a second, or some with mirrored copies.

    Returns
    -------
    Forecast or None
        None where they are each tile's, or known, or where the region that they are those of is not.
    """
    fixed = plan.statistics
    if fixed is None or fixed.gathered is not None:
        return None
    image, runs = plan.tiles.image, runs_in(fixed.source.module)
    if fixed.part is None:
        if plan.region is None or plan.region.box is None:
            return None
        fixed = replace(fixed, part=plan.region.on(plan.image, image))
    if plan.settings.statistics == "sample":
        work = planned_sample(fixed, plan.settings, plan.device)
        if work is not None:
            return Forecast(passes=1 + work[0], memory=0, scratch=0, runs=runs, most=1 + work[1])
    chosen = planned_passes(fixed, plan.settings, plan.device, image.shape)
    # Passes are over the part, and the last one is the prediction.
    lead = fixed.box.ndim - fixed.source.spec.ndim
    share = prod(fixed.box.shape[lead:]) / prod(image.shape[lead:])
    passes, scratch = 1 + (chosen.passes - 1) * share, chosen.on_disk
    return Forecast(passes=passes, memory=chosen.kept - scratch, scratch=scratch, runs=runs)
