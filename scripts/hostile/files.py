"""Files as somebody might make them to harm: to run code, to write elsewhere, or to exhaust a machine.

All of it is harmless: what would run leaves a mark, an empty file, and what would be removed or overwritten
lies in a folder made for it.
"""

import hashlib
import io
import json
import os
import pickle
import socket
import struct
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

ARGUMENTS = {"ndim": 2, "features": [2, 3], "norm": "batch", "blocks": 1}
GIB = 2**30


@dataclass(frozen=True)
class Place:
    """Where a case is made: its own folder, the mark that code would leave, and a folder of others."""

    folder: Path
    mark: Path
    outside: Path

    def file(self, name: str, data: bytes = b"") -> Path:
        """Write a file of the case."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def described(self, path: Path, said: dict[str, Any] | str | None = None) -> Path:
        """Put a description beside a network."""
        said = {"architecture": "unet", "arguments": ARGUMENTS} if said is None else said
        text = said if isinstance(said, str) else json.dumps(said)
        path.with_suffix(".json").write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True)
class Hostile:
    """A kind of file: how it is read, how it is made, and what is stated with it."""

    how: str
    make: Callable[[Place], Path]
    stated: dict[str, str] = field(default_factory=dict)


class _Marking(torch.nn.Module):
    """Leaves a mark when its code is run."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = str(mark)
        self.convolution = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, and leave the mark."""
        return self.convolution(x) + 0.0 * torch.from_file(self.mark, True, 1)[0]


def make_script(path: Path, mark: Path) -> str:
    """Write a TorchScript file that leaves a mark when its code is run; return its hash."""
    torch.jit.script(_Marking(mark)).save(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Call:
    """Pickles as a call of whatever one likes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def saved(content: Any, **how: Any) -> bytes:
    """Return the bytes that `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def weights() -> dict[str, torch.Tensor]:
    """Return the weights of a small U-Net."""
    from napari_tileseg.nets.architectures.registry import build

    return dict(build("unet", **ARGUMENTS).state_dict())


def sparse(path: Path, size: int, head: bytes = b"") -> Path:
    """Make a file that claims to have `size` bytes, nearly all of them on no disk."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def _calls(place: Place) -> dict[str, Call]:
    text = f"open({str(place.mark)!r}, 'w').close()"
    return {
        "touch": Call(Path.touch, place.mark),
        "exec": Call(exec, text),
        "eval": Call(eval, text),
        "shell": Call(os.system, f"touch '{place.mark}'"),
        "process": Call(subprocess.check_call, ["touch", str(place.mark)]),
        "open": Call(open, str(place.mark), "w"),
        "attribute": Call(getattr(Path, "write_text"), place.mark, "x"),  # noqa: B009 - a call by name
        "load": Call(pickle.loads, pickle.dumps(Call(Path.touch, place.mark))),
        "allow": Call(torch.serialization.add_safe_globals, [exec]),
        "script": Call(torch.jit.load, str(place.folder / "other.pt")),
    }


_FUNCTIONS = ("touch", "exec", "eval", "shell", "process", "open", "attribute", "load", "allow", "script")


def _pickles() -> dict[str, Callable[[Place], Path]]:
    def of(wrap: Callable[[Any], bytes], call: str = "touch") -> Callable[[Place], Path]:
        return lambda place: place.described(place.file("a.pt", wrap(_calls(place)[call])))

    every = {f"a pickle that calls {name}": of(saved, name) for name in _FUNCTIONS}
    return every | {
        "a pickle before zip files": of(
            lambda call: saved({"a": call}, _use_new_zipfile_serialization=False)
        ),
        "a pickle of protocol 4": of(lambda call: saved(call, pickle_protocol=4)),
        "a pickle of Python alone": of(pickle.dumps),
        "a pickle of protocol 0": of(lambda call: pickle.dumps(call, protocol=0)),
        "code beside good weights": of(lambda call: saved({"state_dict": weights(), "epoch": call})),
        "code instead of a weight": of(lambda call: saved({**weights(), "output.bias": call})),
        "code in a number of NumPy": of(lambda call: saved({"a": Call(np.float64(1).__reduce__()[0], call)})),
        "code under another ending": lambda place: place.described(
            place.file("a.safetensors", saved(_calls(place)["touch"]))
        ),
    }


