"""Fine-tuning a network on the labels of one image: measured before, converted, trained, measured after."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Protocol

from napari_tileseg._progress import Clock, Noted, Progress, flat_map_events
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import SettingsError
from napari_tileseg.labels import Targets, check_inside, check_teachable, read_targets
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.tiling import Box
from napari_tileseg.training import Trainer, TrainingImage, open_training, resume_training
from napari_tileseg.training.data.distillation import TeacherOutputs, predict_teacher, teacher_of
from napari_tileseg.training.events import StepDone, Trained
from napari_tileseg.training.networks.logits import ending_in_logits
from napari_tileseg.training.recipe import minutes_of
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning_events import Scored, TileShown, Tuned, TuneEvent
from napari_tileseg.workflows.finetuning_request import TuneRequest
from napari_tileseg.workflows.measures import (
    NUMBERS,
    announce_fewer,
    compare_tiles,
    fewer,
    read_numbers,
    score,
    write_numbers,
)
from napari_tileseg.workflows.resumption import check_same
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.seam_check import SeamCheck, check_seams
from napari_tileseg.workflows.time_budget import Efforts, TimeBudget

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


class BetweenSteps(Protocol):
    """What is done with the newest weights between two steps, such as predicting what is in view."""

    @property
    def last_seconds(self) -> float:
        """Seconds that its last turn may take, which are left free of steps."""

    def turn(
        self, newest: Callable[[], Network], stop: Callable[[], bool], *, last: bool = False
    ) -> Iterator[TileShown | Noted]:
        """Do a little, if it is time.

        Parameters
        ----------
        newest : callable
            Gives the network with the weights to look at.
        stop : callable
            Whether to return soon.
        last : bool
            Whether no other turn follows.
        """


class FineTuning:
    """A fine-tuning that can be paused, stopped and resumed; shell and viewer both drive it.

    `run` and what is done with `trainer` belong to one thread at a time; `pause` and `stop` may be called
    from any.

    Parameters
    ----------
    request : TuneRequest
        What is to be done.
    watch : Watch, optional
        Counts since the start, as whoever waits for it has seen it; one that starts now by default.
    between : BetweenSteps, optional
        What is done between two steps.

    Attributes
    ----------
    learned : bool
        Whether a step was taken, so that there is something to save.
    """

    def __init__(
        self, request: TuneRequest, watch: Watch | None = None, between: BetweenSteps | None = None
    ) -> None:
        # Scores before and after are of the same activation.
        self.request = replace(request, network=ending_in_logits(request.network))
        self.learned = False
        self._between = between
        self._trainer: Trainer | None = None
        self._watch = watch or Watch()
        spare = 0.0 if between is None else between.last_seconds
        self._budget = TimeBudget(self._watch, minutes_of(request.training), spare)
        self._efforts = Efforts()
        self._stopping = Event()
        self._going = Event()
        self._going.set()

    def run(self) -> Generator[TuneEvent, None, Tuned]:
        """Measure, convert, train and measure.

        Where it has minutes, these count from the start to the end: what comes before and after the steps is
        counted in, and made smaller to fit. Closing the generator stops within one step and leaves the last
        checkpoint, which another one resumes with `TuneRequest.resume`.

        Yields
        ------
        TuneEvent
            The events of training, `Trained` after the last step, `Scored` before and after, and those of
            what is done between steps.

        Returns
        -------
        Tuned
            The numbers before and after.

        Raises
        ------
        ImageError, NetworkError, SettingsError, StoreError, DeviceError
            As `plan_prediction`, `read_targets`, `open_training` and `Trainer.run`; `SettingsError` also
            where the minutes leave no time for a step.
        """
        clock = Clock(lambda: self._watch.elapsed)
        return (yield from flat_map_events(self._work(), lambda event: self._follow(event, clock)))

    def _follow(self, event: TuneEvent, clock: Clock) -> Iterator[TuneEvent]:
        """Pass an event on, do what is to be done after it, and wait while it is paused."""
        self.learned |= isinstance(event, StepDone)
        yield clock.estimate(event) if isinstance(event, Progress) else event
        if self._between is not None and isinstance(event, StepDone):
            yield from self._between.turn(self.trainer.network, self._stopping.is_set)
        elif self._between is not None and isinstance(event, Trained) and self.learned:
            with self._watch.part("last look"):
                yield from self._between.turn(partial(self.trainer.network, "best"), bool, last=True)
        with self._watch.rest():
            self._going.wait()

    def _work(self) -> Generator[TuneEvent, None, Tuned]:
        request, part = self.request, self._watch.part
        written = read_numbers(request.folder) if request.resume else None
        if request.resume:
            check_same(request.folder, request.network, request.training)
        before, self._efforts = written or (None, Efforts())
        # Before intensities are measured, which takes a while: labels may be painted on.
        with part("reading labels"):
            targets = _read_targets(request)
        with part("measuring intensities"):
            settings = request.prediction_settings()
            plan = yield from plan_prediction(
                request.image,
                request.network,
                settings,
                route=WHOLE_TILES,
                normalization=request.normalization,
            )
        trainer = self._trainer = yield from self._open(plan, targets)
        if self.stopping:
            trainer.stop()
        check = check_seams(plan, request.training.seed)
        if check.obstacle:
            yield Noted(check.obstacle)
        check = fewer(check, self._efforts.pairs)
        if before is None:
            check, before = yield from self._measure_before(trainer, check)
            yield from write_numbers(request.folder, self._efforts, before=before)
        trainer.timing.afterwards = self._efforts.afterwards
        yield Scored("before", before)
        trained = yield from trainer.run()
        yield trained
        return (yield from self._measure_after(trainer, trained, check, before))

    def _measure_before(
        self, trainer: Trainer, check: SeamCheck
    ) -> Generator[TuneEvent, None, tuple[SeamCheck, Numbers]]:
        """Measure the network as it is, and see to it that there is time for steps."""
        request, budget, scoring, watch = self.request, self._budget, trainer.scoring, self._watch
        scores = 2 if request.both else 1
        with watch.part("scoring before"):
            begun = watch.elapsed
            before = yield from score(scoring, request.network, budget.scored())
            took = watch.elapsed - begun
        budget.count_prediction(scoring.voxels, took)
        if budget.limited:
            self._efforts.places, self._efforts.pairs = scoring.places, budget.pairs(check)
            check = yield from announce_fewer(check, self._efforts.pairs)
            budget.check(trainer.recipe, took, budget.afterwards(took, 0.0, scores=scores))
            trainer.calibration, trainer.validation_seconds = budget.calibration(), budget.validation()
        with watch.part("comparing tiles before"):
            begun = watch.elapsed
            before = yield from compare_tiles(check, request.network, before)
            compared = watch.elapsed - begun
        self._efforts.afterwards = budget.afterwards(took, compared, scores=scores)
        return check, before

    def _measure_after(
        self, trainer: Trainer, trained: Trained, check: SeamCheck, before: Numbers
    ) -> Generator[TuneEvent, None, Tuned]:
        """Measure the result of training."""
        request, part = self.request, self._watch.part
        which, step = trainer.weights.resolve(request.which)
        with part("scoring after"):
            after = yield from score(trainer.scoring, trainer.network(request.which))
            last = (yield from self._score_last(trainer, step)) if request.both else None
        with part("comparing tiles after"):
            after = yield from compare_tiles(check, trainer.network(request.which), after)
        yield from write_numbers(request.folder, self._efforts, before=before, after=after)
        yield Scored("after", after)
        seconds, parts = trainer.timing.seconds, dict(self._watch.parts)
        return Tuned(
            trained=trained,
            which=which,
            step=step,
            before=before,
            after=after,
            last=last,
            seconds=seconds,
            parts=parts,
        )

    def _score_last(self, trainer: Trainer, step: int) -> Generator[Progress, None, Numbers | None]:
        """Score the last weights, unless they are those of a step that is measured."""
        if trainer.weights.last.step == step:
            return None
        return (yield from score(trainer.scoring, trainer.network("last")))

    def _open(self, plan: Plan, targets: Targets) -> Generator[TuneEvent, None, Trainer]:
        request, teacher = self.request, None
        if targets.strokes is not None and request.training.remember > 0:
            with self._watch.part("remembering"):
                teacher = yield from self._ask_teacher(plan, targets)
        data = [TrainingImage(plan, targets, teacher=teacher)]
        if request.resume:
            trainer = resume_training(request.folder, data, request.training, watch=self._watch)
            if self._efforts.places is not None:
                trainer.scoring.limit(self._efforts.places)
            return trainer
        (request.folder / NUMBERS).unlink(missing_ok=True)
        return open_training(data, request.network, request.training, request.folder, watch=self._watch)

    def _ask_teacher(self, plan: Plan, targets: Targets) -> Generator[TuneEvent, None, TeacherOutputs]:
        teacher = yield from teacher_of(self.request.network)
        enough = self._budget.distilled() if self._efforts.tiles is None else bool
        outputs = yield from predict_teacher(plan, teacher, targets, tiles=self._efforts.tiles, enough=enough)
        if self._budget.limited:
            self._efforts.tiles = len(outputs.cores)
        return outputs

    @property
    def trainer(self) -> Trainer:
        """The trainer, which gives and saves the networks.

        To be used between two events, in the thread that iterates over them.

        Raises
        ------
        SettingsError
            If training has not begun.
        """
        if self._trainer is None:
            raise SettingsError("There is no network to save: training has not begun.")
        return self._trainer

    @property
    def paused(self) -> bool:
        """Whether it waits."""
        return not self._going.is_set()

    def pause(self, paused: bool) -> None:
        """Pause after the current step, or resume; returns at once."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End training after the current step, paused or not, and measure the result."""
        self._stopping.set()
        if self._trainer is not None:
            self._trainer.stop()
        self._going.set()

    def close(self) -> None:
        """Give memory back, and wait no more."""
        self._going.set()
        if self._trainer is not None:
            self._trainer.close()


def _read_targets(request: TuneRequest) -> Targets:
    """Read the labels, and refuse those that teach nothing."""
    shape = request.image.shape
    targets = read_targets(request.labels, request.network.spec.classes, request.meaning, shape)
    check_teachable([targets])
    if request.predict.box is not None:
        ends = tuple((0, n) for n in shape[: len(shape) - len(request.predict.box)]) + request.predict.box
        check_inside(targets, Box(*(tuple(side) for side in zip(*ends, strict=True))))
    return targets
