"""Saving what is painted while it is painted, in a background thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np

from napari_tileseg._types import ImageSource, Shape
from napari_tileseg.errors import StoreError, TilesegError
from napari_tileseg.session.painting.counts import Painted
from napari_tileseg.session.painting.files import StrokeFiles
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.painting.saved_chunks import SavedChunks
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.chunks import chunk_box, chunks_of

logger = logging.getLogger(__name__)
#: Seconds from a change to its saving; further changes within them are saved with it.
SETTLE = 0.1
#: Seconds from a failure to the next try.
RETRY_AFTER = 2.0


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
#: What labels hold, None if that is unknown, and what their values mean.
Meaning: TypeAlias = tuple[str | None, tuple[StrokeClass, ...]]


class Autosave:
    """Writes the chunks of labels that have changed, those painted last first.

    Parameters
    ----------
    source : ImageSource
        The labels, as they are painted; read in the thread.
    open_files : callable
        Gives where they are saved; called in the thread before the first chunk is written.
    report : callable
        Takes each event; called in the thread.
    chunks : tuple of int
        Voxels of a chunk.
    files : StrokeFiles, optional
        Where they are saved already.
    on_disk : SavedChunks, optional
        What of them is there.
    retry_after : float
        Seconds from a failure to the next try.
    """

    def __init__(
        self,
        source: ImageSource,
        open_files: Callable[[], StrokeFiles],
        report: Callable[[SaveEvent], None],
        chunks: Shape,
        files: StrokeFiles | None = None,
        on_disk: SavedChunks | None = None,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.source = source
        self._open_files = open_files
        self._report = report
        self._chunks = chunks
        self._files = files
        self._on_disk = on_disk or SavedChunks(source.shape)
        self._retry_after = retry_after
        # An ordered set: the key that was added last is the chunk that was painted last.
        self._changed: dict[Shape, None] = {}
        self._meaning: Meaning | None = None
        # Guards all that the painting thread and the saving thread share; files and `_on_disk` belong to the
        # saving thread alone, so that nothing is written under this lock and painting never waits for a disk.
        self._wake = threading.Condition()
        self._busy = False
        # Nothing follows, and there is time until all is saved; or only for one more try.
        self._finishing, self._last_try = False, False
        self._logged = ""
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
        return self.wait(0.0)

    def _waiting(self) -> bool:
        return bool(self._changed) or self._meaning is not None

    def mark(self, box: Box) -> None:
        """Queue the chunks that a box meets for saving; returns at once."""
        with self._wake:
            for index, _ in chunks_of(box, self._chunks, self.source.shape):
                # To the end, which is saved first: where one paints now matters most if the program ends.
                self._changed.pop(index, None)
                self._changed[index] = None
            self._wake.notify_all()

    def mark_known(self) -> None:
        """Queue all chunks that were ever marked: what is not new among them is not written."""
        with self._wake:
            for index in self._on_disk.indices:
                self._changed.setdefault(index)
            self._wake.notify_all()

    def mark_meaning(self, kind: str | None, classes: tuple[StrokeClass, ...]) -> None:
        """Queue what the labels hold, and what their values mean, for saving; returns at once."""
        with self._wake:
            self._meaning = (kind, classes)
            self._wake.notify_all()

    def close(self, seconds: float = 10.0) -> bool:
        """Try once more to save what is left, and end the thread; return whether all is saved.

        Parameters
        ----------
        seconds : float
            How long that may take.
        """
        with self._wake:
            self._finishing = self._last_try = True
            self._wake.notify_all()
        self._thread.join(seconds)
        return self.settled

    def finish(self) -> None:
        """End the thread once all is saved, however often that has to be tried; returns at once."""
        with self._wake:
            self._finishing = True
            self._wake.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until all is saved, for at most `seconds`; return whether it is."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._waiting() and not self._busy, seconds)

    def _run(self) -> None:
        while self._wait():
            with self._wake:
                # Read before saving: what is asked for meanwhile is tried separately.
                self._busy, last = True, self._last_try
            event = self._save()
            with self._wake:
                self._busy = False
                self._wake.notify_all()
            if event is not None:
                self._emit(event)
            if isinstance(event, NotSaved):
                if last:
                    return
                with self._wake:
                    # Only a last try cuts this short: more strokes would be refused by the same full disk.
                    self._wake.wait_for(lambda: self._last_try, self._retry_after)

    def _wait(self) -> bool:
        """Wait for a change; return whether there is one, else nothing follows."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting() or self._finishing)
            if self._changed:
                # A stroke comes as many small changes, which become one write of each chunk.
                self._wake.wait_for(lambda: self._finishing, SETTLE)
            return self._waiting()

    def _emit(self, event: SaveEvent) -> None:
        try:
            self._report(event)
        except Exception:
            # A listener that fails must not end the saving.
            logger.exception("Autosave listener failed")

    def _save(self) -> SaveEvent | None:
        """Save all that has changed; None where there is nothing to report."""
        problems = list(self._try_all())
        if problems:
            self._log(problems[0])
            return NotSaved(_explained(problems[0], self._retry_after))
        return None if self._files is None else Saved(datetime.now().astimezone(), self._on_disk.counted())

    def _try_all(self) -> Iterator[Exception]:
        """Save each chunk that has changed, and what they mean; yield what went wrong.

        Voxels may come from anywhere: whatever fails there, its chunk is tried again the next time, and all
        others are saved.
        """
        failed: dict[Shape, None] = {}
        while (index := self._next()) is not None:
            try:
                self._save_chunk(index)
            except Exception as error:  # noqa: BLE001
                failed[index] = None
                yield error
                if self._files is None:  # no other chunk has a folder either
                    break
        with self._wake:
            # Before what was painted meanwhile, which is newer and therefore saved first.
            self._changed = {**failed, **self._changed}
        try:
            self._save_meaning()
        except Exception as error:  # noqa: BLE001
            yield error

    def _log(self, error: Exception) -> None:
        """Log an unexpected error, once and not at each try."""
        if not isinstance(error, (TilesegError, OSError)) and repr(error) != self._logged:
            self._logged = repr(error)
            logger.error("Painted labels could not be saved", exc_info=error)

    def _next(self) -> Shape | None:
        with self._wake:
            return self._changed.popitem()[0] if self._changed else None

    def _save_chunk(self, index: Shape) -> None:
        box = chunk_box(index, self._chunks, self.source.shape)
        # A copy: what is painted meanwhile is neither half in the file nor taken for saved.
        values = np.array(self.source[box.slices])
        if self._on_disk.holds(index, values):
            return
        if index in self._on_disk or values.any():
            if self._files is None:
                self._files = self._open_files()
            self._files.write_chunk(index, values)
        self._on_disk.take(index, box, values)

    def _save_meaning(self) -> None:
        with self._wake:
            meaning, self._meaning = self._meaning, None
        # Files that are made later are made with it.
        if meaning is None or self._files is None:
            return
        try:
            self._files.describe(*meaning)
        except Exception:
            with self._wake:
                self._meaning = self._meaning or meaning
            raise


def _explained(error: Exception, retry_after: float) -> StoreError:
    known = isinstance(error, (TilesegError, OSError))
    what = str(error) if known else f"{type(error).__name__}: {error}"
    do = "free some space, or " if isinstance(error, OSError) else ""
    return StoreError(
        f"What is painted should be saved; {what.rstrip('.')}. It stays in memory and is tried again every "
        f"{retry_after:.0f} s: {do}save the layer elsewhere (File > Save Selected Layers)."
    )
