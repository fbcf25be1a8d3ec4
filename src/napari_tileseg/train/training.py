"""A training run: an object that is driven by asking for its next event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, replace
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_tileseg.engine.device import release_memory, resolve_device
from napari_tileseg.errors import StoreError
from napari_tileseg.nets.conversion import convertible, set_limits
from napari_tileseg.nets.convolutions import HalvedConvolutions
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.saving import save_described
from napari_tileseg.predict.events import Noted
from napari_tileseg.settings import TrainSettings
from napari_tileseg.train.calibrate import convert_network
from napari_tileseg.train.checkpoints import write_checkpoint, write_curve
from napari_tileseg.train.events import Checkpointed, Phase, StepDone, Trained, TrainEvent, Validated
from napari_tileseg.train.material import Material
from napari_tileseg.train.recipe import Recipe
from napari_tileseg.train.schedule import Limits, Schedule, steps_in
from napari_tileseg.train.scoring import open_scoring
from napari_tileseg.train.state import Snapshot, State, unfinished
from napari_tileseg.train.validation import Validation
from napari_tileseg.train.workbench import Workbench

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: The newest weights, those of the best validation score, or the last that are known to be good.
Which: TypeAlias = Literal["now", "best", "last"]
_Reason: TypeAlias = Literal["done", "stopped", "diverged"]


class Training:
    """Module, optimizer, schedule and all else that decides the next step.

    Made by `open_training` and `resume_training`. It is used from one thread at a time: between two events
    the same thread may predict with `network`. Not asking for an event pauses; `stop` ends.

    Parameters
    ----------
    material : Material
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
        The checkpoint to go on from.

    Attributes
    ----------
    recipe : Recipe
        What is done.
    folder : Path
        Where checkpoints go.
    device : str
        Where it computes.
    """

    def __init__(
        self,
        material: Material,
        network: Network,
        recipe: Recipe,
        settings: TrainSettings,
        folder: Path,
        about: dict[str, Any],
        values: dict[str, Any] | None = None,
    ) -> None:
        self._material, self._network, self._settings, self._about = material, network, settings, about
        self.recipe, self.folder, self.device = recipe, folder, resolve_device(settings.device)
        self._state = State.from_dict(values["state"]) if values else State.of(recipe)
        self._best = Snapshot.from_dict(values["best"]) if values and values["best"] else None
        self._bench: Workbench | None = None
        self._scoring: Validation | None = None
        if values and self._state.schedule is not None:
            self._bench = self._open_bench()
            self._bench.restore(values["bench"])
        self._last = self._snapshot()
        self._notes = list(material.notes)
        self._ended, self._stopping = False, False
        self._seconds, self._saved_at = 0.0, time.monotonic()

    def _open_bench(self) -> Workbench:
        every = self._settings.validate_every
        return Workbench(self._network, self._material, self.recipe, self._state, self.device, every)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Steps planned; 0 until minutes are turned into steps."""
        schedule = self._state.schedule
        return (schedule and schedule.total) or self.recipe.steps or 0

    @property
    def holds_out(self) -> bool:
        """Whether labels are held out to score on."""
        return bool(self._material.held_out)

    def events(self) -> Iterator[TrainEvent]:
        """Train, one event at a time, until all steps are taken.

        Yields
        ------
        TrainEvent
            `Noted` for what the user should know; `Progress` and `Calibrated` where layers are converted;
            then `StepDone`, `Validated` and `Checkpointed`; `Trained` at the end. Closing the iterator leaves
            the last checkpoint; asking again goes on.

        Raises
        ------
        DeviceError
            If memory does not suffice for the smallest patch.
        ImageError
            If a patch cannot be read.
        """
        while self._notes:
            yield Noted(self._notes.pop(0))
        try:
            if self._bench is None and not self._ended:
                yield from self._begin()
            while not (self._stopping or self._ended or self._complete):
                yield from self._go_on()
            if not self._ended:
                yield from self._end("done" if self._complete else "stopped")
        except Exception:
            self._hold()
            raise

    @property
    def _complete(self) -> bool:
        return bool(self.total) and self.step >= self.total

    def _hold(self) -> None:
        """Make the newest weights the last ones; a device that has failed may not give them any more."""
        with suppress(RuntimeError):
            self._last = self._snapshot()

    def _begin(self) -> Iterator[TrainEvent]:
        """Convert the network, score it, and write that down."""
        if self.recipe.convert and convertible(self._network.module):
            self._network = yield from convert_network(
                self._network,
                [each.plan for each in self._material.training],
                device=self.device,
                tile=self.recipe.patch,
                seed=self.recipe.seed,
            )
        self._bench = self._open_bench()
        # Statistics that were measured are good: fresh weights, and whoever asks for it, begin without them.
        start: Phase = "none" if not self._bench.renormalizes else "batch" if self.recipe.follow else "full"
        self._state.schedule = Schedule(
            start=start,
            r_max=self.recipe.r_max,
            d_max=self.recipe.d_max,
            first_phase=self.recipe.first_phase,
            total=self.recipe.steps,
        )
        self._last = self._snapshot()
        yield from self._validate()
        yield from self._save()

    def _go_on(self) -> Iterator[TrainEvent]:
        """Take one step, and do what is due after it."""
        assert self._bench is not None
        assert self._state.schedule is not None
        begun = time.monotonic()
        limits = self._state.schedule.limits(self.step)
        loss = yield from self._bench.take_step(limits)
        if not isfinite(loss):
            yield self._diverge()
            return
        self._count(loss, limits, time.monotonic() - begun)
        yield self._step_done(loss, limits)
        if self.step % self._settings.validate_every == 0 or self.step == self.total:
            yield from self._validate()
        if time.monotonic() - self._saved_at >= self._settings.checkpoint_every:
            yield from self._save()

    def _count(self, loss: float, limits: Limits, seconds: float) -> None:
        state = self._state
        assert state.schedule is not None
        state.step += 1
        self._spend(seconds)
        if state.step == 1:
            state.first = state.seconds
        state.note_step(loss, limits)
        state.schedule = state.schedule.after(state.step, loss)
        if state.schedule.total is None and self.recipe.minutes is not None:
            total = steps_in(60 * self.recipe.minutes, state.step, state.seconds, state.first)
            state.schedule = replace(state.schedule, total=total)

    def _spend(self, seconds: float) -> None:
        self._state.seconds += seconds
        self._seconds += seconds

    def _step_done(self, loss: float, limits: Limits) -> StepDone:
        seconds = self._state.seconds
        whole = seconds / self.step * self.total if self.total else 60 * (self.recipe.minutes or 0)
        return StepDone(
            step=self.step,
            total=self.total,
            loss=loss,
            phase=limits.phase,
            r_max=limits.r_max,
            d_max=limits.d_max,
            seconds=self._seconds,
            seconds_left=max(0.0, whole - seconds),
        )

    def _validate(self) -> Iterator[Validated]:
        begun = time.monotonic()
        score = self._bench.score(self.network("now")) if self._bench else None
        if score is None:
            return
        best = score.better_than(self._best.score if self._best else None)
        if best:
            self._best = replace(self._snapshot(), score=score)
        self._state.note_score(score)
        self._spend(time.monotonic() - begun)
        yield Validated(step=self.step, loss=score.loss, dice=score.dice, score=score.mean, best=best)

    def score(self, network: Network) -> Validated:
        """Score any network of the same classes, such as the one before conversion; nothing changes.

        Parameters
        ----------
        network : Network
            In memory or from a file.

        Returns
        -------
        Validated
            On what is held out, or on what is learned from where nothing is.

        Raises
        ------
        DeviceError, NetworkError, ImageError
            If it cannot be predicted.
        """
        if self._scoring is None:
            self._scoring = open_scoring(self._material, self._network, self.recipe)
        with HalvedConvolutions():
            found = self._scoring.score(network, self.device)
        return Validated(step=self.step, loss=found.loss, dice=found.dice, score=found.mean, best=False)

    def _save(self) -> Iterator[Checkpointed | Noted]:
        """Write a checkpoint where that can be done."""
        begun = time.monotonic()
        event: Checkpointed | Noted
        try:
            event = Checkpointed(self.step, self.checkpoint())
        except StoreError as error:
            event = Noted(f"{error} The weights are kept in memory, and training goes on.")
        self._saved_at = time.monotonic()
        self._spend(self._saved_at - begun)
        yield event

    def _diverge(self) -> Trained:
        """Go back to the last weights that are known to be good."""
        assert self._bench is not None
        lost, self._ended = self.step + 1, True
        self._bench.module.load_state_dict(self._last.weights)
        self._state.step = self._last.step
        also = "" if self.recipe.dtype == "float32" else ", or compute in float32"
        return self._trained(
            "diverged",
            f"The loss became infinite or NaN in step {lost}; the weights after step {self.step} are kept. "
            f"Try a lower learning rate, such as {self.recipe.learning_rate / 3:.1g}{also}.",
        )

    def _end(self, reason: _Reason) -> Iterator[TrainEvent]:
        assert self._state.schedule is not None
        yield from self._save()
        self._ended = True
        yield self._trained(reason, unfinished(self._limits(), self._state.schedule))

    def _trained(self, reason: _Reason, message: str) -> Trained:
        best = self._best
        return Trained(
            steps=self.step,
            seconds=self._seconds,
            reason=reason,
            phase=self._limits().phase,
            best_step=best.step if best else self.step,
            best_score=best.score.mean if best and best.score else nan,
            message=message,
        )

    def _limits(self) -> Limits:
        """Limits of the last step that was taken."""
        schedule = self._state.schedule
        return Limits("none", 1.0, 0.0) if schedule is None else schedule.limits(max(0, self.step - 1))

    def stop(self) -> None:
        """Let the next event begin the end: a checkpoint and `Trained` that says so. From any thread."""
        self._stopping = True

    def checkpoint(self) -> Path:
        """Write all that decides the next step.

        Raises
        ------
        StoreError
            If it cannot be written; the former checkpoint is still there, and the weights are in memory.
        """
        snapshot = self._last = self._snapshot()
        values = {
            "state": self._state.as_dict(),
            "description": self._network.description.to_json(),
            "module": dict(snapshot.weights),
            "best": self._best.as_dict() if self._best else None,
            "bench": self._bench.as_dict() if self._bench else None,
        }
        path = write_checkpoint(self.folder, values)
        write_curve(self.folder, self._state.curve)
        return path

    def _snapshot(self) -> Snapshot:
        module = self._bench.module if self._bench else self._network.module
        weights = {name: values.detach().cpu().clone() for name, values in module.state_dict().items()}
        return Snapshot(self.step, weights, self._limits())

    def _chosen(self, which: Which) -> Snapshot:
        if which == "last":
            return self._last
        return self._best if which == "best" and self._best else self._snapshot()

    def network(self, which: Which = "now") -> Network:
        """Copy of the network in evaluation mode, to predict with; later steps do not change it.

        Parameters
        ----------
        which : {"now", "best", "last"}
            The newest weights, those of the best validation score (the newest where nothing is held out or
            nothing is validated yet), or the last ones: of the end, or of the last checkpoint before it, be
            that only in memory.
        """
        return self._network_of(self._chosen(which))

    def _network_of(self, snapshot: Snapshot) -> Network:
        module = deepcopy(self._network.module)
        module.load_state_dict(snapshot.weights)
        description, limits = self._network.description, snapshot.limits
        if limits.phase != "none":
            description = replace(description, r_max=limits.r_max, d_max=limits.d_max)
            set_limits(module, limits.r_max, limits.d_max)
        return network_in_memory(module, description, self._network.spec)

    def save(self, which: Which, path: str | Path) -> Path:
        """Write the network as a file of our own, with where it comes from.

        Parameters
        ----------
        which : {"now", "best", "last"}
            As `network` takes it.
        path : str or Path
            Where to, ``.safetensors``.

        Returns
        -------
        Path
            Absolute path of the file. Its provenance holds the parent's hash, the labels' hash, the
            settings, the curve, and where the schedule was.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        snapshot = self._chosen(which)
        provenance = {
            **self._about,
            "step": snapshot.step,
            "limits": asdict(snapshot.limits),
            "curve": self._state.short_curve(),
        }
        network = self._network_of(snapshot)
        described = replace(network.description, name=Path(path).stem, provenance=provenance)
        return save_described(network.module, described, path)

    def close(self) -> None:
        """Give the device's memory back. It cannot train afterwards; its networks are still there."""
        if self._bench is not None:
            # What is asked for as the newest weights from now on.
            self._network = replace(self.network("now"), spec=self._network.spec)
        self._bench, self._ended = None, True
        release_memory(self.device)
