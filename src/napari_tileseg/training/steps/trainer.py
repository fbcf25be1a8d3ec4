"""Module, optimizer, patches and validation of a training, ready to work."""

from __future__ import annotations

from collections.abc import Callable, Generator
from copy import deepcopy
from math import isfinite, nan, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_tileseg._progress import Noted
from napari_tileseg._words import by_axis
from napari_tileseg.engine import Lattice
from napari_tileseg.engine.device import ran_out_of_memory, release_memory
from napari_tileseg.errors import DeviceError, SettingsError
from napari_tileseg.nets.normalization.conversion import keep_statistics, set_limits
from napari_tileseg.nets.normalization.norms import BatchRenorm
from napari_tileseg.tiling.rounding import ceil_div
from napari_tileseg.training.data.dataset import Material
from napari_tileseg.training.data.patches import smaller_patch
from napari_tileseg.training.networks.freezing import choose_weights, run_order, set_training
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.state import State
from napari_tileseg.training.steps.schedule import Limits
from napari_tileseg.training.steps.stepper import Patches, Stepper
from napari_tileseg.training.validation import Score, Validation

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels that a validation predicts, as a part of those that the steps between two validations learn from.
_VALIDATION = 0.25


class Workbench:
    """Takes steps, and scores.

    Parameters
    ----------
    network : Network
        Where to start, with the layers that it will keep; it is not changed.
    material : Material
        Images and labels.
    recipe : Recipe
        What is done.
    state : State
        How large patches and batches are; made smaller here where memory runs out.
    device : str
        Where to compute.
    validate_every : int
        Steps between two validations, which bound their size.
    """

    def __init__(
        self,
        network: Network,
        material: Material,
        recipe: Recipe,
        state: State,
        device: str,
        validate_every: int,
    ) -> None:
        self._spec, self._recipe, self._state, self._device = network.spec, recipe, state, device
        self._lattice = Lattice.of(network.spec, len(recipe.patch))
        self.module: nn.Module = deepcopy(network.module).to(device)
        if not recipe.follow:
            keep_statistics(self.module)
        order = self._order()
        _, self._norms = choose_weights(self.module, recipe.train, order)
        weights = [each for each in self.module.parameters() if each.requires_grad]
        self._optimizer = torch.optim.Adam(weights, lr=recipe.learning_rate)
        self._stepper = Stepper(
            self.module, self._optimizer, network.spec, device, recipe.dtype, recipe.remember
        )
        training, held_out = material.training, material.held_out
        sources = material.sources((*training, *held_out))
        self._patches = Patches(
            training,
            sources[: len(training)],
            halo=self._lattice.default_halo,
            lead=self._lattice.lead,
            patch=state.patch,
            # Patches may have become smaller since the parts were numbered.
            cell=recipe.patch,
            augment=recipe.augment,
        )
        learned = prod(recipe.patch) * recipe.batch * recipe.accumulate * validate_every
        self._validation = held_out and Validation(
            sources[len(training) :],
            [each.targets for each in held_out],
            network,
            recipe.patch,
            voxels=int(_VALIDATION * learned),
            seed=recipe.seed,
        )
        self._chosen = self._validation.places if self._validation else 0

    def _order(self) -> Any:
        """Order in which layers run on a patch; refuses statistics of one voxel."""
        state, lead = self._state, self._lattice.lead
        return run_order(self.module, state.patch[lead:], self._spec.in_channels, state.batch)

    @property
    def renormalizes(self) -> bool:
        """Whether batch renormalization is among what learns."""
        layers = dict(self.module.named_modules())
        return any(isinstance(layers.get(path), BatchRenorm) for path in self._norms)

    def as_dict(self) -> dict[str, Any]:
        """Tensors and plain values that decide the next step, beside the module's."""
        losses = torch.from_numpy(self._patches.sampler.losses.copy())
        optimizer, scaler = self._optimizer.state_dict(), self._stepper.scaler.state_dict()
        return {"optimizer": optimizer, "scaler": scaler, "losses": losses}

    def restore(self, values: dict[str, Any]) -> None:
        """Take over what `as_dict` gave."""
        self._optimizer.load_state_dict(values["optimizer"])
        self._stepper.scaler.load_state_dict(values["scaler"])
        self._patches.sampler.losses[:] = values["losses"].numpy()

    def score(self, network: Network, enough: Callable[[], bool] = bool) -> Score | None:
        """Score a copy of the network on what is held out; None where nothing is.

        Parameters
        ----------
        network : Network
            The copy.
        enough : callable
            Whether to leave out the parts of the images that are left, now and later.
        """
        if not self._validation:
            return None
        if self._state.places is not None:
            self._validation.keep(self._state.places)
        found = self._validation.score(network, self._device, enough)
        if self._validation.places < self._chosen:
            self._state.places = self._validation.places
        return found

    def take_step(self, limits: Limits) -> Generator[Noted, None, float]:
        """Take a step, on smaller patches where memory runs out; give the loss, NaN for no step.

        Raises
        ------
        DeviceError
            If memory does not suffice for the smallest patch.
        ImageError
            If a patch cannot be read.
        """
        set_training(self.module, self._norms)
        set_limits(self.module, limits.r_max, limits.d_max)
        while True:
            try:
                return self._attempt()
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
            # Only here has the traceback let go of the tensors.
            self._stepper.forget()
            release_memory(self._device)
            yield Noted(self._ask_for_less())
            set_training(self.module, self._norms)

    def _attempt(self) -> float:
        state = self._state
        rng = np.random.default_rng((self._recipe.seed, state.step))
        losses = []
        cuda = [self._device] if self._device.startswith("cuda") else []
        # All that a step draws follows from seed and step: there is no random state to keep.
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(int(rng.integers(2**62)))
            for _ in range(state.accumulate):
                losses.append(self._learn(rng))
                if not isfinite(losses[-1]):
                    self._stepper.forget()
                    return nan
        return sum(losses) / len(losses) if self._stepper.step() else nan

    def _learn(self, rng: np.random.Generator) -> float:
        """Add the gradients of one batch, and note where it was wrong."""
        patches = [self._patches.draw(rng) for _ in range(self._state.batch)]
        loss, entropies = self._stepper.accumulate(patches, 1 / self._state.accumulate)
        if isfinite(loss):
            for patch, entropy in zip(patches, entropies, strict=True):
                self._patches.sampler.learn(patch.unit, entropy, patch.strokes, patch.index)
        return loss

    def _ask_for_less(self) -> str:
        """Make batches or patches smaller, and say how."""
        state = self._state
        if state.batch > 1:
            state.batch, state.accumulate = ceil_div(state.batch, 2), state.accumulate * 2
            return (
                f"Memory of {self._device} ran out: {state.batch} patches at once, and {state.accumulate} "
                "times before each step."
            )
        former, smaller = state.patch, smaller_patch(state.patch, self._lattice)
        try:
            state.patch = smaller or former
            self._order()
        except SettingsError:
            # Statistics of one voxel say nothing: that patch is no help.
            smaller = None
        if smaller is None:
            raise DeviceError(
                f"{self._device} has too little memory to train {self._spec.name} on one patch of "
                f"{by_axis(former)} "
                "voxels. Close other programs, let fewer weights learn, or choose another device."
            )
        self._patches.resize(smaller)
        return f"Memory of {self._device} ran out: patches have {by_axis(smaller)} voxels from now on."
