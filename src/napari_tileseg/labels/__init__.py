"""What labels mean: strokes, classes or instances as targets of a network's classes; and Dice.

It knows NumPy and SciPy only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tileseg.labels.dice import both_empty, hard_dice, soft_dice
    from napari_tileseg.labels.masks import (
        INSTANCE_CLASSES,
        class_masks,
        classes_from_instances,
        instance_masks,
    )
    from napari_tileseg.labels.splitting import Split, split_strokes
    from napari_tileseg.labels.targets import (
        BACKGROUND,
        Targets,
        dense_masks,
        read_targets,
        value_meanings,
    )
    from napari_tileseg.labels.teachable import check_inside, check_teachable

_HOMES = {
    "BACKGROUND": "targets",
    "INSTANCE_CLASSES": "masks",
    "Split": "splitting",
    "Targets": "targets",
    "both_empty": "dice",
    "check_inside": "teachable",
    "check_teachable": "teachable",
    "class_masks": "masks",
    "classes_from_instances": "masks",
    "dense_masks": "targets",
    "hard_dice": "dice",
    "instance_masks": "masks",
    "read_targets": "targets",
    "soft_dice": "dice",
    "split_strokes": "splitting",
    "value_meanings": "targets",
}
__all__ = [
    "BACKGROUND",
    "INSTANCE_CLASSES",
    "Split",
    "Targets",
    "both_empty",
    "check_inside",
    "check_teachable",
    "class_masks",
    "classes_from_instances",
    "dense_masks",
    "hard_dice",
    "instance_masks",
    "read_targets",
    "soft_dice",
    "split_strokes",
    "value_meanings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
