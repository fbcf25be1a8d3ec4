"""One step of the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_tileseg._types import Array, Halo, Shape
from napari_tileseg.engine import PaddedImage
from napari_tileseg.engine.device import DTYPES
from napari_tileseg.nets.architectures.convolutions import HalvedConvolutions
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.tiling import Box
from napari_tileseg.training.data.augmentation import move, relight, turnable
from napari_tileseg.training.data.patches import context_of, counting, cut_index
from napari_tileseg.training.data.sampler import Sampler
from napari_tileseg.training.data.training_image import TrainingImage
from napari_tileseg.training.steps.losses import balance, loss_of, unlikeness

if TYPE_CHECKING:
    from napari_tileseg.nets.spec import NetworkSpec


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """What a network is given, and what is right: axes of space only.

    Parameters
    ----------
    unit : int
        What it was drawn for.
    values : ndarray of float32
        ``(channels, *space)``.
    index : ndarray of int
        Class of each voxel; -1 does not count.
    strokes : ndarray of int32, optional
        Stroke of each voxel.
    said : ndarray of float32, optional
        What is to be remembered, ``(classes, *space)``; NaN where nothing is, such as at painted voxels.
    """

    unit: int
    values: npt.NDArray[np.float32]
    index: Array
    strokes: Array | None
    said: npt.NDArray[np.float32] | None = None

    def moved(self, pairs: Sequence[tuple[int, int]], rng: np.random.Generator) -> Patch:
        """The same, flipped and turned."""
        names = [name for name in ("values", "index", "strokes", "said") if getattr(self, name) is not None]
        arrays = move([getattr(self, name) for name in names], self.index.ndim, pairs, rng)
        changes: dict[str, Any] = dict(zip(names, arrays, strict=True))
        return replace(self, **changes)


class Patches:
    """Draws patches of the images of a training.

    Parameters
    ----------
    images : sequence of TrainingImage
        What is learned from.
    sources : sequence of PaddedImage
        Their voxels.
    halo : tuple of (int, int)
        Context that the network needs along each grid axis.
    lead : int
        Grid axes that the network does not know.
    patch : tuple of int
        Voxels of a patch along each grid axis, from now on.
    cell : tuple of int
        Voxels of a part of a densely labelled image, as long as the training lasts.
    augment : bool
        Whether patches are flipped, turned and relit.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        sources: Sequence[PaddedImage],
        *,
        halo: Halo,
        lead: int,
        patch: Shape,
        cell: Shape,
        augment: bool,
    ) -> None:
        self._images, self._sources = tuple(images), tuple(sources)
        self._halo, self._lead, self._augment = halo, lead, augment
        rooms = [source.padded_shape for source in sources]
        self.sampler = Sampler([each.targets for each in images], rooms, cell)
        self.resize(patch)

    def resize(self, patch: Shape) -> None:
        """Draw patches of another shape from now on."""
        self._patch = patch
        self._dense_context = context_of(patch, self._halo, dense=True)
        self._context = [
            context_of(patch, self._halo, dense=each.targets.strokes is None) for each in self._images
        ]
        self._pairs = [
            turnable(each.plan.tiles.image.voxel_size[self._lead :], patch[self._lead :])
            for each in self._images
        ]

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw a patch, read it, and see it in another way."""
        number, box = self.sampler.draw(self._patch, self._context, rng)
        image = self.sampler.units[number].image
        patch = self._read(number, image, box)
        if self._augment:
            patch = patch.moved(self._pairs[image], rng)
            kind = self._images[image].plan.normalization.kind
            patch = replace(patch, values=relight(patch.values, kind, rng))
        return patch

    def _read(self, number: int, image: int, box: Box) -> Patch:
        source, targets, said = self._sources[image], self._images[image].targets, self._images[image].said
        part = counting(box, self._context[image], source.padded_shape)
        space = box.shape[self._lead :]
        values = source.read(box)
        index = cut_index(targets.index, box, part, -1).reshape(space)
        strokes = None if targets.strokes is None else cut_index(targets.strokes, box, part, 0).reshape(space)
        remembered = None
        if said is not None:
            # Every voxel says something here, so less of the patch is spent on context.
            known = counting(box, self._dense_context, source.padded_shape).clip(Box.of_shape(targets.shape))
            remembered = np.full((said.classes, *box.shape), np.nan, np.float32)
            remembered[(slice(None), *known.within(box))] = said.read(known)
            remembered = remembered.reshape(said.classes, *space)
        return Patch(number, values.reshape(len(values), *space), index, strokes, remembered)


class Stepper:
    """Forward, backward and the optimizer's step.

    Parameters
    ----------
    module : torch.nn.Module
        In training mode, on its device.
    optimizer : torch.optim.Optimizer
        Over the weights that learn.
    spec : NetworkSpec
        Says the activation.
    device : str
        Where the module is.
    dtype : str
        Number format of convolutions.
    remember : float
        Weight of what is remembered, over that of what is labelled.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        spec: NetworkSpec,
        device: str,
        dtype: str,
        remember: float = 0.0,
    ) -> None:
        self.module, self.optimizer = module, optimizer
        self._spec, self._device, self._dtype = spec, torch.device(device), DTYPES[dtype]
        self._remember = remember
        # Gradients of float16 would vanish without a factor.
        self.scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)

    def accumulate(self, patches: Sequence[Patch], share: float) -> tuple[float, list[Array]]:
        """Add the gradients of one batch.

        Parameters
        ----------
        patches : sequence of Patch
            Of one shape.
        share : float
            By which the loss is multiplied: 1 over the batches of a step.

        Returns
        -------
        loss : float
            Mean over the patches.
        entropy : list of ndarray
            Cross-entropy of each voxel of each patch.
        """
        values = self._tensor([each.values for each in patches])
        index = self._tensor([each.index for each in patches]).long()
        weights = self._tensor([balance(each.index, each.strokes) for each in patches])
        with self._autocast(), HalvedConvolutions():
            logits = only_tensor(self.module(values))
        loss, entropy = loss_of(logits, index, weights, self._spec.activation)
        said = [each.said for each in patches if each.said is not None]
        if self._remember > 0 and len(said) == len(patches):
            before = self._tensor(said)
            loss = loss + self._remember * unlikeness(logits, before, self._spec.activation)
        scaled: Tensor = self.scaler.scale(loss * share)
        scaled.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), list(entropy.cpu().numpy())

    def _tensor(self, arrays: Sequence[Array]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self._device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._dtype)

    def step(self) -> bool:
        """Let the optimizer use the gradients; False, and no step, where one is not finite."""
        self.scaler.unscale_(self.optimizer)
        gradients = [each.grad for each in self.module.parameters() if each.grad is not None]
        finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if finite or self.scaler.is_enabled():
            # A scaler that meets an infinite gradient lowers its factor and skips the step.
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.forget()
        return finite or self.scaler.is_enabled()

    def forget(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad(set_to_none=True)
