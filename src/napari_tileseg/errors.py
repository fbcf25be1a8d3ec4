"""What can go wrong, in words a user can act on.

Every message names what was expected, what came, and what to do next. The command line ends with the
``exit_code`` of the error's class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TilesegError(Exception):
    """Base of every error that napari-tileseg raises on purpose.

    Parameters
    ----------
    message : str
        What was expected, what came and what to do next.
    in_panel : str, optional
        The same for a panel of the viewer, where that has other means than the shell: a cure has to exist
        where it is advised. `message` by default.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, in_panel: str = "") -> None:
        super().__init__(message)
        self.in_panel = in_panel or message


class SettingsError(TilesegError, ValueError):
    """A setting is out of its range, or two settings contradict each other."""

    exit_code = 2


class ImageError(TilesegError):
    """An image cannot be opened, or cannot be predicted as it is."""

    exit_code = 3


class NonFiniteError(ImageError):
    """An image has voxels that are NaN or infinite, and it is not set what to do with them."""


class NoContentError(ImageError):
    """Nothing but one value, or noise, was found where there should be content."""


class MissingImageError(ImageError):
    """There is no file or folder where an image should be."""


class NetworkError(TilesegError):
    """A network cannot be opened, or does not fit the image."""

    exit_code = 4


class UntrustedNetworkError(NetworkError):
    """Opening the file would run code that the user has not trusted.

    Parameters
    ----------
    message : str
        What was expected, what came and what to do.
    sha256 : str
        Hash of the file, to be handed back once it is trusted.
    source : str
        Path of the file.
    in_panel : str, optional
        As in `TilesegError`.
    """

    def __init__(self, message: str, sha256: str, source: str = "", *, in_panel: str = "") -> None:
        super().__init__(message, in_panel=in_panel)
        self.sha256 = sha256
        self.source = source

    def __reduce__(self) -> tuple[type[UntrustedNetworkError], tuple[str, str, str], dict[str, str]]:
        return type(self), (str(self), self.sha256, self.source), vars(self)


class StoreError(TilesegError):
    """A result cannot be written, or its path holds something else."""

    exit_code = 5


class DeviceError(TilesegError):
    """The device is absent, lost, or has too little memory for the work."""

    exit_code = 6


#: What to do where memory is short, whatever it was that took it.
FREE_MEMORY = "Close other programs, or give this one more memory, and do the same again."


@contextmanager
def answering(kind: type[TilesegError], what: object, cure: str) -> Iterator[None]:
    """Turn whatever reading somebody else's bytes raises into one of these errors.

    Stands around calls of libraries that decode a file. A list of what they are thought to raise is never
    complete: damage that nobody has thought of ends in any exception.

    Parameters
    ----------
    kind : type of TilesegError
        What to raise; its constructor takes a message alone.
    what : object
        What was expected and of which file, such as "cells.tif should be a TIFF".
    cure : str
        What to do, as a sentence.

    Raises
    ------
    TilesegError
        One of `kind`, or the one that was raised inside. Running out of memory is a `DeviceError`.

    Examples
    --------
    >>> with answering(ImageError, "a.npy is no array", "Copy it again."):
    ...     raise KeyError("shape")
    Traceback (most recent call last):
    napari_tileseg.errors.ImageError: a.npy is no array; it cannot be read (KeyError: 'shape'). Copy it again.
    """
    try:
        yield
    except TilesegError:
        raise
    except Exception as error:
        if not is_of_memory(error):
            raise kind(f"{what}; it cannot be read ({reason_of(error)}). {cure}") from error
        raise DeviceError(f"{what}; reading it takes more memory than is free. {FREE_MEMORY}") from error


#: How the system, torch and its back ends word a failed allocation, where they raise another error for it.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "could not allocate",
    "bad_alloc",
    # Of oneDNN, and of threads, which need memory for their stacks.
    "could not create a primitive",
    "could not create a memory",
    "can't start new thread",
    "failed to map segment from shared object",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)


def is_of_memory(error: BaseException) -> bool:
    """Return whether an error reports a lack of memory, whatever its type."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    kinds = (RuntimeError, OSError, ImportError)
    return isinstance(error, kinds) and any(words in text for words in _OUT_OF_MEMORY)


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, behind its type."""
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".") if lines else ""
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
