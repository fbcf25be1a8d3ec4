"""A list of operations as plain data that JSON holds, and back: what our own files state of a network."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.checks import MOST_OPERATIONS, MOST_WEIGHTS, check_listing
from napari_tileseg.nets.listed.listing import Listing, Named, Operation, Sizes
from napari_tileseg.nets.listed.paths import module_paths

#: Version of the data; what a later one adds would not be understood here.
VERSION = 1
#: Name of the image among the values; operations give the values 1, 2, ...
_IMAGE = "0"
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_MOST_AXES, _LONGEST_AXIS, _MOST_NUMBERS = 8, 2**31, 2**40
_SIZES = ("example", "least", "multiple", "most")


def as_data(listing: Listing) -> dict[str, Any]:
    """Return a list of operations as plain values, ready for JSON.

    Names become numbers, so that the same operations give the same data whatever file they come from.

    Parameters
    ----------
    listing : Listing
        As a file states it, checked.

    Returns
    -------
    dict
        ``version``; ``sizes``; ``weights`` as path, type and shape; ``fixed``, the paths of those that do not
        learn; and ``operations`` as function, arguments, results and whether these are parts of a list. An
        argument is a number, text, a list, or a mapping of what it is: ``value``, ``weight``, ``dtype`` or
        ``number``. Operations give values 1, 2, ...; 0 is the image. The last entry, ``result``, is one of
        these.
    """
    numbers = {listing.image: 0}
    operations = []
    for operation in listing.operations:
        arguments = {
            name: _plain(value, numbers, listing.names) for name, value in operation.arguments.items()
        }
        results = [
            None if name is None else numbers.setdefault(name, len(numbers)) for name in operation.results
        ]
        operations.append([operation.function, arguments, results, operation.several])
    return {
        "version": VERSION,
        "sizes": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(listing.sizes).items()},
        "weights": [
            [path, str(_real(tensor.dtype)).removeprefix("torch."), list(tensor.shape)]
            for path, tensor in listing.weights.items()
        ],
        "fixed": sorted(listing.fixed),
        "operations": operations,
        "result": numbers[listing.result],
    }


def _real(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which a network is computed here and its weights are stored."""
    return torch.float32 if dtype.is_floating_point else dtype


def _plain(value: Any, numbers: Mapping[str, int], weights: Mapping[str, str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each, numbers, weights) for each in value]
    if isinstance(value, Named):
        known = value.name in numbers
        return {"value": numbers[value.name]} if known else {"weight": weights[value.name]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value


def read_data(data: Mapping[str, Any], channels: int, source: str) -> Listing:
    """Return the list of operations that plain values state, checked.

    Parameters
    ----------
    data : mapping
        As `as_data` gives it; somebody else may have written it.
    channels : int
        Channels of the image.
    source : str
        Where it was found, for messages.

    Raises
    ------
    NetworkError
        If it is of another version, broken, larger than a network, or holds what is not of the table of
        operations.
    """
    version = data.get("version")
    if version != VERSION:
        raise NetworkError(
            f"{source} holds a graph of version {reprlib.repr(version)}; this program reads version "
            f"{VERSION}. Use a newer napari-tileseg."
        )
    try:
        listing = _listing(data, channels)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise NetworkError(
            f"{source} holds a graph that is damaged ({type(error).__name__}: {str(error)[:200]}). Copy the "
            "file again."
        ) from error
    check_listing(listing, source)
    return listing


def _listing(data: Mapping[str, Any], channels: int) -> Listing:
    weights = dict(_weights(data["weights"]))
    unfit = [path for path, own in module_paths(weights).items() if path != own]
    fixed = frozenset(map(_text, _list(data["fixed"], MOST_WEIGHTS)))
    if unfit or not fixed <= weights.keys():
        raise ValueError(f"it names weights {reprlib.repr(unfit or sorted(fixed - weights.keys()))}")
    return Listing(
        operations=tuple(_operations(data["operations"])),
        weights=weights,
        sources={path: path for path in weights},
        names={f"weight {path}": path for path in weights},
        image=_IMAGE,
        result=str(_whole(data["result"], _MOST_NUMBERS)),
        channels=channels,
        sizes=_sizes(data["sizes"]),
        fixed=fixed,
    )


def _weights(stated: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for path, dtype, shape in _list(stated, MOST_WEIGHTS):
        lengths = [_whole(each, _LONGEST_AXIS) for each in _list(shape, _MOST_AXES)]
        if math.prod(lengths) > _MOST_NUMBERS:
            raise ValueError(f"{reprlib.repr(path)} has {math.prod(lengths)} numbers")
        yield _text(path), torch.empty(lengths, dtype=_DTYPES[dtype], device="meta")


def _operations(stated: Any) -> Iterator[Operation]:
    for function, arguments, results, several in _list(stated, MOST_OPERATIONS):
        names = [None if each is None else str(_whole(each, _MOST_NUMBERS)) for each in _list(results)]
        yield Operation(
            _text(function),
            {_text(name): _value(value) for name, value in arguments.items()},
            tuple(names),
            several is True,
        )


def _value(stated: Any) -> Any:
    return [_one(each) for each in _list(stated)] if isinstance(stated, list) else _one(stated)


def _one(stated: Any) -> Any:
    if not isinstance(stated, Mapping):
        if not isinstance(stated, (bool, int, float, str, type(None))):
            raise TypeError(f"{reprlib.repr(stated)} is no argument")
        return stated
    ((kind, value),) = stated.items()
    if kind == "value":
        return Named(str(_whole(value, _MOST_NUMBERS)))
    if kind == "weight":
        return Named(f"weight {_text(value)}")
    return _DTYPES[value] if kind == "dtype" else {"number": _NUMBERS}[kind][value]


def _sizes(stated: Mapping[str, Any]) -> Sizes:
    shapes = {key: tuple(_whole(each, _LONGEST_AXIS) for each in _list(stated[key], 3)) for key in _SIZES}
    example = shapes["example"]
    fits = all(len(each) in (0, len(example)) for each in shapes.values())
    if not example or 0 in (*example, *shapes["multiple"]) or not fits:
        raise ValueError(f"it takes images of {reprlib.repr(shapes)}")
    return Sizes(fixed=stated["fixed"] is True, **shapes)


def _list(stated: Any, most: int = MOST_WEIGHTS) -> Sequence[Any]:
    if not isinstance(stated, list):
        raise TypeError(f"{reprlib.repr(stated)} is no list")
    if len(stated) > most:
        raise ValueError(f"a list has {len(stated)} entries, {most} at most")
    return stated


def _text(stated: Any) -> str:
    if not isinstance(stated, str):
        raise TypeError(f"{reprlib.repr(stated)} is no text")
    return stated


def _whole(stated: Any, most: int) -> int:
    if type(stated) is not int or not 0 <= stated <= most:
        raise ValueError(f"{reprlib.repr(stated)} is no whole number up to {most}")
    return stated
