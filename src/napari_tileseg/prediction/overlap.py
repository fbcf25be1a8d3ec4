"""Computing the next thing while the last one is written."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def overlapped(compute: Callable[[], T | None], write: Callable[[T], None]) -> Generator[T]:
    """Compute and write one thing after another, each in a separate thread.

    At most one thing is written, and one computed, at a time, and nothing waits between them. Closing the
    iterator, or an error, ends both threads after their present work; what was computed last is then dropped.

    Parameters
    ----------
    compute : callable
        Returns the next thing; None if there is none.
    write : callable
        Writes a thing.

    Yields
    ------
    object
        Each thing, as soon as it is written.

    Examples
    --------
    >>> waiting, written = [1, 2, 3], []
    >>> list(overlapped(lambda: waiting.pop(0) if waiting else None, written.append)), written
    ([1, 2, 3], [1, 2, 3])
    """
    with (
        ThreadPoolExecutor(1, "tileseg-compute") as computing,
        ThreadPoolExecutor(1, "tileseg-write") as writing,
    ):
        thing = computing.submit(compute).result()
        while thing is not None:
            written = writing.submit(write, thing)
            following = computing.submit(compute)
            written.result()
            yield thing
            thing = following.result()
