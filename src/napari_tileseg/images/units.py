"""Names of units, as OME-Zarr, napari and pint understand them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_tileseg.images.image import Image

#: Micrometers in a unit of length.
MICROMETERS = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "inch": 25400.0,
    "foot": 304800.0,
}
_TIMES = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")
_ALIASES = {
    "å": "angstrom",
    "pm": "picometer",
    "nm": "nanometer",
    "um": "micrometer",
    "micron": "micrometer",
    "micrometre": "micrometer",
    "mm": "millimeter",
    "millimetre": "millimeter",
    "nanometre": "nanometer",
    "cm": "centimeter",
    "centimetre": "centimeter",
    "m": "meter",
    "metre": "meter",
    "in": "inch",
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
#: The unit of a length that nobody has measured.
PIXEL = "pixel"


def unit_name(text: str | None) -> str:
    """Name that napari understands for a unit as files spell it; ``pixel`` where it is not one.

    Examples
    --------
    >>> unit_name("µm"), unit_name("microns"), unit_name("Second"), unit_name("furlong")
    ('micrometer', 'micrometer', 'second', 'pixel')
    """
    # The micro sign and the Greek letter mu look alike; ImageJ writes the first as an escape.
    word = (text or "").strip().replace("\\u00B5", "u").lower().replace("\u00b5", "u").replace("\u03bc", "u")
    for candidate in (word, word.removesuffix("s")):
        name = _ALIASES.get(candidate, candidate)
        if name in MICROMETERS or name in _TIMES:
            return name
    return PIXEL


def voxel_size_in_micrometers(image: Image) -> tuple[float, ...] | None:
    """Voxel size along each spatial axis; None where it is not known for all of them."""
    space = [
        (size, unit)
        for axis, size, unit in zip(image.grid_axes, image.voxel_size, image.units, strict=True)
        if axis != "t"
    ]
    if not all(unit in MICROMETERS for _, unit in space):
        return None
    return tuple(size * MICROMETERS[unit] for size, unit in space)
