"""Numbers of an ONNX model's tensors: in the file, or in another one beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.onnx.model import Stated
from napari_tileseg.nets.formats.packages.members import member_name
from napari_tileseg.nets.formats.packages.package import Package

#: Types of numbers by their number in ONNX: how they lie in a file, and as what they are computed.
_TYPES: Mapping[int, tuple[torch.dtype, torch.dtype]] = {
    1: (torch.float32, torch.float32),
    2: (torch.uint8, torch.uint8),
    3: (torch.int8, torch.int8),
    5: (torch.int16, torch.int16),
    6: (torch.int32, torch.int32),
    7: (torch.int64, torch.int64),
    9: (torch.bool, torch.bool),
    10: (torch.float16, torch.float32),
    11: (torch.float64, torch.float32),
    16: (torch.bfloat16, torch.float32),
}
_HALVES = (10, 16)
#: Other files in which weights lie.
_MOST_FILES = 2**10
#: Bytes of those in a zip file, unpacked, and how many times larger than it they may be.
_SMALL, _GROWTH = 2**26, 4


def dtype_of(kind: int) -> torch.dtype:
    """Return the type with which a type of ONNX is computed.

    Raises
    ------
    NetworkError
        If it is none of plain numbers.
    """
    if kind not in _TYPES:
        raise NetworkError(f"it holds numbers of ONNX's type {kind}, which are not read here")
    return _TYPES[kind][1]


class Numbers:
    """Reads the numbers of tensors, from the model and from files beside it.

    Parameters
    ----------
    package : Package
        What was chosen; nothing outside of it is read.
    name : str
        The model's own member, "" for the chosen file.
    """

    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._folder = PurePosixPath(name).parent if name else PurePosixPath()
        self._unpacked = 0
        #: Members in which weights lie, in order.
        self.used: dict[str, None] = {}

    def check(self, tensors: Iterable[Stated]) -> None:
        """Raise `NetworkError` unless each tensor has just the bytes that its shape and type want."""
        for each in tensors:
            dtype_of(each.kind)
            count = prod(each.shape)
            size = count * _TYPES[each.kind][0].itemsize
            if each.external:
                self._external(each, size)
            elif (len(each.raw) if each.raw is not None else -1) != size and len(each.numbers) != count:
                raise NetworkError(
                    f"its weight {each.name[:80]} of shape {str(each.shape)[:60]} does not have as many bytes"
                )

    def _external(self, stated: Stated, size: int) -> tuple[str, int]:
        """Return the member and the first byte of numbers in another file, once it is known to have them."""
        member = member_name(str(self._folder / member_name(stated.external.get("location"))))
        if not self._package.has(member):
            raise NetworkError(f"its weights lie in {member[:120]}, which is not beside it; copy both files")
        offset, length = (
            int(stated.external.get(key) or other) for key, other in (("offset", 0), ("length", size))
        )
        end = self._size_of(member)
        if offset < 0 or length != size or offset + size > end:
            raise NetworkError(
                f"its weight {stated.name[:80]} should be {size} bytes from byte {offset} on of "
                f"{member[:120]}, which has {end}"
            )
        return member, offset

    def _size_of(self, member: str) -> int:
        """Return the bytes of another file; those of a zip file are unpacked, and may not grow too much."""
        file = self._package.file
        size = self._package.content(member).size
        if member not in self.used:
            self.used[member] = None
            self._unpacked += size if file is not None and file.is_zip else 0
        if len(self.used) > _MOST_FILES or (file and self._unpacked > _SMALL + _GROWTH * file.size):
            raise NetworkError("its weights lie in more files, or larger ones, than a network has")
        return size

    def load(self, stated: Stated) -> Tensor:
        """Return a tensor that was checked, with its numbers."""
        stored, computed = _TYPES[stated.kind]
        count = prod(stated.shape)
        if stated.external:
            member, offset = self._external(stated, count * stored.itemsize)
            raw = memoryview(self._package.read(member))[offset : offset + count * stored.itemsize]
        elif stated.raw is None or len(stated.raw) != count * stored.itemsize:
            return _of_numbers(stated, stored).to(computed).reshape(stated.shape)
        else:
            raw = stated.raw
        if not count:
            return torch.empty(stated.shape, dtype=computed)
        return torch.frombuffer(bytearray(raw), dtype=stored).to(computed).reshape(stated.shape)


def _of_numbers(stated: Stated, stored: torch.dtype) -> Tensor:
    if stated.kind in _HALVES:
        # Written as the bits of whole numbers.
        bits = np.array(stated.numbers, dtype=np.uint16)
        return torch.from_numpy(bits.view(np.int16).copy()).view(stored)
    return torch.tensor(stated.numbers, dtype=stored)
