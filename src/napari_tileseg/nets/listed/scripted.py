"""TorchScript that the user trusts and that is open: what it computes as a list of operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.listed.carrying import DEVICE, call_of
from napari_tileseg.nets.listed.checks import check_listing
from napari_tileseg.nets.listed.listing import Listing, Named, Operation, Sizes
from napari_tileseg.nets.listed.network import ListedNetwork, build_listed
from napari_tileseg.nets.listed.paths import module_paths
from napari_tileseg.nets.listed.recorder import IMAGE, Recorder
from napari_tileseg.nets.listed.table import is_known, schema_of
from napari_tileseg.nets.listed.trial import shapes_in

#: Rounds of a loop whose count is a number.
_MOST_ROUNDS = 1000
#: Types of numbers as TorchScript writes them.
_FLOAT = 6
_DTYPES: Mapping[int, torch.dtype] = {
    0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64, 5: torch.float32,
    6: torch.float32, 7: torch.float32, 11: torch.bool, 15: torch.float32,
}  # fmt: skip
#: What a convolution is told of how to compute it, and not what.
_HOW = ("benchmark", "deterministic", "cudnn_enabled", "allow_tf32")
#: Arithmetic on sizes, by the functions' names.
_OF_SIZES = {
    **{name: name for name in ("add", "sub", "mul", "floordiv", "eq", "ne", "lt", "le", "gt", "ge")},
    "floor_divide": "floordiv",
    "remainder": "mod",
    "div": "truediv",
}
#: What writes a message, and computes nothing.
_TELLING = {"aten::format", "aten::warn", "prim::Print", "prim::Constant"}
#: What gives the value that it is given.
_SAME = frozenset(
    {
        *("prim::NumToTensor", "prim::unchecked_cast", "prim::unchecked_unwrap_optional", "prim::data"),
        *("aten::Int", "aten::IntImplicit", "aten::ScalarImplicit", "aten::detach", "aten::contiguous"),
    }
)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer of the network, or what it holds that is neither tensor nor number."""

    path: str
    value: Any


def listed_script(module: nn.Module, channels: int, sizes: Sizes) -> ListedNetwork:
    """Return what an open TorchScript network computes, as a list of operations with its weights.

    Parameters
    ----------
    module : torch.nn.Module
        TorchScript in evaluation mode, on the CPU, whose code may run.
    channels : int
        Channels of the image.
    sizes : Sizes
        Images that it takes; it is followed on the example.

    Raises
    ------
    NetworkError
        If it does something that is not of the table of operations, or that depends on the image's values
        or size.
    """
    learned = {name for name, _ in module.named_parameters()}
    reader = _Reader(torch.empty(1, channels, *sizes.example, device="meta"))
    graph: Any = module.inlined_graph
    owner, image, *others = graph.inputs()
    if others:
        raise NetworkError(f"it takes {1 + len(others)} inputs")
    reader.values.update({owner.debugName(): _Layer("", module), image.debugName(): Named(IMAGE)})
    try:
        reader.follow(graph)
    except NetworkError:
        raise
    except Exception as error:
        # Its code may do anything with anything; what the rules do not expect is not followed.
        raise NetworkError(f"its code cannot be followed ({reason_of(error)})") from error
    results = [reader.values[each.debugName()] for each in graph.outputs()]
    if len(results) != 1 or not isinstance(results[0], Named):
        raise NetworkError("it gives something else than one tensor")
    return _built(reader, results[0], channels, sizes, learned)


def _built(
    reader: _Reader, result: Named, channels: int, sizes: Sizes, learned: Collection[str]
) -> ListedNetwork:
    paths = module_paths(reader.weights)
    tensors = {paths[name]: value.detach() for name, value in reader.weights.items()}
    listing = Listing(
        operations=tuple(reader.operations),
        weights={path: each.to("meta") for path, each in tensors.items()},
        sources={path: name for name, path in paths.items()},
        names={f"weight {name}": path for name, path in paths.items()},
        image=IMAGE,
        result=result.name,
        channels=channels,
        sizes=sizes,
        fixed=frozenset(path for name, path in paths.items() if name not in learned),
    ).needed()
    check_listing(listing, "It")
    weights = {path: tensors[path].clone() for path in listing.weights}
    found = build_listed(listing, weights, shapes_in(listing, "It"))
    assert isinstance(found, ListedNetwork)
    return found


