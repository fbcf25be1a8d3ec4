"""The OME-XML of a TIFF: read although it is not quite XML, and joined with the files that it names.

Specification: https://docs.openmicroscopy.org/ome-model/latest/.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from napari_tileseg.errors import ImageError
from napari_tileseg.images.measures import AxisCalibration
from napari_tileseg.images.metadata import attempt

_DECLARATION = re.compile(r"<\?xml[^>]*\?>")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-fA-F]+);)(?:\w+;)?")
#: What no XML may hold.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: Longest OME-XML that is looked at; plates of many thousand planes stay below it.
_LONGEST = 2**28


@dataclass(frozen=True, slots=True)
class OmeXml:
    """OME-XML that can be parsed.

    Parameters
    ----------
    text : str
        As tifffile takes it.
    root : Element
        What it holds.
    notes : tuple of str
        What had to be mended.
    """

    text: str
    root: ElementTree.Element
    notes: tuple[str, ...] = ()

    @property
    def binary_only(self) -> str | None:
        """Name of the file that holds the metadata of this one; None where this one holds its own."""
        found = next((node for node in self.root if _name(node) == "BinaryOnly"), None)
        return None if found is None else found.get("MetadataFile", "")

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of the files in which planes lie, each once; empty where the XML names none."""
        names = (node.get("FileName") for node in self.root.iter() if _name(node) == "UUID")
        return tuple(dict.fromkeys(name for name in names if name))


def parse_ome(xml: str) -> OmeXml | None:
    """Correct the mistakes in OME-XML that programs make; None where it cannot be understood."""
    if len(xml) > _LONGEST:
        return None
    if (root := _root(xml)) is not None:
        return OmeXml(xml, root)
    mended = _CONTROL.sub("", _DECLARATION.sub("", xml)).lstrip("\ufeff \t\r\n")
    mended = _BARE_AMPERSAND.sub(_escaped, mended)
    if (root := _root(mended)) is None:
        return None
    return OmeXml(mended, root, ("The OME-XML of the file is not valid XML; it was read with that mended.",))


def joined(xml: OmeXml, path: Path) -> OmeXml:
    """Return the OME-XML that describes how the planes of this file lie among those of others.

    Raises
    ------
    ImageError
        If what it names is there and is no regular file.
    """
    name = xml.binary_only
    if name is not None:
        companion = path.with_name(Path(name).name) if Path(name).name else None
        found = None if companion is None else _companion(companion)
        if found is None:
            note = (
                f"{path.name} holds a part of an image; how the parts belong together is said in "
                f"{name or 'another file'}, which does not lie beside it. Only this part is opened."
            )
            return OmeXml(xml.text, xml.root, (*xml.notes, note))
        xml = found
    for each in xml.file_names:
        if path.with_name(each).exists() and not path.with_name(each).is_file():
            raise ImageError(f"{path} names {each} as a part of its image; that should be a regular file.")
    return _without_old_name(xml, path)


def missing_files(xml: OmeXml, path: Path) -> tuple[str, ...]:
    """Return the names of the files that should lie beside a file, and do not."""
    return tuple(name for name in xml.file_names if not path.with_name(name).is_file())


def sizes(xml: OmeXml) -> dict[str, AxisCalibration]:
    """Return what is stated about the size of a voxel of the first image, by axis."""
    pixels = _pixels(xml.root)
    if pixels is None:
        return {}
    found = {
        axis: AxisCalibration(value, 0.0, pixels.get(f"PhysicalSize{axis.upper()}Unit", "um"))
        for axis in "zyx"
        if (value := pixels.get(f"PhysicalSize{axis.upper()}")) is not None
    }
    if (interval := pixels.get("TimeIncrement")) is not None:
        found["t"] = AxisCalibration(interval, 0.0, pixels.get("TimeIncrementUnit", "s"))
    return found


def channel_names(xml: OmeXml) -> tuple[str, ...]:
    """Return the names of the channels of the first image; none where one has no name."""
    pixels = _pixels(xml.root)
    names = [node.get("Name", "") for node in _children(pixels, "Channel")]
    return tuple(names) if names and all(names) else ()


def _root(xml: str) -> ElementTree.Element | None:
    return attempt(lambda: ElementTree.fromstring(xml))  # noqa: S314 - expat bounds what entities expand to


def _escaped(found: re.Match[str]) -> str:
    # HTML knows entities that XML does not, such as that of the micro sign.
    plain = html.unescape(found[0]) if len(found[0]) > 1 else found[0]
    return plain if "&" not in plain else plain.replace("&", "&amp;")


def _name(node: ElementTree.Element) -> str:
    """Return the tag without its namespace, which changes with the version."""
    return str(node.tag).rpartition("}")[2]


def _children(node: ElementTree.Element | None, name: str) -> Iterator[ElementTree.Element]:
    return (child for child in (() if node is None else node) if _name(child) == name)


def _pixels(root: ElementTree.Element) -> ElementTree.Element | None:
    """Return the pixels of the first image that has voxels, as tifffile takes them."""
    every = [pixels for image in _children(root, "Image") for pixels in _children(image, "Pixels")]
    # Not by truth: an element without children is false.
    stored = (pixels for pixels in every if next(_children(pixels, "TiffData"), None) is not None)
    return next(stored, every[0] if every else None)


def _companion(path: Path) -> OmeXml | None:
    """Return the OME-XML of another file: of an OME-TIFF, or one that holds nothing else."""
    if not path.is_file():
        return None
    xml = attempt(lambda: _xml_of_tiff(path)) or attempt(lambda: path.read_text("utf-8", "replace"))
    return parse_ome(xml) if xml else None


def _xml_of_tiff(path: Path) -> str | None:
    with tifffile.TiffFile(path) as file:
        return file.ome_metadata


def _without_old_name(xml: OmeXml, path: Path) -> OmeXml:
    """Return the XML without the one file name in it, where the file was given another name since."""
    if len(xml.file_names) != 1 or not missing_files(xml, path):
        return xml
    for node in list(xml.root.iter()):
        for uuid in list(_children(node, "UUID")):
            node.remove(uuid)
    return OmeXml(ElementTree.tostring(xml.root, encoding="unicode"), xml.root, xml.notes)
