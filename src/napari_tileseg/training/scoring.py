"""Scoring the network before and after training, on the same voxels."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_tileseg.training.data.dataset import Dataset
from napari_tileseg.training.recipe import Recipe
from napari_tileseg.training.validation import Score, Validation

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels to predict at most: it is done twice in a run, so that more may be looked at than in validations.
_VOXELS = 2**22


class Scoring:
    """Scores networks on what is held out, or on what is learned from where nothing is.

    Parameters
    ----------
    dataset : Dataset
        Images and labels.
    network : Network
        Says which context is read.
    recipe : Recipe
        Its seed chooses the parts that are looked at, where there are more.
    device : str
        Where to compute.
    """

    def __init__(self, dataset: Dataset, network: Network, recipe: Recipe, device: str) -> None:
        self._dataset = dataset
        self._network = network
        self._recipe = recipe
        self._device = device

    @property
    def holds_out(self) -> bool:
        """Whether it looks at what is held out."""
        return bool(self._dataset.held_out)

    @property
    def strokes(self) -> int | None:
        """How many strokes are held out; None where labels are dense."""
        found = [each.targets.strokes for each in self._dataset.held_out]
        if any(each is None for each in found):
            return None
        return sum(len(np.unique(each.values)) for each in found if each is not None)

    @cached_property
    def _validation(self) -> Validation:
        looked_at = self._dataset.held_out or self._dataset.training
        return Validation(
            self._dataset.sources(looked_at),
            [each.targets for each in looked_at],
            self._network,
            self._recipe.patch,
            voxels=_VOXELS,
            seed=self._recipe.seed,
        )

    @property
    def places(self) -> int:
        """How many parts of the images are looked at."""
        return self._validation.places

    @property
    def voxels(self) -> int:
        """Voxels that are predicted for a score."""
        return self._validation.voxels

    def limit(self, places: int) -> None:
        """Look at no more than this many parts of the images from now on, at one at least."""
        self._validation.limit(places)

    def score(self, network: Network, enough: Callable[[], bool] = bool) -> Generator[float, None, Score]:
        """Score any network of the same classes, such as the one before conversion; nothing changes by it.

        Parameters
        ----------
        network : Network
            In memory or from a file.
        enough : callable
            Whether to leave out the parts of the images that are left, now and in later scores.

        Yields
        ------
        float
            How much of the work is done, 0 to 1.

        Raises
        ------
        DeviceError, NetworkError, ImageError
            If it cannot be predicted.
        """
        return (yield from self._validation.score(network, self._device, enough))