class _Reader(Recorder):
    """Follows a graph of TorchScript along the way that an image takes.

    Parameters
    ----------
    image : Tensor
        The image, on the meta device.

    Attributes
    ----------
    values : dict of str to Any
        What each value of the graph is: a `Named`, a `_Layer`, plain values, and lists of these.
    weights : dict of str to Tensor
        Weights by their paths in the network.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__(image)
        self.values: dict[str, Any] = {}
        self.weights: dict[str, Tensor] = {}

    def follow(self, block: Any) -> None:
        """Take all nodes of a graph or block, in order."""
        for node in block.nodes():
            given = [self.values.get(each.debugName()) for each in node.inputs()]
            found = self._take(node, given)
            outputs = [each.debugName() for each in node.outputs()]
            self.values.update(zip(outputs, found if len(outputs) != 1 else [found], strict=True))

    def _take(self, node: Any, given: list[Any]) -> Any:
        kind = node.kind()
        if kind in _SAME:
            return _number(given[0])
        if kind in _RULES:
            return _RULES[kind](self, node, given)
        if kind in _OF_VALUES:
            return _OF_VALUES[kind](*given)
        if kind in _OF_NUMBERS:
            if any(isinstance(each, Named) for each in given):
                raise NetworkError(f"it computes {kind} of what depends on the image")
            return _OF_NUMBERS[kind](*given)
        if not kind.startswith("aten::"):
            raise NetworkError(f"it does {kind}")
        return self._operation(node, given)

    def _operation(self, node: Any, given: list[Any]) -> Any:
        """Add an operation of torch, or compute with sizes."""
        schema = torch._C.parse_schema(node.schema())
        name = schema.name.removeprefix("aten::")
        constant = any(isinstance(each, Tensor) for each in given) and not any(map(_is_of_image, given))
        if not constant and not any(map(self._is_tensor, given)):
            return self._of_sizes(name, given)
        function = f"aten.{name}.{schema.overload_name or 'default'}"
        arguments = dict(zip((each.name for each in schema.arguments), given, strict=True))
        if name == "_convolution":
            function = "aten.convolution.default"
            arguments = {key: value for key, value in arguments.items() if key not in _HOW}
        if not is_known(function):
            raise NetworkError(f"it does {function}, which is not carried out here")
        if isinstance(arguments.get("dtype"), int):
            arguments["dtype"] = _DTYPES[arguments["dtype"]]
        if name == "to":
            # All lie where the image does; a cast that only moves a tensor is none.
            if arguments.get("dtype") is None:
                return given[0]
            function = "aten.to.dtype"
        arguments = {key: value for key, value in arguments.items() if key in schema_of(function)}
        if constant:
            return call_of(Operation(function, arguments, ("",)))({DEVICE: torch.device("cpu")})
        arguments = {key: self._tensor(value) for key, value in arguments.items()}
        if str(schema.returns[0].type) == "List[Tensor]":
            return self.add_parts(function, _parts_of(node), **arguments)
        if len(schema.returns) > 1:
            raise NetworkError(f"it does {function}, which gives several tensors")
        return self.add(function, **arguments)

    def _tensor(self, value: Any) -> Any:
        """Return an argument as its function takes it: a constant becomes a weight."""
        if isinstance(value, (list, tuple)):
            return [self._tensor(each) for each in value]
        if isinstance(value, _Layer):
            raise NetworkError("it computes with what is neither a tensor nor a number")
        if isinstance(value, torch.device):
            return None
        return self.weight("constant", value) if isinstance(value, Tensor) else value

    def _is_tensor(self, value: Any) -> bool:
        if isinstance(value, (list, tuple)):
            return any(map(self._is_tensor, value))
        return isinstance(value, Named) and isinstance(self.known[value.name], Tensor)

    def _of_sizes(self, name: str, given: Sequence[Any]) -> Any:
        first, second = ([_number(each) for each in given] + [None, None])[:2]
        if name == "neg":
            return self.of_sizes("sub", 0, first)
        if name == "slice" and isinstance(first, list):
            return first[slice(*given[1:])]
        if name == "add" and isinstance(first, list) and isinstance(second, list):
            return first + second
        if name in {"eq", "ne"} and not any(isinstance(each, Named) for each in (first, second)):
            return (first == second) == (name == "eq")
        numbers = all(isinstance(each, (Named, bool, int, float)) for each in (first, second))
        if name not in _OF_SIZES or not numbers or list(given[2:]) not in ([], [1]):
            raise NetworkError(f"it computes {name} of sizes or values, which is not carried out here")
        return self.of_sizes(_OF_SIZES[name], first, second)

    def weight(self, name: str, value: Tensor) -> Named:
        """Add a weight, unless it is there already, and return it."""
        same = next((known for known, each in self.weights.items() if each is value), None)
        name = same or (name if name not in self.weights else f"{name}_{len(self.weights)}")
        if same is None:
            self.weights[name] = value
            self.known[f"weight {name}"] = value.to("meta")
        return Named(f"weight {name}")


def _is_of_image(value: Any) -> bool:
    return any(map(_is_of_image, value)) if isinstance(value, list) else isinstance(value, (Named, _Layer))


def _parts_of(node: Any) -> int:
    """Return how many tensors a list has that is taken apart at once."""
    uses = [each.user for each in next(node.outputs()).uses()]
    counts = {each.outputsSize() for each in uses if each.kind() == "prim::ListUnpack"}
    if len(counts) != 1 or len(uses) != 1:
        raise NetworkError("it makes lists of tensors that are not taken apart at once")
    return int(counts.pop())


def _attribute(reader: _Reader, node: Any, given: list[Any]) -> Any:
    owner, name = given[0], node.s("name")
    if not isinstance(owner, _Layer):
        raise NetworkError("it looks into what is no layer")
    value, path = getattr(owner.value, name), f"{owner.path}.{name}".lstrip(".")
    if path in reader.weights:
        return Named(f"weight {path}")
    if isinstance(value, Tensor):
        return reader.weight(path, value)
    plain = isinstance(value, (bool, int, float, str, type(None), list, tuple))
    return value if plain else _Layer(path, value)


def _branch(reader: _Reader, node: Any, given: list[Any]) -> Any:
    (condition,) = given
    yes, no = node.blocks()
    if all(map(_only_tells, (yes, no))):
        return []
    if isinstance(condition, Named) and any(map(_refuses, (yes, no))):
        # A check of the image's size: what it refuses, the network refuses.
        condition = reader.known[condition.name]
    if not isinstance(condition, bool):
        raise NetworkError("what it computes depends on the image's values or size")
    block = yes if condition else no
    reader.follow(block)
    return _unpacked([reader.values[each.debugName()] for each in block.outputs()])


def _only_tells(block: Any) -> bool:
    return {node.kind() for node in block.nodes()} <= _TELLING and not list(block.outputs())


def _refuses(block: Any) -> bool:
    return any(node.kind() == "prim::RaiseException" for node in block.nodes())


def _loop(reader: _Reader, node: Any, given: list[Any]) -> Any:
    count, going, *carried = given
    if type(count) is not int or count > _MOST_ROUNDS or going is not True:
        raise NetworkError("it repeats something as often as the image says")
    (block,) = node.blocks()
    names = [each.debugName() for each in block.inputs()]
    for number in range(count):
        reader.values.update(zip(names, [number, *carried], strict=True))
        reader.follow(block)
        going, *carried = (reader.values[each.debugName()] for each in block.outputs())
        if going is not True:
            raise NetworkError("it repeats something as often as the image says")
    return _unpacked(carried)


def _refuse(*_: object) -> Any:
    raise NetworkError("it refuses an image of this size")


def _unpacked(values: Sequence[Any]) -> Any:
    """Return what a node gives that has so many outputs."""
    return values[0] if len(values) == 1 else values


def _appended(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _size(reader: _Reader, _: Any, given: list[Any]) -> Any:
    image, *axis = given
    if not isinstance(image, Named):
        raise NetworkError("it asks for the size of what is no feature map")
    if axis:
        return reader.size(image, axis[0])
    return [reader.size(image, each) for each in range(reader.rank(image))]


def _number(value: Any) -> Any:
    """Return the number in a constant of one; anything else as it is."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


