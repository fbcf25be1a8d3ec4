"""Identifies the images of a training, so that it is resumed with the same ones or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.identity import identity_of, what_changed
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.training.data.dataset import Dataset, TrainingImage

#: Settings that change how an image is read, beside the numbers of its normalization.
_READING = ("padding", "nonfinite")


def identify(data: Sequence[TrainingImage], dataset: Dataset) -> dict[str, Any]:
    """Return all that a training has to find again when it is resumed, in plain values.

    Parameters
    ----------
    data : sequence of TrainingImage
        As `open_training` takes it.
    dataset : Dataset
        What was made of it.
    """
    return {
        "labels_sha256": dataset.sha256,
        "remembered": dataset.teacher,
        "images": [_identify(each) for each in data],
    }


def _identify(each: TrainingImage) -> dict[str, Any]:
    image = each.plan.tiles.image
    known = identity_of(image)
    return {
        "name": image.name,
        "fingerprint": known.fingerprint,
        "parts": known.parts,
        "normalization": each.plan.normalization.as_dict(),
        **{name: getattr(each.plan.settings, name) for name in _READING},
    }


def check_identity(
    folder: Path, about: Mapping[str, Any], data: Sequence[TrainingImage], dataset: Dataset
) -> None:
    """Refuse to resume with other images, other labels, or another way to read them.

    Parameters
    ----------
    folder : Path
        That of the training.
    about : mapping
        What was written about it, with what `identify` gave.
    data : sequence of TrainingImage
        What it is resumed with.
    dataset : Dataset
        What was made of that.

    Raises
    ------
    ImageError
        If the labels are others.
    SettingsError
        If images, their normalization, or the teacher of distillation are others.
    """
    if dataset.sha256 != about["labels_sha256"]:
        raise ImageError(
            f"The training in {folder} learns from other labels than these. Give those it was begun with, or "
            "start a new training from its network."
        )
    for stored, each in zip(about["images"], data, strict=True):
        difference = _difference(stored, each)
        if difference:
            raise SettingsError(
                f"The training in {folder} was begun with {difference}. Give what it was begun with, or "
                "start anew."
            )
    _check_teacher(folder, about["remembered"], dataset.teacher)


def _difference(stored: Mapping[str, Any], each: TrainingImage) -> str:
    """Return what is not as it was; "" where all is."""
    now, normalization = _identify(each), each.plan.normalization
    if stored["fingerprint"] != now["fingerprint"]:
        changed = what_changed(stored.get("parts"), now["parts"], now["name"])
        return f"another image: {changed}"
    before = Normalization.from_dict(stored["normalization"])
    if not before.agrees(normalization):
        return f"{before.sentence}, and {now['name']} now has {normalization.sentence}"
    others = [name for name in _READING if stored[name] != now[name]]
    return f"{others[0]} {stored[others[0]]}, and now it is {now[others[0]]}" if others else ""


def _check_teacher(folder: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> None:
    was, found = (each and each["sha256"] for each in (before, now))
    if was != found:
        names = [each["name"] if each else "no network" for each in (before, now)]
        raise SettingsError(
            f"The training in {folder} was distilled from {names[0]}, and would now be from {names[1]}. "
            "Put that network back where it was, or start anew."
        )
