"""State dicts that `torch.save` pickled, opened so that no code in them can run."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO

import torch

from napari_tileseg.errors import NetworkError, answering, is_of_memory
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.foreign import is_exported
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch.pickle_calls import why_odd
from napari_tileseg.nets.formats.pytorch.plain_numbers import plain_numbers_allowed
from napari_tileseg.nets.formats.pytorch.state_dicts import Reader, chosen_weights

_PICKLE = "/data.pkl"
#: Steps of a pickle by which a whole object shows its class.
_FIRST = 8
#: Pickles of a file from before zip files.
_PICKLES = 5
#: Names that a message lists, and letters of each.
_NAMED, _SHOWN = 5, 80
#: Bytes of a pickle, which has some hundred for each tensor, and of what is read of it at once.
_LARGEST_PICKLE = 2**21
#: What `torch.save` writes, and the one that is read without running code.
_PROTOCOL = 2
_ADVICE = "Write the weights alone, where they were trained: torch.save(network.state_dict(), path)."


def recognises(package: Package) -> bool:
    """Return whether a file is one of `torch.save`: a zip file, or a pickle as it was before PyTorch 1.6."""
    return package.file is not None and is_one(package.file)


def is_one(content: Content) -> bool:
    """Return whether a file that is no TorchScript is one of `torch.save`."""
    if content.is_zip:
        # An exported program may hold a pickle of weights too.
        return any(name.endswith(_PICKLE) for name in content.names) and not is_exported(content.names)
    head = content.head
    return len(head) > 1 and head[0] == pickle.PROTO[0] and head[1] <= pickle.HIGHEST_PROTOCOL


def mentions(content: Content, word: bytes) -> bool:
    """Return whether a file of `torch.save` holds a word among the first names of its weights."""
    try:
        return word in pickle_of(content)
    except Exception:  # noqa: BLE001 - whatever damaged bytes raise: reading them says what is wrong
        return False


def read(package: Package, given: Given) -> Candidate:
    """Return the network whose weights a chosen file holds, by a description beside it or a given one.

    Raises
    ------
    NetworkError
        If the file is broken, would run code, is not described, or does not fit.
    """
    return chosen_weights(package, given, READER)


def structure(content: Content) -> tuple[Any, None]:
    """Return what a file holds, with tensors that have names and shapes, but no memory; it is not described.

    Raises
    ------
    NetworkError
        If it is cut off, would run code, or states more than the file can hold.
    """
    if content.is_zip:
        _check_members(content)
        with _whole_file(content):
            data = pickle_of(content, _LARGEST_PICKLE)
        _check_calls(content, io.BytesIO(data), 1)
        return _unpickle(content, content.file, "meta"), None
    _check_calls(content, _Limited(content.file), _PICKLES)
    return _unpickle(content, _Limited(content.file), "meta"), None


def load(content: Content, data: bytes) -> Any:
    """Return what a file holds, given all its bytes; its `structure` is known to be sound.

    Raises
    ------
    NetworkError
        If the bytes are not what they were.
    """
    return _unpickle(content, io.BytesIO(data), "cpu")


READER = Reader(structure, load)


def _check_calls(content: Content, file: Any, pickles: int) -> None:
    """Raise `NetworkError` for pickles that no program writes for its weights."""
    for _ in range(pickles):
        if not content.is_zip and file.tell() >= content.size:
            return
        with _whole_file(content):
            odd = why_odd(file)
        if odd:
            names = ", ".join(name[:_SHOWN] for name in _unknown_names(odd, content)[:_NAMED])
            raise NetworkError(
                f"{content.path} holds more than weights ({names or odd}): to open it would run code, so "
                f"it was not opened. {_ADVICE}"
            )


def _check_members(content: Content) -> None:
    """Raise `NetworkError` unless all is stored as it is: what is packed may become any number of bytes.

    A file whose list of members is damaged is refused as well: torch may find another list than was checked.
    """
    pickles = [each.unpacked for each in content.members if each.name.endswith(_PICKLE)]
    if not pickles:
        raise NetworkError(
            f"{content.path} is not a complete PyTorch file: it lists no weights. Download or copy it again."
        )
    if any(each.packed != each.unpacked for each in content.members) or (
        sum(each.unpacked for each in content.members) > content.size
    ):
        raise NetworkError(
            f"{content.path} is a packed zip file; PyTorch stores weights as they are. Write it again with "
            "torch.save, or unpack it if it is an archive of other files."
        )
    if max(pickles) > _LARGEST_PICKLE:
        raise NetworkError(
            f"{content.path} names its weights in {max(pickles)} bytes; {_LARGEST_PICKLE} are enough for any "
            f"network. {_ADVICE}"
        )


class _Limited(io.RawIOBase):
    """A file of which so much is read in small parts, as unpickling does, and any number of weights."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._left = file, _LARGEST_PICKLE
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        self._spend(size)
        return self._file.read(size)

    def readline(self, size: int | None = -1) -> bytes:
        line = self._file.readline(_LARGEST_PICKLE if size is None or size < 0 else size)
        self._spend(len(line))
        return line

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _spend(self, size: int) -> None:
        self._left -= size if size >= 0 else self._left + 1
        if self._left < 0:
            raise pickle.UnpicklingError("it has more than weights have names")


