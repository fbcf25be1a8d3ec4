"""What statistics of the whole image cost, before any voxel is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._words import bytes_words, time_words
from napari_tileseg.nets.architectures.ensembles import runs_in
from napari_tileseg.prediction.plan.gather_statistics import planned_passes

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
    """

    passes: float
    memory: int
    scratch: int
    runs: int = 1

    def words(self, seconds_of_pass: float | None = None) -> str:
        """Return it as a sentence.

        Parameters
        ----------
        seconds_of_pass : float, optional
            What one pass over the image takes, where that is known.
        """
        several = self.passes >= 1.05
        what = f"{self.passes:.1f} passes over the image" if several else "one pass over the image"
        if self.runs > 1:
            what += f" ({'each of' if several else 'of'} {self.runs} runs)"
        parts = [what]
        if seconds_of_pass is not None:
            parts.append(f"about {time_words(self.passes * seconds_of_pass)}")
        if self.memory:
            parts.append(f"{bytes_words(self.memory)} of memory")
        if self.scratch:
            parts.append(f"{bytes_words(self.scratch)} of scratch")
        return f"Statistics and prediction: {', '.join(parts)}."


def forecast(plan: Plan) -> Forecast | None:
    """Say what the statistics of a plan cost; it takes up to a second.

    Returns
    -------
    Forecast or None
        None where they are not those of the whole image, or are known.
    """
    fixed = plan.statistics
    if fixed is None or fixed.gathered is not None or plan.settings.statistics != "whole":
        return None
    chosen = planned_passes(fixed, plan.settings, plan.device, plan.tiles.image.shape)
    scratch = chosen.on_disk
    return Forecast(
        passes=chosen.passes,
        memory=chosen.kept - scratch,
        scratch=scratch,
        runs=runs_in(fixed.source.module),
    )
