"""Fine-tuning a network on the labels of one image: measured before, converted, trained, measured after."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._files import json_text, write_text
from napari_tileseg._types import ImageSource
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.labels import Targets, check_inside, check_teachable, read_targets
from napari_tileseg.predict.events import Noted, Progress
from napari_tileseg.predict.plan import Plan, measure_plan
from napari_tileseg.session.finetuning_events import Kept, Scored, Tuned, TuneEvent
from napari_tileseg.session.resumption import check_same
from napari_tileseg.session.seam_check import SeamCheck, check_seams
from napari_tileseg.session.teaching_numbers import ClassNumbers, Numbers, known
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.tiling import Box
from napari_tileseg.train import Trained, Training, TrainingImage, open_training, resume_training
from napari_tileseg.train.recall import origin_of, recall

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.predict.normalization import Normalization
    from napari_tileseg.train.scoring import Scoring
    from napari_tileseg.train.training import Which

#: File of a run's folder with the numbers before and after.
NUMBERS = "numbers.json"


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
    """

    def __init__(self, order: TuneOrder) -> None:
        self._order = order
        self._training: Training | None = None
        self._stopped = False

    def events(self) -> Iterator[TuneEvent]:
        """Measure, convert, train and measure.

        Closing the iterator stops within one step and leaves the last checkpoint, from which another one goes
        on with `TuneOrder.resume`.

        Yields
        ------
        TuneEvent
            What training tells, `Scored` before and after it, and `Tuned` at the end.

        Raises
        ------
        ImageError, NetworkError, SettingsError, StoreError, DeviceError
            As `measure_plan`, `read_targets`, `open_training` and `Training.events`.
        """
        order = self._order
        if order.resume:
            check_same(order.folder, order.network, order.training)
        # Before intensities are measured, which takes a while: labels may be painted on.
        targets = _targets(order)
        plan = yield from self._plan()
        training = yield from self._open(plan, targets)
        self._training = training
        if self._stopped:
            training.stop()
        check = check_seams(plan, order.network, order.training.seed)
        if check.obstacle:
            yield Noted(check.obstacle)
        before = _read_before(order.folder) if order.resume else None
        if before is None:
            before = yield from _measure(check, training.scoring, order.network)
            yield from _write(order.folder, before=before)
        yield Scored("before", before)
        trained = yield from _train(training)
        after = yield from _measure(check, training.scoring, training.network(order.keep))
        yield from _write(order.folder, before=before, after=after)
        yield Scored("after", after)
        kept, step = training.resolved(order.keep)
        last = (yield from self._score_last(training, step)) if order.both else None
        yield Tuned(trained=trained, kept=kept, step=step, before=before, after=after, last=last)

    def _score_last(self, training: Training, step: int) -> Generator[Progress, None, Numbers | None]:
        """Score the last weights, unless they are those of a step that is measured."""
        if training.resolved("last")[1] == step:
            return None
        return (yield from _score(training.scoring, training.network("last")))

    def stop(self) -> None:
        """End training after the current step, and measure what it has come to. From any thread."""
        self._stopped = True
        if self._training is not None:
            self._training.stop()

    def network(self, which: Which = "now") -> Network | None:
        """Copy of the network to predict with; None before training is laid out.

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
        """Give memory back."""
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
        return (yield from measure_plan(order.image, order.network, settings, order.normalization))

    def _open(self, plan: Plan, targets: Targets) -> Generator[TuneEvent, None, Training]:
        order = self._order
        said = None
        if targets.strokes is not None and order.training.remember > 0:
            said = yield from recall(plan, (yield from origin_of(order.network)), targets)
        data = [TrainingImage(plan, targets, said=said)]
        if order.resume:
            return resume_training(order.folder, data, order.training)
        (order.folder / NUMBERS).unlink(missing_ok=True)
        return open_training(data, order.network, order.training, order.folder)


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
    """Pass on what training tells, to its end."""
    for event in training.events():
        yield event
        if isinstance(event, Trained):
            return event
    raise AssertionError("training ends with Trained")


def _score(scoring: Scoring, network: Network) -> Generator[Progress, None, Numbers]:
    """Dice and loss of a network on what is held out."""
    what = "Scoring on held-out strokes" if scoring.holds_out else "Scoring"
    yield Progress(what, 0.0)
    scored = scoring.score(network)
    yield Progress(what, 1.0)
    names = zip(network.spec.classes, scored.dice, strict=True)
    return Numbers(
        loss=known(scored.loss),
        classes=tuple(ClassNumbers(name=name, dice=known(dice)) for name, dice in names),
        seam_free=None,
        max_abs_difference=None,
        held_out=scoring.holds_out,
        strokes=scoring.strokes if scoring.holds_out else None,
    )


def _measure(check: SeamCheck, scoring: Scoring, network: Network) -> Generator[Progress, None, Numbers]:
    """Numbers of a network on what is held out and on the pairs of tiles."""
    numbers = yield from _score(scoring, network)
    found = yield from check.measure(network)
    if found is None:
        return numbers
    mismatch, disparity = found
    pairs = zip(numbers.classes, mismatch.classes, disparity.classes, strict=True)
    return replace(
        numbers,
        classes=tuple(
            replace(
                scored,
                tile_mismatch=between.tile_mismatch,
                train_eval_disparity=modes.train_eval_disparity,
            )
            for scored, between, modes in pairs
        ),
        seam_free=mismatch.seam_free,
        max_abs_difference=mismatch.max_abs_difference,
    )


def _read_before(folder: Path) -> Numbers | None:
    """Numbers before training, where an earlier part of the run has measured them."""
    try:
        return Numbers.from_dict(json.loads((folder / NUMBERS).read_text(encoding="utf-8"))["before"])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _write(folder: Path, **numbers: Numbers) -> Iterator[Noted]:
    text = json_text({when: each.as_dict() for when, each in numbers.items()}, indent=2)
    try:
        write_text(folder / NUMBERS, text + "\n")
    except OSError as error:
        # The weights matter more: they may still be written elsewhere.
        yield Noted(f"The numbers of this run could not be kept in {folder}: {error}.")
