"""Files and folders of other programs are called by their true name, told by their content alone."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import open_network

#: Files of a folder or an archive, by name.
Files = Mapping[str, bytes]
RDF = b"format_version: 0.5.4\nname: nuclei\ntype: model\nweights: {}\n"
METADATA = json.dumps({"monai_version": "1.5", "network_data_format": {}}).encode()
INFERENCE = json.dumps({"network_def": {"_target_": "UNet"}}).encode()
PLANS = json.dumps({"plans_name": "nnUNetPlans", "configurations": {"2d": {}}}).encode()
DATASET = json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0}}).encode()
CONFIG = json.dumps({"model_type": "segformer", "architectures": ["A"]}).encode()

PACKAGE: Files = {"rdf.yaml": RDF, "weights.onnx": b"1", "test_input.npy": b"2"}
BUNDLE: Files = {
    "configs/metadata.json": METADATA,
    "configs/inference.json": INFERENCE,
    "models/model.pt": b"PK",
}
TRAINED: Files = {"plans.json": PLANS, "fold_0/checkpoint_final.pth": b"PK"}
HUGGING: Files = {"config.json": CONFIG, "model.safetensors": b"1"}
SAVED_MODEL: Files = {"saved_model.pb": b"\x08\x01\x12\x03NoOp", "variables/variables.index": b"1"}
KERAS: Files = {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b"1"}


def field(number: int, content: bytes | int) -> bytes:
    """One field of a protocol buffer, of less than 128 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


ONNX = field(1, 9) + field(2, b"pytorch") + field(3, b"2.9") + field(7, b"graph" * 9) + field(8, b"\x10\x14")


def zipped(files: Files, *, inside: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{inside}{name}", data)
    return file.getvalue()


def keras_hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content.attrs["keras_version"] = "2.13.1"
        content.create_group("model_weights")
    return file.getvalue()


def hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        content["raw"] = np.zeros(3)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


#: name of the file: (content, words of the message)
FILES: dict[str, tuple[Callable[[], bytes] | bytes, str]] = {
    "old.pt2": (zipped({"serialized_exported_program.json": b"{}"}), "program of an earlier PyTorch"),
    "package.zip": (zipped(PACKAGE), r"rdf\.yaml is a bioimage\.io model of 0 inputs"),
    "deep.zip": (zipped(PACKAGE, inside="nuclei/"), r"rdf\.yaml is a bioimage\.io model of 0 inputs"),
    "deeper.zip": (zipped(PACKAGE, inside="all/nuclei/"), r"bioimage\.io \(a zip file: all/nuclei/rdf\.yaml"),
    "rdf.yaml": (RDF, r"is a bioimage\.io model of 0 inputs"),
    "nuclei.bioimageio.yaml": (b"# a model\ntype: model\nformat_version: 0.4.10\n", r"model of 0 inputs"),
    "bundle.zip": (zipped(BUNDLE, inside="spleen/"), r"network that is not built: .*needs spatial_dims"),
    "inference.json": (INFERENCE, r"a configuration of a MONAI bundle, without.*configs/metadata\.json"),
    "metadata.json": (METADATA, "a configuration of a MONAI bundle, without"),
    "inference.yaml": (b"network_def:\n  _target_: UNet\n", "a MONAI bundle"),
    "trained.zip": (zipped(TRAINED, inside="Dataset1/"), r"a trained nnU-Net with files missing"),
    "plans.json": (PLANS, "the plans of an nnU-Net, without weights"),
    "dataset.json": (DATASET, r"dataset\.json of an nnU-Net"),
    "a.onnx": (ONNX, "should be a complete ONNX network"),
    "renamed.bin": (ONNX, "should be a complete ONNX network"),
    "large.onnx": (ONNX[:16] + b"\x3a\x80\x80\x08" + bytes(2**17), "of ONNX's operators"),
    "model.h5": (keras_hdf5, r"a network of Keras.*none of PyTorch"),
    "model.keras": (zipped(KERAS), "a network of Keras"),
    "raw.h5": (hdf5, "an HDF5 file"),
    "saved_model.pb": (SAVED_MODEL["saved_model.pb"], "saved model of TensorFlow"),
    "a.tflite": (b"\x1c\0\0\0TFL3rest", "TensorFlow Lite"),
    "a.ptl": (b"\x1c\0\0\0PTMFrest", "for mobile devices"),
    "config.json": (CONFIG, r"config\.json of Hugging Face"),
    "a.index.json": (b'{"weight_map": {"a": "model-1.safetensors"}}', "parts of split weights"),
    "a.json": (b'{"architecture": "unet"}', "description of a network, without weights"),
    "other.json": (b'[{"a": 1}]', "a text in JSON"),
    "train.yml": (b"model:\n  name: UNet3D\nloader: 1\n", "pytorch-3dunet, without weights"),
    "net.py": (b"import torch\nclass Net(torch.nn.Module):\n    pass\n", "Python code"),
    "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS.*git lfs pull"),
    "page.pth": (b"\n<!DOCTYPE html><html>Not found</html>", "a web page.*download it again"),
    "a.npz": (npz, "a NumPy archive"),
    "a.npy": (b"\x93NUMPY rest", "a NumPy array"),
    "weights.pt.gz": (b"\x1f\x8b rest", "a gzip file.*Unpack it"),
    "both.zip": (zipped({"a.pt": b"1", "note.txt": b"2"}), r"a zip file with a\.pt inside.*Unpack it"),
    "text.docx": (zipped({"word/document.xml": b"1"}), r"a zip file without a network .*word/document\.xml"),
    "cut.zip": (zipped(PACKAGE)[:-30], "a zip file that is cut off.*Copy it again"),
    "image.png": (b"\x89PNG rest", "a PNG image.*Open it as the image"),
    "eight.bin": (b"\x08 an eight alone", "is a text|something else"),
    "core.mlmodel": (field(1, 4) + field(2, b"about") + bytes([500 >> 3]), "something else"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), [(n, *each) for n, each in FILES.items()], ids=FILES)
