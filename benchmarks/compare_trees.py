"""How fast this tree predicts beside another one, in one interleaved run.

    git worktree add ../before COMMIT
    python benchmarks/compare_trees.py ../before [--rounds 6] [--out benchmarks/results/compare_trees.json]

Each tree runs in a process of its own, which prepares everything once; then they take turns, so that what
else the machine does falls on both alike. The least time of all rounds counts. Results are compared, too:
they should not differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import about_machine

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "compare_trees.json"
#: Network, method of `bench_methods`, rounds for each that is asked for: what is short is done more often.
CASES = (
    ("unet_3d", "engine, on demand", 1),
    ("unet_3d", "engine, whole volume", 1),
    ("identity", "engine, on demand", 20),
    ("identity", "engine, columns of windows", 20),
)
#: What runs in either tree: prepares a case, then runs it once for each line that it reads.
CHILD = """
import hashlib, sys, time
import bench_subjects
import numpy as np
from bench_methods import METHODS
name, wanted = sys.argv[1:]
method = next(m for m in METHODS if m.name == wanted and m.dtype == "float32")
run = method.prepare(bench_subjects.make(name, None, None))
result = np.ascontiguousarray(run())
print("ready", hashlib.sha256(result.tobytes()).hexdigest(), flush=True)
for _ in sys.stdin:
    begun = time.perf_counter()
    run()
    print(time.perf_counter() - begun, flush=True)
"""


class Tree:
    """One case, prepared in a process that runs the code of one tree."""

    def __init__(self, root: Path, name: str, method: str) -> None:
        path = os.pathsep.join(str(root / folder) for folder in ("src", "benchmarks"))
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, name, method],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.result = self._answer().split()[-1]

    def run(self) -> float:
        """Run once; gives seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of a tree has ended.")
        return line


def compare(other: Path, name: str, method: str, rounds: int) -> dict[str, Any]:
    """Run one case in both trees in turns."""
    trees = {"before": Tree(other, name, method), "now": Tree(ROOT, name, method)}
    seconds: dict[str, list[float]] = {key: [] for key in trees}
    for number in range(rounds):
        for key in list(trees) if number % 2 else reversed(list(trees)):
            seconds[key].append(trees[key].run())
    for tree in trees.values():
        tree.close()
    least = {key: min(each) for key, each in seconds.items()}
    row = {
        "network": name,
        "method": method,
        "rounds": rounds,
        "seconds": least,
        "ratio": round(least["now"] / least["before"], 3),
        "same_result": trees["before"].result == trees["now"].result,
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Compare, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other tree")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    rows = [compare(given.other.resolve(), name, how, given.rounds * more) for name, how, more in CASES]
    commits = {
        key: subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=tree, capture_output=True, text=True, check=True
        ).stdout.strip()
        for key, tree in (("before", given.other), ("now", ROOT))
    }
    report = {"commits": commits, "machine": about_machine(), "rows": rows}
    given.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
