"""What fine-tuning changed: the numbers before and after it, measured on the same strokes and tiles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassNumbers:
    """Numbers of one class; None is what could not be measured.

    Parameters
    ----------
    name : str
        The class.
    dice : float or None
        On the strokes held out, or on all where none are, 0 to 1; None where it is not among them.
    tile_mismatch : float or None
        Mean over pairs of tiles of 1 - Dice of the probabilities, 0 to 1.
    train_eval_disparity : float or None
        Mean over tiles of 1 - Dice between batch and running statistics, 0 to 1.
    """

    name: str
    dice: float | None
    tile_mismatch: float | None = None
    train_eval_disparity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A network on an image with strokes.

    Parameters
    ----------
    loss : float or None
        On the labels that Dice is of.
    classes : tuple of ClassNumbers
        One for each class.
    seam_free : bool or None
        Whether all pairs of tiles that were compared agree; None where no two tiles fit.
    max_abs_difference : float or None
        Largest absolute difference of two tiles.
    held_out : bool
        Whether Dice and loss are of labels held out; of those that are learned from where none were.
    strokes : int or None
        How many strokes were held out; None where labels are dense.
    """

    loss: float | None
    classes: tuple[ClassNumbers, ...]
    seam_free: bool | None
    max_abs_difference: float | None
    held_out: bool
    strokes: int | None = None

    @property
    def dice(self) -> float | None:
        """Mean over the classes that are there."""
        found = [each.dice for each in self.classes if each.dice is not None]
        return sum(found) / len(found) if found else None

    @property
    def tile_mismatch(self) -> float | None:
        """Of the class with the largest."""
        return max(
            (each.tile_mismatch for each in self.classes if each.tile_mismatch is not None), default=None
        )

    @property
    def train_eval_disparity(self) -> float | None:
        """Of the class with the largest."""
        found = (each.train_eval_disparity for each in self.classes)
        return max((value for value in found if value is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "held_out": self.held_out,
            "held_out_strokes": self.strokes,
            "loss": self.loss,
            "dice": self.dice,
            "tile_mismatch": self.tile_mismatch,
            "train_eval_disparity": self.train_eval_disparity,
            "seam_free": self.seam_free,
            "max_abs_difference": self.max_abs_difference,
            "classes": [asdict(each) for each in self.classes],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Numbers:
        """Read numbers that `as_dict` gave.

        Raises
        ------
        KeyError, TypeError
            If values are missing, or of another kind.
        """
        strokes = _number(values["held_out_strokes"])
        return cls(
            loss=_number(values["loss"]),
            classes=tuple(_class(each) for each in values["classes"]),
            seam_free=None if values["seam_free"] is None else bool(values["seam_free"]),
            max_abs_difference=_number(values["max_abs_difference"]),
            held_out=bool(values["held_out"]),
            strokes=None if strokes is None else int(strokes),
        )


def _class(values: dict[str, Any]) -> ClassNumbers:
    numbers = {name: _number(value) for name, value in values.items() if name != "name"}
    return ClassNumbers(name=str(values["name"]), **numbers)


def _number(value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{value!r} is no number")
    return None if value is None else float(value)


def known(value: float) -> float | None:
    """Return the value, or None where it is not a number."""
    return value if isfinite(value) else None
