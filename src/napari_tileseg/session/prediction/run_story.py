"""The state of a prediction, and what a panel shows of it while one image or another is chosen."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from napari_tileseg._progress import Noted, Progress
from napari_tileseg._words import time_words
from napari_tileseg.prediction.events import PredictEvent, Saved, Started, TileDone
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.session.prediction.first_look import Looked
from napari_tileseg.session.prediction.readiness import problem_words
from napari_tileseg.session.project.project import Result
from napari_tileseg.session.text.network_words import tiles_words


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelsChanged:
    """The voxels of the image have changed since it was chosen: another result is written.

    Parameters
    ----------
    result : Result
        That result.
    """

    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """One prediction, from its start to its end.

    Parameters
    ----------
    result : Result
        Where it is written, and of which image and network.
    begun : float
        When the last event came, in seconds of `time.monotonic`.
    planned : int
        Tiles that were planned.
    looked : Looked, optional
        What is shown meanwhile of what is in view, predicted with first numbers.
    done, total : int
        Tiles; a total of 0 until they are counted.
    seconds_left : float, optional
        Estimate for the rest of the tiles.
    work : Progress, optional
        Work other than tiles that is under way.
    stopping : bool
        Whether it was asked to stop.
    saved : Saved, optional
        Its last event, if it was completed.
    ended : Ended, optional
        How it ended.
    notes : tuple of str
        What the user should know, each once.
    """

    result: Result
    begun: float = 0.0
    planned: int = 0
    looked: Looked | None = None
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    work: Progress | None = None
    stopping: bool = False
    saved: Saved | None = None
    ended: Ended | None = None
    notes: tuple[str, ...] = ()

    def after(self, event: PredictEvent | Looked | VoxelsChanged | Ended) -> RunStory:
        """Return the story after one more event."""
        now = time.monotonic()
        match event:
            case VoxelsChanged(result=result):
                return replace(self, result=result)
            case Noted(message=message):
                return replace(self, notes=tuple(dict.fromkeys((*self.notes, message))))
            case Progress():
                return replace(self, work=event, begun=now)
            case Looked():
                return replace(self, looked=event, work=None, begun=now)
            case Started(total=total, done=done):
                return replace(self, total=total, done=done, work=None, begun=now)
            case TileDone(done=done, total=total, seconds_left=left):
                return replace(self, total=total, done=done, seconds_left=left, work=None, begun=now)
            case Saved():
                return replace(self, saved=event)
            case Ended():
                return replace(self, ended=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWords:
    """What a panel shows of a prediction.

    Parameters
    ----------
    text : str
        How far it is or how it ended; "" where there is nothing to report.
    kind : str
        As `WordsLabel.show_text` takes it.
    value, maximum : int
        For a bar; a maximum of 0 stands for work of unknown length.
    shown : bool
        Whether there is a bar.
    here : bool
        Whether it is the prediction that what is chosen stands for.
    trouble : str
        What went wrong; "" where nothing did.
    notes : tuple of str
        What the user should know.
    """

    text: str = ""
    kind: str = ""
    value: int = 0
    maximum: int = 1
    shown: bool = False
    here: bool = True
    trouble: str = ""
    notes: tuple[str, ...] = ()


def run_words(story: RunStory | None, path: Path | None, now: float) -> RunWords:
    """Return what a panel shows of a prediction.

    Parameters
    ----------
    story : RunStory, optional
        The last prediction that was started.
    path : Path, optional
        Path of the prediction of what is chosen. Another one is named while it runs, and not mentioned
        afterwards.
    now : float
        Seconds of `time.monotonic`.
    """
    if story is None:
        return RunWords()
    here = story.result.path == path
    if story.ended is not None:
        return _ended_words(story, story.ended) if here else RunWords()
    name = "" if here else f"{name_of(story.result)}: "
    value, maximum = _bar(story)
    text = f"{name}{_running_words(story, now)}"
    return RunWords(
        text=text,
        value=value,
        maximum=maximum,
        shown=True,
        here=here,
        notes=story.notes if here else (),
    )


def name_of(result: Result) -> str:
    """Return image and network of a result, such as "embryo_01 with nuclei"."""
    if result.image is None or not result.network:
        return result.name
    return f"{result.image.name} with {result.network}"


def _bar(story: RunStory) -> tuple[int, int]:
    if story.work is not None:
        return round(story.work.fraction * 1000), 1000
    return story.done, story.total if story.done else 0


def _running_words(story: RunStory, now: float) -> str:
    if story.stopping:
        part = "part" if story.work is not None and not story.total else "tile"
        return f"Stopping after the current {part}\N{HORIZONTAL ELLIPSIS}"
    if story.work is not None:
        return _work_words(story, story.work)
    if not story.total:
        if story.looked is None:
            return "Starting\N{HORIZONTAL ELLIPSIS}"
        return f"{_FIRST.capitalize()}: {tiles_words(story.looked.tiles)}"
    text = f"{story.done} / {story.total} tiles"
    if story.done == story.total:
        return text
    if story.seconds_left is not None:
        left = max(0.0, story.seconds_left - (now - story.begun))
        return f"{text}, about {time_words(left)} left"
    # Nothing is known yet of how long a tile takes; that time goes by is.
    return f"{text}, {time_words(now - story.begun)} so far"


#: What is on the screen, or will be, before the numbers that are asked for.
_FIRST = "a first look, with the statistics of a tile in view"


def _work_words(story: RunStory, work: Progress) -> str:
    """Return how far work other than tiles is, what follows, and what is on the screen meanwhile."""
    looked = story.looked
    before = looked is not None and not looked.tiles
    text = f"{_FIRST.capitalize() if before else work.what}: {work.fraction:.0%}"
    if work.seconds_left:
        text = f"{text}, about {time_words(work.seconds_left)} left"
    if story.total or before:
        return text
    text = f"{text}; {tiles_words(story.planned)} follow{'s' if story.planned == 1 else ''}"
    return text if looked is None else f"{text}. Shown is {_FIRST}."


def _ended_words(story: RunStory, ended: Ended) -> RunWords:
    if ended.error is not None:
        kept = "Stopped. The tiles that are done are kept."
        return RunWords(text=kept, kind="error", trouble=problem_words(ended.error), notes=story.notes)
    if story.saved is not None:
        done = f"Done: {tiles_words(story.saved.tiles)} in {time_words(story.saved.seconds)}"
        return RunWords(text=done, kind="ok", notes=story.notes)
    if ended.cancelled:
        again = "Cancelled. The tiles that are done are kept; Predict resumes there."
        if not story.total:
            again = "Cancelled before the first tile."
        return RunWords(text=again, value=story.done, maximum=max(1, story.total), shown=True)
    return RunWords()
