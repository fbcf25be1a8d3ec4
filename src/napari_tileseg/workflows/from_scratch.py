"""Training a network from scratch, by a recipe."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.images.units import voxel_size_in_micrometers
from napari_tileseg.labels import Targets, check_teachable, read_targets
from napari_tileseg.nets.architectures import registry
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.training import Trainer, TrainingImage, open_training, resume_training, scratch_network
from napari_tileseg.training.watch import Watch
from napari_tileseg.workflows.label_file import read_labels
from napari_tileseg.workflows.recipe import LabelledVolume, Recipe
from napari_tileseg.workflows.resumption import check_same

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def lay_out(
    recipe: Recipe, *, resume: bool = False, watch: Watch | None = None
) -> Generator[Progress, None, Trainer]:
    """Open images, labels and a fresh network, and lay out their training.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    resume : bool
        Whether to resume the training that the recipe's folder holds.
    watch : Watch, optional
        Counts the minutes that the recipe gives; from when the training is laid out by default.

    Yields
    ------
    Progress
        While intensities are measured.

    Returns
    -------
    Trainer
        Ready to run.

    Raises
    ------
    ImageError, NetworkError, SettingsError, StoreError, DeviceError
        If images, labels, network or settings are not what they should be, or do not fit each other.
    """
    images = [open_image(pair.image, recipe.image) for pair in recipe.pairs]
    network = _network(recipe, images)
    if resume:
        check_same(recipe.folder, network, recipe.training)
    # Before intensities are measured, which takes a while.
    labels = [_targets(recipe, pair, image) for pair, image in zip(recipe.pairs, images, strict=True)]
    check_teachable(labels)
    data = []
    for pair, image, targets in zip(recipe.pairs, images, labels, strict=True):
        plan = yield from plan_prediction(image, network, recipe.predict, route=WHOLE_TILES)
        data.append(TrainingImage(plan, targets, held_out=pair.validation is True))
    if resume:
        return resume_training(recipe.folder, data, recipe.training, watch=watch)
    return open_training(data, network, recipe.training, recipe.folder, from_scratch=True, watch=watch)


def _targets(recipe: Recipe, pair: LabelledVolume, image: Image) -> Targets:
    labels = read_labels(pair.labels, image.shape)
    return read_targets(labels, recipe.classes, recipe.labels, image.shape)


def _network(recipe: Recipe, images: Sequence[Image]) -> Network:
    ndim = registry.signature(recipe.architecture, recipe.arguments).ndim
    known = voxel_size_in_micrometers(images[0])
    return scratch_network(
        recipe.architecture,
        recipe.arguments,
        classes=recipe.classes,
        name=recipe.name,
        activation=recipe.activation,
        input_normalization=recipe.input_normalization,
        voxel_size=None if known is None else known[len(known) - ndim :],
        seed=recipe.training.seed,
    )
