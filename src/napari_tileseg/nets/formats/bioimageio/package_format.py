"""Packages of bioimage.io: a folder, a zip file, or the description in one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.model import read_model
from napari_tileseg.nets.formats.bioimageio.self_tests import self_test_of
from napari_tileseg.nets.formats.bioimageio.weights import choose
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.outside import completed, stated_in
from napari_tileseg.nets.formats.packages.package import Package

#: Names of a description, the usual ones first, and how others end.
NAMES = ("rdf.yaml", "bioimageio.yaml", "rdf.yml", "bioimageio.yml", "model.yaml")
_ENDINGS = (".rdf.yaml", ".bioimageio.yaml", ".rdf.yml", ".bioimageio.yml")
#: Bytes of a description.
_LARGEST = 2**17
_MARKS = (rb"^format_version:", rb"^type: *['\"]?model")


def recognises(package: Package) -> bool:
    """Return whether a package has a description of bioimage.io at its top, or is one."""
    if not package.chosen:
        return bool(_descriptions(package))
    if package.chosen in NAMES or package.chosen.endswith(_ENDINGS):
        return True
    head = package.content().head
    named = PurePosixPath(package.chosen).suffix in {".yaml", ".yml"}
    return named and all(re.search(mark, head, re.MULTILINE) for mark in _MARKS)


def _descriptions(package: Package) -> list[str]:
    usual = [name for name in NAMES if name in package.names]
    return usual[:1] or [name for name in package.names if "/" not in name and name.endswith(_ENDINGS)]


def read(package: Package, given: Given) -> Candidate:
    """Return the network in a package.

    Raises
    ------
    NetworkError
        If its description is broken or asks for what there is not here, or none of its weights can be opened.
    """
    names = [package.chosen] if package.chosen else _descriptions(package)
    if len(names) > 1:
        raise NetworkError(
            f"{package.path} holds {len(names)} descriptions of bioimage.io models ({few(names, 5)}). Open "
            "the one that you want."
        )
    about = names[0]
    source = str(package.content(about, _LARGEST).path)
    model = read_model(package.read(about, _LARGEST), source)
    stated = stated_in(given.architecture)
    description = completed(stated, model.description) if stated else model.description
    candidate = choose(package, about, model, description, given)
    return replace(
        candidate,
        outside=stated.to_json() if stated else None,
        self_test=self_test_of(package, model),
    )
