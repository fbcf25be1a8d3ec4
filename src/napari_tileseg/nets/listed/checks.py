"""Holding the operations that a file states against the functions that they name, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Listing, Named, Operation
from napari_tileseg.nets.listed.table import LYING, function_of, schema_of

#: Operations of a network, values in one list, and weights.
MOST_OPERATIONS, _LONGEST, MOST_WEIGHTS = 10_000, 4096, 2**14
_LARGEST = 2**53
#: Functions that compute otherwise in training, and the argument that says so.
_DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
_IN_TRAINING = {
    **{f"aten.{name}{end}.default": "train" for name in _DROPOUTS for end in ("", "_")},
    "aten.batch_norm.default": "training",
    "aten.instance_norm.default": "use_input_stats",
}
_PLAIN = (bool, int, float, str, torch.dtype, type(None), Named)


def check_listing(listing: Listing, source: str) -> None:
    """Raise `NetworkError` unless each operation is of the table, and takes what is there and of its kind.

    Parameters
    ----------
    listing : Listing
        What a file states.
    source : str
        The file, for messages.
    """
    if len(listing.operations) > MOST_OPERATIONS or len(listing.weights) > MOST_WEIGHTS:
        raise NetworkError(
            f"{source} lists {len(listing.operations)} operations and {len(listing.weights)} weights; "
            f"networks of {MOST_OPERATIONS} and {MOST_WEIGHTS} at most are opened."
        )
    known = {listing.image, *listing.names}
    for operation in listing.operations:
        try:
            _check(operation, known)
        except NetworkError as error:
            raise NetworkError(f"{source} cannot be carried out: {error}.") from error
        known.update(name for name in operation.results if name is not None)
    if listing.result not in known:
        raise NetworkError(f"{source} does not compute the output that it names. Export it again.")
    _check_evaluated(listing.operations, source)


def _check(operation: Operation, known: set[str]) -> None:
    function_of(operation.function)
    parameters = schema_of(operation.function)
    for name, value in operation.arguments.items():
        if parameters and name not in parameters:
            raise NetworkError(f"{operation.function} takes no {name[:40]}")
        _check_value(operation, name, value)
    missing = [
        name
        for name, each in parameters.items()
        if name not in operation.arguments and not each.has_default_value() and name not in LYING
    ]
    if missing:
        raise NetworkError(f"{operation.function} lacks its {few(missing, 3)}")
    for name in operation.taken():
        if name not in known:
            raise NetworkError(f"{operation.function} takes {name[:60]}, which is not computed before it")


def _check_value(operation: Operation, name: str, value: Any) -> None:
    values = value if isinstance(value, (list, tuple)) else (value,)
    wrong = [each for each in values if not isinstance(each, _PLAIN)]
    numbers = [each for each in values if type(each) is int]
    if wrong or len(values) > _LONGEST or any(abs(each) > _LARGEST for each in numbers):
        raise NetworkError(f"{operation.function} is given a {name[:40]} that it cannot take")


def _check_evaluated(operations: Iterable[Operation], source: str) -> None:
    """Raise `NetworkError` where a network was exported as it is while it learns."""
    found = []
    for operation in operations:
        argument = _IN_TRAINING.get(operation.function)
        if argument and operation.arguments.get(argument) and _is_of_training(operation):
            found.append(operation.function.split(".")[1])
    if found:
        counted = few([f"{found.count(name)} {name}" for name in dict.fromkeys(found)], 3)
        raise NetworkError(
            f"{source} was exported in training mode ({counted}): it would drop values at random, or use the "
            "statistics of each tile, for ever. Export it again, after network.eval()."
        )


def _is_of_training(operation: Operation) -> bool:
    """Return whether a function in training mode is a mistake: by itself, its statistics are the input's."""
    if "norm" in operation.function:
        return operation.arguments.get("running_mean") is not None
    return bool(operation.arguments.get("p"))
