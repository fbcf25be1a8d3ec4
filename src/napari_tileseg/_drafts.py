"""What is written beside its final path first: drafts that have an owner.

A draft has a name that is unique on shared storage. While its owner lives, the operating system holds a lock
for it; whoever writes the same path next removes the drafts that nobody holds.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg.errors import StoreError

if TYPE_CHECKING:
    from filelock import FileLock

#: Seconds to wait for another writer of the same path.
PATIENCE = 5.0
#: Seconds after which a draft of another machine, whose locks may not be seen from here, is nobody's.
FOREIGN = 86400.0
#: Longest name that is taken over into that of a draft, as systems limit the length of names.
_LONGEST = 100
_TOKEN = re.compile(r"(?P<host>[A-Za-z0-9-]+)\.\d+\.[0-9a-f]{16}\.draft")
#: Errors of file systems that have no locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def drafted(target: Path, patience: float = PATIENCE) -> Iterator[Path]:
    """Yield a path to write a file or folder to, which becomes `target` once all went well.

    One writer of a path at a time: what depends on what is at `target` is looked at inside the block. A file
    replaces one that is there; a folder becomes an empty one that is there.

    Parameters
    ----------
    target : Path
        Where to; its folder is made if need be.
    patience : float
        Seconds to wait for another writer.

    Yields
    ------
    Path
        On the disk of `target`; nothing is there. If nothing is there at the end, nothing is moved.

    Raises
    ------
    StoreError
        If another thread or process is writing the same path.
    OSError
        If it cannot be written.
    """
    target = target.absolute()
    # An empty folder may lie in one that may not be written to: what is laid out for it lies in it.
    folder = target if target.is_dir() else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    with _sole(folder / f"{_start(target)}lock", target, patience) as held:
        if held:
            _remove_left(folder, target)
        draft = folder / f"{_start(target)}{_token()}"
        try:
            yield draft
            if draft.exists():
                _move(draft, target)
        finally:
            _remove(draft)


def is_vacant(target: Path) -> bool:
    """Return whether nothing is at a path, or an empty folder; its drafts and their lock are nothing."""
    if not target.exists():
        return not target.is_symlink()
    if not target.is_dir():
        return False
    start = _start(target.absolute())
    return all(path.name.startswith(start) and _is_ours(path.name, start) for path in target.iterdir())


def _is_ours(name: str, start: str) -> bool:
    rest = name[len(start) :]
    return rest == "lock" or _TOKEN.fullmatch(rest) is not None


def _start(target: Path) -> str:
    name = target.name
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{name[:20]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return f".{name}."


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:32] or "unknown"


def _token() -> str:
    # Containers may share a host's name and the numbers of processes: the random part is what counts.
    return f"{_host()}.{os.getpid()}.{secrets.token_hex(8)}.draft"


@contextmanager
def _sole(path: Path, target: Path, patience: float) -> Iterator[bool]:
    """Hold the lock of a target; gives whether there is one, as some file systems know none."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    end = time.monotonic() + patience
    try:
        while not _acquire(lock, path, max(0.0, end - time.monotonic())):
            pass
    except Timeout as error:
        raise StoreError(
            f"Another tileseg is writing {target}. Wait until that ends, or stop it, and start this again; "
            "or choose another location."
        ) from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        yield False
        return
    try:
        yield True
    finally:
        # While it is held, so that nobody else's is removed; Windows removes no open file, but afterwards.
        with suppress(OSError):
            path.unlink()
        lock.release()
        if os.name == "nt":
            with suppress(OSError):
                path.unlink()


def _acquire(lock: FileLock, path: Path, patience: float) -> bool:
    """Take a lock; False where it is that of a file that its former holder has just removed."""
    from filelock import FileLock, Timeout

    lock.acquire(timeout=patience, poll_interval=0.01)
    try:
        second = FileLock(path, thread_local=False)
        second.acquire(timeout=0)
    except Timeout:
        return True
    second.release()
    lock.release()
    return False


def _remove_left(folder: Path, target: Path) -> None:
    """Remove the drafts of a target that is held by us: their owners are gone."""
    start = _start(target)
    for path in folder.iterdir():
        found = _TOKEN.fullmatch(path.name[len(start) :]) if path.name.startswith(start) else None
        if found and (found["host"] == _host() or _age(path) > FOREIGN):
            _remove(path)


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _move(draft: Path, target: Path) -> None:
    """Give a draft its name, or put it into the empty folder that has it."""
    if draft.is_file():
        draft.replace(target)
    elif target.is_dir():
        # The folder stays the one it was, as somebody may be working in it; its metadata comes last.
        for part in sorted(draft.iterdir(), key=lambda part: part.name == "zarr.json"):
            part.rename(target / part.name)
    else:
        draft.rename(target)
