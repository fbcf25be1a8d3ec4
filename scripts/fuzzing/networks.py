"""Networks of every format, opened as the program opens them."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from fuzzing.kinds import Kind
from napari_tileseg.errors import DeviceError, NetworkError, UntrustedNetworkError
from napari_tileseg.nets import (
    Description,
    by_graph,
    open_module,
    open_network,
    save_described,
    save_network,
)
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.settings import NetworkSettings

ARGUMENTS: dict[str, Any] = {"ndim": 2, "norm": "batch", "in_channels": 1, "features": (2, 3), "blocks": 1}
CLASSES = ("cell", "edge")


def make_network(path: Path) -> Path:
    """Write a small flat network of two classes."""
    import torch

    torch.manual_seed(0)
    said = {"architecture": "unet", "arguments": ARGUMENTS, "classes": CLASSES, "activation": "sigmoid"}
    return save_network(build("unet", **ARGUMENTS), path, Description(**said))  # type: ignore[arg-type]


def _safetensors(folder: Path) -> None:
    make_network(folder / "a.safetensors")


def _state(legacy: bool, folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    state = build("unet", **ARGUMENTS).state_dict()
    torch.save(state, folder / "a.pt", _use_new_zipfile_serialization=not legacy)
    said = {"architecture": "unet", "arguments": ARGUMENTS, "classes": CLASSES, "activation": "sigmoid"}
    (folder / "a.json").write_text(json.dumps(said), encoding="utf-8")


def _script(folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Sigmoid()).eval()
    with torch.no_grad():
        traced = torch.jit.trace(module, torch.zeros(1, 1, 8, 8))
    traced.save(str(folder / "a.pt"))  # type: ignore[no-untyped-call]


def _graph(folder: Path) -> None:
    """Write a network that is known by its graph, twice: in one file, and as weights beside a description."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3, padding=1), nn.InstanceNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    module = nn.Sequential(*layers, nn.ConvTranspose2d(3, 2, 2, stride=2), nn.Softmax(1)).eval()
    network = by_graph(open_module(module, axes="yx", in_channels=1))
    save_described(network.module, network.description, folder / "a.safetensors")
    torch.save(network.module.state_dict(), folder / "b.pt")
    (folder / "b.json").write_text(network.description.to_json(), encoding="utf-8")


def _open(name: str, folder: Path) -> None:
    open_network(folder / name)


def _open_untrusted(folder: Path) -> None:
    with suppress(UntrustedNetworkError):
        open_network(folder / "a.pt")


def _open_trusted(folder: Path) -> None:
    path = folder / "a.pt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    open_network(path, NetworkSettings(trust_sha256=digest))


_ANSWERS = (NetworkError, DeviceError)
NETWORKS = (
    Kind(
        name="safetensors",
        make=_safetensors,
        damaged=("a.safetensors",),
        read=partial(_open, "a.safetensors"),
        answers=_ANSWERS,
        share=4,
    ),
    Kind(
        name="state dict",
        make=partial(_state, False),
        damaged=("a.pt",),
        read=partial(_open, "a.pt"),
        answers=_ANSWERS,
        share=3,
    ),
    Kind(
        name="state dict, legacy",
        make=partial(_state, True),
        damaged=("a.pt",),
        read=partial(_open, "a.pt"),
        answers=_ANSWERS,
        share=3,
    ),
    Kind(
        name="graph",
        make=_graph,
        damaged=("b.json",),
        read=partial(_open, "b.pt"),
        answers=_ANSWERS,
        share=4,
    ),
    Kind(
        name="graph, in its file",
        make=_graph,
        damaged=("a.safetensors",),
        read=partial(_open, "a.safetensors"),
        answers=_ANSWERS,
    ),
    Kind(
        name="torchscript",
        make=_script,
        damaged=("a.pt",),
        read=_open_untrusted,
        answers=_ANSWERS,
    ),
    Kind(
        name="torchscript, trusted",
        make=_script,
        damaged=("a.pt",),
        read=_open_trusted,
        answers=_ANSWERS,
    ),
    Kind(
        name="description",
        make=partial(_state, False),
        damaged=("a.json",),
        read=partial(_open, "a.pt"),
        answers=_ANSWERS,
        share=5,
    ),
)
