"""What TIFF files say of the size of a voxel: OME-XML, ImageJ's description, resolution tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from napari_tileseg.images.units import MICROMETERS, PIXEL, unit_name

#: Units of the resolution tags, by their number.
_TAG_UNITS = {2: "inch", 3: "centimeter", 4: "millimeter", 5: "micrometer"}
#: Micrometers; resolutions in inches that give larger pixels are those of screens and printers.
_LARGEST_PIXEL = 10.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Voxel size, units and channel names, by axis where they are known."""

    scale: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()


def calibration(file: tifffile.TiffFile) -> Calibration:
    """What a file says of its first series, by OME-XML, else ImageJ, else the resolution tags."""
    if file.is_ome and file.ome_metadata:
        return _from_ome(file.ome_metadata)
    if file.is_imagej and file.imagej_metadata:
        return _from_imagej(file.imagej_metadata, _resolution(file))
    return _from_tags(file)


def _from_ome(xml: str) -> Calibration:
    ome = tifffile.xml2dict(xml).get("OME", {})
    pixels = _first(_first(ome.get("Image")).get("Pixels"))
    scale, units = {}, {}
    for axis in "zyx":
        size = pixels.get(f"PhysicalSize{axis.upper()}")
        if isinstance(size, (int, float)) and size > 0:
            scale[axis] = float(size)
            units[axis] = unit_name(pixels.get(f"PhysicalSize{axis.upper()}Unit", "um"))
    if isinstance(interval := pixels.get("TimeIncrement"), (int, float)) and interval > 0:
        scale["t"], units["t"] = float(interval), unit_name(pixels.get("TimeIncrementUnit", "s"))
    channels = pixels.get("Channel", [])
    names = [c.get("Name") for c in (channels if isinstance(channels, (list, tuple)) else [channels])]
    return Calibration(scale, units, tuple(map(str, names)) if all(names) else ())


def _first(node: Any) -> dict[str, Any]:
    chosen = node[0] if isinstance(node, (list, tuple)) and node else node
    return chosen if isinstance(chosen, dict) else {}


def _from_imagej(metadata: Mapping[str, Any], resolution: Mapping[str, float]) -> Calibration:
    unit = unit_name(str(metadata.get("unit", "")))
    if unit == PIXEL:
        return Calibration()
    scale = {axis: 1 / density for axis, density in resolution.items()}
    if float(metadata.get("spacing", 0)) > 0:
        scale["z"] = float(metadata["spacing"])
    units = dict.fromkeys(scale, unit)
    if _is_of_a_screen(scale, units):
        scale, units = {}, {}
    if float(metadata.get("finterval", 0)) > 0:
        scale["t"], units["t"] = float(metadata["finterval"]), unit_name(metadata.get("tunit", "s"))
    return Calibration(scale, units)


def _resolution(file: tifffile.TiffFile) -> dict[str, float]:
    """Pixels in a unit of length along y and x, from the tags of the first page."""
    found = {}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        tag = file.pages.first.tags.get(name)
        if tag is not None and isinstance(tag.value, tuple) and min(tag.value) > 0:
            found[axis] = tag.value[0] / tag.value[1]
    return found


def _from_tags(file: tifffile.TiffFile) -> Calibration:
    tag = file.pages.first.tags.get("ResolutionUnit")
    unit = _TAG_UNITS.get(int(tag.value)) if tag is not None else None
    if unit is None:
        return Calibration()
    sizes = {axis: 1 / density for axis, density in _resolution(file).items()}
    if _is_of_a_screen(sizes, dict.fromkeys(sizes, unit)):
        return Calibration()
    return Calibration(sizes, dict.fromkeys(sizes, unit))


def _is_of_a_screen(scale: Mapping[str, float], units: Mapping[str, str]) -> bool:
    """Whether sizes are those that programs write by default, such as 72 pixels an inch."""
    return any(
        units[axis] == "inch" and size * MICROMETERS["inch"] > _LARGEST_PIXEL for axis, size in scale.items()
    )
