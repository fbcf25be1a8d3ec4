"""Packages of networks as somebody might make them to harm, in folders and in zip files."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hostile.files import Call, Hostile, Place, make_script, saved, weights

_AXES = [{"type": "batch"}, {"type": "channel", "channel_names": ["a"]}, *(
    {"type": "space", "id": each, "size": {"min": 8, "step": 4}} for each in "yx"
)]  # fmt: skip
_TORCHSCRIPT = {"torchscript": {"source": "weights.pt"}}


def described(chosen: dict[str, Any], **entries: Any) -> bytes:
    """Return a description of bioimage.io; JSON is YAML too."""
    tensor = {"id": "raw", "axes": _AXES, "test_tensor": {"source": "in.npy"}}
    other = {"id": "out", "axes": _AXES, "test_tensor": {"source": "out.npy"}}
    said = {"format_version": "0.5.4", "type": "model", "inputs": [tensor], "outputs": [other]}
    return json.dumps({**said, "weights": chosen, **entries}).encode()


def written(place: Place, files: dict[str, bytes]) -> Path:
    """Write files into the folder of the case, and return it."""
    for name, data in files.items():
        place.file(name, data)
    return place.folder


def zipped(place: Place, files: dict[str, bytes]) -> Path:
    """Write files into a zip file, packed."""
    path = place.folder / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _script(place: Place) -> bytes:
    make_script(place.folder / "made.pt", place.mark)
    data = (place.folder / "made.pt").read_bytes()
    (place.folder / "made.pt").unlink()
    return data


def _elsewhere(source: Callable[[Place], str]) -> Callable[[Place], Path]:
    """Make a package whose weights lie outside of it."""
    return lambda place: zipped(place, {"rdf.yaml": described({"torchscript": {"source": source(place)}})})


def _source(place: Place) -> Path:
    """Make a package whose architecture is a file of Python."""
    code = f"open({str(place.mark)!r}, 'w').close()\nclass Net: pass\n".encode()
    entry = {"source": "weights.pt", "architecture": {"source": "net.py", "callable": "Net", "kwargs": {}}}
    files = {
        "rdf.yaml": described({"pytorch_state_dict": entry}),
        "net.py": code,
        "weights.pt": saved(weights()),
    }
    return written(place, files)


def _imported(place: Place) -> Path:
    entry = {"source": "weights.pt", "architecture": f"os.system:touch {place.mark}", "kwargs": {}}
    return zipped(
        place, {"rdf.yaml": described({"pytorch_state_dict": entry}), "weights.pt": saved(weights())}
    )


def _monai(**arguments: Any) -> Callable[[Place], Path]:
    architecture = {"import_from": "monai.networks.nets", "callable": "BasicUNet", "kwargs": arguments}
    entry = {"source": "weights.pt", "architecture": architecture}
    return lambda place: zipped(
        place, {"rdf.yaml": described({"pytorch_state_dict": entry}), "weights.pt": saved(weights())}
    )


def _torch_em(**arguments: Any) -> Callable[[Place], Path]:
    entry = {"source": "weights.pt", "architecture": "unet.py:UNet2d", "kwargs": arguments}
    return lambda place: zipped(
        place, {"rdf.yaml": described({"pytorch_state_dict": entry}), "weights.pt": saved(weights())}
    )


def _pickled(place: Place) -> Path:
    """Make a package whose state dict is a call."""
    architecture = {
        "import_from": "monai.networks.nets",
        "callable": "BasicUNet",
        "kwargs": {"spatial_dims": 2},
    }
    entry = {"source": "weights.pt", "architecture": architecture}
    files = {
        "rdf.yaml": described({"pytorch_state_dict": entry}),
        "weights.pt": saved({"a": Call(Path.touch, place.mark)}),
    }
    return written(place, files)


def _tensor(data: Callable[[Place], bytes]) -> Callable[[Place], Path]:
    """Make a package of a script that nobody trusts, whose test tensors are made to harm."""
    return lambda place: written(
        place,
        {
            "rdf.yaml": described(_TORCHSCRIPT),
            "weights.pt": _script(place),
            "in.npy": data(place),
            "out.npy": data(place),
        },
    )


def _objects(place: Place) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return file.getvalue() + pickle.dumps([Call(Path.touch, place.mark)])


def _numbers(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


def _growing(place: Place) -> Path:
    """Make a zip file whose weights grow to a thousand times their size."""
    return zipped(place, {"rdf.yaml": described(_TORCHSCRIPT), "weights.pt": bytes(300 * 2**20)})


def _lying(size: int) -> Callable[[Place], Path]:
    """Make a zip file that states another size of its weights."""

    def make(place: Place) -> Path:
        path = zipped(place, {"weights.pt": os.urandom(2**16), "rdf.yaml": described(_TORCHSCRIPT)})
        data = bytearray(path.read_bytes())
        at = data.find(b"PK\x01\x02")
        struct.pack_into("<L", data, at + 24, size)
        path.write_bytes(bytes(data))
        return path

    return make


def _linked(name: str, target: Callable[[Place], Path]) -> Callable[[Place], Path]:
    """Make a folder in which a member is a link to something else."""

    def make(place: Place) -> Path:
        files = {"rdf.yaml": described(_TORCHSCRIPT), "weights.pt": b"1", "in.npy": b"1", "out.npy": b"2"}
        written(place, {key: data for key, data in files.items() if key != name})
        (place.folder / name).symlink_to(target(place))
        return place.folder

    return make


def _pipe(place: Place) -> Path:
    os.mkfifo(place.file("rdf.yaml", described(_TORCHSCRIPT)).with_name("weights.pt"))
    return place.folder


def _text(text: str) -> Callable[[Place], Path]:
    return lambda place: zipped(place, {"rdf.yaml": text.replace("MARK", str(place.mark)).encode()})


_ABOVE = "../../outside/kept.txt"
_HEAD = "format_version: 0.5.4\ntype: model\n"
_ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
PACKAGES: dict[str, Hostile] = {name: Hostile("network", make) for name, make in {
    "a package whose zip file climbs": lambda place: zipped(
        place, {"../../outside/kept.txt": b"x", "rdf.yaml": described({"onnx": {"source": _ABOVE}})}),
    "a package of weights above it": _elsewhere(lambda _: _ABOVE),
    "a package of weights at an absolute path": _elsewhere(lambda place: str(place.outside / "kept.txt")),
    "a package of weights at the path of Windows": _elsewhere(lambda _: "C:\\\\outside\\\\kept.txt"),
    "a package of weights behind a link": _linked("weights.pt", lambda place: place.outside / "kept.txt"),
    "a package of a device as weights": _linked("weights.pt", lambda _: Path("/dev/zero")),
    "a package of a device as description": _linked("rdf.yaml", lambda _: Path("/dev/zero")),
    "a package of a device as test": _linked("in.npy", lambda _: Path("/dev/zero")),
    "a package of a pipe as weights": _pipe,
    "a package that makes objects": _text(_HEAD + "inputs: !!python/object/apply:os.system ['touch MARK']\n"),
    "a package that makes objects anew": _text("!!python/object/new:os.system ['touch MARK']\n"),
    "a package of aliases": _text(_HEAD + _ALIASES),
    "a package of lists in lists": _text(_HEAD + "inputs: " + "[" * 60_000),
    "a package in itself": _text(_HEAD + "inputs: &a [*a]\n"),
    "a package with a source": _source,
    "a package with an import": _imported,
    "a package of a script": lambda place: written(
        place, {"rdf.yaml": described(_TORCHSCRIPT), "weights.pt": _script(place)}),
    "a package of a pickle that calls": _pickled,
    "a package of MONAI past all memory": _monai(spatial_dims=3, features=[60_000] * 6),
    "a package of MONAI's arguments": _monai(spatial_dims=2, features=[10**9] * 6, norm=[["x"] * 10, {}]),
    "a package of torch_em past all memory": _torch_em(depth=10, initial_features=60_000, gain=60_000),
    "a package of torch_em's weights": _torch_em(depth=3, initial_features=8_000, gain=2),
    "a package whose test is a pickle": _tensor(_objects),
    "a package whose test states terabytes": _tensor(lambda _: _numbers((2**20, 2**20))),
    "a package whose test states more than numbers": _tensor(lambda _: _numbers((10**30,))),
    "a package whose test has a long header": _tensor(
        lambda _: b"\x93NUMPY\x02\x00" + struct.pack("<L", 2**31) + b"[" * 10**6),
    "a package that grows": _growing,
    "a package that states gigabytes": _lying(2**31),
    "a package that states few bytes": _lying(100),
    "a package of many members": lambda place: zipped(
        place, {"rdf.yaml": described(_TORCHSCRIPT), **{f"a/{n}": b"" for n in range(60_000)}}),
    "a package of numbers of 400 digits": _text(
        _HEAD + f"inputs: [{{axes: bcyx, shape: [1, 1, {10**400}, 8]}}]\noutputs: [{{axes: bcyx}}]\n"),
    "a package of a million channels": lambda place: written(
        place, {"rdf.yaml": described(_TORCHSCRIPT, inputs=[{"axes": "bcyx", "shape": [1, 10**9, 64, 64]}]),
                "weights.pt": _script(place)}),
}.items()}  # fmt: skip
