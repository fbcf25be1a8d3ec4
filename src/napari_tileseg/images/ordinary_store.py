"""Folders of zarr files that somebody else may have put there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import final

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from napari_tileseg._files import ordinary_file

#: Bytes that a file has at most: any number that a disk holds.
_LARGEST = 2**60


@final
class OrdinaryStore(LocalStore):
    """A folder of which ordinary files alone are read, be they metadata or chunks.

    The store that zarr opens by itself waits for pipes, and for devices that never end. Reading one from
    this raises an `OSError`.
    """

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Content of a file, or a part of it; None where there is none."""
        return await asyncio.to_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Get as `get` does, in this thread."""
        try:
            content = _read(self.root / key, byte_range)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As `get`, of several files."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))


def _read(path: Path, asked: ByteRequest | None) -> bytes:
    with ordinary_file(path, _LARGEST) as (file, size):
        start, stop = _bounds(asked, size)
        file.seek(start)
        return file.read(max(0, stop - start))


def _bounds(asked: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the first byte that is asked for, and the one after the last."""
    match asked:
        case RangeByteRequest():
            return asked.start, asked.end
        case OffsetByteRequest():
            return asked.offset, size
        case SuffixByteRequest():
            return max(0, size - asked.suffix), size
        case _:
            return 0, size
