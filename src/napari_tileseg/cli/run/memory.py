"""Peak memory of this process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType

import psutil

_STATUS = Path("/proc/self/status")


def anonymous_bytes() -> int | None:
    """Return the memory that is this process' own and not a file's: what a machine must really have.

    Pages of memory-mapped files count as resident although the system can drop them at any time, so
    resident size means little. Linux reports the anonymous part; elsewhere the unique part stands for it.

    Returns
    -------
    int or None
        Bytes, or None where the system does not report it.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return None
    memory = psutil.Process().memory_full_info()
    return int(memory.uss)


class PeakMemory:
    """Samples `anonymous_bytes` in a thread while its block runs.

    Parameters
    ----------
    interval : float
        Seconds between two samples: a peak shorter than that can be missed.
    """

    def __init__(self, interval: float = 0.02) -> None:
        self._interval = interval
        self._over = Event()
        self._thread = Thread(target=self._watch, name="tileseg-memory", daemon=True)
        #: Largest sample so far, in bytes; None where it cannot be measured.
        self.bytes: int | None = None

    def sample(self) -> None:
        """Take one sample now; where no memory is left to look with, the one before was the largest."""
        with suppress(MemoryError):
            now = anonymous_bytes()
            if now is not None:
                self.bytes = max(now, self.bytes or 0)

    def __enter__(self) -> PeakMemory:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.sample()

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            self.sample()
