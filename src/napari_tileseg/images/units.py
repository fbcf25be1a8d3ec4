"""Names of units, as OME-Zarr, napari and pint understand them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_tileseg.images.image import Image

#: Name and power of ten of each prefix, by its symbol. OME-Zarr knows no unit with deca.
_PREFIXES = {
    "Y": ("yotta", 24),
    "Z": ("zetta", 21),
    "E": ("exa", 18),
    "P": ("peta", 15),
    "T": ("tera", 12),
    "G": ("giga", 9),
    "M": ("mega", 6),
    "k": ("kilo", 3),
    "h": ("hecto", 2),
    "": ("", 0),
    "d": ("deci", -1),
    "c": ("centi", -2),
    "m": ("milli", -3),
    "u": ("micro", -6),
    "n": ("nano", -9),
    "p": ("pico", -12),
    "f": ("femto", -15),
    "a": ("atto", -18),
    "z": ("zepto", -21),
    "y": ("yocto", -24),
}
#: Micrometers in a unit of length: all that OME-Zarr allows.
MICROMETERS = {f"{name}meter": float(f"1e{power + 6}") for name, power in _PREFIXES.values()} | {
    "angstrom": 1e-4,
    "inch": 25400.0,
    "foot": 304800.0,
    "yard": 914400.0,
    "mile": 1609344000.0,
    "parsec": 3.0856775814913673e22,
}
#: Seconds in a unit of time: all that OME-Zarr allows.
SECONDS = {f"{name}second": float(f"1e{power}") for name, power in _PREFIXES.values()} | {
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
#: The unit of a length that nobody has measured.
PIXEL = "pixel"
#: Symbols, which depend on capitals (a megameter is not a millimeter). Those of OME-XML are all there.
_SYMBOLS = (
    {f"{symbol}m": f"{name}meter" for symbol, (name, _) in _PREFIXES.items()}
    | {f"{symbol}s": f"{name}second" for symbol, (name, _) in _PREFIXES.items()}
    | {"\u00c5": "angstrom", "\u212b": "angstrom", "A": "angstrom", "pc": "parsec"}
    | {"in": "inch", "ft": "foot", "yd": "yard", "mi": "mile", "min": "minute", "h": "hour", "d": "day"}
)
_WORDS = {
    "micron": "micrometer",
    "sec": "second",
    "hr": "hour",
    "feet": "foot",
    "inche": "inch",
    "ang": "angstrom",
    "\u00e5": "angstrom",
    "\u00e5ngstr\u00f6m": "angstrom",
    "\u00b5": "micrometer",
    "": PIXEL,
    "px": PIXEL,
    "voxel": PIXEL,
    "reference frame": PIXEL,
}
#: Units that OME-XML has and OME-Zarr has not, in one that both have.
_CONVERTED = {
    "dam": ("meter", 10.0),
    "decameter": ("meter", 10.0),
    "das": ("second", 10.0),
    "decasecond": ("second", 10.0),
    "thou": ("micrometer", 25.4),
    "li": ("millimeter", 25.4 / 12),
    "line": ("millimeter", 25.4 / 12),
    "pt": ("micrometer", 25400 / 72),
    "ua": ("gigameter", 149.597870700),
    "astronomical_unit": ("gigameter", 149.597870700),
    "ly": ("petameter", 9.4607304725808),
    "light_year": ("petameter", 9.4607304725808),
}


def unit_of(text: str) -> tuple[str, float] | None:
    """Name that napari and OME-Zarr understand for a unit as files spell it, and how many of it there are.

    Returns
    -------
    tuple of str and float or None
        ``pixel`` for a length that was not measured; None for a unit that is not known.

    Examples
    --------
    >>> unit_of("\N{MICRO SIGN}m"), unit_of("Microns"), unit_of("Mm"), unit_of("thou"), unit_of("px")
    (('micrometer', 1.0), ('micrometer', 1.0), ('megameter', 1.0), ('micrometer', 25.4), ('pixel', 1.0))
    >>> unit_of("furlong") is None
    True
    """
    # The micro sign and the Greek letter mu look alike; ImageJ writes the first as an escape.
    word = text.strip().replace("\\u00B5", "u").replace("\\u00b5", "u")
    if len(word) > 1:
        word = word.replace("\u00b5", "u").replace("\u03bc", "u")
    if word in _SYMBOLS:
        return _SYMBOLS[word], 1.0
    low = word.lower().replace("metre", "meter")
    for candidate in (low, low.removesuffix("s")):
        if candidate in _CONVERTED:
            return _CONVERTED[candidate]
        name = _WORDS.get(candidate) or _SYMBOLS.get(candidate, candidate)
        if name in MICROMETERS or name in SECONDS or name == PIXEL:
            return name, 1.0
    return None


def voxel_size_in_micrometers(image: Image) -> tuple[float, ...] | None:
    """Return the voxel size along each spatial axis; None where it is not known for all of them."""
    space = [
        (size, unit)
        for axis, size, unit in zip(image.grid_axes, image.voxel_size, image.units, strict=True)
        if axis != "t"
    ]
    if not all(unit in MICROMETERS for _, unit in space):
        return None
    return tuple(size * MICROMETERS[unit] for size, unit in space)