def _whole_file(content: Content) -> AbstractContextManager[None]:
    what = f"{content.path} is not a complete PyTorch file"
    return answering(NetworkError, what, "Download or copy it again.")


def _unpickle(content: Content, file: Any, device: str) -> Any:
    file.seek(0)
    with _whole_file(content):
        try:
            with warnings.catch_warnings(), plain_numbers_allowed():
                # Newer pickle protocols are fine where they load, and an error where they do not.
                warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
                return torch.load(file, map_location=device, weights_only=True)
        except pickle.UnpicklingError as error:
            raise NetworkError(_refusal(error, content)) from error
        except (MemoryError, RuntimeError) as error:
            if device == "meta" and is_of_memory(error):
                # No memory is needed for names and shapes: the file states sizes that are not its own.
                raise NetworkError(
                    f"{content.path} states more weights than it holds. Copy it again."
                ) from error
            raise


def _refusal(error: pickle.UnpicklingError, content: Content) -> str:
    """Return why it cannot be opened safely. PyTorch's own words here advise to let the file run its code."""
    source = content.path
    if names := _unknown_names(str(error), content):
        if whole := _whole(content):
            return (
                f"{source} is a whole network or another object, made by {whole}, as torch.save(network) "
                f"writes it: to open it would run code, so it was not opened. {_ADVICE}"
            )
        named = ", ".join(name[:_SHOWN] for name in names[:_NAMED])
        return (
            f"{source} holds more than weights ({named}): to open it would run code, so it was not opened. "
            f"{_ADVICE}"
        )
    reason = re.search(r"'[^']*' is no .*|a scalar of NumPy .*", str(error))
    if reason:
        return f"{source} holds more than weights and plain numbers ({reason[0]}). {_ADVICE}"
    protocol = _protocol(content)
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


def _unknown_names(said: str, content: Content) -> list[str]:
    """Return the classes and functions that the pickle wants, all that can be found without opening it."""
    stopped = re.search(r"(?:GLOBAL|function|build) ([\w.]+)(?: was not|'s?| whose|$)", said)
    content.file.seek(0)
    try:
        with plain_numbers_allowed():
            found = torch.serialization.get_unsafe_globals_in_checkpoint(content.file)
    except Exception:  # noqa: BLE001 - whatever the bytes make it raise
        # Only the words of a refusal depend on it; a pickle from before zip files is not listed at all.
        found = []
    return sorted({*found, *([stopped[1]] if stopped else [])})


def _whole(content: Content) -> str:
    """Return the class of the object that was pickled as it is; "" for a mapping, a list and the like."""
    data = io.BytesIO(pickle_of(content))
    try:
        # Before zip files three small pickles came first.
        for _ in range(0 if content.is_zip else 3):
            list(pickletools.genops(data))
        for operation, named, _ in islice(pickletools.genops(data), _FIRST):
            if operation.name.startswith("EMPTY"):
                return ""
            if operation.name == "GLOBAL" and not str(named).startswith(("collections ", "torch._")):
                return str(named).replace(" ", ".")
    except Exception:  # noqa: BLE001 - whatever the bytes make it raise, only words depend on it
        return ""
    return ""


def _protocol(content: Content) -> int:
    """Return the version of the pickle that a file starts with, or that its zip file holds; 0 if unknown."""
    data = pickle_of(content)
    return data[1] if data[:1] == pickle.PROTO and len(data) > 1 else 0


def pickle_of(content: Content, most: int = 2**16) -> bytes:
    """Return the first bytes of the pickle in a file that is one of `torch.save`."""
    if not content.is_zip:
        return content.head
    inside = next(name for name in content.names if name.endswith(_PICKLE))
    with zipfile.ZipFile(content.file) as archive, archive.open(inside) as file:
        return file.read(most)
