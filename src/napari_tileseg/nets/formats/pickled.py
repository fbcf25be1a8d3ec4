"""State dicts that `torch.save` pickled, opened so that no code in them can run."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from napari_tileseg.errors import NetworkError

_ZIP = b"PK\x03\x04"
#: Keys under which training scripts keep the weights beside the optimizer's state.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: What wrapping a network for several devices, or compiling it, puts before every name.
_PREFIXES = ("module.", "_orig_mod.")
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
_ADVICE = "Ask its author for the weights alone: torch.save(network.state_dict(), path)."


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
        with warnings.catch_warnings():
            # Newer pickle protocols are fine where they load, and an error where they do not.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(_refusal(error, source)) from error
    except _BROKEN as error:
        raise NetworkError(
            f"{source} is not a complete PyTorch file ({_first_line(error)}; {len(data)} bytes came). "
            "Download or copy it again."
        ) from error


def _refusal(error: pickle.UnpicklingError, source: str) -> str:
    for line in str(error).splitlines():
        _, found, named = line.partition("GLOBAL ")
        if found:
            return (
                f"{source} holds more than weights ({named.split(' was not')[0].strip()}): to open it "
                f"would run code, so it was not opened. {_ADVICE}"
            )
    # PyTorch's own words here advise to let the file run its code.
    return (
        f"{source} should hold a state dict that opens safely; it holds something else, or is broken. "
        f"{_ADVICE}"
    )


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
