"""What files and folders of other programs are called, told by their content, and what to do instead."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from napari_tileseg._words import few
from napari_tileseg.nets.formats.onnx import recognition
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import Package

#: What can be done today with a network that another program opens.
_EXPORT = (
    "Open it in the program that made it, write it as TorchScript "
    '(torch.jit.trace(network.eval(), example).save("network.pt")), and open that.'
)
_EXPORT_ONCE = (
    "Where it was exported, write the same module as TorchScript "
    '(torch.jit.trace(network.eval(), example).save("network.pt")), and open that.'
)
_OTHER_FRAMEWORK = "It is none of PyTorch; take a network of PyTorch, as TorchScript or a state dict."
_NNUNET = (
    "Open the whole trained folder (plans.json and dataset.json, and a checkpoint_final.pth in each of its "
    "fold_*), or one checkpoint by its file."
)
_UNPACK = "Unpack it, and open the network inside."
_AGAIN = "Copy or download it again."
_NETWORK_ENDINGS = (".safetensors", ".pt", ".pth", ".ts", ".torchscript", ".ckpt", ".bin", ".torch")
#: Bytes of a text that are looked at.
_LARGEST_TEXT = 2**22
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """What something is, with its article, and what to do."""

    what: str
    cure: str


_PACKAGE = "a model package of bioimage.io"
_KINDS = {
    "exported": Kind(
        "an exported program of an earlier PyTorch, or a compiled one",
        "Export the network again, by torch.export.save of PyTorch 2.9 or a later one, and open that.",
    ),
    "torch package": Kind("a package of torch.package, which holds code", _EXPORT),
    "bundle": Kind(
        "a configuration of a MONAI bundle, without the bundle",
        "Open the bundle's folder or zip file, which has configs/metadata.json, configs/inference.json and "
        "models in it.",
    ),
    "nnU-Net": Kind("a trained nnU-Net with files missing", _NNUNET),
    "keras": Kind("a network of Keras", _OTHER_FRAMEWORK),
    "tensorflow": Kind("a saved model of TensorFlow", _OTHER_FRAMEWORK),
    "hugging face": Kind(
        "a model folder of Hugging Face",
        "Open its model.safetensors or pytorch_model.bin with a JSON file beside it that names one of our "
        f"architectures, if it is one. Else: {_EXPORT[0].lower()}{_EXPORT[1:]}",
    ),
}
_PACKAGE_CURE = "Open the folder in it that holds the description, or the description itself."
_YAMLS = ("rdf.yaml", "bioimageio.yaml", "model.yaml", "bioimageio.yml")
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"version https://git-lfs", Kind("a pointer of Git LFS, not the file itself", "Run git lfs pull.")),
    (0, b"\x93NUMPY", Kind("a NumPy array", "It holds numbers, no network.")),
    (0, b"II*\x00", Kind("a TIFF image", "Open it as the image.")),
    (0, b"MM\x00*", Kind("a TIFF image", "Open it as the image.")),
    (0, b"II+\x00", Kind("a TIFF image", "Open it as the image.")),
    (0, b"\x89PNG", Kind("a PNG image", "Open it as the image.")),
    (0, b"\xff\xd8\xff", Kind("a JPEG image", "Open it as the image.")),
    (0, b"%PDF", Kind("a PDF document", "Take the network's own file.")),
    (0, b"\x1f\x8b", Kind("a gzip file", _UNPACK)),
    (0, b"BZh", Kind("a bzip2 file", _UNPACK)),
    (0, b"\xfd7zXZ\x00", Kind("an xz file", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip file", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("a Zstandard file", _UNPACK)),
    (257, b"ustar", Kind("a tar file", _UNPACK)),
    (4, b"TFL3", Kind("a TensorFlow Lite network", _OTHER_FRAMEWORK)),
    (4, b"PTMF", Kind("a PyTorch network for mobile devices", _EXPORT_ONCE)),
    (0, b"GGUF", Kind("a GGUF file of a language model", "It cannot segment images.")),
)
_HDF5 = b"\x89HDF\r\n\x1a\n"


def kind_of(package: Package) -> Kind:
    """Return what a package is that no format opens, and what to do."""
    if package.file is None:
        return _of_folder(package.names)
    return _of_zip(package.file.names) if package.file.is_zip else _of_file(package.file)


def is_exported(names: Sequence[str]) -> bool:
    """Return whether a zip file of these members is an exported program of PyTorch."""
    marks = ("models/model.json", "/archive_format", "serialized_exported_program.json")
    return any(name.endswith(marks) for name in names)


def _of_zip(names: Sequence[str]) -> Kind:
    """Return the kind of a zip file by the names of its members; not one of PyTorch's own."""
    bases = {PurePosixPath(name).name for name in names}
    if is_exported(names):
        return _KINDS["exported"]
    if any("/.data/" in f"/{name}" for name in names) and "extern_modules" in bases:
        return _KINDS["torch package"]
    if found := _by_files(names, "a zip file: "):
        return found
    if names and all(name.endswith(".npy") for name in names):
        return Kind("a NumPy archive (.npz)", "It holds arrays, no network.")
    inside = [name for name in names if name.endswith((*_NETWORK_ENDINGS, ".onnx", ".pt2", ".zip"))]
    if inside:
        return Kind(f"a zip file with {few(inside, _NAMED)} inside", _UNPACK)
    return Kind(
        f"a zip file without a network of PyTorch (it holds {few(names, _NAMED)})",
        "Take the network's own file.",
    )


