"""The graph of an exported program, as a list of operations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.exported.ranges import sizes_of
from napari_tileseg.nets.formats.exported.values import value_of
from napari_tileseg.nets.listed.checks import MOST_OPERATIONS, check_listing
from napari_tileseg.nets.listed.listing import Listing, Named, Operation
from napari_tileseg.nets.listed.paths import module_paths
from napari_tileseg.nets.listed.table import CHECKS, is_known

#: Inputs of a graph that are no images, and the entry that names the weight.
_WEIGHTS = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}
#: Functions of Python for sizes, by our names, with their arguments.
_OF_SIZES = {
    "torch.sym_max": "size.max",
    "torch.sym_min": "size.min",
    "torch._sym_max": "size.max",
    "torch.sym_int": "size.int",
    "math.trunc": "size.int",
}
_ATEN, _OPERATOR = "torch.ops.aten.", "_operator."
_HALVES = (torch.float16, torch.bfloat16, torch.float64)


def read_listing(
    data: bytes, tensors: Mapping[str, torch.Tensor], source: str
) -> tuple[Listing, tuple[str, ...]]:
    """Return the network that a graph states, and sentences on what the user should know of it.

    Parameters
    ----------
    data : bytes
        The graph, as JSON.
    tensors : mapping of str to Tensor
        Weights and constants by name, on the meta device.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If it is broken, or holds what is not of the table of operations.
    """
    program = json.loads(data)
    module = program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    names, images, learned = _inputs(signature["input_specs"])
    outputs = _outputs(signature["output_specs"], source)
    if len(images) != 1 or len(outputs) != 1:
        raise NetworkError(
            f"{source} is an exported program of {len(images)} inputs and {len(outputs)} outputs; networks "
            "of one image and one output are opened. Export it with the output that is wanted alone."
        )
    missing = [name for name in names.values() if name not in tensors]
    if missing:
        raise NetworkError(f"{source} lacks the weights {few(missing, 5)}. Export it again.")
    paths = module_paths(dict.fromkeys(names.values()))
    channels, sizes, notes = sizes_of(program, images[0], source)
    listing = Listing(
        operations=tuple(_operations(graph["nodes"], source)),
        weights={path: tensors[name] for name, path in paths.items()},
        sources={path: name for name, path in paths.items()},
        names={name: paths[weight] for name, weight in names.items()},
        image=images[0],
        result=outputs[0],
        channels=channels,
        sizes=sizes,
        fixed=frozenset(path for name, path in paths.items() if name not in learned),
    )
    check_listing(listing, source)
    return listing.needed(), notes


def _inputs(stated: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], list[str], set[str]]:
    """Return the weights by the names that the graph has for them, the images, and the weights that learn."""
    names: dict[str, str] = {}
    images, learned = [], set()
    for each in stated:
        ((kind, about),) = each.items()
        if kind in _WEIGHTS:
            names[str(about["arg"]["name"])] = str(about[_WEIGHTS[kind]])
            if kind == "parameter":
                learned.add(str(about[_WEIGHTS[kind]]))
        elif kind == "user_input":
            images.append(str(about["arg"].get("as_tensor", {"name": "a number"})["name"]))
        else:
            raise NetworkError(f"its graph has an input of kind {kind[:40]}, which is not read here")
    return names, images, learned


def _outputs(stated: Sequence[Mapping[str, Any]], source: str) -> list[str]:
    found = []
    for each in stated:
        ((kind, about),) = each.items()
        if kind == "buffer_mutation":
            raise NetworkError(
                f"{source} was exported in training mode: it changes its own statistics "
                f"({str(about.get('buffer_name'))[:60]}) at each run. Export it again, after network.eval()."
            )
        if kind == "user_output":
            found.append(str(about["arg"].get("as_tensor", {"name": ""})["name"]))
    return found


def _operations(nodes: Sequence[Mapping[str, Any]], source: str) -> Iterator[Operation]:
    if len(nodes) > MOST_OPERATIONS:
        raise NetworkError(
            f"{source} lists {len(nodes)} operations; networks of {MOST_OPERATIONS} at most are opened."
        )
    for node in nodes:
        function = _function(str(node["target"]))
        if function in CHECKS:
            continue
        if not is_known(function):
            raise NetworkError(
                f"{source} holds the operation {node['target'][:80]}, which is not carried out here. Write "
                "the network as TorchScript, and open that."
            )
        yield _operation(node, function)


def _function(target: str) -> str:
    if target in _OF_SIZES:
        return _OF_SIZES[target]
    if target.startswith(_ATEN):
        return f"aten.{target.removeprefix(_ATEN)}"
    return f"size.{target.removeprefix(_OPERATOR)}" if target.startswith(_OPERATOR) else target


def _operation(node: Mapping[str, Any], function: str) -> Operation:
    arguments = {str(each["name"]): _real(value_of(each["arg"])) for each in node["inputs"]}
    if function.startswith(("aten.to.", "aten._to_copy")):
        return _cast(node, arguments)
    results: list[str | None] = []
    several = False
    for output in node["outputs"]:
        value = value_of(output)
        several = several or isinstance(value, list)
        for each in value if isinstance(value, list) else [value]:
            results.append(each.name if isinstance(each, Named) else None)
    return Operation(function, arguments, tuple(results), several)


def _cast(node: Mapping[str, Any], arguments: Mapping[str, Any]) -> Operation:
    """Return a cast; one that only moves a tensor is none, for all lie where the image does."""
    result = (value_of(node["outputs"][0]).name,)
    source, dtype = arguments["self"], arguments.get("dtype")
    if dtype is None:
        return Operation("aten.alias.default", {"self": source}, result)
    return Operation("aten.to.dtype", {"self": source, "dtype": dtype}, result)


def _real(value: Any) -> Any:
    """Return a type of real numbers as that in which networks are computed here, others as they are."""
    return torch.float32 if value in _HALVES else value
