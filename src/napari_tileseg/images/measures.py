"""How large voxels are, and where they lie: what a file states about it, as far as it makes sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_tileseg._types import Shape
from napari_tileseg.images.metadata import number, quoted, size, text
from napari_tileseg.images.units import MICROMETERS, PIXEL, SECONDS, unit_of


@dataclass(frozen=True, slots=True)
class AxisCalibration:
    """What a file states about one axis, of whatever type it came.

    Parameters
    ----------
    size : object
        Distance of two voxels.
    position : object
        Position of the first voxel's centre.
    unit : object
        Unit of both, as the file spells it; empty or None where the file names none.
    """

    size: Any
    position: Any = 0.0
    unit: Any = None


@dataclass(frozen=True, slots=True)
class Measures:
    """Size, position and unit along each axis, with a sentence for each thing that made no sense.

    Parameters
    ----------
    sizes, positions : tuple of float
        One for each axis, finite, sizes above 0.
    units : tuple of str
        ``pixel`` where nothing is known.
    notes : tuple of str
        What was stated and is not taken.
    """

    sizes: tuple[float, ...]
    positions: tuple[float, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Axis:
    """What is taken of one axis."""

    letter: str
    factor: float
    size: float = 1.0
    position: float = 0.0
    unit: str = PIXEL
    note: str = ""
    unknown_unit: bool = False

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Count in voxels of the finest level, whose outer faces every level shares."""
        self.size, self.position, self.unit = self.factor, (self.factor - 1) / 2, PIXEL

    @property
    def measured(self) -> bool:
        return self.unit != PIXEL

    @property
    def bare(self) -> bool:
        """Whether it has a number that is in no unit."""
        return not self.measured and (self.size, self.position) != (self.factor, (self.factor - 1) / 2)


def measure(
    axes: Sequence[str],
    shape: Shape,
    calibration: Mapping[str, AxisCalibration],
    factors: Mapping[str, float],
) -> Measures:
    """Judge what a file states about axes of time and space.

    A size that is no size, and a position that is no number, count as unknown. Sizes of space count only
    where they can be compared: if one has a unit that is not known, or some have units and others none, no
    axis of space is measured.

    Parameters
    ----------
    axes : sequence of str
        ``t``, ``z``, ``y`` or ``x``, in order.
    shape : tuple of int
        Voxels along each.
    calibration : mapping
        By axis, for those about which the file states anything.
    factors : mapping
        Voxels of the finest level to one voxel, by axis; 1 by default.

    Examples
    --------
    >>> known = {"y": AxisCalibration(0.5, 0, "um"), "x": AxisCalibration("wide", 0, "um")}
    >>> found = measure("yx", (9, 9), known, {})
    >>> found.sizes, found.units
    ((0.5, 1.0), ('micrometer', 'pixel'))
    >>> found.notes
    ("The file gives the voxel size along x as 'wide', which is no size; it counts as unknown.",)
    """
    judged = [_judge(_Axis(axis, factors.get(axis, 1.0)), calibration.get(axis)) for axis in axes]
    space = [each for each in judged if each.letter != "t"]
    notes = [each.note for each in judged if each.note]
    notes += _compare(space, {axis for axis, n in zip(axes, shape, strict=True) if n > 1})
    return Measures(
        sizes=tuple(each.size for each in judged),
        positions=tuple(each.position for each in judged),
        units=tuple(each.unit for each in judged),
        notes=tuple(notes),
    )


def _judge(axis: _Axis, stated: AxisCalibration | None) -> _Axis:
    if stated is None:
        return axis
    unit, found, position = _unit(axis.letter, stated.unit), size(stated.size), number(stated.position)
    if found is None:
        axis.note = (
            f"The file gives the voxel size along {axis.letter} as {quoted(stated.size)}, which is no size; "
            "it counts as unknown."
        )
        return axis
    if unit is None:
        axis.unknown_unit = True
        axis.note = (
            f"The file gives the voxel size along {axis.letter} in {quoted(stated.unit)}, which is no known "
            f"unit of {'time' if axis.letter == 't' else 'length'}; it counts as unknown."
        )
        return axis
    if position is None:
        axis.note = (
            f"The file gives the position of the first voxel along {axis.letter} as "
            f"{quoted(stated.position)}, which is no number; it counts as 0."
        )
    name, times = unit
    axis.size, axis.position, axis.unit = found * times, (position or 0.0) * times, name
    return axis


def _unit(axis: str, stated: object) -> tuple[str, float] | None:
    """Name and factor of a unit that fits the axis; None for any other."""
    if stated is not None and not isinstance(stated, str) and not text(stated):
        return None
    found = unit_of(text(stated))
    table = SECONDS if axis == "t" else MICROMETERS
    return found if found is not None and (found[0] in table or found[0] == PIXEL) else None


def _compare(space: Sequence[_Axis], extended: set[str]) -> list[str]:
    """Forget the sizes of all axes of space where they cannot be compared; return what cannot be."""
    measured, bare = ([e for e in space if getattr(e, kind)] for kind in ("measured", "bare"))
    if any(each.unknown_unit for each in space):
        sentence = "So no axis of space is measured." if measured or bare else ""
    elif measured and bare:
        sentence = (
            f"The file gives the voxel size along {_listed(measured)} with a unit and along {_listed(bare)} "
            "without; so no axis of space is measured."
        )
    else:
        unstated = [e for e in space if not e.measured and not e.note and e.letter in extended]
        if measured and unstated:
            return [f"The file does not state how large voxels are along {_listed(unstated)}."]
        return []
    for each in space:
        each.forget()
    return [sentence] if sentence else []


def _listed(axes: Sequence[_Axis]) -> str:
    return " and ".join(each.letter for each in axes)
