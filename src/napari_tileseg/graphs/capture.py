"""From a network to its graph: `torch.export`, translated node by node."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export
from torch.export.graph_signature import InputKind

from napari_tileseg._types import Shape
from napari_tileseg.errors import reason_of
from napari_tileseg.graphs.exportable import Exportable
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.graphs.translation import Translation
from napari_tileseg.tiling.read_shape import ReadShape

#: Multiples of the step beyond the least read, on the first axis, at which a network is exported.
_SPARE = 2


def capture(module: nn.Module, channels: int, read: ReadShape) -> Graph:
    """Capture the graph of a network for images of any size that it accepts.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on the CPU; from ``(batch, channels, *space)`` to ``(batch, classes, *space)``.
        It is not touched, so that others may use it meanwhile.
    channels : int
        Channels of the image.
    read : ReadShape
        Sizes that it accepts.

    Raises
    ------
    NoRuleError
        If it cannot be exported, or an operation of it has no rule.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise NoRuleError("a TorchScript archive shows no graph that could be followed")
    if read.fixed:
        raise NoRuleError("it takes images of one size only")
    try:
        # Shapes are all that export looks at: without numbers behind them it takes a quarter of the time.
        return _captured(without_numbers(module), module, channels, read, "meta")
    except _MetaError:
        # A copy: while it is exported its weights are placeholders, and others may use the network.
        return _captured(copy.deepcopy(module), module, channels, read, "cpu")


class _MetaError(Exception):
    """A network cannot be exported without the numbers in it."""


def without_numbers(module: nn.Module) -> nn.Module:
    """Return a copy whose tensors have shapes, but no numbers and no memory."""
    known: dict[int, Any] = {}
    for part in module.modules():
        attributes = (each for each in vars(part).values() if isinstance(each, torch.Tensor))
        for value in (*part.parameters(recurse=False), *part.buffers(recurse=False), *attributes):
            empty = torch.empty_like(value, device="meta", requires_grad=False)
            known[id(value)] = nn.Parameter(empty, False) if isinstance(value, nn.Parameter) else empty
    return copy.deepcopy(module, known)


def _captured(copied: nn.Module, module: nn.Module, channels: int, read: ReadShape, device: str) -> Graph:
    """Export a copy of a module on a device, and translate that."""
    program = export_program(copied, channels, read, device)
    return _translate(program, read.step, channels, _constants(program, module))


def export_program(module: nn.Module, channels: int, read: ReadShape, device: str = "cpu") -> ExportedProgram:
    """Export a network for images of any size that it accepts.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on `device`; while it is exported its weights are placeholders, so that nobody
        else may use it meanwhile.
    channels : int
        Channels of the image.
    read : ReadShape
        Sizes that it accepts.
    device : str
        Where it lies.

    Raises
    ------
    NoRuleError
        If torch cannot export it.
    """
    least = tuple(max(1, n // step) for n, step in zip(read.minimum, read.step, strict=True))
    # Different sizes on all axes, so that none is taken to be the same as another.
    shape = tuple((n + _SPARE + i) * step for i, (n, step) in enumerate(zip(least, read.step, strict=True)))
    sizes = dict.fromkeys(range(2, 2 + len(shape)), Dim.AUTO)
    dtype = next((each.dtype for each in module.parameters()), torch.float32)
    example = torch.zeros(1, channels, *shape, dtype=dtype, device=device)
    try:
        with warnings.catch_warnings(), torch.no_grad(), Exportable():
            # The messages of export about its own insides are nothing that a user could act on.
            warnings.simplefilter("ignore")
            return export(module, (example,), dynamic_shapes=(sizes,), strict=False)
    except Exception as error:
        # Whatever the network's own code runs into.
        if device == "meta":
            raise _MetaError from error
        raise NoRuleError(f"torch cannot export it for images of any size ({reason_of(error)})") from error


def _translate(
    program: ExportedProgram, step: Shape, channels: int, constants: Mapping[str, torch.Tensor]
) -> Graph:
    names = {
        each.arg.name: each.target
        for each in program.graph_signature.input_specs
        if each.kind is not InputKind.USER_INPUT and each.target is not None
    }
    translation = Translation(len(step), names)
    for node in program.graph_module.graph.nodes:
        translation.take(node)
    nodes, sizes = translation.finish(), translation.image
    # A size that was fixed on the way shows as a number; some operations of one axis do that.
    symbols = tuple(size if isinstance(size, int) else size.node.expr for size in sizes)
    if any(isinstance(each, int) or each.is_number for each in symbols):
        raise NoRuleError("torch exports it for images of one size only")
    environment = sizes[0].node.shape_env
    conditions = tuple(environment.replace(guard.expr) for guard in environment.guards)
    graph = Graph(channels, nodes, symbols, step, conditions, constants, translation.weights.derived)
    broken = graph.broken_condition(tuple(size.node.hint for size in sizes))
    if broken is not None:
        raise NoRuleError(f"it computes otherwise on images of other sizes ({broken})")
    return graph


def _constants(program: ExportedProgram, module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that the network does not hold as parameters or buffers; others are read from it."""
    stored = {each.target for each in program.graph_signature.input_specs if each.kind is InputKind.BUFFER}
    return {
        name: _number(value, module, name)
        for name, value in program.constants.items()
        if isinstance(value, torch.Tensor) and name not in stored
    }


def _number(value: torch.Tensor, module: nn.Module, name: str) -> torch.Tensor:
    """Return a constant with the numbers in it, which the network holds as an attribute."""
    if not value.is_meta:
        return value
    path, _, attribute = name.rpartition(".")
    try:
        found = getattr(module.get_submodule(path), attribute, None)
    except AttributeError:
        found = None
    if not isinstance(found, torch.Tensor):
        raise _MetaError
    return found
