"""State dicts that `torch.save` pickled, opened so that no code in them can run."""

from __future__ import annotations

import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.plain_numbers import plain_numbers_allowed

_ZIP = b"PK\x03\x04"
#: Keys under which training scripts keep the weights beside the optimizer's state.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What wrapping a network for several devices, or compiling it, puts before every name.
_PREFIXES = ("module.", "_orig_mod.")
#: Names that a message lists.
_NAMED = 5
#: What reading a pickle is known to raise where bytes are missing or wrong.
_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
#: What `torch.save` writes, and the one that is read without running code.
_PROTOCOL = 2
_ADVICE = "Write the weights alone, where they were trained: torch.save(network.state_dict(), path)."


def recognises(data: bytes) -> bool:
    """Whether the bytes are a zip file with a pickle of PyTorch, or a pickle as it was written before 1.6."""
    if data.startswith(_ZIP):
        return any(name.endswith("/data.pkl") for name in members(data))
    return len(data) > 1 and data[0] == pickle.PROTO[0] and data[1] <= pickle.HIGHEST_PROTOCOL


def members(data: bytes) -> tuple[str, ...]:
    """Names of the files in a zip file; none if it is not a whole one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return tuple(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error):
        return ()


def load(data: bytes, source: str) -> dict[str, Tensor]:
    """Tensors by name.

    Raises
    ------
    NetworkError
        If the file is cut off, holds other things than tensors, or would run code.
    """
    return unwrap(_unpickle(data, source), source)


def _unpickle(data: bytes, source: str) -> Any:
    try:
        with warnings.catch_warnings(), plain_numbers_allowed():
            # Newer pickle protocols are fine where they load, and an error where they do not.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(_refusal(error, data, source)) from error
    except _BROKEN as error:
        raise NetworkError(
            f"{source} is not a complete PyTorch file ({_first_line(error)}; {len(data)} bytes came). "
            "Download or copy it again."
        ) from error


def _refusal(error: pickle.UnpicklingError, data: bytes, source: str) -> str:
    """Why it cannot be opened safely. PyTorch's own words here advise to let the file run its code."""
    if names := _unknown_names(error, data):
        return (
            f"{source} holds more than weights ({', '.join(names[:_NAMED])}): to open it "
            f"would run code, so it was not opened. {_ADVICE}"
        )
    reason = re.search(r"'[^']*' is no .*|a scalar of NumPy .*", str(error))
    if reason:
        return f"{source} holds more than weights and plain numbers ({reason[0]}). {_ADVICE}"
    protocol = _protocol(data)
    if protocol > _PROTOCOL and "Unsupported operand" in str(error):
        return (
            f"{source} should hold a state dict that opens safely; it was written with pickle protocol "
            f"{protocol}, which cannot be opened without running what it says. Write it again, where it was "
            f"made, with PyTorch's own protocol {_PROTOCOL}: torch.save(network.state_dict(), path)."
        )
    return (
        f"{source} should hold a state dict that opens safely; it holds something else, or is broken. "
        f"{_ADVICE}"
    )


def _unknown_names(error: pickle.UnpicklingError, data: bytes) -> list[str]:
    """Classes and functions that the pickle wants, all that can be found without opening it."""
    stopped = re.search(r"(?:GLOBAL|function|build) ([\w.]+)(?: was not|'s?| whose|$)", str(error))
    try:
        with plain_numbers_allowed():
            found = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception:  # noqa: BLE001 - whatever the bytes make it raise
        # Only the words of a refusal depend on it; a pickle from before zip files is not listed at all.
        found = []
    return sorted({*found, *([stopped[1]] if stopped else [])})


def _protocol(data: bytes) -> int:
    """Version of the pickle that a file starts with, or that its zip file holds; 0 if it does not say."""
    if data.startswith(_ZIP):
        inside = next(name for name in members(data) if name.endswith("/data.pkl"))
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(inside) as file:
            data = file.read(2)
    return data[1] if data[:1] == pickle.PROTO and len(data) > 1 else 0


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def unwrap(loaded: Any, source: str) -> dict[str, Tensor]:
    """The state dict in what was loaded, without wrappings and prefixes.

    Raises
    ------
    NetworkError
        If there is none.
    """
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded:
        came = f"an empty {type(loaded).__name__}" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise NetworkError(
            f"{source} should hold a state dict (names of weights to tensors); got {came}. {_ADVICE}"
        )
    strange = [
        key for key, value in loaded.items() if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if strange:
        named = ", ".join(f"{key!r} ({type(loaded[key]).__name__})" for key in strange[:5])
        raise NetworkError(f"{source} should hold names of weights to tensors alone; got {named}. {_ADVICE}")
    state = dict(loaded)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