def _of_folder(found: Sequence[str]) -> Kind:
    """Return the kind of a folder by the names in it."""
    if kind := _by_files(found, ""):
        return kind
    if "project.json" in found:
        return Kind(
            "a project folder of this program", "Open it as a project, or one of the files in its networks."
        )
    if any(name in found for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray")):
        return Kind("an OME-Zarr image", "Open it as the image.")
    if "data.pkl" in found:
        return Kind("an unpacked file of PyTorch", "Open the file as it was before it was unpacked.")
    inside = [name for name in found if name.endswith(_NETWORK_ENDINGS)]
    if inside:
        return Kind("a folder", f"Open a file in it: {few(inside, _NAMED)}.")
    return Kind("a folder without a network", "Choose the file of a network.")


def _by_files(names: Sequence[str], how: str) -> Kind | None:
    """Return the kind by the files that go together, wherever they lie."""
    bases = {PurePosixPath(name).name for name in names}
    if "saved_model.pb" in bases:
        return _KINDS["tensorflow"]
    if {"config.json", "model.weights.h5"} <= bases:
        return _KINDS["keras"]
    yaml = next((n for n in names if PurePosixPath(n).name in _YAMLS or n.endswith(".rdf.yaml")), None)
    if yaml is not None:
        return Kind(f"{_PACKAGE} ({how}{yaml})", _PACKAGE_CURE)
    folds = any(re.search(r"(^|/)fold_\w+(/|$)", name) for name in names)
    if "plans.json" in bases or (folds and "dataset.json" in bases):
        return _KINDS["nnU-Net"]
    weights = {"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"}
    return _KINDS["hugging face"] if "config.json" in bases and weights & bases else None


def _of_file(content: Content) -> Kind:
    """Return the kind of a file that is neither ours nor a zip file, by the meaning of its first bytes."""
    head = content.head
    if head.startswith(_HDF5):
        keras = any(word in head for word in (b"keras", b"layer_names", b"model_weights"))
        return _KINDS["keras"] if keras else Kind("an HDF5 file", "It holds arrays, no network of PyTorch.")
    for at, magic, kind in _MAGIC:
        if head[at:].startswith(magic):
            return kind
    if head.startswith(b"\x08\x01\x12") and any(word in head for word in (b"NoOp", b"Placeholder", b"VarH")):
        return _KINDS["tensorflow"]
    origin = content.path.with_suffix("")
    if content.path.suffix in {".data", ".onnx_data"} and recognition.is_one(origin):
        return Kind(f"the weights of the ONNX network {origin.name} alone", f"Open {origin.name}.")
    return _of_text(content) or Kind("something else", _AGAIN)


def _of_text(content: Content) -> Kind | None:
    """Return the kind of a text; None if the bytes are none."""
    try:
        text = content.head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A character may be cut where the head ends.
        if error.start < len(content.head) - 4 or len(content.head) == content.size:
            return None
        text = content.head[: error.start].decode("utf-8-sig")
    text = text.lstrip()
    if not text or not re.fullmatch(r"[\s\x20-\U0010ffff]*", text):
        return None
    if text[:200].lower().startswith(("<!doctype html", "<html")):
        return Kind("a web page", "The download did not give the file; download it again.")
    if text.startswith(("{", "[")):
        return _of_json(content)
    for patterns, kind in _TEXTS:
        if all(re.search(pattern, text, re.MULTILINE) for pattern in patterns):
            return kind
    return Kind("a text", "Take the network's own file.")


#: Patterns that all have to be there, each at the start of a line.
_TEXTS: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("^network_def:",), _KINDS["bundle"]),
    (
        ("^model:", "^ +name: *(UNet|ResidualUNet)"),
        Kind("a configuration of pytorch-3dunet, without weights", "Open its best_checkpoint.pytorch."),
    ),
    (
        ("^(import|from) +torch",),
        Kind("Python code", "Run it where it belongs, and write the network as TorchScript."),
    ),
)


def _of_json(content: Content) -> Kind:
    """Return the kind of a JSON text by its names."""
    try:
        values = json.loads(content.everything()) if content.size <= _LARGEST_TEXT else None
    except (ValueError, RecursionError):
        values = None
    names = set(values) if isinstance(values, dict) else set()
    for known, kind in _JSON:
        if any(each <= names for each in known):
            return kind
    return Kind("a text in JSON", "Open the weights that it belongs to.")


#: Names that are there together, one of several sets of them.
_JSON: tuple[tuple[tuple[set[str], ...], Kind], ...] = (
    (
        ({"configurations", "plans_name"}, {"plans_per_stage"}),
        Kind("the plans of an nnU-Net, without weights", _NNUNET),
    ),
    (
        ({"channel_names", "labels"}, {"modality", "labels"}),
        Kind("the dataset.json of an nnU-Net, without weights", _NNUNET),
    ),
    (({"network_def"}, {"monai_version"}, {"network_data_format"}), _KINDS["bundle"]),
    (
        ({"weight_map"},),
        Kind("a list of the parts of split weights", "Join the parts into one file, and open that."),
    ),
    (
        ({"model_type"}, {"transformers_version"}, {"architectures"}, {"_class_name"}),
        Kind("a config.json of Hugging Face, without weights", _KINDS["hugging face"].cure),
    ),
    (
        ({"architecture"},),
        Kind("the description of a network, without weights", "Open the weights that it lies beside."),
    ),
    (({"format_version", "type"},), Kind(f"the description of {_PACKAGE} in JSON", "Open it in YAML.")),
)
