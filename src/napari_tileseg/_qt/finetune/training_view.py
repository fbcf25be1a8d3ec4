"""Shows how a training goes: how far it is, its curve, the numbers before and after, and what to know."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_tileseg._progress import Noted, Progress
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.timers import timer
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg.session.finetune.decision import decision
from napari_tileseg.session.finetune.finetuner import Teaching
from napari_tileseg.session.finetune.outcome import outcome_words
from napari_tileseg.session.finetune.words import (
    NUMBER_TIPS,
    number_rows,
    part_words,
    progress_words,
    remark_words,
)
from napari_tileseg.training.events import StepDone, Validated
from napari_tileseg.workflows.finetuning_events import Scored

#: Least time between two drawings of the curve.
CURVE_MS = 250


class TrainingView(QObject):
    """Follows the trainings of a viewer, from the middle of one as from its beginning.

    Parameters
    ----------
    teaching : Teaching
        What trains.
    form : FinetuneForm
        Where it is shown.
    """

    def __init__(self, teaching: Teaching, form: FinetuneForm) -> None:
        super().__init__()
        self._teaching = teaching
        self._form = form
        #: What is said where there is nothing else.
        self.notice = ""
        self._drawing = timer(CURVE_MS, self._draw)
        self._connections = Connections((teaching.changed, self._show), (teaching.told, self._hear))
        self._show()

    def close(self) -> None:
        """Follow the trainings no more."""
        self._drawing.stop()
        self._connections.close()

    def _hear(self, event: object) -> None:
        match event:
            case StepDone():
                self._show_progress()
                if not self._drawing.isActive():
                    self._drawing.start()
            case Progress():
                self._show_progress()
            case Validated() | Scored():
                self._show_numbers()
            case Noted():
                self.remark()

    def _show(self) -> None:
        """Show all that there is."""
        course, state = self._teaching.course, self._teaching.state
        self._form.show_run(course is not None and (state != "idle" or course.learned))
        self._draw()
        self._show_numbers()
        self._show_progress()
        self._show_decision()
        self.remark()

    def _show_decision(self) -> None:
        course = self._teaching.course
        if course is not None and self._teaching.state == "deciding":
            self._form.decision.show_decision(decision(course.tuned))

    def _draw(self) -> None:
        course = self._teaching.course
        self._form.curve.show_curve(() if course is None else course.curve)

    def _show_numbers(self) -> None:
        course = self._teaching.course
        if course is not None:
            self._form.numbers.set_rows(
                number_rows(course.before, course.after, course.validated),
                [(tip,) * 3 for tip in NUMBER_TIPS],
            )

    def _show_progress(self) -> None:
        course, teaching = self._teaching.course, self._teaching
        if course is None:
            self._form.progress.say("")
            return
        paused, stopping = teaching.paused, teaching.stopping
        self._form.progress.say(*progress_words(course, teaching.state, paused=paused, stopping=stopping))
        parts = "" if course.tuned is None else part_words(course.tuned.parts)
        self._form.progress.setToolTip(f"<p>{parts}</p>" if parts else "")
        self._form.bar.setMaximum(1000)
        self._form.bar.setValue(round(1000 * course.fraction))

    def remark(self) -> None:
        """Say what is to be known of the training, or what was decided, and no more what was said before."""
        course = self._teaching.course
        words = ("", "") if course is None else remark_words(course, self._teaching.state)
        for text, kind in (words, outcome_words(self._teaching.outcome), (self.notice, "")):
            if text:
                self._form.message.say(text, kind)
                return
        self._form.message.say("")
