"""What dataset.json of nnU-Net says: channels by name, and what its outputs are."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.nnunet.values import Values
from napari_tileseg.nets.spec import Activation

#: Channels, classes, and letters of a name.
_MOST, _LONGEST = 100, 80
_IGNORED = "ignore"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Names of channels and classes.

    Parameters
    ----------
    channels : tuple of str
        Name of each channel, in the order in which the network takes them.
    classes : tuple of str
        Name of each output, in order.
    activation : {"softmax", "sigmoid"}
        "sigmoid" for regions, which may overlap.
    """

    channels: tuple[str, ...]
    classes: tuple[str, ...]
    activation: Activation


def read_dataset(values: Any) -> Dataset:
    """Return channels and classes.

    Parameters
    ----------
    values : object
        What dataset.json holds; untrusted.

    Raises
    ------
    NetworkError
        If it names no channels or labels, or labels that do not follow each other.
    """
    whole = Values.of(values, "dataset.json")
    named = whole.inside("channel_names" if whole.has("channel_names") else "modality")
    count = len(named.held)
    if not 1 <= count <= _MOST or {*named.held} != {str(number) for number in range(count)}:
        raise NetworkError(
            f"channel_names in dataset.json of nnU-Net number the channels from 0 on; got "
            f"{reprlib.repr(sorted(named.held))}."
        )
    channels = tuple(
        str(named.held[str(number)])[:_LONGEST] or f"channel {number}" for number in range(count)
    )
    labels = whole.inside("labels")
    if len(labels.held) > _MOST:
        raise NetworkError(f"dataset.json of nnU-Net has {len(labels.held)} labels; {_MOST} are the most.")
    found = {name[:_LONGEST]: _label(labels, name) for name in labels.held if name != _IGNORED}
    if any(len(each) > 1 for each in found.values()):
        regions = tuple(name for name, numbers in found.items() if set(numbers) != {0})
        return Dataset(channels, regions, "sigmoid")
    return Dataset(channels, _in_order({name: numbers[0] for name, numbers in found.items()}), "softmax")


def _label(labels: Values, name: str) -> tuple[int, ...]:
    """Return the number of a label, or the numbers of a region."""
    value = labels.held[name]
    numbers = value if isinstance(value, (list, tuple)) else [value]
    # Some write the numbers of labels as text.
    plain = [
        int(each) if isinstance(each, str) and each.isdecimal() and len(each) < 4 else each
        for each in numbers[:_MOST]
    ]
    if not plain or not all(type(each) is int and 0 <= each <= _MOST for each in plain):
        raise NetworkError(
            f"Labels in dataset.json of nnU-Net are whole numbers from 0 on, or lists of them; "
            f"{name[:_LONGEST]!r} is {reprlib.repr(value)}."
        )
    return tuple(plain)


def _in_order(numbers: dict[str, int]) -> tuple[str, ...]:
    names = sorted(numbers, key=lambda name: numbers[name])
    if [numbers[name] for name in names] != list(range(len(names))) or len(names) < 2:
        raise NetworkError(
            f"Labels in dataset.json of nnU-Net follow each other from 0 (background) on; got "
            f"{reprlib.repr(numbers)}."
        )
    return tuple(names)
