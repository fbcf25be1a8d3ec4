"""Weights and constants of an exported program, read as raw bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.exported.values import DTYPES, whole_numbers
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.listed.checks import MOST_WEIGHTS

#: Lists of tensors, and the folders in which their bytes lie.
_LISTS = {
    "data/weights/model_weights_config.json": "data/weights",
    "data/constants/model_constants_config.json": "data/constants",
}
_LARGEST = 2**24
#: How many times larger than its file the weights of a network are, unpacked.
_GROWTH, _SMALL = 2, 2**24
_STRIDED = 7


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tensor as its file states it: a view of the numbers of a member."""

    member: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class Tensors:
    """The tensors of an exported program, each held against the bytes of its member.

    Parameters
    ----------
    package : Package
        The zip file.

    Raises
    ------
    NetworkError
        If a list is broken, or names what is pickled, absent, or larger than its member.
    """

    def __init__(self, package: Package) -> None:
        self._package = package
        if not any(map(package.has, _LISTS)):
            raise NetworkError(
                f"{package.path} holds its weights as a pickle, as earlier versions of PyTorch wrote them, "
                "which could run code. Export the network again, with PyTorch 2.9 or a later one."
            )
        if package.has("byteorder") and package.read("byteorder", 64).strip() != b"little":
            raise NetworkError(f"{package.path} was written on a machine of another order of bytes.")
        unpacked = {each.name.partition("/")[2]: each.unpacked for each in package.file.members}  # type: ignore[union-attr]
        self._entries: dict[str, _Entry] = {}
        for listed, folder in _LISTS.items():
            if package.has(listed):
                for name, stated in json.loads(package.read(listed, _LARGEST))["config"].items():
                    self._entries[name] = self._entry(name, stated, folder, unpacked)
        used = {each.member for each in self._entries.values()}
        size = sum(unpacked[name] for name in used)
        if len(self._entries) > MOST_WEIGHTS or size > _SMALL + _GROWTH * package.content().size:
            raise NetworkError(
                f"{package.path} states {len(self._entries)} weights of {size} bytes, more than it can hold. "
                "Export it again."
            )

    def _entry(self, name: str, stated: Any, folder: str, unpacked: Mapping[str, int]) -> _Entry:
        if stated.get("use_pickle") is not False:
            raise NetworkError(
                f"{self._package.path} holds {name[:80]} as a pickle, which could run code. Export the "
                "network again with plain tensors as its weights."
            )
        meta, member = stated["tensor_meta"], f"{folder}/{stated['path_name']}"
        entry = _Entry(
            member,
            DTYPES[meta["dtype"]],
            whole_numbers(meta["sizes"]),
            whole_numbers(meta["strides"]),
            *whole_numbers([meta["storage_offset"]]),
        )
        if meta["layout"] != _STRIDED or len(entry.shape) != len(entry.strides):
            raise NetworkError(f"{self._package.path} states {name[:80]} in a layout that is not read here.")
        _check_fits(entry, name, unpacked.get(member, -1), str(self._package.path))
        return entry

    def empty(self) -> dict[str, Tensor]:
        """Return the tensors by name, with shapes but no memory."""
        return {
            name: torch.empty(each.shape, dtype=each.dtype, device="meta")
            for name, each in self._entries.items()
        }

    def load(self, paths: Mapping[str, str]) -> dict[str, Tensor]:
        """Return tensors with their numbers.

        Parameters
        ----------
        paths : mapping of str to str
            Names in the file, by the paths under which they are wanted.
        """
        return {path: self._load(self._entries[name]) for path, name in paths.items()}

    def _load(self, entry: _Entry) -> Tensor:
        if not prod(entry.shape):
            return torch.empty(entry.shape, dtype=entry.dtype)
        numbers = torch.frombuffer(bytearray(self._package.read(entry.member)), dtype=entry.dtype)
        return numbers.as_strided(entry.shape, entry.strides, entry.offset).clone()


def _check_fits(entry: _Entry, name: str, size: int, source: str) -> None:
    """Raise `NetworkError` unless a tensor lies within the bytes of its member."""
    count, item = prod(entry.shape), entry.dtype.itemsize
    last = entry.offset + sum((n - 1) * step for n, step in zip(entry.shape, entry.strides, strict=True))
    if size < 0 or size % item or (count and (last >= size // item or count > size // item)):
        raise NetworkError(
            f"{source} states {name[:80]} of {count} numbers; its member "
            f"{'is missing' if size < 0 else f'has {size} bytes'}. Export or copy it again."
        )