#: What looks at the node itself, or at the image.
_RULES: Mapping[str, Callable[[_Reader, Any, list[Any]], Any]] = {
    "prim::Constant": lambda _reader, node, _given: next(node.outputs()).toIValue(),
    "prim::GetAttr": _attribute,
    "prim::If": _branch,
    "prim::Loop": _loop,
    "prim::RaiseException": _refuse,
    "aten::size": _size,
    "aten::dim": lambda reader, _node, given: reader.rank(given[0]),
}
#: Functions of any values.
_OF_VALUES: Mapping[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *given: list(given),
    "prim::TupleConstruct": lambda *given: list(given),
    "prim::ListUnpack": _unpacked,
    "prim::TupleUnpack": _unpacked,
    "prim::device": lambda _: None,
    "prim::dtype": lambda _: _FLOAT,
    "prim::Print": lambda *_: [],
    "prim::Uninitialized": lambda: None,
    "aten::warn": lambda *_: [],
    "aten::__getitem__": lambda values, index: values[index],
    "aten::append": _appended,
    "aten::len": len,
    "aten::list": list,
    "aten::__is__": lambda one, other: one is other,
    "aten::__isnot__": lambda one, other: one is not other,
}
#: Functions of values that do not depend on the image.
_OF_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "aten::__contains__": lambda values, value: value in values,
    "aten::__not__": lambda value: not value,
    "aten::__and__": lambda one, other: one and other,
    "aten::__or__": lambda one, other: one or other,
    "aten::__range_length": lambda start, end, step: len(range(start, end, step)),
    "aten::__derive_index": lambda number, start, step: start + number * step,
    "aten::Bool": bool,
    "aten::Float": float,
    "aten::tensor": lambda values, *_: torch.tensor(values),
    "prim::min": min,
    "prim::max": max,
}
