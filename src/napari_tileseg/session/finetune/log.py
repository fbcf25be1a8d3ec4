"""What a training has reported so far, for a panel that is opened later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg._progress import Noted, Progress
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.training.events import Calibrated, StepDone, Trained, Validated
from napari_tileseg.workflows.finetuning_events import Scored, Tuned

if TYPE_CHECKING:
    from napari_tileseg.workflows.finetuning_events import TuneEvent
    from napari_tileseg.workflows.scores import Numbers


class TrainingLog:
    """Collects the events of one training."""

    def __init__(self) -> None:
        #: Steps and validations.
        self.curve: list[StepDone | Validated] = []
        #: Whether a step was taken, so that there is something to keep.
        self.learned = False
        #: How far it is: the last step, or the work before and after all steps.
        self.latest: StepDone | Progress | None = None
        self.validated: Validated | None = None
        self.calibrated: Calibrated | None = None
        self.before: Numbers | None = None
        self.after: Numbers | None = None
        self.trained: Trained | None = None
        #: All of it, once it is measured.
        self.tuned: Tuned | None = None
        #: What the user should know.
        self.notes: list[str] = []
        #: Why it was stopped by something else than the user's Stop; "" if it was not.
        self.why = ""
        #: What it ended with, where something went wrong.
        self.error: BaseException | None = None

    @property
    def result(self) -> Numbers | None:
        """The numbers after training: of the weights that the decision is about."""
        unimproved = None if self.tuned is None else self.tuned.unimproved
        return self.after if unimproved is None else unimproved

    @property
    def fraction(self) -> float:
        """How much of the present work is done, 0 to 1."""
        match self.latest:
            case StepDone(step=step, total=total):
                return step / max(step, total)
            case Progress(fraction=fraction):
                return fraction
            case _:
                return 0.0

    def receive(self, event: TuneEvent | Tuned | Ended) -> None:
        """Add an event."""
        match event:
            case StepDone():
                self.learned, self.latest = True, event
                self.curve.append(event)
            case Validated():
                self.validated = event
                self.curve.append(event)
            case Scored():
                self._take_numbers(event)
            case Progress():
                self.latest = event
            case Calibrated():
                self.calibrated = event
            case Noted() if event.message not in self.notes:
                self.notes.append(event.message)
            case Trained():
                self.trained = event
            case Tuned():
                self.tuned = event
            case Ended():
                self.error = event.error

    def _take_numbers(self, event: Scored) -> None:
        if event.when == "before":
            self.before = event.numbers
        else:
            self.after = event.numbers
