"""A network as its graph on one image: recorded from the operations that it runs.

It takes one run, where export takes seconds, and shows operations and layers, but neither which sizes the
network computes otherwise, nor what depends on them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from napari_tileseg._types import Shape
from napari_tileseg.graphs.graph import Node, NoRuleError
from napari_tileseg.graphs.translation import Translation


@dataclass(frozen=True, slots=True)
class Recording:
    """What a network computed of one image.

    Parameters
    ----------
    nodes : tuple of Node
        As in `Graph`; their extents are numbers.
    shape : tuple of int
        Spatial shape of the image.
    """

    nodes: tuple[Node, ...]
    shape: Shape


def record(module: nn.Module, image: Tensor) -> Recording:
    """Record the operations of a network while it runs once.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; nobody else may run it meanwhile. TorchScript is welcome.
    image : Tensor
        ``(1, channels, *space)``, which it may overwrite.

    Raises
    ------
    NoRuleError
        If an operation of it has no rule, or it fails.
    """
    recorder = _Recorder(module, image)
    with torch.inference_mode(), recorder.layers(module), recorder:
        output = module(image)
    return recorder.finish(output)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Translates each operation when it has run.

    In inference mode operations arrive as they were called, as they do in export.
    """

    def __init__(self, module: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph = fx.Graph()
        # A number stands for a tensor only as long as that lives.
        self._known: dict[int, tuple[Tensor, fx.Node]] = {}
        self._weights = {
            id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())
        }
        self._names: dict[str, str] = {}
        self._shape = tuple(image.shape[2:])
        self._path: list[str] = [""]
        self._note(image, self._graph.placeholder("image"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to say so would import the compiler, which takes a second."""
        return False

    def finish(self, output: Any) -> Recording:
        """Return what was recorded, if the network gave one tensor that was made of the image."""
        if not isinstance(output, Tensor):
            raise NoRuleError("it gives something other than one tensor")
        self._graph.output((self._node_of(output),))
        translation = Translation(len(self._shape), self._names)
        for node in self._graph.nodes:
            translation.take(node)
        return Recording(translation.finish(), self._shape)

    @contextmanager
    def layers(self, module: nn.Module) -> Iterator[None]:
        """Follow which layer runs."""

        def enter(path: str) -> Any:
            return lambda *_: self._path.append(path)

        def leave(*_: Any) -> None:
            self._path.pop()

        hooks: list[Any] = []
        for path, layer in module.named_modules():
            # TorchScript does not show which of its layers runs.
            if not isinstance(layer, torch.jit.ScriptModule):
                hooks.append(layer.register_forward_pre_hook(enter(path)))
                hooks.append(layer.register_forward_hook(leave))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        given = tree_map(self._node_of, (args, kwargs))
        output = func(*args, **kwargs)
        node = self._graph.call_function(func, *given)
        node.meta["nn_module_stack"] = {"": (self._path[-1], "")}
        self._note(output, node)
        return output

    def _note(self, output: Any, node: fx.Node) -> None:
        node.meta["val"] = tree_map(_shape_of, output)
        if isinstance(output, Tensor):
            self._known[id(output)] = output, node
            return
        for number, part in enumerate(tree_leaves(output)):
            if isinstance(part, Tensor):
                self._note(part, self._graph.call_function(operator.getitem, (node, number)))

    def _node_of(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._known:
            # A weight, or what the network made without the image.
            node = self._graph.placeholder("weight")
            self._names[node.name] = self._weights.get(id(value), f"constant {len(self._names)}")
            self._note(value, node)
        return self._known[id(value)][1]


def _shape_of(value: Any) -> Any:
    """Return a tensor of the same shape without memory."""
    return torch.empty(value.shape, dtype=value.dtype, device="meta") if isinstance(value, Tensor) else value
