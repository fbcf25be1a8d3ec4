"""Begins and resumes trainings."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg._files import as_tuples
from napari_tileseg._types import Shape
from napari_tileseg.engine.device import check_dtype, resolve_device
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.weights import build_with_weights
from napari_tileseg.settings import TrainSettings, knobs
from napari_tileseg.training.checkpoints import (
    read_about,
    read_checkpoint,
    reading_run,
    remove_checkpoint,
    write_about,
)
from napari_tileseg.training.data.data_identity import check_identity, identify
from napari_tileseg.training.data.dataset import Dataset, TrainingImage, gather
from napari_tileseg.training.data.patches import choose_patch
from napari_tileseg.training.networks.calibration import trainable
from napari_tileseg.training.networks.freezing import choose_weights, run_order
from napari_tileseg.training.networks.logits import ending_in_logits
from napari_tileseg.training.recipe import Recipe, make_recipe
from napari_tileseg.training.trainer import Trainer
from napari_tileseg.training.watch import Watch

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def open_training(
    data: Sequence[TrainingImage],
    network: Network,
    settings: TrainSettings,
    folder: str | Path,
    *,
    from_scratch: bool = False,
    watch: Watch | None = None,
) -> Trainer:
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
    watch : Watch, optional
        Counts the minutes, since it was made; from now on by default.

    Raises
    ------
    NetworkError
        If the network cannot be trained: code that shows no graph, or nothing in it to learn.
    SettingsError
        If settings contradict each other, or patches are so small that statistics are of one voxel.
    ImageError
        If labels and images do not fit each other or the network.
    StoreError
        If the folder cannot be written.
    DeviceError
        If the device is absent.
    """
    network = ending_in_logits(trainable(network))
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device)
    dataset = gather(data, network, settings.held_out, settings.seed)
    patch = _patch(dataset, network, settings.patch)
    recipe = make_recipe(settings, patch, from_scratch=from_scratch)
    _check(network, recipe)
    about = {
        "settings": settings.as_dict(),
        "recipe": recipe.as_dict(),
        "parent": {"name": network.spec.name, "path": network.reference.path, "sha256": network.sha256},
        **identify(data, dataset),
        "from_scratch": from_scratch,
    }
    trainer = Trainer(dataset, network, recipe, settings, Path(folder), about, watch=watch)
    # First of all: a kill in between must not leave a former run's weights beside what describes this one.
    remove_checkpoint(trainer.folder)
    write_about(trainer.folder, about)
    trainer.checkpoint()
    return trainer


def resume_training(
    folder: str | Path,
    data: Sequence[TrainingImage],
    settings: TrainSettings | None = None,
    *,
    watch: Watch | None = None,
) -> Trainer:
    """Open a training where its last checkpoint left it.

    The same data give the same result as not stopping, to the bit on the same device with as many threads.

    Parameters
    ----------
    folder : str or Path
        That of the training.
    data : sequence of TrainingImage
        As it was given to `open_training`.
    settings : TrainSettings, optional
        Where to compute, and how often to validate and to write checkpoints, from now on; as before by
        default. All else is as it was begun.
    watch : Watch, optional
        Counts the minutes of this run; those before are added.

    Raises
    ------
    StoreError
        If there is no training in the folder, or its checkpoint is broken.
    ImageError
        If the labels are others than before.
    SettingsError
        If images, their normalization, or the teacher of distillation are others than before.
    DeviceError
        If the device is absent.
    """
    folder = Path(folder)
    about, values = read_about(folder), read_checkpoint(folder)
    with reading_run(folder):
        description = Description.from_json(values["description"], str(folder))
        module = build_with_weights(description, values["module"], str(folder))
        network = network_in_memory(module, description, ancestor=about["parent"]["sha256"])
        settings = _resumed(about["settings"], settings)
    check_dtype(settings.dtype, resolve_device(settings.device))
    dataset = gather(data, network, settings.held_out, settings.seed)
    with reading_run(folder):
        check_identity(folder, about, data, dataset)
        recipe = Recipe.from_dict(about["recipe"])
        return Trainer(dataset, network, recipe, settings, folder, about, values, watch)


def _resumed(stored: dict[str, Any], now: TrainSettings | None) -> TrainSettings:
    """Return the settings a run was begun with; those that do not decide its result are the present ones."""
    begun = TrainSettings(**as_tuples(stored))
    free = [each.name for each in knobs(TrainSettings) if not each.identity]
    return begun if now is None else replace(begun, **{name: getattr(now, name) for name in free})


def _patch(dataset: Dataset, network: Network, asked: Shape | None) -> Shape:
    ndim = len(dataset.room)
    lattice = network.spec.lattice(ndim)
    voxel_size = dataset.training[0].plan.tiles.image.voxel_size
    return choose_patch(lattice, dataset.room, voxel_size, asked)


def _check(network: Network, recipe: Recipe) -> None:
    """Refuse, before anything is begun, a patch of one voxel's statistics and a choice of no weight."""
    module, spec = deepcopy(network.module), network.spec
    order = run_order(module, recipe.patch[len(recipe.patch) - spec.ndim :], spec.in_channels, recipe.batch)
    choose_weights(module, recipe.train, order)
