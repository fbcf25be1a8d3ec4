"""From a network to its graph: `torch.export`, translated node by node."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export
from torch.export.graph_signature import InputKind

from napari_tileseg._types import Shape
from napari_tileseg.errors import reason_of
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
    program = _export(module, channels, read)
    return _translate(program, read.step, channels)


def _export(module: nn.Module, channels: int, read: ReadShape) -> ExportedProgram:
    least = tuple(max(1, n // step) for n, step in zip(read.minimum, read.step, strict=True))
    # Different sizes on all axes, so that none is taken to be the same as another.
    shape = tuple((n + _SPARE + i) * step for i, (n, step) in enumerate(zip(least, read.step, strict=True)))
    sizes = dict.fromkeys(range(2, 2 + len(shape)), Dim.AUTO)
    first = next(iter(module.parameters()), torch.empty(0))
    example = torch.zeros(1, channels, *shape, dtype=first.dtype)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The messages of export about its own insides are nothing that a user could act on.
            warnings.simplefilter("ignore")
            # A copy: while it is exported its weights are placeholders, and others may use the network.
            return export(copy.deepcopy(module), (example,), dynamic_shapes=(sizes,), strict=False)
    except Exception as error:
        # Whatever the network's own code runs into.
        raise NoRuleError(f"torch cannot export it for images of any size ({reason_of(error)})") from error


def _translate(program: ExportedProgram, step: Shape, channels: int) -> Graph:
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
    graph = Graph(channels, nodes, symbols, step, conditions, _constants(program))
    broken = graph.broken_condition(tuple(size.node.hint for size in sizes))
    if broken is not None:
        raise NoRuleError(f"it computes otherwise on images of other sizes ({broken})")
    return graph


def _constants(program: ExportedProgram) -> dict[str, torch.Tensor]:
    """Return the tensors that the network does not hold as parameters or buffers; others are read from it."""
    stored = {each.target for each in program.graph_signature.input_specs if each.kind is InputKind.BUFFER}
    return {
        name: value
        for name, value in program.constants.items()
        if isinstance(value, torch.Tensor) and name not in stored
    }
