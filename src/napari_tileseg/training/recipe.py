"""What a training does, in numbers: settings with their defaults filled in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

from napari_tileseg._types import Shape
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import TrainSettings

#: Of the paper (arXiv 2503.19545) for training from scratch; for fine-tuning a minute and smaller steps. With
#: 0.0003, 100 steps on 30 strokes made an embryo network worse on volumes that were not painted on.
_SCRATCH = {"steps": 25_000, "learning_rate": 1e-3, "accumulate": 8}
_FINE = {"minutes": 1.0, "learning_rate": 1e-4, "accumulate": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    steps : int, optional
        Steps of the optimizer, or `minutes`.
    minutes : float, optional
        Time to train.
    convert : bool
        Whether normalization layers become batch renormalization first.
    train : str
        Which weights learn.
    learning_rate : float
        Of Adam.
    patch : tuple of int
        Voxels of a patch along each grid axis.
    remember : float
        Weight of the distillation loss, where there is a teacher.
    batch, accumulate : int
        Patches at once, and batches that make one step.
    first_phase : int, optional
        Steps with batch statistics.
    follow : bool
        Whether the statistics of batch renormalization follow the patches, or stay as they are.
    r_max, d_max : float
        Final limits of batch renormalization.
    augment : bool
        Whether patches are flipped, turned and relit.
    dtype : str
        Number format of convolutions.
    seed : int
        Of all that is drawn.
    """

    steps: int | None
    minutes: float | None
    convert: bool
    train: str
    learning_rate: float
    patch: Shape
    remember: float
    batch: int
    accumulate: int
    first_phase: int | None
    follow: bool
    r_max: float
    d_max: float
    augment: bool
    dtype: str
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Return the recipe that `as_dict` gave, with lists for tuples."""
        known = {each.name: values[each.name] for each in fields(cls)}
        return cls(**{**known, "patch": tuple(known["patch"])})


def minutes_of(settings: TrainSettings) -> float | None:
    """Return the minutes that a fine-tuning may take; None where steps are asked for."""
    if settings.steps is not None:
        return None
    return _FINE["minutes"] if settings.minutes is None else settings.minutes


def make_recipe(settings: TrainSettings, patch: Shape, *, from_scratch: bool) -> Recipe:
    """Fill in what the settings leave open.

    Raises
    ------
    SettingsError
        If both steps and minutes are given.
    """
    if settings.steps is not None and settings.minutes is not None:
        raise SettingsError("A training has steps or minutes; got both. Leave one out.")
    usual: dict[str, Any] = _SCRATCH if from_scratch else _FINE
    open_end = settings.steps is None and settings.minutes is None
    return Recipe(
        steps=usual.get("steps") if open_end else settings.steps,
        minutes=usual.get("minutes") if open_end else settings.minutes,
        convert=settings.norm == "batch_renorm" and not from_scratch,
        train=settings.train,
        learning_rate=settings.learning_rate or usual["learning_rate"],
        patch=patch,
        remember=settings.remember,
        batch=settings.batch,
        accumulate=settings.accumulate or usual["accumulate"],
        first_phase=settings.first_phase,
        # Patches lie around strokes: a network's statistics, or those just measured on the image, are better.
        follow=from_scratch or settings.first_phase is not None,
        r_max=settings.r_max,
        d_max=settings.d_max,
        augment=settings.augment,
        dtype=settings.dtype,
        seed=settings.seed,
    )


def voxels_of_step(recipe: Recipe) -> int:
    """Return how many voxels a step learns from."""
    return prod(recipe.patch) * recipe.batch * recipe.accumulate
