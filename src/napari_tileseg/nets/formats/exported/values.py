"""Values in the graph of an exported program: each is a mapping of its kind to what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Named

#: Numbers by which types of numbers are written.
DTYPES: Mapping[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_NUMBERS = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
_LISTS = {"as_ints": int, "as_floats": float, "as_bools": bool}
_SIZES = ("as_sym_int", "as_sym_float", "as_sym_bool")
#: What says where a tensor lies; it lies where the image does.
_LYING = ("as_device", "as_layout", "as_memory_format")
_LARGEST = 2**40


def value_of(stated: Mapping[str, Any]) -> Any:
    """Return a value: a number, text, type, list or `Named`; None for one that says where tensors lie.

    Raises
    ------
    NetworkError
        If it is of another kind, such as a graph in the graph.

    Examples
    --------
    >>> value_of({"as_ints": [1, 2]})
    [1, 2]
    """
    ((kind, value),) = stated.items()
    if kind == "as_none" or kind in _LYING:
        return None
    if kind in {"as_tensor", "as_tensors"}:
        return _named(value)
    if kind in _NUMBERS:
        return _number(value, _NUMBERS[kind])
    if kind in _LISTS and isinstance(value, list):
        return [_number(each, _LISTS[kind]) for each in value]
    if kind in _SIZES:
        return _size(value)
    if kind in {"as_sym_ints", "as_sym_floats"}:
        return [_size(each) for each in value]
    if kind == "as_scalar_type":
        return DTYPES[value]
    if kind == "as_optional_tensors":
        return [value_of(each) for each in value]
    raise NetworkError(f"its graph holds a value {kind[:40]}, which is not read here")


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [Named(str(each["name"])) for each in value]
    return Named(str(value["name"]))


def _number(value: Any, kind: type) -> Any:
    # Numbers that JSON has not are written as text.
    if kind is float and value in {"Infinity", "-Infinity", "NaN"}:
        return float(value)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{str(value)[:40]!r} is no {kind.__name__}")
    return value


def _size(value: Mapping[str, Any]) -> Any:
    ((kind, size),) = value.items()
    return Named(str(size)) if kind == "as_name" else _number(size, type(size)) if kind != "as_expr" else None


def whole_numbers(stated: Any) -> tuple[int, ...]:
    """Return sizes that are numbers from 0 on.

    Raises
    ------
    ValueError
        If one is something else, or far too large.
    """
    numbers = tuple(each.get("as_int") for each in stated)
    if not all(type(each) is int and 0 <= each <= _LARGEST for each in numbers):
        raise ValueError(f"{str(numbers)[:80]} are no sizes")
    return numbers
