"""A training run: an object that is driven by asking for its next event."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from math import isfinite, nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from napari_tileseg._types import Shape
from napari_tileseg.engine import Lattice
from napari_tileseg.engine.device import check_dtype, ran_out_of_memory, release_memory, resolve_device
from napari_tileseg.errors import DeviceError, ImageError, StoreError
from napari_tileseg.nets.conversion import convertible, set_limits
from napari_tileseg.nets.convolutions import HalvedConvolutions
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.weights import build_with_weights
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.norms import BatchRenorm
from napari_tileseg.nets.saving import save_described
from napari_tileseg.predict.events import Noted
from napari_tileseg.settings import TrainSettings
from napari_tileseg.train.calibrate import check_trainable, convert_network
from napari_tileseg.train.checkpoints import (
    read_about,
    read_checkpoint,
    write_about,
    write_checkpoint,
    write_curve,
)
from napari_tileseg.train.data import TrainingImage
from napari_tileseg.train.events import Checkpointed, Phase, StepDone, Trained, TrainEvent, Validated
from napari_tileseg.train.freezing import choose_weights, run_order, set_training
from napari_tileseg.train.material import Material, gather, halo_of
from napari_tileseg.train.patches import choose_patch, smaller_patch
from napari_tileseg.train.recipe import Recipe, make_recipe
from napari_tileseg.train.schedule import Limits, Schedule, steps_in
from napari_tileseg.train.state import Snapshot, State, unfinished
from napari_tileseg.train.stepping import Patches, Stepper
from napari_tileseg.train.validation import Validation

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: The newest weights, those of the best validation score, or those of the last checkpoint.
Which: TypeAlias = Literal["now", "best", "last"]
#: Voxels that a validation predicts, as a part of those that the steps between two validations learn from.
_VALIDATION = 0.5


def open_training(
    data: Sequence[TrainingImage],
    network: Network,
    settings: TrainSettings,
    folder: str | Path,
    *,
    from_scratch: bool = False,
) -> Training:
    """Lay out a training and write its first checkpoint; no step is taken before an event is asked for.

    Parameters
    ----------
    data : sequence of TrainingImage
        What to learn from, and what is held out. Where nothing is, a part of the strokes, or of several
        densely labelled images, is.
    network : Network
        Where to start: an opened network, or one that `scratch_network` made. It is not changed.
    settings : TrainSettings
        How. Without steps and minutes, one minute, or 25,000 steps from scratch.
    folder : str or Path
        Where checkpoints go; made if it is not there. A former training in it is replaced.
    from_scratch : bool
        Whether the weights are fresh: other defaults hold, and the architecture's own normalization stays.

    Raises
    ------
    NetworkError
        If the network cannot be trained: TorchScript, or nothing in it to learn.
    SettingsError
        If settings contradict each other, or patches are so small that statistics are of one voxel.
    ImageError
        If labels and images do not fit each other or the network.
    StoreError
        If the folder cannot be written.
    DeviceError
        If the device is absent.
    """
    check_trainable(network)
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device)
    material = gather(data, network, settings.held_out, settings.seed)
    patch = _patch(material, network, settings.patch)
    recipe = make_recipe(settings, patch, from_scratch=from_scratch)
    about = {
        "settings": settings.as_dict(),
        "recipe": recipe.as_dict(),
        "parent": {"name": network.spec.name, "path": network.reference.path, "sha256": network.sha256},
        "labels_sha256": material.sha256,
        "from_scratch": from_scratch,
    }
    training = Training(material, network, recipe, settings, Path(folder), about)
    write_about(training.folder, about)
    training.checkpoint()
    return training


def resume_training(folder: str | Path, data: Sequence[TrainingImage]) -> Training:
    """Open a training where its last checkpoint left it; the same data give the same result as not stopping.

    Parameters
    ----------
    folder : str or Path
        That of the training.
    data : sequence of TrainingImage
        As it was given to `open_training`.

    Raises
    ------
    StoreError
        If there is no training in the folder, or its checkpoint is broken.
    ImageError
        If the labels are others than before.
    """
    folder = Path(folder)
    about, values = read_about(folder), read_checkpoint(folder)
    description = Description.from_json(values["description"], str(folder))
    module = build_with_weights(description, values["module"], str(folder))
    network = network_in_memory(module, description, ancestor=about["parent"]["sha256"])
    said = about["settings"]
    settings = TrainSettings(**{**said, "patch": said["patch"] and tuple(said["patch"])})
    material = gather(data, network, settings.held_out, settings.seed)
    if material.sha256 != about["labels_sha256"]:
        raise ImageError(
            f"The training in {folder} learns from other labels than these. Give those it was begun with, or "
            "start a new training from its network."
        )
    recipe = Recipe.from_dict(about["recipe"])
    return Training(material, network, recipe, settings, folder, about, values)


def _patch(material: Material, network: Network, asked: Shape | None) -> Shape:
    ndim = len(material.room)
    lattice = Lattice.of(network.spec, ndim)
    voxel_size = material.training[0].plan.tiles.image.voxel_size
    patch = choose_patch(lattice, material.room, voxel_size, asked)
    # Refuses a patch that leaves one voxel to a normalization layer, before anything is begun.
    run_order(deepcopy(network.module), patch[lattice.lead :], network.spec.in_channels)
    return patch


class Training:
    """Module, optimizer, schedule and all else that decides the next step.

    Made by `open_training` and `resume_training`. It is used from one thread at a time: between two events
    the same thread may predict with `network`. Not asking for an event pauses; `stop` ends.
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
        self._material, self._network, self._recipe = material, network, recipe
        self._settings, self._about = settings, about
        self.folder = folder
        self._device = resolve_device(settings.device)
        self._state = State.from_dict(values["state"]) if values else State.of(recipe)
        self._best = Snapshot.from_dict(values["best"]) if values and values["best"] else None
        self._resumed, self._ended, self._stopping = values, False, False
        self._notes = list(material.notes)
        self._stepper: Stepper | None = None
        self._seconds = 0.0
        self._saved_at = time.monotonic()
        if self._state.schedule is not None:
            self._prepare()
        self._last = self._snapshot()

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def total(self) -> int:
        """Steps planned; 0 until minutes are turned into steps."""
        schedule = self._state.schedule
        return (schedule and schedule.total) or self._recipe.steps or 0

    @property
    def recipe(self) -> Recipe:
        """What it does, in numbers."""
        return self._recipe

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._device

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
        if self._state.schedule is None:
            yield from self._begin()
        while not (self._stopping or self._ended or (self.total and self.step >= self.total)):
            yield from self._go_on()
        if not self._ended:
            yield from self._end("stopped" if self.step < (self.total or self.step + 1) else "done")

    def _begin(self) -> Iterator[TrainEvent]:
        """Convert, score the start, and write that down."""
        fresh = bool(self._about["from_scratch"]) or bool(
            self._network.description.renormalized and self._network.description.r_max is None
        )
        if self._recipe.convert and convertible(self._network.module):
            self._network = yield from convert_network(
                self._network,
                [each.plan for each in self._material.training],
                device=self._device,
                tile=self._recipe.patch,
                seed=self._recipe.seed,
            )
            fresh = True
        self._prepare()
        start: Phase = "none" if not self._renormalizes() else "batch" if fresh else "full"
        self._state.schedule = Schedule(
            start=start,
            r_max=self._recipe.r_max,
            d_max=self._recipe.d_max,
            first_phase=self._recipe.first_phase,
            total=self._recipe.steps,
        )
        self._last = self._snapshot()
        yield from self._validate()
        yield from self._save()

    def _renormalizes(self) -> bool:
        """Whether batch renormalization is among what learns."""
        assert self._stepper is not None
        layers = dict(self._stepper.module.named_modules())
        return any(isinstance(layers.get(path), BatchRenorm) for path in self._norms)

    def _prepare(self) -> None:
        """Module, optimizer and patches, once the layers are what they will be."""
        network, state, recipe = self._network, self._state, self._recipe
        ndim = len(recipe.patch)
        lead = ndim - network.spec.ndim
        module = deepcopy(network.module).to(self._device)
        order = run_order(module, state.patch[lead:], network.spec.in_channels, state.batch)
        _, self._norms = choose_weights(module, recipe.train, order)
        weights = [each for each in module.parameters() if each.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=recipe.learning_rate)
        self._stepper = Stepper(module, optimizer, network.spec, self._device, recipe.dtype)
        training, held_out = self._material.training, self._material.held_out
        sources = self._material.sources((*training, *held_out))
        self._patches = Patches(
            training,
            sources[: len(training)],
            halo=halo_of(network, ndim),
            lead=lead,
            patch=state.patch,
            augment=recipe.augment,
        )
        self._validation = held_out and Validation(
            sources[len(training) :],
            [each.targets for each in held_out],
            network,
            recipe.patch,
            voxels=self._validation_voxels(),
            seed=recipe.seed,
        )
        if self._resumed and self._resumed["optimizer"]:
            optimizer.load_state_dict(self._resumed["optimizer"])
            self._stepper.scaler.load_state_dict(self._resumed["scaler"])
            self._patches.sampler.losses[:] = self._resumed["losses"].numpy()

    def _validation_voxels(self) -> int:
        recipe = self._recipe
        each = prod(recipe.patch) * recipe.batch * recipe.accumulate
        return int(_VALIDATION * self._settings.validate_every * each)

    def _go_on(self) -> Iterator[TrainEvent]:
        """One step, and what is due after it."""
        begun = time.monotonic()
        limits = self._limits()
        loss = yield from self._descend(limits)
        if not isfinite(loss):
            yield from self._diverge()
            return
        self._count(loss, limits, time.monotonic() - begun)
        yield self._step_done(loss, limits)
        if self.step % self._settings.validate_every == 0 or self.step == self.total:
            yield from self._validate()
        if time.monotonic() - self._saved_at >= self._settings.checkpoint_every:
            yield from self._save()

    def _limits(self) -> Limits:
        assert self._state.schedule is not None
        return self._state.schedule.limits(self.step)

    def _descend(self, limits: Limits) -> Generator[Noted, None, float]:
        """Take a step, on smaller patches where memory runs out; give the loss, NaN for no step."""
        assert self._stepper is not None
        set_training(self._stepper.module, self._norms)
        set_limits(self._stepper.module, limits.r_max, limits.d_max)
        while True:
            try:
                return self._attempt()
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
            # Only here has the traceback let go of the tensors.
            self._stepper.forget()
            release_memory(self._device)
            yield Noted(self._shrink())

    def _attempt(self) -> float:
        assert self._stepper is not None
        state, stepper = self._state, self._stepper
        rng = np.random.default_rng((self._recipe.seed, self.step))
        losses = []
        cuda = [self._device] if self._device.startswith("cuda") else []
        # All that a step draws follows from seed and step: there is no random state to keep.
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(int(rng.integers(2**62)))
            for _ in range(state.accumulate):
                patches = [self._patches.draw(rng) for _ in range(state.batch)]
                loss, entropies = stepper.accumulate(patches, 1 / state.accumulate)
                losses.append(loss)
                if not isfinite(loss):
                    stepper.forget()
                    return nan
                for patch, entropy in zip(patches, entropies, strict=True):
                    self._patches.sampler.learn(patch.unit, entropy, patch.strokes, patch.index)
        return sum(losses) / len(losses) if stepper.step() else nan

    def _shrink(self) -> str:
        """Ask for less memory, and say how."""
        state = self._state
        if state.batch > 1:
            state.batch, state.accumulate = -(-state.batch // 2), state.accumulate * 2
            return (
                f"Memory of {self._device} ran out: {state.batch} patches at once, and {state.accumulate} "
                "times before each step."
            )
        lattice = Lattice.of(self._network.spec, len(state.patch))
        smaller = smaller_patch(state.patch, lattice)
        if smaller is None:
            raise DeviceError(
                f"{self._device} has too little memory to train {self._network.spec.name} on one patch of "
                f"{state.patch} voxels. Close other programs, let fewer weights learn, or choose another "
                "device."
            )
        # Statistics of one voxel are refused here as they are at the start.
        assert self._stepper is not None
        run_order(deepcopy(self._stepper.module), smaller[lattice.lead :], self._network.spec.in_channels)
        state.patch = smaller
        self._patches.resize(smaller)
        return f"Memory of {self._device} ran out: patches have {smaller} voxels from now on."

    def _count(self, loss: float, limits: Limits, seconds: float) -> None:
        state = self._state
        assert state.schedule is not None
        state.step += 1
        self._spend(seconds)
        if state.step == 1:
            state.first = state.seconds
        state.note_step(loss, limits)
        state.schedule = state.schedule.after(state.step, loss)
        if state.schedule.total is None and self._recipe.minutes is not None:
            total = steps_in(60 * self._recipe.minutes, state.step, state.seconds, state.first)
            state.schedule = replace(state.schedule, total=total)

    def _spend(self, seconds: float) -> None:
        self._state.seconds += seconds
        self._seconds += seconds

    def _step_done(self, loss: float, limits: Limits) -> StepDone:
        each = self._state.seconds / self.step
        left = each * (self.total - self.step)
        if not self.total:
            left = 60 * (self._recipe.minutes or 0) - self._state.seconds
        return StepDone(
            step=self.step,
            total=self.total,
            loss=loss,
            phase=limits.phase,
            r_max=limits.r_max,
            d_max=limits.d_max,
            seconds=self._seconds,
            seconds_left=max(0.0, left),
        )

    def _validate(self) -> Iterator[Validated]:
        if not self._validation:
            return
        begun = time.monotonic()
        with HalvedConvolutions():
            score = self._validation.score(self.network("now"), self._device)
        best = score.better_than(self._best.score if self._best else None)
        if best:
            self._best = replace(self._snapshot(), score=score)
        self._state.note_score(score)
        self._spend(time.monotonic() - begun)
        yield Validated(step=self.step, loss=score.loss, dice=score.dice, score=score.mean, best=best)

    def _save(self) -> Iterator[Checkpointed | Noted]:
        """Write a checkpoint where that can be done."""
        begun = time.monotonic()
        try:
            path = self.checkpoint()
        except StoreError as error:
            event: Checkpointed | Noted = Noted(f"{error} Training goes on.")
        else:
            event = Checkpointed(self.step, path)
        self._saved_at = time.monotonic()
        self._spend(self._saved_at - begun)
        yield event

    def _diverge(self) -> Iterator[TrainEvent]:
        """Go back to the last checkpoint's weights."""
        lost, self._ended = self.step + 1, True
        assert self._stepper is not None
        self._stepper.module.load_state_dict(self._last.weights)
        self._state.step = self._last.step
        rate = self._recipe.learning_rate
        also = "" if self._recipe.dtype == "float32" else ", or compute in float32"
        yield self._trained(
            "diverged",
            f"The loss became infinite or NaN in step {lost}; the weights after step {self._last.step} are "
            f"kept. Try a lower learning rate, such as {rate / 3:.1g}{also}.",
        )

    def _end(self, reason: Literal["done", "stopped"]) -> Iterator[TrainEvent]:
        self._ended = True
        yield from self._save()
        assert self._state.schedule is not None
        limits = self._now()
        yield self._trained(reason, unfinished(limits.phase, limits, self._state.schedule))

    def _trained(self, reason: Literal["done", "stopped", "diverged"], message: str) -> Trained:
        best = self._best
        return Trained(
            steps=self.step,
            seconds=self._seconds,
            reason=reason,
            phase=self._now().phase,
            best_step=best.step if best else self.step,
            best_score=best.score.mean if best and best.score else nan,
            message=message,
        )

    def _now(self) -> Limits:
        """Limits that the weights as they are were trained with last."""
        if self._state.schedule is None:
            return Limits("none", 1.0, 0.0)
        return self._state.schedule.limits(max(0, self.step - 1))

    def stop(self) -> None:
        """Let the next event begin the end: a checkpoint and `Trained` that says so. From any thread."""
        self._stopping = True

    def checkpoint(self) -> Path:
        """Write all that decides the next step.

        Raises
        ------
        StoreError
            If it cannot be written; the former checkpoint is still there.
        """
        snapshot, stepper = self._snapshot(), self._stepper
        values = {
            "state": self._state.as_dict(),
            "description": self._network.description.to_json(),
            "module": dict(snapshot.weights),
            "best": self._best and self._best.as_dict(),
            "optimizer": stepper and stepper.optimizer.state_dict(),
            "scaler": stepper and stepper.scaler.state_dict(),
            "losses": torch.from_numpy(self._patches.sampler.losses) if stepper else None,
        }
        path = write_checkpoint(self.folder, values)
        write_curve(self.folder, self._state.curve)
        self._last = snapshot
        return path

    def _snapshot(self) -> Snapshot:
        if self._ended and self._stepper is None:
            return self._last
        module = self._stepper.module if self._stepper else self._network.module
        weights = {name: values.detach().cpu().clone() for name, values in module.state_dict().items()}
        return Snapshot(self.step, weights, self._now())

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
            nothing is validated yet), or those of the last checkpoint.
        """
        snapshot = self._chosen(which)
        module = deepcopy(self._network.module)
        module.load_state_dict(snapshot.weights)
        description = self._described(snapshot)
        if description.r_max is not None and description.d_max is not None:
            set_limits(module, description.r_max, description.d_max)
        return network_in_memory(module, description, self._network.spec)

    def _described(self, snapshot: Snapshot) -> Description:
        said, limits = self._network.description, snapshot.limits
        if limits.phase == "none":
            return said
        return replace(said, r_max=limits.r_max, d_max=limits.d_max)

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
        network = self.network(which)
        described = replace(network.description, name=Path(path).stem, provenance=provenance)
        return save_described(network.module, described, path)

    def close(self) -> None:
        """Give memory back. It cannot train afterwards."""
        self._last, self._ended = self._snapshot(), True
        self._stepper = None
        release_memory(self._device)
