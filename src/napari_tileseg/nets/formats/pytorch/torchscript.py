"""TorchScript: weights and code in one file, opened only on the user's word."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import nn

from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Code, Given
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.foreign import is_exported
from napari_tileseg.nets.formats.outside import described_outside
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import ITSELF, Package

#: Convolutions of any kind, whose seventh argument says whether they are transposed.
_GENERAL = ("aten::_convolution", "aten::convolution")
_CONVOLUTIONS = (
    *_GENERAL,
    "aten::_convolution_mode",
    *(f"aten::conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
)


def recognises(package: Package) -> bool:
    """Return whether a file is TorchScript, by the constants in its zip file."""
    return package.file is not None and is_one(package.file)


def is_one(content: Content) -> bool:
    """Return whether a file is TorchScript, by the constants in its zip file."""
    return any(name.endswith("/constants.pkl") for name in content.names) and not is_exported(content.names)


def read(package: Package, given: Given) -> Candidate:
    """Return the network in a chosen file, by a description beside it or a given one.

    Raises
    ------
    NetworkError
        If that description cannot be read.
    """
    stated = described_outside(package.content(), given.architecture)
    return described(package, ITSELF, stated or Description(), outside=stated.to_json() if stated else None)


def described(package: Package, name: str, description: Description, outside: str | None = None) -> Candidate:
    """Return the network in a member that is TorchScript.

    Parameters
    ----------
    package : Package
        What was chosen.
    name : str
        The member.
    description : Description
        What is stated of it. An architecture does not count: the file holds its own code.
    outside : str, optional
        The description as JSON, where the package does not carry it.
    """
    path = package.content(name).path
    return Candidate(
        kind="torchscript",
        description=replace(description, architecture=None, arguments={}),
        build=lambda: load(package.read(name), str(path)),
        code=Code(f"{path} is a TorchScript file", package.digest(name)),
        members=(name,),
        outside=outside,
    )


def load(data: bytes, source: str) -> nn.Module:
    """Open a file whose code is trusted.

    Raises
    ------
    NetworkError
        If it is cut off or broken.
    """
    with answering(NetworkError, f"{source} should be a complete TorchScript file", "Copy it again."):
        module: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(data), map_location="cpu"
        )
        return module.float()


def first_convolution(module: nn.Module) -> tuple[int, int] | None:
    """Return the spatial axes and channels in of the first convolution of the image, if the graph shows one.

    Parameters
    ----------
    module : torch.nn.Module
        An opened TorchScript file.
    """
    graph: Any = module.inlined_graph
    owner, image, *_ = graph.inputs()
    for node in _nodes_of(graph, {image.debugName()}):
        weight = _weight_of(list(node.inputs())[1], owner, module)
        if weight is not None and 3 <= weight.dim() <= 5:
            call = [each.toIValue() for each in node.inputs()]
            return weight.dim() - 2, _channels(node.kind(), call, weight)
    return None


def _nodes_of(block: Any, known: set[str]) -> Iterator[Any]:
    """Convolutions, in order, of what is computed from the values that are `known` by name; those grow."""
    for node in block.nodes():
        taken = any(each.debugName() in known for each in node.inputs())
        if taken and node.kind() in _CONVOLUTIONS and next(node.inputs()).debugName() in known:
            yield node
        for inner in node.blocks():
            if taken:
                known.update(each.debugName() for each in inner.inputs())
            yield from _nodes_of(inner, known)
            taken = taken or any(each.debugName() in known for each in inner.outputs())
        if taken:
            known.update(each.debugName() for each in node.outputs())


def _weight_of(value: Any, owner: Any, module: nn.Module) -> torch.Tensor | None:
    """Return a layer's tensor, a frozen file's constant, or the largest tensor that makes up a weight."""
    if value.node().kind() in {"prim::Constant", "prim::GetAttr"}:
        found = _stored(value, owner, module)
        return found if isinstance(found, torch.Tensor) else None
    parts = (_weight_of(each, owner, module) for each in value.node().inputs())
    return max((each for each in parts if each is not None), key=torch.Tensor.numel, default=None)


def _stored(value: Any, owner: Any, module: nn.Module) -> Any:
    if value.debugName() == owner.debugName():
        return module
    node = value.node()
    if node.kind() == "prim::Constant":
        return value.toIValue()
    return getattr(_stored(next(node.inputs()), owner, module), node.s("name"), None)


def _channels(kind: str, call: list[Any], weight: torch.Tensor) -> int:
    """Return the input channels of a convolution from its weight: by group, and first if transposed."""
    transposed = bool(call[6]) if kind in _GENERAL else "transpose" in kind
    groups = call[8] if kind in _GENERAL else 1 if transposed else call[6]
    return int(weight.shape[0]) if transposed else int(weight.shape[1]) * int(groups)


def scripted_calls(module: nn.Module) -> dict[str, str]:
    """Return the graphs of the layers of TorchScript that run, by their paths; the module's own by ``""``.

    A file holds layers that are never called, too.
    """
    graphs: dict[str, str] = {}
    waiting: list[tuple[str, Any]] = [("", module)]
    while waiting:
        path, layer = waiting.pop()
        if path in graphs or not hasattr(layer, "graph"):
            continue
        graphs[path] = str(layer.graph)
        for node in layer.graph.findAllNodes("prim::CallMethod"):
            names = _attributes(next(node.inputs()))
            child = reduce(lambda found, name: getattr(found, name, None), names, layer)
            waiting.append((".".join((path, *names)).lstrip("."), child))
    return {path: graphs[path] for path, _ in module.named_modules() if path in graphs}


def _attributes(value: Any) -> list[str]:
    """Return the names by which a value is taken from what owns a graph."""
    names: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        names.insert(0, value.node().s("name"))
        value = next(value.node().inputs())
    return names