def _script(name: str, said: dict[str, Any]) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        path = place.folder / name
        sha256 = make_script(path, place.mark)
        return place.described(path, json.loads(json.dumps(said).replace("SHA", sha256)))

    return make


def _project_of_script(place: Place) -> Path:
    sha256 = make_script(place.folder / "net.pt", place.mark)
    path = str(place.folder / "net.pt")
    trusted = {"path": path, "sha256": sha256, "trust_sha256": sha256}
    return _project(place, network=trusted, trust_sha256=sha256)


def _project(place: Place, **entries: Any) -> Path:
    from napari_tileseg.session.project.project import Project, write_project

    write_project(place.folder, Project())
    path = place.folder / "project.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    return place.folder


def _removing(path: Callable[[Place], str]) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        (place.folder / "predictions").mkdir()
        (place.folder / "predictions" / "link").symlink_to(place.outside, target_is_directory=True)
        return _project(place, results=[{"name": "a", "path": path(place), "complete": True, "saved": False}])

    return make


_CODE: dict[str, Hostile] = {
    **{name: Hostile("network", make) for name, make in _pickles().items()},
    "a script": Hostile("network", _script("a.pt", {"axes": "yx", "in_channels": 1})),
    "a script under another ending": Hostile("network", _script("a.safetensors", {})),
    "a script with trust beside": Hostile("network", _script("a.pt", {"trust_sha256": "SHA"})),
    "a project that trusts its script": Hostile("project", _project_of_script),
    "a project that removes a folder": Hostile("project", _removing(lambda place: str(place.outside))),
    "a project that climbs out": Hostile("project", _removing(lambda _: "../../outside")),
    "a project that follows a link": Hostile("project", _removing(lambda _: "predictions/link")),
    "a recipe that makes objects": Hostile(
        "recipe",
        lambda place: place.file(
            "a.yaml", f"!!python/object/apply:os.system ['touch {place.mark}']\n".encode()
        ),
    ),
    "a checkpoint of a training": Hostile(
        "training",
        lambda place: (
            place.file("run.json", b"{}"), place.file("last.pt", saved({"version": _calls(place)["touch"]}))
        )[0].parent,
    ),
    "an architecture by its path": Hostile(
        "network",
        lambda place: place.described(
            place.file("a.pt", saved(weights())), {"architecture": "os:system", "arguments": {}}
        ),
    ),
}  # fmt: skip


def _zip(place: Place, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = place.folder / "a.pt"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return place.described(path)


def _packed(place: Place) -> Path:
    """Make weights that unpack to a thousand times their size."""
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(2**26)}))) as archive:
        return _zip(place, {n: archive.read(n) for n in archive.namelist()}, zipfile.ZIP_DEFLATED)


def _directory(place: Place) -> Path:
    """Make an archive whose directory claims to have gigabytes."""
    data = bytearray(saved(weights()))
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<L", 2**31)
    return place.described(place.file("a.pt", bytes(data)))


def _resized(size: tuple[int, ...], stride: tuple[int, ...]) -> Callable[[Place], Path]:
    """Make a tensor that stands for far more than its file holds."""

    def make(place: Place) -> Path:
        state = weights()
        state["output.weight"] = torch.zeros(1).as_strided(size, stride)
        return place.described(place.file("a.pt", saved({"model": state})))

    return make


def _stated(old: bool) -> Callable[[Place], Path]:
    """Make a storage that claims to have gigabytes."""

    def make(place: Place) -> Path:
        state = {"a": torch.zeros(77_777)}
        data = saved(state, _use_new_zipfile_serialization=not old)
        number = struct.pack("<i", 77_777)
        return place.described(
            place.file("a.pt", data.replace(b"J" + number, b"J" + struct.pack("<i", 2**31 - 1)))
        )

    return make


