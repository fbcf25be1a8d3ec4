"""Fine-tuning a network on the labels of one image: measured before, converted, trained, measured after."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._progress import Clock, Noted, Progress
from napari_tileseg._types import ImageSource
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.labels import Targets, check_inside, check_teachable, read_targets
from napari_tileseg.prediction.plan.plan import Plan, plan_prediction
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training import Trained, Training, TrainingImage, open_training, resume_training
from napari_tileseg.training.data.distillation import Said, origin_of, recall
from napari_tileseg.training.recipe import minutes_of
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.finetuning_events import Kept, Scored, Tuned, TuneEvent
from napari_tileseg.workflows.measures import (
    NUMBERS,
    compare_tiles,
    fewer,
    read_numbers,
    score,
    told_fewer,
    write_numbers,
)
from napari_tileseg.workflows.pace import Efforts, TunePace
from napari_tileseg.workflows.resumption import check_same
from napari_tileseg.workflows.scores import Numbers
from napari_tileseg.workflows.seam_check import SeamCheck, check_seams

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.prediction.input.normalization import Normalization
    from napari_tileseg.training.training import Which


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TuneOrder:
    """All that fine-tuning needs to know.

    Parameters
    ----------
    image : Image
        The image.
    labels : array of int
        What is labelled, over the image's grid axes: anything that is read by slicing. It is read once, when
        the work begins; strokes take memory for what is painted only.
    network : Network
        The opened network; it is not changed.
    folder : Path
        Folder of the run.
    training : TrainSettings
        How it is trained, and on which device.
    meaning : LabelSettings
        What the labels' values mean.
    predict : PredictSettings
        How intensities are normalized; core and halo say which tiles are compared.
    normalization : Normalization, optional
        That of the image for the network and `predict`, where it is measured already.
    keep : {"best", "last"}
        Which weights are measured after training.
    both : bool
        Whether the last weights are scored too, where they are not those that are kept.
    resume : bool
        Whether to go on with the training that the folder holds.
    """

    image: Image
    labels: ImageSource
    network: Network
    folder: Path
    training: TrainSettings = field(default_factory=TrainSettings)
    meaning: LabelSettings = field(default_factory=LabelSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    normalization: Normalization | None = None
    keep: Kept = "best"
    both: bool = False
    resume: bool = False


class FineTuning:
    """Drives one fine-tuning, an event at a time, in one thread.

    Parameters
    ----------
    order : TuneOrder
        What is to be done.
    watch : Watch, optional
        Counts since the start, as whoever waits for it has seen it; one that starts now by default.
    spare : float
        Seconds of its minutes that whoever drives it takes at the end.
    """

    def __init__(self, order: TuneOrder, watch: Watch | None = None, spare: float = 0.0) -> None:
        self._order = order
        self._training: Training | None = None
        self._stopped = False
        self._watch = watch or Watch()
        self._pace = TunePace(self._watch, minutes_of(order.training), spare)
        self._efforts = Efforts()

    def events(self) -> Iterator[TuneEvent]:
        """Measure, convert, train and measure.

        Where it has minutes, these count from the start to the last event: what comes before and after the
        steps is counted in, and made smaller to fit. Closing the iterator stops within one step and leaves
        the last checkpoint, from which another one goes on with `TuneOrder.resume`.

        Yields
        ------
        TuneEvent
            What training tells, `Scored` before and after it, and `Tuned` at the end.

        Raises
        ------
        ImageError, NetworkError, SettingsError, StoreError, DeviceError
            As `plan_prediction`, `read_targets`, `open_training` and `Training.events`; `SettingsError` also
            where the minutes leave no time for a step.
        """
        clock = Clock(lambda: self._watch.elapsed)
        with closing(self._events()) as events:
            for event in events:
                yield clock.estimate(event) if isinstance(event, Progress) else event

    def _events(self) -> Generator[TuneEvent, None, None]:
        order, part = self._order, self._watch.part
        written = read_numbers(order.folder) if order.resume else None
        if order.resume:
            check_same(order.folder, order.network, order.training)
        before, self._efforts = written or (None, Efforts())
        # Before intensities are measured, which takes a while: labels may be painted on.
        with part("reading labels"):
            targets = _targets(order)
        with part("measuring intensities"):
            plan = yield from self._plan()
        training = self._training = yield from self._open(plan, targets)
        if self._stopped:
            training.stop()
        check = check_seams(plan, order.training.seed)
        if check.obstacle:
            yield Noted(check.obstacle)
        check = fewer(check, self._efforts.pairs)
        if before is None:
            check, before = yield from self._measure_before(training, check)
            yield from write_numbers(order.folder, self._efforts, before=before)
        training.timing.afterwards = self._efforts.afterwards
        yield Scored("before", before)
        trained = yield from _train(training)
        kept, step = training.resolved(order.keep)
        with part("scoring after"):
            after = yield from score(training.scoring, training.network(order.keep))
            last = (yield from self._score_last(training, step)) if order.both else None
        with part("comparing tiles after"):
            after = yield from compare_tiles(check, training.network(order.keep), after)
        yield from write_numbers(order.folder, self._efforts, before=before, after=after)
        yield Scored("after", after)
        seconds, parts = training.timing.seconds, dict(self._watch.parts)
        yield Tuned(
            trained=trained,
            kept=kept,
            step=step,
            before=before,
            after=after,
            last=last,
            seconds=seconds,
            parts=parts,
        )

    def _measure_before(
        self, training: Training, check: SeamCheck
    ) -> Generator[TuneEvent, None, tuple[SeamCheck, Numbers]]:
        """Measure the network as it is, and see to it that there is time for steps."""
        order, pace, scoring, watch = self._order, self._pace, training.scoring, self._watch
        scores = 2 if order.both else 1
        with watch.part("scoring before"):
            begun = watch.elapsed
            before = yield from score(scoring, order.network, pace.scored())
            took = watch.elapsed - begun
        pace.predicted(scoring.voxels, took)
        if pace.limited:
            self._efforts.places, self._efforts.pairs = scoring.places, pace.pairs(check)
            check = yield from told_fewer(check, self._efforts.pairs)
            pace.check(training.recipe, took, pace.afterwards(took, 0.0, scores=scores))
            training.calibration, training.validation = pace.calibration(), pace.validation()
        with watch.part("comparing tiles before"):
            begun = watch.elapsed
            before = yield from compare_tiles(check, order.network, before)
            compared = watch.elapsed - begun
        self._efforts.afterwards = pace.afterwards(took, compared, scores=scores)
        return check, before

    def _score_last(self, training: Training, step: int) -> Generator[Progress, None, Numbers | None]:
        """Score the last weights, unless they are those of a step that is measured."""
        if training.resolved("last")[1] == step:
            return None
        return (yield from score(training.scoring, training.network("last")))

    def stop(self) -> None:
        """End training after the current step, and measure the result. From any thread."""
        self._stopped = True
        if self._training is not None:
            self._training.stop()

    def network(self, which: Which = "now") -> Network | None:
        """Copy the network to predict with; None before training is laid out.

        Parameters
        ----------
        which : {"now", "best", "last"}
            As `Training.network` takes it. To be called between two events, in the thread that asks for them.
        """
        return None if self._training is None else self._training.network(which)

    def save(self, which: Kept, path: str | Path) -> Path:
        """Write the network, with where it comes from, as one file of the project's own format.

        Raises
        ------
        SettingsError
            If training has not begun.
        StoreError
            If it cannot be written; nothing is lost then, and another place can be tried.
        """
        if self._training is None:
            raise SettingsError("There is no network to keep: training has not begun.")
        return self._training.save(which, path)

    def close(self) -> None:
        """Free memory."""
        if self._training is not None:
            self._training.close()

    def _plan(self) -> Generator[Progress, None, Plan]:
        order = self._order
        if order.predict.resample:
            raise SettingsError(
                "Labels lie on the voxels of the image, so it is trained on as it is; resample should be "
                "false. Resample image and labels yourself, where their voxel size is far from the network's."
            )
        settings = replace(order.predict, box=None, device=order.training.device, dtype="float32")
        planning = plan_prediction(
            order.image, order.network, settings, route=WHOLE_TILES, normalization=order.normalization
        )
        return (yield from planning)

    def _open(self, plan: Plan, targets: Targets) -> Generator[TuneEvent, None, Training]:
        order, said = self._order, None
        if targets.strokes is not None and order.training.remember > 0:
            with self._watch.part("remembering"):
                said = yield from self._recall(plan, targets)
        data = [TrainingImage(plan, targets, said=said)]
        if order.resume:
            training = resume_training(order.folder, data, order.training, watch=self._watch)
            if self._efforts.places is not None:
                training.scoring.keep(self._efforts.places)
            return training
        (order.folder / NUMBERS).unlink(missing_ok=True)
        return open_training(data, order.network, order.training, order.folder, watch=self._watch)

    def _recall(self, plan: Plan, targets: Targets) -> Generator[TuneEvent, None, Said]:
        origin = yield from origin_of(self._order.network)
        enough = self._pace.remembered() if self._efforts.tiles is None else bool
        said = yield from recall(plan, origin, targets, tiles=self._efforts.tiles, enough=enough)
        if self._pace.limited:
            self._efforts.tiles = len(said.cores)
        return said


def _targets(order: TuneOrder) -> Targets:
    """Read the labels, and refuse those that teach nothing."""
    shape = order.image.shape
    targets = read_targets(order.labels, order.network.spec.classes, order.meaning, shape)
    check_teachable([targets])
    if order.predict.box is not None:
        ends = tuple((0, n) for n in shape[: len(shape) - len(order.predict.box)]) + order.predict.box
        check_inside(targets, Box(*(tuple(side) for side in zip(*ends, strict=True))))
    return targets


def _train(training: Training) -> Generator[TuneEvent, None, Trained]:
    """Pass on the events of training, to its end."""
    for event in training.events():
        yield event
        if isinstance(event, Trained):
            return event
    raise AssertionError("training ends with Trained")
