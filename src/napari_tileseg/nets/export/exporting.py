"""Giving a network to others: one call, whose format follows from the name of what is written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._files import write_text
from napari_tileseg._outputs import EXPORTS, check_local
from napari_tileseg._types import Array
from napari_tileseg.errors import StoreError
from napari_tileseg.nets.export.about import About, remarks
from napari_tileseg.nets.export.package import write_package
from napari_tileseg.nets.export.portable import Portable, portable, with_state_dict
from napari_tileseg.nets.export.programs import write_exported_program, write_onnx, write_torchscript
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.network import Network
from napari_tileseg.nets.weights import build_with_weights

_PROGRAMS: dict[str, Callable[[Portable, Path], float]] = {
    "onnx": write_onnx,
    "exported_program": write_exported_program,
    "torchscript": write_torchscript,
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
        The file or folder.
    format : str
        One of `EXPORTS`.
    bytes : int
        Its size.
    difference : float
        Largest difference of its output, as probability, from that of the network, measured on two images.
    notes : tuple of str
        A sentence for each thing that one has to know beside, as the format does not say it.
    """

    path: Path
    format: str
    bytes: int
    difference: float
    notes: tuple[str, ...] = ()


def export_network(
    network: Network,
    path: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - what everybody calls it
    about: About | None = None,
    image: Array | None = None,
) -> Exported:
    """Write a network for other programs, and see that what was written gives the same.

    A single file has a description beside it, ``NAME.json``, by which it opens here with its classes and its
    preparation of intensities. What holds a program gives probabilities; a state dict gives what is before
    them, as the description says.

    Parameters
    ----------
    network : Network
        An opened network, or one in memory; it is not changed.
    path : str or Path
        Where to. A file that is there is replaced; a folder has to be empty.
    format : {"bioimageio", "onnx", "exported_program", "torchscript", "state_dict"}, optional
        By the ending of `path` by default: a folder or ``.zip``, ``.onnx``, ``.pt2``, ``.torchscript`` or
        ``.ts``, ``.pt`` or ``.pth``.
    about : About, optional
        What a package says of authors, licence and works to cite.
    image : ndarray, optional
        ``(channels, *space)``, as stored: its middle becomes the test image of a package.

    Returns
    -------
    Exported

    Raises
    ------
    NetworkError
        If the format cannot hold the network, what was written gives something else, or packages that write
        it are absent.
    StoreError
        If the path does not say what to write, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from napari_tileseg.nets import open_network
    >>> network = open_network("sample:cells_2d_batch_renorm")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_network(network, f"{folder}/cells.pt").format
    'state_dict'
    """
    check_local(path)
    path = Path(path).expanduser().absolute()
    chosen = format_of(path, format)
    about = about or About()
    if chosen == "bioimageio":
        return _package(network, path, about, image)
    if path.is_dir():
        raise StoreError(f"{path} is a folder; {chosen} is written as a file. Choose another name.")
    if path.with_suffix(".json").exists():
        raise StoreError(
            f"{path.with_suffix('.json')} describes another network, and would be read with {path.name}. "
            "Choose another name."
        )
    with drafted(path) as draft:
        if chosen == "state_dict":
            off, described = _state_dict(network, draft)
        else:
            given = portable(network)
            off, described = _PROGRAMS[chosen](given, draft), given.description
        # First: a file without its description would be opened as something that it is not.
        write_text(path.with_name(f"{path.name}.json"), described.to_json() + "\n")
    return Exported(path, chosen, path.stat().st_size, off, tuple(remarks(network)))


def format_of(path: Path, asked: str | None) -> str:
    """Return the format of what is written: the one that is asked for, or by its ending.

    Raises
    ------
    StoreError
        If it is unknown, or the ending means none, or another one.
    """
    ending = path.suffix.lower()
    meant = next((name for name, endings in EXPORTS.items() if ending in endings), None)
    if asked is None and meant is not None:
        return meant
    if asked not in EXPORTS:
        listed = ", ".join(f"{name} ({' or '.join(filter(None, ends))})" for name, ends in EXPORTS.items())
        raise StoreError(
            f"A network is exported as one of {listed}, or into a folder without an ending for bioimageio; "
            f"got {asked or path.name!r}."
        )
    if ending and meant is not None and ending not in EXPORTS[asked]:
        raise StoreError(f"{path.name!r} ends like {meant}, and {asked} is asked for. Choose another name.")
    return asked


def _state_dict(network: Network, draft: Path) -> tuple[float, Description]:
    """Write the weights alone; they are built again and compared."""
    kept, described = with_state_dict(network)
    state = {name: value.detach().cpu().clone() for name, value in kept.module.state_dict().items()}
    torch.save(state, draft)
    built = build_with_weights(described, state, str(draft)).eval()
    given = portable(kept)
    again = portable(replace(kept, module=built)).module
    return given.difference(again, f"A state dict of {network.spec.name}"), described


def _package(network: Network, path: Path, about: About, image: Array | None) -> Exported:
    zipped = path.suffix.lower() == ".zip"
    if not zipped and not is_vacant(path):
        raise StoreError(f"{path} is not empty: a package is written into a folder of its own.")
    given = portable(network)
    with drafted(path) as draft:
        if zipped:
            with TemporaryDirectory(prefix="tileseg-package-") as temporary:
                off, notes = write_package(given, Path(temporary) / "package", about, image)
                _zip(Path(temporary) / "package", draft)
        else:
            off, notes = write_package(given, draft, about, image)
    size = path.stat().st_size if zipped else sum(each.stat().st_size for each in path.iterdir())
    return Exported(path, "bioimageio", size, off, tuple(notes))


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for each in sorted(folder.iterdir()):
            # When it was written is no part of it.
            member = zipfile.ZipInfo(each.name, (1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, each.read_bytes())
