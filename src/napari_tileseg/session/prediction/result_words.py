"""Which of the stored predictions is the current one, and how a panel describes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_tileseg._progress import Progress
from napari_tileseg._words import bytes_words, time_words
from napari_tileseg.session.prediction.run_story import name_of
from napari_tileseg.session.project.project import ImageReference, Result


def unsaved(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return the results that the user still has to decide about, the newest first."""
    return tuple(result for result in reversed(results) if not result.saved)


def at_hand(
    results: Sequence[Result], image: ImageReference | None, network_sha256: str, path: Path | None
) -> Result | None:
    """Return the result of the chosen image and network, with the chosen settings if there is one.

    Parameters
    ----------
    results : sequence of Result
        The newest first.
    image : ImageReference, optional
        The image that is chosen.
    network_sha256 : str
        Hash of the network that is chosen; empty where none is.
    path : Path, optional
        Where a prediction with the settings that are chosen is written.
    """
    exact = next((result for result in results if result.path == path), None)
    of_pair = (r for r in results if r.is_of(image) and r.network_sha256 == network_sha256)
    return exact or next(of_pair, None)


def titles(results: Sequence[Result]) -> tuple[str, ...]:
    """Return the titles of results in a list; those of one image and network are numbered."""
    names = [name_of(result) for result in results]
    counts = [names[: number + 1].count(name) for number, name in enumerate(names)]
    return tuple(
        f"{name}, {_ordinal(count)} latest" if names.count(name) > 1 else name
        for name, count in zip(names, counts, strict=True)
    )


def _ordinal(count: int) -> str:
    return {1: "the", 2: "second", 3: "third"}.get(count, f"{count}th")


def copy_words(result: Result, copying: Progress) -> str:
    """Return how far a result that is being saved is, as a line."""
    left = "" if copying.seconds_left is None else f", about {time_words(copying.seconds_left)} left"
    return f"Saving {name_of(result)}: {copying.fraction:.0%} of {bytes_words(copying.total)}{left}"


def result_words(
    result: Result | None, others: int, size: int | None, saved: Result | None, *, named: bool = False
) -> str:
    """Return where the current result is, as a line.

    Parameters
    ----------
    result : Result, optional
        The current one that is not saved.
    others : int
        How many more are not saved.
    size : int, optional
        Its bytes on disk, where they are counted.
    saved : Result, optional
        The current one that is saved, where there is none that is not.
    named : bool, optional
        Whether its name is shown beside the line already.
    """
    if result is not None:
        what = "Not saved yet" if named else f"{name_of(result)}, not saved yet"
        counted = "kept" if size is None else f"{bytes_words(size)}, kept"
        # Its whole path would take half of a panel; by the project it is opened again.
        return f"{what}: {counted} in project {result.path.parent.parent.name} until saved or discarded"
    if saved is not None:
        return f"{name_of(saved)}, saved at {saved.path}"
    if not others:
        return ""
    which = "1 result of another image or network is" if others == 1 else f"{others} other results are"
    return f"{which} not saved yet; choose one here to save or discard it."
