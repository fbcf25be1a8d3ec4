"""One step of the optimizer, on patches that become smaller where memory runs out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_tileseg._progress import Noted
from napari_tileseg._types import Array
from napari_tileseg._words import by_axis
from napari_tileseg.engine import PaddedImage
from napari_tileseg.engine.device import DTYPES, ran_out_of_memory, release_memory
from napari_tileseg.errors import DeviceError, SettingsError
from napari_tileseg.nets.architectures.convolutions import HalvedConvolutions
from napari_tileseg.nets.norm_layers import BatchRenorm, freeze_statistics, set_limits
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.tiling.rounding import ceil_div
from napari_tileseg.training.data.dataset import TrainingImage
from napari_tileseg.training.data.patch_source import Patch, PatchSource
from napari_tileseg.training.data.patches import smaller_patch
from napari_tileseg.training.networks.freezing import choose_weights, run_order, set_training
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.state import State
from napari_tileseg.training.steps.losses import balance, distillation_loss, loss_of
from napari_tileseg.training.steps.schedule import Limits

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


class Stepper:
    """Draws patches, and takes steps on them.

    Parameters
    ----------
    network : Network
        Where to start, with its final layers; it is not changed.
    images : sequence of TrainingImage
        What is learned from.
    sources : sequence of PaddedImage
        Their voxels.
    recipe : Recipe
        What is done.
    state : State
        How large patches and batches are; made smaller here where memory runs out.
    device : str
        Where to compute.

    Attributes
    ----------
    module : torch.nn.Module
        What learns, on its device.
    """

    def __init__(
        self,
        network: Network,
        images: Sequence[TrainingImage],
        sources: Sequence[PaddedImage],
        recipe: Recipe,
        state: State,
        device: str,
    ) -> None:
        self._spec, self._recipe, self._state, self._device = network.spec, recipe, state, device
        self._lattice = network.spec.lattice(len(recipe.patch))
        self._dtype = DTYPES[recipe.dtype]
        self.module: nn.Module = deepcopy(network.module).to(device)
        if not recipe.follow:
            freeze_statistics(self.module)
        _, self._norms = choose_weights(self.module, recipe.train, self._order())
        weights = [each for each in self.module.parameters() if each.requires_grad]
        self._optimizer = torch.optim.Adam(weights, lr=recipe.learning_rate)
        # Gradients of float16 would vanish without a factor.
        self._scaler = torch.amp.GradScaler(torch.device(device).type, enabled=self._dtype == torch.float16)
        self._patches = PatchSource(
            images,
            sources,
            halo=self._lattice.default_halo,
            lead=self._lattice.lead,
            patch=state.patch,
            # Patches may have become smaller since the parts were numbered.
            cell=recipe.patch,
            augment=recipe.augment,
        )

    def _order(self) -> Any:
        """Return the order in which layers run on a patch; refuses statistics of one voxel."""
        state, lead = self._state, self._lattice.lead
        return run_order(self.module, state.patch[lead:], self._spec.in_channels, state.batch)

    @property
    def renormalizes(self) -> bool:
        """Whether batch renormalization is among what learns."""
        layers = dict(self.module.named_modules())
        return any(isinstance(layers.get(path), BatchRenorm) for path in self._norms)

    def as_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that decide the next step, beside the module's."""
        losses = torch.from_numpy(self._patches.sampler.losses.copy())
        optimizer, scaler = self._optimizer.state_dict(), self._scaler.state_dict()
        return {"optimizer": optimizer, "scaler": scaler, "losses": losses}

    def restore(self, values: dict[str, Any]) -> None:
        """Take over what `as_dict` returned."""
        self._optimizer.load_state_dict(values["optimizer"])
        self._scaler.load_state_dict(values["scaler"])
        self._patches.sampler.losses[:] = values["losses"].numpy()

    def take_step(self, step: int, limits: Limits) -> Generator[Noted, None, float]:
        """Take a step, on smaller patches where memory runs out.

        Parameters
        ----------
        step : int
            Steps taken before; all that is drawn follows from it and the recipe's seed.
        limits : Limits
            What batch renormalization may correct in it.

        Yields
        ------
        Noted
            What was made smaller.

        Returns
        -------
        float
            The mean loss; NaN where no step was taken, as loss or gradients are not finite.

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
                return self._attempt(step)
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
            # Only here does the traceback hold the tensors no longer.
            self._clear_gradients()
            release_memory(self._device)
            yield Noted(self._ask_for_less())
            set_training(self.module, self._norms)

    def _attempt(self, step: int) -> float:
        rng = np.random.default_rng((self._recipe.seed, step))
        losses = []
        cuda = [self._device] if self._device.startswith("cuda") else []
        # All that a step draws follows from seed and step: there is no random state to save.
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(int(rng.integers(2**62)))
            for _ in range(self._state.accumulate):
                losses.append(self._learn(rng))
                if not isfinite(losses[-1]):
                    self._clear_gradients()
                    return nan
        return sum(losses) / len(losses) if self._update() else nan

    def _learn(self, rng: np.random.Generator) -> float:
        """Add the gradients of one batch, and note where it was wrong."""
        patches = [self._patches.draw(rng) for _ in range(self._state.batch)]
        loss, entropies = self._accumulate(patches, 1 / self._state.accumulate)
        if isfinite(loss):
            for patch, entropy in zip(patches, entropies, strict=True):
                self._patches.sampler.learn(patch.unit, entropy, patch.strokes, patch.index)
        return loss

    def _accumulate(self, patches: Sequence[Patch], share: float) -> tuple[float, list[Array]]:
        """Add the gradients of patches of one shape; return the loss, and the entropy of each voxel of each.

        `share` is what the loss is multiplied by: 1 over the batches of a step.
        """
        values = self._tensor([each.values for each in patches])
        index = self._tensor([each.index for each in patches]).long()
        weights = self._tensor([balance(each.index, each.strokes) for each in patches])
        with self._autocast(), HalvedConvolutions():
            logits = only_tensor(self.module(values))
        loss, entropy = loss_of(logits, index, weights, self._spec.activation)
        teacher = [each.teacher for each in patches if each.teacher is not None]
        if self._recipe.remember > 0 and len(teacher) == len(patches):
            distilled = distillation_loss(logits, self._tensor(teacher), self._spec.activation)
            loss = loss + self._recipe.remember * distilled
        scaled: Tensor = self._scaler.scale(loss * share)
        scaled.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), list(entropy.cpu().numpy())

    def _tensor(self, arrays: Sequence[Array]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(torch.device(self._device))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(torch.device(self._device).type, dtype=self._dtype)

    def _update(self) -> bool:
        """Let the optimizer use the gradients; False, and no step, where one is not finite."""
        self._scaler.unscale_(self._optimizer)
        gradients = [each.grad for each in self.module.parameters() if each.grad is not None]
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if finite or self._scaler.is_enabled():
            # A scaler that meets an infinite gradient lowers its factor and skips the step.
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self._clear_gradients()
        return finite or self._scaler.is_enabled()

    def _clear_gradients(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)

    def _ask_for_less(self) -> str:
        """Make batches or patches smaller; return how, as a sentence."""
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
            # Statistics of one voxel mean nothing: that patch is no help.
            smaller = None
        if smaller is None:
            raise DeviceError(
                f"{self._device} has too little memory to train {self._spec.name} on one patch of "
                f"{by_axis(former)} "
                "voxels. Close other programs, let fewer weights learn, or choose another device."
            )
        self._patches.resize(smaller)
        return f"Memory of {self._device} ran out: patches have {by_axis(smaller)} voxels from now on."
