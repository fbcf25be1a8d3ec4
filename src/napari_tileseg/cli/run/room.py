"""Whether a limited address space has room for what a verb loads, and whether one failed for want of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from napari_tileseg._words import bytes_words
from napari_tileseg.engine.address_space import left_of_address_space
from napari_tileseg.errors import DeviceError, is_of_memory

#: What loading PyTorch takes, as a multiple of the size of its own libraries; those for CUDA take their size.
_GROWTH = 1.5
#: Bytes that computing takes at least. With next to none a process does not even come to an error: it ends
#: without a word, or Python tries for ever to handle one.
_TO_COMPUTE = 2**28
#: Bytes beyond that with which threads are started. One that cannot be started ends the process.
_FOR_THREADS = 2**30
#: Bytes without which any call of a library may fail, in whatever way.
_LEAST = 2**26


def check_room(left: int | None = None) -> None:
    """Refuse to begin where the process is not allowed the memory that PyTorch and computing take.

    Where it is allowed little more than that, one thread computes.

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
    if left == sys.maxsize:
        return
    loaded = "torch" in sys.modules
    needed = _TO_COMPUTE + (0 if loaded else room_to_load())
    if left < needed:
        what = "Computing" if loaded else "Loading PyTorch and computing"
        raise DeviceError(
            f"{what} takes {bytes_words(needed)} of memory at least; this process may take "
            f"{bytes_words(left)} more (ulimit -v). Allow it more."
        )
    if left < needed + _FOR_THREADS:
        _compute_in_one_thread()


def room_to_load() -> int:
    """Return about how many bytes of address space loading PyTorch takes."""
    own = _bytes_of(file for folder in _folders("torch") for file in folder.glob("lib/libtorch*"))
    # A build for CUDA loads these with it, and cuDNN only when that is used.
    cuda = (file for folder in _folders("nvidia") for file in folder.glob("*/lib/*.so*"))
    return int(_GROWTH * own) + _bytes_of(file for file in cuda if not file.name.startswith("libcudnn"))


def _folders(package: str) -> list[Path]:
    spec = find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or ()]


def _bytes_of(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _compute_in_one_thread() -> None:
    # Read once, when PyTorch is loaded; after that it has to be told itself.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def is_short_of_memory(error: BaseException, left: int | None = None) -> bool:
    """Return whether an error reports a lack of memory, or came when next to none was left.

    Parameters
    ----------
    error : BaseException
        What was raised.
    left : int, optional
        As `check_room` takes it.
    """
    return is_of_memory(error) or (left_of_address_space() if left is None else left) < _LEAST
