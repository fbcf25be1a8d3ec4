"""One writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_tileseg.errors import StoreError

NAME = "writer.lock"
#: Seconds to wait for a writer that was asked to stop and still finishes its tile.
PATIENCE = 5.0


@contextmanager
def sole_writer(store: Path) -> Iterator[None]:
    """Lock a store, so that no other thread or process writes it.

    The operating system holds the lock, so it ends with the process, however sudden that is.

    Raises
    ------
    StoreError
        If another one is writing it, or the folder cannot be written to.
    """
    lock = FileLock(store / NAME, timeout=PATIENCE, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"{store} is being written by another prediction. Wait until that ends, or stop it, and run the "
            "same command again; or choose another location."
        ) from error
    except OSError as error:
        raise StoreError(
            f"{store} cannot be written: {error}. Choose another location, or fix its permissions."
        ) from error
    try:
        yield
    finally:
        lock.release()


def remove_lock(store: Path) -> None:
    """Remove the lock's file from a complete store, where whoever still waits for it has nothing to write."""
    # Windows removes no open file; there it goes with the release.
    with suppress(OSError):
        (store / NAME).unlink(missing_ok=True)
