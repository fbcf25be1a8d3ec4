"""Saving what is painted while it is painted, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from zlib import crc32

import numpy as np

from napari_tileseg._types import Array, ImageSource, Shape
from napari_tileseg.errors import StoreError
from napari_tileseg.session.stroke_counts import Painted, StrokeCounts
from napari_tileseg.session.stroke_files import StrokeFiles
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunk_box, chunks_of

#: Seconds from a change to its saving, in which further changes join it.
SETTLE = 0.1
#: Seconds from a failure to the next try.
RETRY = 2.0


@dataclass(frozen=True, slots=True)
class Saved:
    """All that was painted is on disk.

    Parameters
    ----------
    when : datetime
        In local time.
    painted : dict of int to Painted
        Voxels and strokes of each value.
    """

    when: datetime
    painted: dict[int, Painted]


@dataclass(frozen=True, slots=True)
class NotSaved:
    """What was painted could not be saved; it is tried again."""

    error: StoreError


SaveEvent: TypeAlias = Saved | NotSaved


class Autosave:
    """Writes the chunks of labels that have changed, those painted last first.

    Parameters
    ----------
    source : ImageSource
        The labels, as they are painted; read in the thread.
    open_files : callable
        Gives where they are saved; called in the thread before the first chunk is written.
    tell : callable
        Takes each event; called in the thread.
    chunks : tuple of int
        Voxels of a chunk.
    known : iterable of tuple of int
        Chunks that are on disk as they are.
    """

    def __init__(
        self,
        source: ImageSource,
        open_files: Callable[[], StrokeFiles],
        tell: Callable[[SaveEvent], None],
        chunks: Shape,
        known: Iterable[Shape] = (),
    ) -> None:
        self.source = source
        self._open_files = open_files
        self._tell = tell
        self._chunks = chunks
        self._known = tuple(known)
        self._files: StrokeFiles | None = None
        self._counts = StrokeCounts(source.shape)
        self._hashes: dict[Shape, int] = {}
        # An ordered set: the key that was added last is the chunk that was painted last.
        self._changed: dict[Shape, None] = {}
        self._wake = threading.Condition()
        self._busy = False
        self._closing = False
        # A daemon, so that a program that ends without closing this does not wait for it for ever.
        self._thread = threading.Thread(target=self._run, name="tileseg-strokes", daemon=True)
        self._thread.start()

    @property
    def files(self) -> StrokeFiles | None:
        """Where the labels are saved; None until something is."""
        return self._files

    @property
    def settled(self) -> bool:
        """Whether all changes are on disk."""
        with self._wake:
            return not self._changed and not self._busy

    def mark(self, box: Box) -> None:
        """Have the chunks that a box meets saved soon; returns at once."""
        with self._wake:
            for index, _ in chunks_of(box, self._chunks, self.source.shape):
                self._changed.pop(index, None)
                self._changed[index] = None
            self._wake.notify_all()

    def mark_known(self) -> None:
        """As `mark`, for all chunks that were ever marked: what is not new among them is not written."""
        with self._wake:
            for index in self._hashes:
                self._changed.setdefault(index)
            self._wake.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all is saved, for at most `seconds`; tell whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._changed and not self._busy, seconds)

    def close(self, seconds: float = 10.0) -> bool:
        """Save what is left and end the thread; tell whether all is saved after at most `seconds`."""
        self.finish()
        self._thread.join(seconds)
        return self.settled

    def finish(self) -> None:
        """Save what is left and end the thread; returns at once."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()

    def _run(self) -> None:
        if self._known:
            self._take_known()
        while self._wait():
            with self._wake:
                self._busy = True
            saved = self._save()
            with self._wake:
                self._busy = False
                self._wake.notify_all()
            if not saved and self._pause(RETRY):
                return

    def _take_known(self) -> None:
        """Note what is on disk already, and tell when it was saved."""
        self._files = self._open_files()
        when = self._files.saved_at()
        for index in self._known:
            box = chunk_box(index, self._chunks, self.source.shape)
            values = np.asarray(self.source[box.slices])
            self._hashes[index] = crc32(values.tobytes())
            self._counts.update(index, box, values)
        if when is not None:
            self._tell(Saved(when, self._counts.counted()))

    def _wait(self) -> bool:
        """Wait for a change; tell whether there is one, else this is closing."""
        with self._wake:
            self._wake.wait_for(lambda: self._changed or self._closing)
        if self._changed:
            self._pause(SETTLE)
        return bool(self._changed)

    def _pause(self, seconds: float) -> bool:
        """Wait, unless this is closing; tell whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: self._closing, seconds)

    def _save(self) -> bool:
        try:
            while (index := self._next()) is not None:
                self._save_chunk(index)
        except OSError as error:
            self._tell(NotSaved(_explained(error)))
            return False
        if self._files is not None:
            self._tell(Saved(datetime.now().astimezone(), self._counts.counted()))
        return True

    def _next(self) -> Shape | None:
        with self._wake:
            return self._changed.popitem()[0] if self._changed else None

    def _save_chunk(self, index: Shape) -> None:
        box = chunk_box(index, self._chunks, self.source.shape)
        try:
            self._write(index, box, np.asarray(self.source[box.slices]))
        except OSError:
            with self._wake:
                self._changed.setdefault(index)
            raise

    def _write(self, index: Shape, box: Box, values: Array) -> None:
        found = crc32(values.tobytes())
        if self._hashes.get(index) == found:
            return
        if index in self._hashes or values.any():
            if self._files is None:
                self._files = self._open_files()
            self._files.write_chunk(index, values)
            self._counts.update(index, box, values)
        self._hashes[index] = found


def _explained(error: OSError) -> StoreError:
    return StoreError(
        f"What is painted should be saved; {error}. It is kept in memory and tried again every "
        f"{RETRY:.0f} s: free some space, or save the layer elsewhere (File > Save Selected Layers)."
    )
