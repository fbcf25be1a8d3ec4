"""Carrying out a list of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from napari_tileseg.nets.listed.listing import Named, Operation
from napari_tileseg.nets.listed.table import LYING, function_of, schema_of


def arguments_of(operation: Operation) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of an operation as its function is called, by position and by name.

    Where tensors lie is left out: they lie where the image does.
    """
    parameters = schema_of(operation.function)
    if not parameters:
        return list(operation.arguments.values()), {}
    given = {name: value for name, value in operation.arguments.items() if name not in LYING}
    by_name = {name: given.pop(name) for name in [*given] if parameters[name].kwarg_only}
    last = max((i for i, name in enumerate(parameters) if name in given), default=-1)
    first = list(parameters.items())[: last + 1]
    return [given.get(name, each.default_value) for name, each in first], by_name


def last_uses(operations: Sequence[Operation], result: str) -> list[tuple[str, ...]]:
    """Return for each operation the values that no later one takes, so that they can be dropped."""
    seen, uses = {result}, []
    for operation in reversed(operations):
        names = {*operation.taken(), *(name for name in operation.results if name is not None)}
        uses.append(tuple(sorted(names - seen)))
        seen |= names
    return uses[::-1]


def carry_out(
    calls: Iterable[Callable[[dict[str, Any]], Any]],
    values: dict[str, Any],
    operations: Sequence[Operation],
    uses: Sequence[tuple[str, ...]],
) -> None:
    """Carry out operations one after the other; what they give is added to `values`, what is used up goes.

    Parameters
    ----------
    calls : iterable of callable
        One for each operation, from all values by name to what it gives.
    values : dict of str to Any
        The image and the weights.
    operations : sequence of Operation
        What the calls do.
    uses : sequence of tuple of str
        What can go after each, as `last_uses` says.
    """
    for call, operation, gone in zip(calls, operations, uses, strict=True):
        given = call(values)
        parts = given if operation.several or len(operation.results) > 1 else (given,)
        for name, part in zip(operation.results, parts, strict=False):
            if name is not None:
                values[name] = part
        for name in gone:
            values.pop(name, None)


def call_of(operation: Operation) -> Callable[[dict[str, Any]], Any]:
    """Return an operation as a function of all values by name."""
    function = function_of(operation.function)
    positional, named = arguments_of(operation)
    lies = "device" in schema_of(operation.function)
    takes_tensor = any("Tensor" in str(each.type) for each in schema_of(operation.function).values())

    def call(values: Mapping[str, Any]) -> Any:
        """Carry the operation out."""
        keywords = {name: _resolved(value, values) for name, value in named.items()}
        if lies and not takes_tensor:
            keywords["device"] = values[DEVICE]
        return function(*(_resolved(value, values) for value in positional), **keywords)

    return call


#: Name under which the device of the image is among the values.
DEVICE = "the device of the image"


def _resolved(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Named):
        return values[value.name]
    if isinstance(value, (list, tuple)):
        return [_resolved(each, values) for each in value]
    return value


def is_overwriting(operation: Operation) -> bool:
    """Return whether an operation writes its result into what it is given."""
    schema = getattr(function_of(operation.function), "_schema", None)
    return isinstance(schema, torch._C.FunctionSchema) and schema.is_mutable
