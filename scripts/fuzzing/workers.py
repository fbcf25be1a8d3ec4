"""Reads damaged files in child processes that may crash or hang, and counts how it ended."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from fuzzing.kinds import Kind
from fuzzing.mutations import mutate, mutate_member
from napari_tileseg.errors import TilesegError

OUTCOMES = ("ok", "answered", "other", "crash", "hang")
#: Of a case: seconds of computing, whatever else the machine does, and bytes beyond those after start-up.
SECONDS, BYTES = 5.0, 2**30
#: Seconds in all after which a case counts as hanging that does not even compute.
_PATIENCE = 120.0
#: Cases of one child; what libraries leave behind does not add up for ever.
_CASES_OF_CHILD = 100


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file: its kind, its number among those of that kind, and the seed of all."""

    kind: str
    number: int
    seed: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How reading ended; `words` say what was raised and where, but for an intact reading."""

    case: Case
    outcome: str
    words: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self.case), "outcome": self.outcome, "words": self.words}


def cases_of(kinds: Sequence[Kind], count: int, seed: int) -> list[Case]:
    """Spread `count` cases over kinds, by their shares."""
    turns = [kind.name for kind in kinds for _ in range(kind.share)]
    numbers: Counter[str] = Counter()
    cases = []
    for turn in range(count):
        # Walked with a stride that meets all, so that any number of cases has some of all kinds.
        name = turns[turn * 7 % len(turns)] if len(turns) % 7 else turns[turn % len(turns)]
        cases.append(Case(name, numbers[name], seed))
        numbers[name] += 1
    return cases


def make_specimens(kinds: Iterable[Kind], folder: Path) -> None:
    """Write the intact files of all kinds, each into a folder of its own.

    In a child, for a process in which torch has computed must not be forked.

    Raises
    ------
    RuntimeError
        If one of them cannot be made, or not be read.
    """
    child = get_context("fork").Process(target=_make_all, args=(list(kinds), folder))
    child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError("the intact files could not be made")


def _make_all(kinds: list[Kind], folder: Path) -> None:
    for number, kind in enumerate(kinds):
        place = folder / str(number)
        place.mkdir(parents=True)
        kind.make(place)
        copy = folder / "intact"
        shutil.copytree(place, copy)
        kind.read(copy)
        shutil.rmtree(copy)


class Reader:
    """Damages and reads, in this process.

    Parameters
    ----------
    kinds : sequence of Kind
        In the order in which their specimens were made.
    specimens : Path
        Folder of the specimens.
    """

    def __init__(self, kinds: Sequence[Kind], specimens: Path) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._folders = {kind.name: specimens / str(number) for number, kind in enumerate(kinds)}

    def damage(self, case: Case, folder: Path) -> Path:
        """Copy a specimen into `folder`, and damage one of its files; return that file."""
        kind, rng = self._kinds[case.kind], Random(f"{case.seed} {case.kind} {case.number}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folders[case.kind], folder)
        pattern, _, member = kind.damaged[case.number % len(kind.damaged)].partition("!")
        file = rng.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))
        data = file.read_bytes()
        file.write_bytes(mutate_member(data, member, rng) if member else mutate(data, rng))
        return file

    def read(self, case: Case, folder: Path) -> None:
        """Read what is in `folder`, as the program does."""
        self._kinds[case.kind].read(folder)

    def ended(self, case: Case, folder: Path) -> Ended:
        """Damage and read; say how it ended."""
        self.damage(case, folder)
        try:
            self.read(case, folder)
        except self._kinds[case.kind].answers as error:
            return Ended(case, "answered", str(error))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            return Ended(case, "other", _where(error))
        return Ended(case, "ok")


def _where(error: BaseException) -> str:
    """Return type, words and the last line in our own package."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "napari_tileseg" in frame.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    kind = "wrong class of error " if isinstance(error, TilesegError) else ""
    return f"{kind}{type(error).__name__}: {str(error)[:200]} ({place})"


class _Child:
    """A process that reads case after case; it is replaced where one ends it."""

    def __init__(self, work: Callable[[Connection, Path], None], scratch: Path) -> None:
        self._pipe, theirs = get_context("fork").Pipe()
        self._scratch = scratch
        self._process = get_context("fork").Process(target=work, args=(theirs, scratch))
        self._process.start()
        theirs.close()
        self.case: Case | None = None
        self.cases, self.since = 0, monotonic()

    @property
    def pipe(self) -> Connection:
        """Connection on which it answers."""
        return self._pipe

    def send(self, case: Case) -> None:
        """Have it read."""
        self.case, self.since = case, monotonic()
        self.cases += 1
        self._pipe.send(case)

    def take(self) -> tuple[Ended, bool]:
        """Return how the case ended, and whether the child is still there."""
        assert self.case is not None
        try:
            ended: Ended = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return Ended(self.case, *_ending(self._process.exitcode)), False
        return ended, True

    def overdue(self) -> bool:
        """Tell whether it has taken longer than anything does."""
        return self.case is not None and monotonic() - self.since > _PATIENCE

    def end(self) -> None:
        """End it, whatever it does."""
        self._pipe.close()
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _ending(code: int | None) -> tuple[str, str]:
    name = signal.Signals(-code).name if code is not None and code < 0 else f"exit {code}"
    return ("hang" if name in {"SIGPROF", "SIGKILL"} else "crash"), name


def run_cases(kinds: Sequence[Kind], cases: Sequence[Case], scratch: Path, jobs: int = 2) -> Iterator[Ended]:
    """Read all cases, several at a time; yield how each ended, in the order in which they end."""
    reader = Reader(kinds, scratch / "specimens")
    gc.collect()
    gc.freeze()

    def started(slot: int) -> _Child:
        return _Child(lambda pipe, folder: _serve(reader, pipe, folder), scratch / f"child-{slot}")

    waiting = list(reversed(cases))
    children = {slot: started(slot) for slot in range(min(jobs, len(cases)))}
    for child in children.values():
        child.send(waiting.pop())
    try:
        while children:
            yield from _round(children, waiting, started)
    finally:
        for child in children.values():
            child.end()


def _round(
    children: dict[int, _Child], waiting: list[Case], started: Callable[[int], _Child]
) -> Iterator[Ended]:
    """Take what has ended, and hand out what comes next."""
    ready = wait([child.pipe for child in children.values()], timeout=1.0)
    for slot, child in list(children.items()):
        if child.overdue() and child.pipe not in ready:
            case = child.case
            assert case is not None
            ended, alive = Ended(case, "hang", f"{_PATIENCE:.0f} s"), False
        elif child.pipe in ready:
            ended, alive = child.take()
        else:
            continue
        if not alive or not waiting or child.cases >= _CASES_OF_CHILD:
            child.end()
            children.pop(slot)
            if waiting:
                children[slot] = child = started(slot)
        if waiting:
            child.send(waiting.pop())
        yield ended


def _serve(reader: Reader, pipe: Connection, folder: Path) -> None:
    """Read cases until nobody asks any more."""
    _be_quiet()
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with suppress(EOFError):
        while True:
            case = pipe.recv()
            # Computing alone counts, on all threads: the limit means the same on a busy machine.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            ended = reader.ended(case, folder)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send(ended)


def _be_quiet() -> None:
    """Silence libraries, which write about damage as they like; a core dump of a crash is of no use."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(nowhere, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
