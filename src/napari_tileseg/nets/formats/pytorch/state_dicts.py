"""Files of weights: first what one says and whether that fits, then the weights themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.description import EXAMPLE, Description
from napari_tileseg.nets.formats.outside import described_outside
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import ITSELF, Package
from napari_tileseg.nets.formats.unwrapping import find_weights
from napari_tileseg.nets.weights import build_with_weights, check_stored, compare, weights_wanted


@dataclass(frozen=True, slots=True)
class Reader:
    """How one format of weights is read.

    Parameters
    ----------
    structure : callable
        Returns what a file holds, with tensors that have names and shapes but no memory, and its own
        description if it has one.
    load : callable
        Returns the same with its weights, given all bytes.
    """

    structure: Callable[[Content], tuple[Any, Description | None]]
    load: Callable[[Content, bytes], Any]


def chosen_weights(package: Package, given: Given, reader: Reader) -> Candidate:
    """Return the network whose weights the chosen file holds.

    Raises
    ------
    NetworkError
        If the file is cut off, would run code, is not described or described twice, or does not fit.
    """
    content = package.content()
    held, inside = reader.structure(content)
    if inside is not None and given.architecture is not None:
        raise NetworkError(f"{content.path} describes itself; leave the setting architecture out.")
    description = inside or described_outside(content, given.architecture)
    if description is None:
        raise NetworkError(
            f"{content.path} holds weights, but not which network they belong to. Write that into "
            f"{content.path.with_suffix('.json').name} beside it, or into the setting architecture, like "
            f"this: {EXAMPLE}"
        )
    outside = description.to_json() if inside is None else None
    return _candidate(package, (ITSELF, held), description, reader, outside)


def described_weights(package: Package, name: str, description: Description, reader: Reader) -> Candidate:
    """Return the network whose weights a member holds and whose description is known.

    Raises
    ------
    NetworkError
        If the member is cut off, would run code, or does not fit the description.
    """
    held, _ = reader.structure(package.content(name))
    return _candidate(package, (name, held), description, reader, None)


def _candidate(
    package: Package, member: tuple[str, Any], description: Description, reader: Reader, outside: str | None
) -> Candidate:
    """Return a network of weights, once they were held against what its architecture wants."""
    name, held = member
    content = package.content(name)
    source = str(content.path)
    wanted = weights_wanted(description, _count(held), content.size, source)
    found = find_weights(held, wanted, source)
    state = found.take(held)
    compare(wanted, state, f"{source}, read as {description.architecture}")
    check_stored(state, content.size, source)
    return Candidate(
        kind=str(description.architecture),
        description=description,
        build=lambda: build_with_weights(
            description, found.take(reader.load(content, package.read(name))), source
        ),
        members=(name,),
        outside=outside,
        notes=found.notes(),
    )


def _count(held: Any, depth: int = 4) -> int:
    """Return the tensors in mappings in mappings."""
    if isinstance(held, Tensor):
        return 1
    if not isinstance(held, Mapping) or not depth:
        return 0
    return sum(_count(value, depth - 1) for value in held.values())
