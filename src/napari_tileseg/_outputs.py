"""What an output may be called: a path of this machine, with the ending of what is written there."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from napari_tileseg._words import bytes_words
from napari_tileseg.errors import StoreError

#: A scheme in front; a path swallows one of its two slashes. One letter is a drive of Windows.
_ADDRESS = re.compile(r"(?:^|::)[A-Za-z][A-Za-z0-9+.-]+:/")
#: What follows a dot and is no number, such as the one of "cells_0.5".
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*")
#: Endings that no folder has: of pages, pictures, tables, archives, images and networks.
_FILES = (
    " .html .htm .pdf .md .txt .json .csv .tsv .xml .yaml .yml .xlsx .svg .png .jpg .jpeg .gif .bmp .webp "
    ".zip .ozx .tar .gz .tgz .bz2 .xz .7z .zst .tif .tiff .btf .zarr .n5 .h5 .hdf5 .npy .npz .nii .nrrd "
    ".mrc .mat .czi .nd2 .lif .ims .safetensors .pt .pth .ckpt .pkl .onnx .pb .keras .pt2 .bin "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A kind of output.

    Parameters
    ----------
    what : str
        What is written, such as "A prediction is written as an OME-Zarr folder".
    endings : tuple of str
        Endings that mark it, the usual one first; none for a plain folder.
    bare : bool
        Whether a name without an ending will do.
    """

    what: str
    endings: tuple[str, ...] = ()
    bare: bool = True

    def name_for(self, path: Path) -> str:
        """Return the name with the ending that it should have."""
        stem = path.name
        while _ENDING.fullmatch(Path(stem).suffix):
            stem = Path(stem).stem
        return f"{stem}{self.endings[0] if self.endings else ''}"

    def fits(self, path: Path) -> bool:
        """Return whether a path ends as this kind does."""
        ending = path.suffix.lower()
        if not self.endings:
            return not ending or f" {ending} " not in _FILES
        allowed = {f".{each.rpartition('.')[2]}" for each in self.endings}
        return ending in allowed or (self.bare and not _ENDING.fullmatch(ending))


PREDICTION = Output(what="A prediction is written as an OME-Zarr folder", endings=(".ome.zarr",))
HEATMAP = Output(what="A heatmap is written as an OME-Zarr folder", endings=(".ome.zarr",))
SAMPLE = Output(what="A sample is written as OME-Zarr or as TIFF", endings=(".ome.zarr", ".tif", ".tiff"))
STROKES = Output(what="Strokes are written as TIFF", endings=(".tif", ".tiff"), bare=False)
NETWORK = Output(what="A network is written as .safetensors", endings=(".safetensors",), bare=False)
REPORT = Output(what="A report is written as a folder")
RUN = Output(what="The files of a run go into a folder")
PICTURES = Output(what="Screenshots and the result are written into a folder")

#: Formats in which a network is given to other programs, with the endings that they may have. An ending means
#: the first that has it; a name without one is that of a package's folder.
EXPORTS = {
    "bioimageio": (".zip", ""),
    "onnx": (".onnx",),
    "exported_program": (".pt2",),
    "state_dict": (".pt", ".pth"),
    "torchscript": (".torchscript", ".ts", ".pt", ".pth"),
}


def check_output(path: str | PathLike[str], kind: Output) -> None:
    """Refuse what is no path of this machine, and an ending of another format.

    Raises
    ------
    StoreError
        If it will not do; the message names what will.
    """
    check_local(path)
    path = Path(path)
    if not kind.fits(path):
        raise StoreError(
            f"{kind.what}; got {path.name!r}, which ends like something else. Call it "
            f"{kind.name_for(path)!r}, or choose another name."
        )


def check_local(path: str | PathLike[str]) -> None:
    """Refuse an address, of which a path would make a folder here that is called like its scheme.

    Raises
    ------
    StoreError
        If it is one.
    """
    text = fspath(path)
    if _ADDRESS.search(text):
        # A path has swallowed slashes: two of three in front of a path of a machine, one of two elsewhere.
        slashes = ":///" if text.lower().startswith("file:") else "://"
        address = re.sub(r":/(?!/)", slashes, text, count=1)
        raise StoreError(
            f"An output should be a path on this machine; got the address {address}. Write it here, and copy "
            "it there afterwards."
        )


def check_room(path: Path, needed: int, what: str, cure: str) -> None:
    """Refuse a path whose disk has too little room.

    Parameters
    ----------
    path : Path
        Where it will be written; it need not exist.
    needed : int
        Bytes.
    what : str
        What needs them, such as "The prediction".
    cure : str
        What to do, beside freeing room or choosing another location.

    Raises
    ------
    StoreError
        If fewer bytes are free.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"{what} needs up to {bytes_words(needed)} at {folder}; {bytes_words(free)} are free. Free some "
            f"space, choose another location, {cure}."
        )
