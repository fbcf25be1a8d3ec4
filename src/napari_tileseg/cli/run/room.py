"""Whether a limited address space has room for what a verb loads, and whether one failed for want of it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from napari_tileseg._words import bytes_words
from napari_tileseg.engine.address_space import left_of_address_space
from napari_tileseg.errors import DeviceError, is_of_memory

#: What loading PyTorch takes, as a multiple of the size of its libraries. With less than that it ends in
#: exceptions without a reason, or kills the process.
_GROWTH = 1.4
#: Bytes without which any call of a library may fail, in whatever way.
_LEAST = 2**26


def check_room_to_load(left: int | None = None) -> None:
    """Refuse to load PyTorch where the process is not allowed the memory that it takes.

    Parameters
    ----------
    left : int, optional
        Bytes that the process may still take; by default what its limit leaves.

    Raises
    ------
    DeviceError
        If they do not suffice.
    """
    left = left_of_address_space() if left is None else left
    if left == sys.maxsize or "torch" in sys.modules:
        return
    spec = find_spec("torch")
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = (file for folder in folders for file in Path(folder, "lib").glob("libtorch*"))
    needed = int(_GROWTH * sum(file.stat().st_size for file in files))
    if left < needed:
        raise DeviceError(
            f"Loading PyTorch takes about {bytes_words(needed)} of memory; this process may take "
            f"{bytes_words(left)} more (ulimit -v). Allow it more."
        )


def is_short_of_memory(error: BaseException, left: int | None = None) -> bool:
    """Return whether an error reports a lack of memory, or came when next to none was left.

    Parameters
    ----------
    error : BaseException
        What was raised.
    left : int, optional
        As `check_room_to_load` takes it.
    """
    return is_of_memory(error) or (left_of_address_space() if left is None else left) < _LEAST