def test_a_file_is_called_by_its_true_name(
    tmp_path: Path, name: str, content: Callable[[], bytes] | bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content())
    with pytest.raises(NetworkError, match=f"(?s){words}"):
        open_network(tmp_path / name)


FOLDERS: dict[str, tuple[Files, str]] = {
    "package": (PACKAGE, r"rdf\.yaml is a bioimage\.io model of 0 inputs"),
    "package with a name": ({"nuclei.rdf.yaml": RDF}, r"nuclei\.rdf\.yaml is a bioimage\.io model of 0"),
    "packages": (
        {"a.rdf.yaml": RDF, "b.rdf.yaml": RDF},
        r"holds 2 descriptions .*\(a\.rdf\.yaml, b\.rdf\.yaml\)",
    ),
    "package below": (
        {"a/rdf.yaml": RDF},
        r"a model package of bioimage\.io \(a/rdf\.yaml\).*Open the folder",
    ),
    "bundle": (BUNDLE, r"inference\.json defines a network that is not built"),
    "nnU-Net": (TRAINED, "a trained nnU-Net"),
    "nnU-Net above": ({f"Trainer__2d/{name}": data for name, data in TRAINED.items()}, "a trained nnU-Net"),
    "Hugging Face": (HUGGING, "a model folder of Hugging Face"),
    "TensorFlow": (SAVED_MODEL, "a saved model of TensorFlow"),
    "Keras": (KERAS, "a network of Keras"),
    "unpacked": ({"data.pkl": b"1", "version": b"3", "data/0": b"1"}, "an unpacked file of PyTorch"),
    "image": ({"zarr.json": b"{}"}, "an OME-Zarr image"),
    "project": ({"project.json": b"{}"}, "a project folder of this program"),
    "files": (
        {"last.ckpt": b"1", "best.pt": b"1"},
        r"is a folder; .*Open a file in it: best\.pt, last",
    ),
    "empty": ({}, "a folder without a network"),
}


@pytest.mark.parametrize(("files", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_called_by_its_true_name(tmp_path: Path, files: Files, words: str) -> None:
    for name, data in files.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "folder").mkdir(exist_ok=True)
    with pytest.raises(NetworkError, match=words):
        open_network(tmp_path / "folder")


def test_the_weights_of_an_onnx_network_are_named_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(ONNX)
    (tmp_path / "a.onnx.data").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(NetworkError, match=r"the weights of the ONNX network a\.onnx alone.*Open a\.onnx"):
        open_network(tmp_path / "a.onnx.data")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (nn.Conv2d(1, 1, 1), r"whole network.*torch\.nn\.modules\.conv\.Conv2d"),
        (nn.Sequential(nn.ReLU()), r"whole network.*torch\.nn\.modules\.container\.Sequential"),
        (torch.zeros(3), "got Tensor"),
        ({"epoch": 3}, r"'epoch' \(int\)"),
        ({"lr": [0.1], "state": {"a": 1}}, r"'lr' \(list\), 'state' \(a mapping\)"),
    ],
    ids=["a layer", "a network", "a tensor", "a number", "other things"],
)
@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
def test_a_pickle_of_something_else_says_of_what(
    tmp_path: Path, content: object, words: str, old: bool
) -> None:
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    said = {"architecture": "unet", "arguments": {"ndim": 2, "features": [1]}}
    (tmp_path / "a.json").write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(NetworkError, match=words):
        open_network(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["unet2d_nuclei_broad/test_input.npy", "monai_bundle_configs"])
def test_real_files_of_other_programs_are_named(data_dir: Path, name: str) -> None:
    with pytest.raises(NetworkError, match=r"is a NumPy array|holds 5 MONAI bundles"):
        open_network(data_dir / "networks" / name)
