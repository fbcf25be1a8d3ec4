"""Make files of many hostile kinds, read each as the program does, and report how it ended and what it cost.

    python scripts/hostile_files.py FOLDER [--json]

Nothing in them harms: what would run leaves a mark in the folder, and what would be removed or overwritten
lies there too. They are read in a child process with a limit of memory. The exit code is 1 where code has
run, something was written or removed, a file got another answer than an error of the package, or took more
than 5 seconds of computing or 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS, BYTES = 5.0, 2**30
_ANSWERS = {"NetworkError", "UntrustedNetworkError", "StoreError", "SettingsError", "ImageError"}


def main() -> int:
    """Do what the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a new folder for the files")
    parser.add_argument("--json", action="store_true", help="write an object for each file")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        return _read(given.folder)
    rows = _judged(given.folder.absolute())
    for row in rows:
        cost = f"{row['seconds']:6.2f} s {row['bytes'] / 2**20:6.0f} MiB"
        print(
            json.dumps(row)
            if given.json
            else f"{row['fault'] or 'ok':<10} {cost}  {row['name']}: {row['kind']}"
        )
    return int(any(row["fault"] for row in rows))


def _read(folder: Path) -> int:
    """Read what was made, in this process."""
    from hostile.reading import read_all

    for row in read_all(folder / "cases.json"):
        print(json.dumps(row), flush=True)
    return 0


def _judged(folder: Path) -> list[dict[str, Any]]:
    """Make all, have a child read them, and name the fault of each that has one."""
    marks, may_open = _make(folder)
    before, home = _tree(folder), folder.with_name(f"{folder.name}-home")
    child = subprocess.run(
        [sys.executable, __file__, str(folder), "--read"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "TILESEG_HOME": str(home),
            "OMP_NUM_THREADS": "1",
        },
    )
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    changed = sorted(before.items() ^ _tree(folder).items())
    for row in rows:
        row["fault"] = _fault(row, marks[row["name"]], row["name"] in may_open)
    if child.returncode or changed:
        last = rows[-1]["name"] if rows else "the start"
        words = f"the reader ended after {last}: {child.stderr[-2000:]}" if child.returncode else str(changed)
        rows.append(
            {"name": "all", "kind": "", "answer": words, "seconds": 0, "bytes": 0, "fault": "crash or change"}
        )
    return rows


def _make(folder: Path) -> tuple[dict[str, Path], set[str]]:
    """Write all files and a list of them; return the mark of each, and which may be opened."""
    from hostile.bundles import BUNDLES
    from hostile.files import ARGUMENTS, HOSTILE, MAY_OPEN, Place
    from hostile.nnunet import NNUNET
    from hostile.packages import PACKAGES

    from napari_tileseg.nets import Description, save_network
    from napari_tileseg.nets.architectures.registry import build

    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "kept.txt").write_text("not yours", encoding="utf-8")
    good = folder / "good.safetensors"
    save_network(build("unet", **ARGUMENTS), good, Description(architecture="unet", arguments=ARGUMENTS))
    cases, marks = (
        [{"name": "a good network", "how": "network", "path": str(good)}],
        {"a good network": good / "0"},
    )
    for number, (name, hostile) in enumerate((HOSTILE | PACKAGES | NNUNET | BUNDLES).items()):
        place = Place(folder / str(number), folder / f"mark-{number}", outside)
        place.folder.mkdir()
        cases.append({"name": name, "how": hostile.how, "path": str(hostile.make(place)), **hostile.stated})
        marks[name] = place.mark
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    return marks, {"a good network", *MAY_OPEN}


def _tree(folder: Path) -> dict[str, int]:
    """Return every file below a folder, with its size."""
    return {str(path): path.lstat().st_size for path in folder.rglob("*")}


def _fault(row: dict[str, Any], mark: Path, may_open: bool) -> str:
    faults = {
        "ran": mark.exists(),
        "answer": row["kind"] not in (_ANSWERS | {"opened"} if may_open else _ANSWERS),
        "words": len(row["answer"]) > 3000,
        "slow": row["seconds"] > SECONDS,
        "memory": row["bytes"] > BYTES,
    }
    return ", ".join(name for name, found in faults.items() if found)


if __name__ == "__main__":
    sys.exit(main())
