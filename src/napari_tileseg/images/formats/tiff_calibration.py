"""What TIFF files state about the size of a voxel: OME-XML, ImageJ's description, resolution tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from napari_tileseg.images.formats.ome_xml import channel_names, sizes
from napari_tileseg.images.formats.tiff_file import OpenTiff
from napari_tileseg.images.measures import AxisCalibration
from napari_tileseg.images.metadata import attempt, integer, items, mapping, number, size, text
from napari_tileseg.images.units import MICROMETERS, PIXEL, unit_of

#: Units of the resolution tags, by their number.
_TAG_UNITS = {2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}
#: Micrometers; resolutions in inches that give larger pixels are those of screens and printers.
_LARGEST_PIXEL = 10.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is stated about each axis, and the channels' names where they are known."""

    calibration: Mapping[str, AxisCalibration] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def calibration(opened: OpenTiff) -> Calibration:
    """Return what a file states about its first series, by OME-XML, else ImageJ, else the resolution tags."""
    file = opened.file
    if opened.ome is not None and opened.ome.binary_only is None:
        return Calibration(sizes(opened.ome), channel_names(opened.ome))
    metadata = mapping(attempt(lambda: file.imagej_metadata)) if file.is_imagej else {}
    return _from_imagej(metadata, _resolution(file)) if metadata else _from_tags(file)


def _from_imagej(metadata: Mapping[str, Any], resolution: Mapping[str, Any]) -> Calibration:
    # ImageJ names the unit of x, and those of y and z where they are others.
    units = {axis: metadata.get(f"{axis}unit", metadata.get("unit")) for axis in "zyx"}
    found = dict(resolution)
    if "spacing" in metadata:
        found["z"] = metadata["spacing"]
    named = {
        axis: AxisCalibration(value, 0.0, units[axis]) for axis, value in found.items() if _names(units[axis])
    }
    named, notes = _without_screens(named)
    interval = metadata.get("finterval")
    if interval is not None and number(interval) != 0:
        named["t"] = AxisCalibration(interval, 0.0, metadata.get("tunit", "s"))
    return Calibration(named, notes=notes)


def _names(unit: object) -> bool:
    """Return whether a unit is given, known or not, that is not the pixel."""
    given = unit_of(text(unit))
    return unit is not None and (given is None or given[0] != PIXEL)


def _resolution(file: tifffile.TiffFile) -> dict[str, Any]:
    """Return lengths of a pixel along y and x, from the first page's tags, which hold pixels in a length."""
    found = {}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        parts = [known for part in items(_tag(file, name)) if (known := number(part))]
        if len(parts) == 2:
            found[axis] = parts[1] / parts[0]
    return found


def _tag(file: tifffile.TiffFile, name: str) -> Any:
    return attempt(lambda: file.pages.first.tags[name].value)


def _from_tags(file: tifffile.TiffFile) -> Calibration:
    unit = _TAG_UNITS.get(integer(_tag(file, "ResolutionUnit")) or 0)
    if unit is None:
        return Calibration()
    plausible, notes = _without_screens(
        {axis: AxisCalibration(v, 0.0, unit) for axis, v in _resolution(file).items()}
    )
    return Calibration(plausible, notes=notes)


def _without_screens(named: dict[str, AxisCalibration]) -> tuple[dict[str, AxisCalibration], tuple[str, ...]]:
    """Leave out sizes in inches if they are what programs write by default, such as 72 pixels an inch."""
    inches = {
        axis: size(each.size) for axis, each in named.items() if unit_of(text(each.unit)) == ("inch", 1)
    }
    large = [value for value in inches.values() if value and value * MICROMETERS["inch"] > _LARGEST_PIXEL]
    if not large:
        return named, ()
    note = (
        f"The file gives {1 / large[0]:.4g} pixels an inch, as for a screen or printer: that is not taken as "
        "voxel size."
    )
    return {axis: each for axis, each in named.items() if axis not in inches}, (note,)
