"""One module a format: how it is recognised by its content, and how it is opened safely."""

from __future__ import annotations

from typing import Literal, TypeAlias

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats import pickled, safetensors, torchscript

Format: TypeAlias = Literal["safetensors", "torchscript", "pickled"]

_FOREIGN = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras?)",
    b"\x93NUMPY": "a NumPy file",
    b"\x08": "an ONNX file",
    b"\x1f\x8b": "a gzip file",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
}
_KNOWN = "a .safetensors file, a state dict of PyTorch (.pt, .pth) or a TorchScript file"


def recognise(data: bytes, source: str) -> Format:
    """Format of a network's file, by its content.

    Raises
    ------
    NetworkError
        If it is none that is known here.
    """
    if not data:
        raise NetworkError(f"{source} is empty; expected {_KNOWN}. Copy it again.")
    if safetensors.recognises(data):
        return "safetensors"
    if torchscript.recognises(data):
        return "torchscript"
    if pickled.recognises(data):
        return "pickled"
    if data.startswith(b"PK"):
        raise NetworkError(
            f"{source} is a zip file without a network of PyTorch, or one that is cut off; "
            f"expected {_KNOWN}. Copy it again, or unpack it and open the network inside."
        )
    came = next((what for magic, what in _FOREIGN.items() if data.startswith(magic)), "something else")
    raise NetworkError(f"{source} is {came}; expected {_KNOWN}.")