def _pickled(program: bytes) -> Callable[[Place], Path]:
    """Make a file of PyTorch with a pickle written by hand."""
    return lambda place: _zip(
        place, {"a/data.pkl": b"\x80\x02" + program, "a/version": b"3\n", "a/byteorder": b"little"}
    )


def _many_empty(place: Place) -> Path:
    return place.described(place.file("a.pt", saved({f"w{n}": torch.empty(0) for n in range(30_000)})))


def safetensors_of(header: Any, length: int | None = None, data: bytes = b"") -> bytes:
    """Return the bytes of a safetensors file with any header, and any length for it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _tensors(header: Any, length: int | None = None) -> Callable[[Place], Path]:
    return lambda place: place.described(place.file("a.safetensors", safetensors_of(header, length, b"1234")))


def _entry(shape: list[int], end: int = 4) -> dict[str, Any]:
    return {"output.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


def _said(architecture: str, **arguments: Any) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        said = {"architecture": architecture, "arguments": arguments}
        return place.described(place.file("a.pt", saved(weights())), said)

    return make


def _saying(**entries: Any) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        said = {"architecture": "unet", "arguments": ARGUMENTS, **entries}
        return place.described(place.file("a.pt", saved(weights())), said)

    return make


def _text(description: str) -> Callable[[Place], Path]:
    return lambda place: place.described(place.file("a.pt", saved(weights())), description)


_EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
_MONAI = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
_COSTLY: dict[str, Hostile] = {name: Hostile("network", make) for name, make in {
    "packed weights": _packed,
    "a directory of gigabytes": _directory,
    "members that climb out": lambda place: _zip(place, {"../../outside/kept.txt": b"x", "a/data.pkl": b"x"}),
    "a spread tensor": _resized((2, 2, 10**6, 10**6), (0, 0, 0, 0)),
    "a tensor of the right names": _resized((10**9,), (0,)),
    "a storage that states gigabytes": _stated(old=False),
    "an old storage that states gigabytes": _stated(old=True),
    "many empty tensors": _many_empty,
    "a pickle of lists in lists": _pickled(b"]" * 10**6 + b"a" * (10**6 - 1) + b"."),
    "a pickle of many steps": _pickled(b"N0" * 500_000 + b"N."),
    "a pickle of too many steps": _pickled(b"N0" * 10**6 + b"N."),
    "a pickle of names in names": _pickled(b"cbuiltins\ndict\n0" * 10**5 + b"N."),
    "a pickle that names a far place": _pickled(b"}r\xff\xff\x00\x00."),
    "a text that states gigabytes": _pickled(b"X\xff\xff\xff\x7f."),
    "a mapping in itself": _pickled(b"}q\x00X\x01\x00\x00\x00ah\x00s."),
    "a long name": _pickled(b"c" + b"a" * 600 + b"\nb\n."),
    "a long name in UTF-8": _pickled(b"c" + "\xe9".encode() * 600 + b"\nb\n."),
    "a call of a long text": _pickled(b"X\x58\x02\x00\x00" + b"a" * 600 + b")R."),
    "an object of a long text": _pickled(b"X\x58\x02\x00\x00" + b"a" * 600 + b"q\x000h\x00)\x81."),
    "a long pickle": _pickled(b"N" + b"0N" * 4_000_000 + b"."),
    "a header of exabytes": _tensors({}, 2**62),
    "a header that is longer than the file": _tensors({}, 2**22),
    "a header of lists in lists": _tensors(b"[" * 10**6),
    "a header of mappings in mappings": _tensors(b'{"a":' * 10**5),
    "many names": _tensors({f"w{n}": _EMPTY for n in range(2 * 10**5)}),
    "a shape past all memory": _tensors(_entry([2**20, 2**20, 2**20])),
    "a shape past all numbers": _tensors(_entry([10**30])),
    "a negative shape": _tensors(_entry([-1, 2])),
    "offsets past the end": _tensors(_entry([1], 2**40)),
    "entries of another sort": _tensors({"output.weight": [1, 2]}),
    "features past all memory": _said("unet", ndim=2, features=[10**9, 10**9]),
    "many features": _said("unet", ndim=3, features=[60_000, 60_000]),
    "many blocks": _said("unet", ndim=2, features=[1], blocks=10**9),
    "blocks within the bound": _said("unet", ndim=2, features=[1], blocks=60_000),
    "900 levels": _said("unet", ndim=2, features=[1] * 900),
    "a number of 400 digits": _said("unet", ndim=2, features=[10**400]),
    "infinite features": _said("unet", ndim=2, features=[float("inf")]),
    "many channels in": _said("unet", ndim=2, in_channels=2**40),
    "a large transformer": _said("unetr", image_size=[2**20] * 3, hidden=2**20, heads=1, layers=2**20),
    "layers of a transformer": _said("unetr", image_size=[64, 64], hidden=12, heads=1, layers=60_000, mlp=1),
    "MONAI's levels": _said("monai_unet", **_MONAI, channels=[4] * 900, strides=[2] * 899),
    "MONAI's units": _said("monai_unet", **_MONAI, channels=[4, 8], strides=[2], num_res_units=60_000),
    "MONAI's filters": _said("dynunet", **_MONAI, kernel_size=[3] * 3, strides=[1, 2, 2], filters=[2**16] * 3,
                             upsample_kernel_size=[2, 2]),
    "MONAI's kernels": _said("dynunet", **_MONAI, kernel_size=[60_001] * 3, strides=[1, 2, 2],
                             upsample_kernel_size=[2, 2]),
    "MONAI's windows": _said("swin_unetr", **_MONAI, window_size=60_000),
    "MONAI's depths": _said("swin_unetr", **_MONAI, depths=[60_000] * 4),
    "MONAI's blocks": _said("segresnet", **_MONAI, blocks_down=[60_000], blocks_up=[]),
    "MONAI's image": _said("monai_unetr", **_MONAI, img_size=[2**15] * 2, hidden_size=2**15),
    "a norm of another sort": _said("monai_unet", **_MONAI, channels=[4, 8], strides=[2], norm=["x" * 10**6]),
    "arguments in arguments": _said("unet", ndim=2, features=json.loads("[" * 500 + "]" * 500)),
    "many arguments": _said("unet", **{f"a{n}": n for n in range(10**5)}),
    "lists in a description": _text("[" * 10**6),
    "mappings in a description": _text('{"a":' * 10**5),
    "a read shape past all memory": _saying(read_shape=[10**6, 10**6]),
    "a read shape past all numbers": _saying(read_shape=[10**30, 1]),
    "a read shape past the bound": _saying(read_shape=[2048, 2049]),
    "a transformer of many tokens": _said("unetr", image_size=[4096, 4096], hidden=1, heads=1, mlp=1),
    "MONAI's tokens": _said("monai_unetr", **_MONAI, img_size=[8192, 8192], hidden_size=12),
    "names of a million letters": _saying(classes=["x" * 10**6, 5]),
    "a halo past all memory": _saying(halo=[10**12, 10**12]),
    "a voxel size of 400 digits": _saying(voxel_size=[10**400, 1]),
    "a million renormalized layers": _saying(renormalized=["encoders.0.0.1"] * 10**5),
    "a description that is large": _saying(provenance={"text": "x" * 2**23}),
}.items()}  # fmt: skip


def _pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def _socket(place: Place) -> Path:
    path = Path(os.path.relpath(place.folder / "a.pt"))  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
    return place.folder / "a.pt"


def _link(path: Path, target: Path) -> Path:
    path.symlink_to(target)
    return path


def _endless(path: Path) -> Path:
    return _link(path, Path("/dev/zero"))


def _beside(make: Callable[[Path], object], name: str = "a.json") -> Callable[[Place], Path]:
    def made(place: Place) -> Path:
        path = place.file("a.pt", saved(weights()))
        make(place.folder / name)
        return path

    return made


_ALIASES = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
])  # fmt: skip
_WITHOUT_END: dict[str, Hostile] = {
    "ten gigabytes of nothing": Hostile("network", lambda p: sparse(p.folder / "a.pt", 10 * GIB)),
    "four gigabytes of nothing": Hostile("network", lambda p: sparse(p.folder / "a.pt", 4 * GIB - 9)),
    "four gigabytes behind a header": Hostile("network", lambda p: p.described(
        sparse(p.folder / "a.safetensors", 4 * GIB - 9, safetensors_of(_entry([2, 2]))))),
    "four gigabytes behind a zip's start": Hostile(
        "network", lambda p: sparse(p.folder / "a.pt", 4 * GIB - 9, b"PK\3\4")),
    "four gigabytes behind a pickle's start": Hostile("network", lambda p: p.described(
        sparse(p.folder / "a.pt", 4 * GIB - 9, b"\x80\x02"))),
    "a pipe as network": Hostile("network", lambda p: _pipe(p.folder / "a.pt")),
    "a socket as network": Hostile("network", _socket),
    "an endless device as network": Hostile("network", lambda p: _endless(p.folder / "a.pt")),
    "a link to itself": Hostile("network", lambda p: _link(p.folder / "a.pt", p.folder / "a.pt")),
    "a pipe as description": Hostile("network", _beside(_pipe)),
    "a device as description": Hostile("network", _beside(_endless)),
    "a large description": Hostile("network", _beside(lambda path: sparse(path, 10 * GIB))),
    "a pipe as a package's description": Hostile("network", _beside(_pipe, "rdf.yaml")),
    "a large description of a package": Hostile(
        "network", _beside(lambda path: sparse(path, 10 * GIB), "rdf.yaml")),
    "aliases of aliases in a package": Hostile("network", _beside(
        lambda path: path.write_text(f"{_ALIASES}\nweights:\n  x:\n    source: *a11\n"), "rdf.yaml")),
    "a pipe as project": Hostile("project", lambda p: _pipe(p.folder / "project.json").parent),
    "a large project": Hostile("project", lambda p: sparse(p.folder / "project.json", 10 * GIB).parent),
    "lists in a project": Hostile("project", lambda p: p.file("project.json", b"[" * 10**6).parent),
    "a setting of 400 digits": Hostile("project", lambda p: _project(p, settings={"core": [10**400]})),
    "a pipe as finding": Hostile(
        "project", lambda p: (_pipe(p.folder / "diagnoses/1/diagnosis.json"), _project(p))[1]),
    "a pipe as labels": Hostile("strokes", lambda p: _pipe(p.folder / "zarr.json").parent),
    "a pipe as recipe": Hostile("recipe", lambda p: _pipe(p.folder / "a.yaml")),
    "a large recipe": Hostile("recipe", lambda p: sparse(p.folder / "a.yaml", 10 * GIB)),
    "aliases of aliases": Hostile("recipe", lambda p: p.file("a.yaml", _ALIASES.encode())),
    "an alias in itself": Hostile("recipe", lambda p: p.file("a.yaml", b"&a [*a]")),
    "lists in a recipe": Hostile("recipe", lambda p: p.file("a.yaml", b"[" * 10**5)),
    "many keys in a recipe": Hostile(
        "recipe", lambda p: p.file("a.yaml", b"".join(b"%d: 1\n" % n for n in range(9000)))),
    "a pipe as image": Hostile("image", lambda p: _pipe(p.folder / "a.tif")),
    "an endless device as image": Hostile("image", lambda p: _endless(p.folder / "a.npy")),
    "a pipe as training": Hostile("training", lambda p: _pipe(p.folder / "run.json").parent),
    "a pipe as checkpoint": Hostile(
        "training", lambda p: (p.file("run.json", b"{}"), _pipe(p.folder / "last.pt"))[1].parent),
}  # fmt: skip

#: Every kind of hostile file, by name.
HOSTILE: dict[str, Hostile] = {**_CODE, **_COSTLY, **_WITHOUT_END}
#: Those that may be opened, for what would harm in them is left alone.
MAY_OPEN = {
    "a project that removes a folder",
    "a project that climbs out",
    "a project that follows a link",
    # Names that are too many are left out.
    "a bundle of names without number",
}
