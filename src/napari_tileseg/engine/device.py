"""Devices and number formats, and how a device reports that its memory is full."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import torch

from napari_tileseg.engine.address_space import left_of_address_space
from napari_tileseg.engine.control_groups import left_of_job
from napari_tileseg.errors import DeviceError, NetworkError, is_of_memory

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
_SWITCHES = threading.Lock()
#: How torch and its back ends word that the device itself has failed.
_LOST = ("cuda error", "hip error", "device lost", "device was lost", "device is lost")


def resolve_device(name: str = "auto") -> str:
    """Return the device to compute on.

    Parameters
    ----------
    name : str
        ``auto`` (CUDA, then MPS, then the CPU), ``cpu``, ``mps``, ``cuda`` or ``cuda:1``.

    Returns
    -------
    str
        Name that torch understands.

    Raises
    ------
    DeviceError
        If there is no such device here.
    """
    found = available_devices()
    if name == "auto":
        return found[0]
    if name not in found and not (name == "cuda" and torch.cuda.is_available()):
        raise DeviceError(
            f"The device should be auto or one of {', '.join(sorted(found))}, which this machine has; "
            f"got {name!r}. Choose one of them."
        )
    return name


def available_devices() -> tuple[str, ...]:
    """Return the devices of this machine, the one that ``auto`` takes first."""
    cuda = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cuda, *mps, "cpu")


def check_dtype(dtype: str, device: str) -> None:
    """Raise `DeviceError` where the device does not know the number format."""
    if dtype not in DTYPES:
        raise DeviceError(f"The number format should be one of {', '.join(DTYPES)}; got {dtype!r}.")
    if dtype == "float64" and device.startswith("mps"):
        raise DeviceError("MPS cannot compute in float64. Choose float32, or the device cpu.")


@contextmanager
def true_float32(device: str) -> Iterator[None]:
    """Let CUDA convolve float32 in float32.

    By default it rounds to TF32, of 10 bits, where a voxel's value may depend on the tile it is computed in.
    The switch belongs to the whole process, so one engine at a time uses it, and puts it back.
    """
    if not device.startswith("cuda"):
        yield
        return
    cudnn = torch.backends.cudnn
    switches = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    with _SWITCHES, cudnn.flags(**switches, allow_tf32=False):
        yield


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device's, or the machine's, memory is full."""
    return isinstance(error, torch.OutOfMemoryError) or is_of_memory(error)


def failure(error: BaseException, device: str, name: str, work: str) -> DeviceError | NetworkError:
    """Return the error to raise for one that a network's run has raised, and that is not one of memory.

    Parameters
    ----------
    error : BaseException
        What was raised.
    device, name : str
        Where, and which network.
    work : str
        What it was run on.
    """
    if any(text in str(error).lower() for text in _LOST):
        return DeviceError(
            f"{device} failed while it computed {name} on {work} ({error}). What is done is kept: restart "
            "and go on there, or on another device, such as cpu."
        )
    return NetworkError(f"{name} should run on {work} and failed: {error}")


def release_memory(device: str) -> None:
    """Hand cached memory of a device back to the system; one that has failed has none to give."""
    with suppress(RuntimeError):
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        elif device.startswith("mps"):
            torch.mps.empty_cache()


def free_memory(device: str) -> int:
    """Return the bytes that a device could still give this process; on the CPU within its limits."""
    if device.startswith("cuda"):
        # Memory that this process has released is still reserved for it.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + int(cached)
    if device.startswith("mps"):
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return min(int(psutil.virtual_memory().available), left_of_job(), left_of_address_space())
