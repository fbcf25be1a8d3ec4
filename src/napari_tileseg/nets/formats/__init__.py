"""One module a format: how a package is recognised by its content, and how it is opened safely."""

from __future__ import annotations

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats import foreign, nnunet
from napari_tileseg.nets.formats.bioimageio import package_format
from napari_tileseg.nets.formats.candidate import Candidate, Format, Given
from napari_tileseg.nets.formats.exported import package_format as exported_program
from napari_tileseg.nets.formats.monai_bundle import bundle_format
from napari_tileseg.nets.formats.onnx import package_format as onnx_model
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch import pickled, safetensors, torchscript
from napari_tileseg.nets.formats.pytorch_3dunet import checkpoint_format

#: All kinds that are opened; the first that recognises a package reads it.
FORMATS: tuple[Format, ...] = (
    nnunet,
    package_format,
    bundle_format,
    exported_program,
    checkpoint_format,
    torchscript,
    onnx_model,
    pickled,
    safetensors,
)

_KNOWN = (
    "a .safetensors file, a state dict of PyTorch (.pt, .pth), a TorchScript file, an exported program "
    "(.pt2), an ONNX network, a package of bioimage.io, a MONAI bundle or a trained folder of nnU-Net"
)


def candidate_of(package: Package, given: Given) -> Candidate:
    """Return the network in what a user chose.

    Raises
    ------
    NetworkError
        If it is of no kind that is known here, and is then called by its true name; or if its format cannot
        open it.
    """
    path, content = package.path, package.file
    if content is not None and not content.size:
        raise _other(f"{path} is empty", "Copy it again.")
    if content is not None and content.is_zip and not content.members:
        raise _other(f"{path} is a zip file that is cut off, or holds nothing", "Copy it again.")
    for format_ in FORMATS:
        if format_.recognises(package):
            return format_.read(package, given)
    kind = foreign.kind_of(package)
    raise _other(f"{path} is {kind.what}", kind.cure)


def _other(found: str, cure: str) -> NetworkError:
    """Return the error on what is no network; a panel's button to open one says which kinds there are."""
    return NetworkError(f"{found}; expected {_KNOWN}. {cure}", in_panel=f"{found}. {cure}")
