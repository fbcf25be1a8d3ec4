"""A training run: steps, validations and checkpoints, as a generator of events."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine.device import release_memory, resolve_device
from napari_tileseg.errors import StoreError
from napari_tileseg.nets.norm_layers import convertible
from napari_tileseg.nets.saving import save_described
from napari_tileseg.prediction.store.damage import Parts
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training.checkpoints import LAST, RUN, write_checkpoint, write_curve
from napari_tileseg.training.data.dataset import Dataset
from napari_tileseg.training.events import (
    Checkpointed,
    Reason,
    Trained,
    TrainEvent,
    Validated,
    divergence,
    step_done,
    trained,
    unfinished,
    validated,
)
from napari_tileseg.training.networks.calibration import EFFORT, convert_network
from napari_tileseg.training.recipe import Recipe, voxels_of_step
from napari_tileseg.training.scoring import Scoring
from napari_tileseg.training.state import State
from napari_tileseg.training.steps.schedule import Limits
from napari_tileseg.training.steps.stepper import Stepper
from napari_tileseg.training.validation import Score, Validation
from napari_tileseg.training.watch import Timing, Watch
from napari_tileseg.training.weights import Snapshot, Weights, Which

if TYPE_CHECKING:
    from torch import nn

    from napari_tileseg.nets.network import Network

#: Voxels that a validation predicts, as a part of those that the steps between two validations learn from.
_VALIDATION = 0.25


class Trainer:
    """Trains a network: all that decides the next step, and what is written of it.

    Made by `open_training` and `resume_training`. It is used from one thread at a time: between two events
    the same thread may predict with `network`. Not asking for an event pauses; `stop` ends.

    Parameters
    ----------
    dataset : Dataset
        Images and labels.
    network : Network
        Where to start, or where the last checkpoint was.
    recipe : Recipe
        What is done.
    settings : TrainSettings
        How often to validate and to write checkpoints, and where to compute.
    folder : Path
        Where checkpoints go.
    about : dict
        What is written about it beside its checkpoints and in the provenance of its network.
    values : dict, optional
        The checkpoint to resume.
    watch : Watch, optional
        Counts since whoever waits for it began to; one that starts now by default.

    Attributes
    ----------
    recipe : Recipe
        What is done.
    folder : Path
        Where checkpoints go.
    device : str
        Where it computes.
    scoring : Scoring
        Scores any network on what is held out; nothing changes by it.
    timing : Timing
        What its parts take, and how many steps fit into its minutes.
    weights : Weights
        The newest, the best and the last ones.
    calibration : int
        Voxels, about, on which the statistics of converted layers are measured.
    validation_seconds : float
        Seconds after which a validation looks at no other part of the images, now and later.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: Network,
        recipe: Recipe,
        settings: TrainSettings,
        folder: Path,
        about: dict[str, Any],
        values: dict[str, Any] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._dataset = dataset
        self._network = network
        self._settings = settings
        self._about = about
        self.recipe = recipe
        self.folder = folder
        self.device = resolve_device(settings.device)
        self._state = State.from_dict(values["state"]) if values else State.of(recipe)
        self._stepper: Stepper | None = None
        self._validation: Validation | None = None
        self.scoring = Scoring(dataset, network, recipe, self.device)
        if values and self._state.schedule is not None:
            self._stepper = self._open()
            self._stepper.restore(values["bench"])
        best = Snapshot.from_dict(values["best"]) if values and values["best"] else None
        self.weights = Weights(self._snapshot, best)
        self._notes = list(dataset.notes)
        self._trained: Trained | None = None
        self._stopping = False
        self._closed = False
        self.calibration = EFFORT
        self.validation_seconds = inf
        self.timing = Timing(watch or Watch(), self._state.seconds, recipe.minutes)

    def _open(self) -> Stepper:
        """Make ready to take steps and to validate."""
        recipe, data = self.recipe, self._dataset
        sources = data.sources((*data.training, *data.held_out))
        count = len(data.training)
        stepper = Stepper(self._network, data.training, sources[:count], recipe, self._state, self.device)
        # As the run was begun: resumed at another pace, it scores the same voxels all the same.
        learned = voxels_of_step(recipe) * self._about["settings"]["validate_every"]
        if data.held_out:
            targets, voxels = [each.targets for each in data.held_out], int(_VALIDATION * learned)
            self._validation = Validation(
                sources[count:], targets, self._network, recipe.patch, voxels=voxels, seed=recipe.seed
            )
        return stepper

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def module(self) -> nn.Module:
        """The module that learns; that of the network it starts from until its layers are converted."""
        return self._network.module if self._stepper is None else self._stepper.module

    def run(self) -> Generator[TrainEvent, None, Trained]:
        """Train until all steps are taken.

        Yields
        ------
        TrainEvent
            `Noted` for what the user should know; `Progress` and `Calibrated` where layers are converted;
            then `StepDone`, `Validated` and `Checkpointed`. Closing the generator leaves the last
            checkpoint; another one resumes it.

        Returns
        -------
        Trained
            How it ended.

        Raises
        ------
        DeviceError
            If memory does not suffice for the smallest patch.
        ImageError
            If a patch cannot be read.
        """
        assert not self._closed, "a closed trainer does not train"
        while self._notes:
            yield Noted(self._notes.pop(0))
        try:
            if self._stepper is None:
                yield from self._begin()
            with self.timing.watch.part("steps"):
                self.timing.begin_steps()
                parts = Parts.of(self.folder, (RUN, LAST))
                while not (self._stopping or self._trained or self._complete):
                    parts.check()
                    yield from self._go_on()
                if self._trained is None:
                    yield from self._end("done" if self._complete else "stopped")
        except Exception:
            self.weights.rescue_last()
            raise
        assert self._trained is not None
        return self._trained

    @property
    def _complete(self) -> bool:
        total = self._state.total(self.recipe)
        return bool(total) and self.step >= total

    def _begin(self) -> Iterator[TrainEvent]:
        """Convert the network, score it, and write that down."""
        part = self.timing.watch.part
        if self.recipe.convert and convertible(self._network.module):
            with part("measuring statistics"):
                self._network = yield from convert_network(
                    self._network,
                    [each.plan for each in self._dataset.training],
                    device=self.device,
                    tile=self.recipe.patch,
                    voxels=self.calibration,
                    seed=self.recipe.seed,
                )
        with part("preparing steps"):
            self._stepper = self._open()
            self._state.begin(self.recipe, renormalizes=self._stepper.renormalizes)
            self.weights.update_last()
        with part("first validation"):
            yield from self._validate()
            yield from self._save()

    def _go_on(self) -> Iterator[TrainEvent]:
        """Take one step, and do what is due after it."""
        assert self._stepper is not None
        limits = self._state.next_limits
        loss = yield from self._stepper.take_step(self.step, limits)
        if not isfinite(loss):
            self._diverge()
            return
        left = self._count_step(loss, limits)
        yield step_done(self._state, self.recipe, loss, limits, seconds=self.timing.seconds, left=left)
        if self.step % self._settings.validate_every == 0 or self._complete:
            yield from self._validate()
        if self.timing.since_saved >= self._settings.checkpoint_every:
            yield from self._save()

    def _count_step(self, loss: float, limits: Limits) -> float:
        """Count a step, and turn the minutes that are left into steps; return the seconds left."""
        elapsed = self.timing.count_step()
        self._state.count_step(loss, limits, elapsed)
        if self.recipe.minutes is not None:
            self._state.plan(self.timing.more(elapsed))
        return self.timing.left(elapsed, self._state.total(self.recipe) - self.step)

    def _validate(self) -> Iterator[Validated]:
        begun = self.timing.watch.elapsed
        score = self._score()
        if score is None:
            return
        best = self.weights.offer(score)
        self._state.note_score(score)
        self.timing.validation = self.timing.watch.elapsed - begun
        yield validated(self.step, score, best=best)

    def _score(self) -> Score | None:
        """Score the newest weights on what is held out; None where nothing is."""
        enough = self.timing.over(self.validation_seconds)
        if self._validation is None:
            return None
        if self._state.places is not None:
            self._validation.limit(self._state.places)
        most = self._validation.places
        score = drain(self._validation.score(self.network("now"), self.device, enough))
        if self._validation.places < most:
            # A resumed run looks at the same parts, so that its scores can be compared with those before.
            self._state.places = self._validation.places
        return score

    def _save(self) -> Iterator[Checkpointed | Noted]:
        """Write a checkpoint where that can be done."""
        begun = self.timing.watch.elapsed
        event: Checkpointed | Noted
        try:
            event = Checkpointed(self.step, self.checkpoint())
        except StoreError as error:
            event = Noted(f"{error} The weights stay in memory, and training continues.")
        self.timing.save(begun)
        yield event

    def _diverge(self) -> None:
        """Go back to the last weights that are known to be good, and end."""
        lost, last = self.step + 1, self.weights.last
        self.module.load_state_dict(last.weights)
        self._state.step = last.step
        message = divergence(lost, self.step, self.recipe)
        self._trained = trained(self._state, self.weights.best, self.timing.seconds, "diverged", message)

    def _end(self, reason: Reason) -> Iterator[TrainEvent]:
        yield from self._save()
        state, seconds = self._state, self.timing.seconds
        self._trained = trained(state, self.weights.best, seconds, reason, unfinished(state))

    def stop(self) -> None:
        """End after the current step, with a checkpoint. From any thread."""
        self._stopping = True

    def checkpoint(self) -> Path:
        """Write all that decides the next step.

        Raises
        ------
        StoreError
            If it cannot be written; the former checkpoint is still there, and the weights are in memory.
        """
        self.weights.update_last()
        self._state.seconds = self.timing.watch.elapsed
        best = self.weights.best
        values = {
            "state": self._state.as_dict(),
            "description": self._network.description.to_json(),
            "module": dict(self.weights.last.weights),
            "best": best.as_dict() if best else None,
            "bench": self._stepper.as_dict() if self._stepper else None,
        }
        path = write_checkpoint(self.folder, values)
        write_curve(self.folder, self._state.curve)
        return path

    def _snapshot(self) -> Snapshot:
        return Snapshot.of(self.module, self.step, self._state.limits)

    def network(self, which: Which = "now") -> Network:
        """Return a copy of the network in evaluation mode, with the weights that `Weights.choose` gives."""
        return self.weights.choose(which).network(self._network)

    def save(self, which: Which, path: str | Path) -> Path:
        """Write the network as ``.safetensors``; return the absolute path.

        Its provenance holds the parent's hash, the labels' hash, the settings, the curve, and where the
        schedule was. `which` is as `Weights.choose` takes it.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        weights = self.weights.choose(which)
        made = weights.network(self._network)
        provenance = {**self._about, "curve": self._state.short_curve(), **weights.provenance}
        return save_described(
            made.module, replace(made.description, name=Path(path).stem, provenance=provenance), path
        )

    def close(self) -> None:
        """Give the device's memory back. It cannot train afterwards; its networks are still there."""
        if self._stepper is not None:
            # What is asked for as the newest weights from now on.
            self._network = replace(self.network("now"), spec=self._network.spec)
        self._stepper = self._validation = None
        self._closed = True
        release_memory(self.device)
