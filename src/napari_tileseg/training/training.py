"""A training run: an object that is driven by asking for its next event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_tileseg._progress import Noted
from napari_tileseg.engine.device import release_memory, resolve_device
from napari_tileseg.errors import StoreError
from napari_tileseg.nets.normalization.conversion import convertible
from napari_tileseg.prediction.store.damage import Parts
from napari_tileseg.settings import TrainSettings
from napari_tileseg.training.checkpoints import LAST, RUN, write_checkpoint, write_curve
from napari_tileseg.training.data.dataset import Material
from napari_tileseg.training.event_making import Reason, divergence, step_done, trained, unfinished, validated
from napari_tileseg.training.events import Checkpointed, Trained, TrainEvent, Validated
from napari_tileseg.training.networks.calibration import EFFORT, convert_network
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.scoring import Scoring
from napari_tileseg.training.state import Snapshot, State
from napari_tileseg.training.steps.schedule import Limits
from napari_tileseg.training.steps.trainer import Workbench
from napari_tileseg.training.validation import Score
from napari_tileseg.training.watch import Timing, Watch
from napari_tileseg.training.weights import network_of, save_snapshot, take_snapshot

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: The newest weights, those of the best validation score, or the last that are known to be good.
Which: TypeAlias = Literal["now", "best", "last"]


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
    calibration : int
        Voxels, about, on which the statistics of converted layers are measured.
    validation : float
        Seconds after which a validation looks at no other part of the images, now and later.
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
        watch: Watch | None = None,
    ) -> None:
        self._material, self._network, self._settings, self._about = material, network, settings, about
        self.recipe, self.folder, self.device = recipe, folder, resolve_device(settings.device)
        self._state = State.from_dict(values["state"]) if values else State.of(recipe)
        self._best = Snapshot.from_dict(values["best"]) if values and values["best"] else None
        self._bench: Workbench | None = None
        self.scoring = Scoring(material, network, recipe, self.device)
        if values and self._state.schedule is not None:
            self._bench = self._open_bench()
            self._bench.restore(values["bench"])
        self._last = self._snapshot()
        self._notes = list(material.notes)
        self._ended, self._stopping = False, False
        self.calibration, self.validation = EFFORT, inf
        self.timing = Timing(watch or Watch(), self._state.seconds, recipe.minutes)

    def _open_bench(self) -> Workbench:
        # As the run was begun: going on at another pace, it scores the same voxels all the same.
        every = self._about["settings"]["validate_every"]
        return Workbench(self._network, self._material, self.recipe, self._state, self.device, every)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Steps planned; 0 until minutes are turned into steps."""
        return self._state.total(self.recipe)

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
            with self.timing.watch.part("steps"):
                self.timing.begin_steps()
                parts = Parts.of(self.folder, (RUN, LAST))
                while not (self._stopping or self._ended or self._complete):
                    parts.check()
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
        """Make the newest weights the last ones."""
        self._last = self._newest()

    def _begin(self) -> Iterator[TrainEvent]:
        """Convert the network, score it, and write that down."""
        part = self.timing.watch.part
        if self.recipe.convert and convertible(self._network.module):
            with part("measuring statistics"):
                self._network = yield from convert_network(
                    self._network,
                    [each.plan for each in self._material.training],
                    device=self.device,
                    tile=self.recipe.patch,
                    voxels=self.calibration,
                    seed=self.recipe.seed,
                )
        with part("preparing steps"):
            self._bench = self._open_bench()
            self._state.begin(self.recipe, renormalizes=self._bench.renormalizes)
            self._last = self._snapshot()
        with part("first validation"):
            yield from self._validate()
            yield from self._save()

    def _go_on(self) -> Iterator[TrainEvent]:
        """Take one step, and do what is due after it."""
        assert self._bench is not None
        limits = self._state.next_limits
        loss = yield from self._bench.take_step(limits)
        if not isfinite(loss):
            yield self._diverge()
            return
        left = self._count_step(loss, limits)
        yield step_done(self._state, self.recipe, loss, limits, seconds=self.timing.seconds, left=left)
        if self.step % self._settings.validate_every == 0 or self.step == self.total:
            yield from self._validate()
        if self.timing.since_saved >= self._settings.checkpoint_every:
            yield from self._save()

    def _count_step(self, loss: float, limits: Limits) -> float:
        """Take note of a step, and turn the minutes that are left into steps; give the seconds left."""
        elapsed = self.timing.count_step()
        self._state.count_step(loss, limits, elapsed)
        if self.recipe.minutes is not None:
            self._state.plan(self.timing.more(elapsed))
        return self.timing.left(elapsed, self.total - self.step)

    def _validate(self) -> Iterator[Validated]:
        begun = self.timing.watch.elapsed
        enough = self.timing.over(self.validation)
        score = self._bench.score(self.network("now"), enough) if self._bench else None
        if score is None:
            return
        best = score.better_than(self._best.score if self._best else None)
        if best:
            self._best = replace(self._snapshot(), score=score)
        self._state.note_score(score)
        self.timing.validation = self.timing.watch.elapsed - begun
        yield validated(self.step, score, best=best)

    def _save(self) -> Iterator[Checkpointed | Noted]:
        """Write a checkpoint where that can be done."""
        begun = self.timing.watch.elapsed
        event: Checkpointed | Noted
        try:
            event = Checkpointed(self.step, self.checkpoint())
        except StoreError as error:
            event = Noted(f"{error} The weights are kept in memory, and training goes on.")
        self.timing.save(begun)
        yield event

    def _diverge(self) -> Trained:
        """Go back to the last weights that are known to be good."""
        assert self._bench is not None
        lost, self._ended = self.step + 1, True
        self._bench.module.load_state_dict(self._last.weights)
        self._state.step = self._last.step
        message = divergence(lost, self.step, self.recipe)
        return trained(self._state, self._best, self.timing.seconds, "diverged", message)

    def _end(self, reason: Reason) -> Iterator[TrainEvent]:
        yield from self._save()
        self._ended = True
        yield trained(self._state, self._best, self.timing.seconds, reason, unfinished(self._state))

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
        self._last = self._snapshot()
        self._state.seconds = self.timing.watch.elapsed
        values = {
            "state": self._state.as_dict(),
            "description": self._network.description.to_json(),
            "module": dict(self._last.weights),
            "best": self._best.as_dict() if self._best else None,
            "bench": self._bench.as_dict() if self._bench else None,
        }
        path = write_checkpoint(self.folder, values)
        write_curve(self.folder, self._state.curve)
        return path

    def _snapshot(self) -> Snapshot:
        module = self._bench.module if self._bench else self._network.module
        return take_snapshot(module, self.step, self._state.limits)

    def _newest(self) -> Snapshot:
        """The newest weights that can be had: a device that has failed does not give its own any more."""
        with suppress(RuntimeError):
            return self._snapshot()
        return self._last

    def _chosen(self, which: Which) -> Snapshot:
        if which == "last":
            return self._last
        return self._best if which == "best" and self._best else self._newest()

    @property
    def best(self) -> Score | None:
        """The best validation score so far, in all runs; None where nothing is held out."""
        return self._best.score if self._best else None

    def resolved(self, which: Which) -> tuple[Literal["best", "last"], int]:
        """Which weights `network` gives, and after which step they were.

        They are the last ones, whatever is asked for, where no score tells the best.
        """
        best = which == "best" and self._best is not None
        return "best" if best else "last", self._chosen(which).step

    def network(self, which: Which = "now") -> Network:
        """Copy of the network in evaluation mode, to predict with; later steps do not change it.

        Parameters
        ----------
        which : {"now", "best", "last"}
            The newest weights, those of the best validation score (the newest where nothing is held out or
            nothing is validated yet), or the last ones: of the end, or of the last checkpoint before it, be
            that only in memory.
        """
        return network_of(self._network, self._chosen(which))

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
        provenance = {**self._about, "curve": self._state.short_curve()}
        return save_snapshot(self._network, self._chosen(which), provenance, path)

    def close(self) -> None:
        """Give the device's memory back. It cannot train afterwards; its networks are still there."""
        if self._bench is not None:
            # What is asked for as the newest weights from now on.
            self._network = replace(self.network("now"), spec=self._network.spec)
        self._bench, self._ended = None, True
        release_memory(self.device)
