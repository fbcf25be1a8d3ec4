"""Damage files of every kind that is read, and count how reading them ends.

    python scripts/fuzz.py [--count 10000] [--seed 0] [--jobs 2] [--kinds PART] [--json]
    python scripts/fuzz.py --case "store, begun" 17 [--at FOLDER]

A case is one file, damaged at random; the seed, the kind and the number decide how. It is read as the program
reads it, in a child process with a limit of time and of memory. It should end well, or with an error of the
package of the right class. Anything else is a fault, and the exit code is 1 then: another exception, a crash,
a hang. ``--case`` reads one case here, and shows what it raises.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzzing.kinds import Kind
    from fuzzing.workers import Ended


def main() -> int:
    """Do what the command line says, and return the exit code."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="tileseg-fuzz-") as folder:
        kinds = _prepare(Path(folder), given.kinds if given.case is None else given.case[0])
        if given.case is not None:
            return _one(kinds, given.case, given.seed, Path(folder), given.at)
        return _all(kinds, given, Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="how many files to damage")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other damage")
    parser.add_argument("--jobs", type=int, default=2, help="child processes at a time")
    parser.add_argument("--kinds", default="", help="only kinds whose name holds this")
    parser.add_argument("--json", action="store_true", help="write the summary as JSON")
    parser.add_argument("--case", nargs=2, metavar=("KIND", "NUMBER"), help="read one case in this process")
    parser.add_argument("--at", type=Path, help="folder that keeps the damaged files of --case")
    return parser.parse_args()


def _prepare(folder: Path, part: str) -> tuple[Kind, ...]:
    """Load all that reads, and make the intact files of the kinds that are asked for."""
    # Read when torch and the package are loaded.
    os.environ |= {"OMP_NUM_THREADS": "1", "TILESEG_HOME": str(folder / "home")}
    sys.path.insert(0, str(Path(__file__).parent))
    import torch
    from fuzzing.images import IMAGES, LABELS
    from fuzzing.networks import NETWORKS
    from fuzzing.own_files import OWN_FILES
    from fuzzing.packages import PACKAGES
    from fuzzing.workers import make_specimens

    from napari_tileseg.cli.run.heap import share_heap

    share_heap()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every = (*IMAGES, *LABELS, *NETWORKS, *PACKAGES, *OWN_FILES)
    kinds = tuple(kind for kind in every if part in kind.name)
    make_specimens(kinds, folder / "specimens")
    return kinds


def _one(kinds: Sequence[Kind], case: Sequence[str], seed: int, folder: Path, at: Path | None) -> int:
    from fuzzing.workers import Case, Reader

    reader, chosen = Reader(kinds, folder / "specimens"), Case(case[0], int(case[1]), seed)
    place = at or folder / "case"
    print(reader.damage(chosen, place))
    reader.read(chosen, place)
    print("It can be read.")
    return 0


def _all(kinds: Sequence[Kind], given: argparse.Namespace, folder: Path) -> int:
    from fuzzing.workers import OUTCOMES, cases_of, run_cases

    begun, counts, faults = monotonic(), defaultdict[str, Counter[str]](Counter), []
    for ended in run_cases(kinds, cases_of(kinds, given.count, given.seed), folder, given.jobs):
        counts[ended.case.kind][ended.outcome] += 1
        if ended.outcome not in {"ok", "answered"}:
            faults.append(ended)
    table = {kind.name: {name: counts[kind.name][name] for name in OUTCOMES} for kind in kinds}
    in_all = {name: sum(row[name] for row in table.values()) for name in OUTCOMES}
    summary = {"count": given.count, "seed": given.seed, "seconds": round(monotonic() - begun, 1), **in_all}
    _show({**summary, "kinds": table}, faults, as_json=given.json)
    return 1 if faults else 0


def _show(summary: dict[str, Any], faults: Sequence[Ended], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**summary, "faults": [each.as_dict() for each in faults]}, indent=1))
        return
    for name, row in summary["kinds"].items():
        print(f"{name:<22}", *(f"{count:>5} {outcome}" for outcome, count in row.items()))
    for each in sorted(faults, key=lambda fault: (fault.case.kind, fault.words)):
        print(f'{each.outcome}: --case "{each.case.kind}" {each.case.number}  {each.words}')
    print(" ".join(f"{name}={value}" for name, value in summary.items() if name != "kinds"))


if __name__ == "__main__":
    sys.exit(main())
