"""Which of a bundle's weights are opened: those of a network that is built here, or its TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import entries, mapping
from napari_tileseg.nets.formats.candidate import Candidate, Code
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.monai_bundle.config import read_config
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch import pickled, safetensors, torchscript
from napari_tileseg.nets.formats.pytorch.state_dicts import described_weights

_FOLDER = "models/"
_WEIGHTS, _SCRIPT = f"{_FOLDER}model.pt", f"{_FOLDER}model.ts"
_ENDINGS = (".pt", ".pth", ".safetensors")
#: Files that say where large files are to be fetched.
_LARGE = ("large_files.yml", "large_files.yaml", "large_files.json")
_POINTER = b"version https://git-lfs"
_SHOWN = 160


class Weights:
    """The files of weights in a bundle.

    Parameters
    ----------
    package : Package
        What was chosen.
    root : str
        The bundle's folder in it, with its ``/``; "" for the package itself.
    """

    def __init__(self, package: Package, root: str) -> None:
        self._package, self._root = package, root

    def built(self, description: Description) -> Candidate:
        """Return the network of a described architecture with the bundle's weights.

        Raises
        ------
        NetworkError
            If they are not there, would run code, or do not fit.
        """
        name = self._state_dict
        if name is None or self._is_pointer(name):
            raise NetworkError(self._missing(name or f"{self._root}{_WEIGHTS}"))
        content = self._package.content(name)
        reader = safetensors.READER if safetensors.is_one(content) else pickled.READER
        return described_weights(self._package, name, description, reader)

    def scripted(self, description: Description, reason: str) -> Candidate | None:
        """Return the network in the bundle's TorchScript; None where there is none.

        Parameters
        ----------
        description : Description
            What is stated of it.
        reason : str
            Why it is taken, as part of a sentence.
        """
        name = f"{self._root}{_SCRIPT}"
        if not self._package.has(name) or not torchscript.is_one(self._package.content(name)):
            return None
        candidate = torchscript.described(self._package, name, description)
        path = self._package.content(name).path
        code = Code(f"{path} is a TorchScript file, taken since {reason}", self._package.digest(name))
        return replace(candidate, code=code)

    @property
    def lacking(self) -> str:
        """Why there are no weights, as a sentence; "" where there are some."""
        name = self._state_dict
        return (
            self._missing(name or f"{self._root}{_WEIGHTS}") if name is None or self._is_pointer(name) else ""
        )

    @property
    def _state_dict(self) -> str | None:
        usual = f"{self._root}{_WEIGHTS}"
        if self._package.has(usual):
            return usual
        inside = [each for each in self._package.names if each.startswith(f"{self._root}{_FOLDER}")]
        others: Sequence[str] = [each for each in inside if each.endswith(_ENDINGS)]
        return others[0] if len(others) == 1 else None

    def _is_pointer(self, name: str) -> bool:
        return self._package.content(name).head.startswith(_POINTER)

    def _missing(self, name: str) -> str:
        """Return the sentence about weights that are elsewhere."""
        place = f"{self._package.path}:{name}" if self._package.file else str(self._package.path / name)
        if self._package.has(name):
            return (
                f"{place} is a pointer of Git LFS, not the weights themselves. Run git lfs pull in the "
                "bundle's folder."
            )
        address = self._address(name.removeprefix(self._root))
        if address:
            return (
                f"{place} is missing; the bundle names where it lies: {address}. Download it to there, or "
                "the bundle with python -m monai.bundle download."
            )
        return f"{place} is missing: a bundle without weights. Copy the whole bundle again."

    def _address(self, wanted: str) -> str:
        """Return where a file is to be fetched, as the bundle says; "" where it does not."""
        about = next((each for each in _LARGE if self._package.has(f"{self._root}{each}")), None)
        if about is None:
            return ""
        try:
            listed = entries(read_config(self._package, f"{self._root}{about}").held.get("large_files"))
        except NetworkError:
            return ""
        found = (mapping(each) for each in listed)
        return next((str(each.get("url"))[:_SHOWN] for each in found if each.get("path") == wanted), "")
