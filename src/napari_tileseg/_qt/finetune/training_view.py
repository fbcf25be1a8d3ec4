"""Shows how a training goes: how far it is, its curve, the numbers before and after, and what to know."""

from __future__ import annotations

from qtpy.QtCore import QObject

from napari_tileseg._progress import Noted, Progress
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.timers import timer
from napari_tileseg._qt.finetune.form import FinetuneForm
from napari_tileseg.session.finetune.decision import decision
from napari_tileseg.session.finetune.finetuner import Finetuner
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
    finetuner : Finetuner
        What trains.
    form : FinetuneForm
        Where it is shown.
    """

    def __init__(self, finetuner: Finetuner, form: FinetuneForm) -> None:
        super().__init__()
        self._finetuner = finetuner
        self._form = form
        #: What is shown where there is nothing else.
        self.notice = ""
        self._drawing = timer(CURVE_MS, self._draw)
        self._connections = Connections((finetuner.changed, self._show), (finetuner.reported, self._receive))
        self._show()

    def close(self) -> None:
        """Follow the trainings no more."""
        self._drawing.stop()
        self._connections.close()

    def _receive(self, event: object) -> None:
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
        self._draw()
        self._show_numbers()
        self._show_progress()
        self._show_decision()
        self.remark()

    def _show_decision(self) -> None:
        log = self._finetuner.log
        if log is not None and self._finetuner.state == "deciding":
            self._form.decision.show_decision(decision(log.tuned))

    def _draw(self) -> None:
        log, state = self._finetuner.log, self._finetuner.state
        curve = [] if log is None else log.curve
        self._form.show_run(log is not None and (state != "idle" or log.learned), drawn=bool(curve))
        self._form.curve.show_curve(curve)

    def _show_numbers(self) -> None:
        log = self._finetuner.log
        if log is not None:
            self._form.numbers.set_rows(
                number_rows(log.before, log.result, log.validated),
                [(tip,) * 3 for tip in NUMBER_TIPS],
            )

    def _show_progress(self) -> None:
        log, finetuner = self._finetuner.log, self._finetuner
        if log is None:
            self._form.progress.show_text("")
            return
        paused, stopping = finetuner.paused, finetuner.stopping
        self._form.progress.show_text(*progress_words(log, finetuner.state, paused=paused, stopping=stopping))
        parts = "" if log.tuned is None else part_words(log.tuned.parts)
        self._form.progress.setToolTip(f"<p>{parts}</p>" if parts else "")
        self._form.bar.setMaximum(1000)
        self._form.bar.setValue(round(1000 * log.fraction))

    def remark(self) -> None:
        """Show what the user should know of the training, or what was decided, instead of the text before."""
        log = self._finetuner.log
        words = ("", "") if log is None else remark_words(log, self._finetuner.state)
        for text, kind in (words, outcome_words(self._finetuner.outcome), (self.notice, "")):
            if text:
                self._form.message.show_text(text, kind)
                return
        self._form.message.show_text("")
