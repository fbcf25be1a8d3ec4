"""How the Predict panel describes tiles, intensities and errors: each a function of the present state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg._words import time_words
from napari_tileseg.errors import NonFiniteError
from napari_tileseg.prediction.plan.voxel_sizes import size_hint
from napari_tileseg.session.prediction.readiness import Situation, problem_words
from napari_tileseg.session.prediction.run_story import RunWords
from napari_tileseg.session.text.network_words import NO_NUMBER, tiles_words
from napari_tileseg.session.text.panel_words import panel_words
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.spec import NetworkSpec
    from napari_tileseg.prediction import Plan, TilePlan
    from napari_tileseg.prediction.input.normalization import Normalization
    from napari_tileseg.prediction.plan.region import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWords:
    """What a panel shows of tiles.

    Parameters
    ----------
    tiles : str
        How many there are, what they cost and what they follow from.
    channels : str
        Which channel of the image goes where; "" where that is nothing to be said.
    region : str
        What part of the image numbers are those of; "" where they are of none.
    why : tuple of str
        Reasons of core and halo at length.
    warnings : tuple of str
        What the user should know before anything is computed, each once.
    """

    tiles: str = ""
    channels: str = ""
    region: str = ""
    why: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_words(tiles: TilePlan | None, spec: NetworkSpec | None, region: Region | None = None) -> PlanWords:
    """Describe how an image is cut for a network, and where numbers are taken; empty where it is not."""
    if tiles is None or spec is None:
        return PlanWords()
    # What was assumed of the network is shown in its card, and channels beside the tiles.
    shown = (*spec.notes, tiles.channels)
    texts = (*tiles.warnings, *tiles.notes, size_hint(tiles.image, spec))
    return PlanWords(
        tiles=(
            f"{tiles_words(len(tiles.grid))}, computes {tiles.cost:.2f} times the image; core: "
            f"{tiles.core_reason.split(',')[0]}; halo: {tiles.halo_reason.split(':')[0]}"
        ),
        channels=tiles.channels,
        region="" if region is None else region.sentence,
        why=(f"Core: {tiles.core_reason}.", f"Halo: {tiles.halo_reason}."),
        warnings=tuple(dict.fromkeys(_short(each, spec) for each in texts if each and each not in shown)),
    )


def statistics_words(plan: Plan) -> str:
    """Return what the statistics are of that all tiles are computed with; "" where they are each tile's."""
    whose = {"whole": "the whole image", "sample": "a sample of the image"}
    if plan.statistics is None:
        return ""
    of = whose.get(plan.settings.statistics, f"the {plan.settings.statistics}")
    return f"All tiles have the statistics of {of}: no seams."


def _short(warning: str, spec: NetworkSpec) -> str:
    """Return a warning without the reason, which the network's card shows on request."""
    warning = panel_words(warning)
    head, found, tail = warning.partition(f": {spec.reason}")
    return f"{head} (see Why? above).{tail}" if found and spec.reason else warning


def input_words(
    normalization: Normalization | None,
    situation: Situation,
    progress: Progress | None,
    seconds: float,
    spec: NetworkSpec | None = None,
) -> tuple[str, str]:
    """Return how intensities are prepared, or how far measuring them is, and the kind of these words.

    Parameters
    ----------
    normalization : Normalization, optional
        With its numbers, once they are measured.
    situation : Situation
        Whether anything is measured at all.
    progress : Progress, optional
        Of measuring.
    seconds : float
        Since measuring began.
    spec : NetworkSpec, optional
        Of the network, which says how it wants them where there is no image yet.
    """
    if situation.opening:
        return NO_NUMBER, ""
    if normalization is not None:
        return normalization.sentence, ""
    if situation.measure_problem is not None:
        return "not measured", "error"
    if not (situation.image and situation.network) or situation.plan_problem is not None:
        return NO_NUMBER if spec is None else spec.input_normalization.words, ""
    if situation.routing:
        return "measured next", ""
    if progress is None or not progress.fraction:
        return "measuring\N{HORIZONTAL ELLIPSIS}", ""
    left = seconds * (1 - progress.fraction) / progress.fraction
    return f"measuring intensities, {progress.fraction:.0%}, about {time_words(left)} left", ""


def trouble_words(troubles: Iterable[BaseException], run: RunWords) -> str:
    """List what went wrong, one line each.

    Parameters
    ----------
    troubles : iterable of exception
        What went wrong.
    run : RunWords
        What is shown of the last prediction.
    """
    wrong = [problem_words(trouble) for trouble in troubles] + ([run.trouble] if run.trouble else [])
    return "\n".join(dict.fromkeys(wrong))


def note_words(run: RunWords, known: Sequence[str]) -> str:
    """List what the user should know of the last prediction, one line each.

    Parameters
    ----------
    run : RunWords
        What is shown of it.
    known : sequence of str
        What the panel shows elsewhere, and the prediction notes again.
    """
    return "\n".join(panel_words(note) for note in run.notes if note not in known)


def remedy(
    situation: Situation, settings: PredictSettings, *, other_size: bool, empty: bool = False
) -> tuple[str, PredictSettings]:
    """Return what a click can do about what the panel shows, and the settings it leads to.

    The words are "" where there is nothing of the kind.

    Parameters
    ----------
    situation : Situation
        What stands in the way.
    settings : PredictSettings
        How to predict.
    other_size : bool
        Whether the image's voxels have another size than those the network was trained on.
    empty : bool, optional
        Whether most of the image is so empty that its quantiles make little of its content.
    """
    if situation.opening:
        return "", settings
    if isinstance(situation.measure_problem, NonFiniteError):
        return "Take them as zero", replace(settings, nonfinite="zero")
    if other_size and not settings.resample and situation.plan_problem is None:
        return "Resample to the network's voxel size", replace(settings, resample=True)
    if empty:
        return "Measure intensities where there is content", replace(settings, intensities="region")
    return "", settings
