"""How much memory the control groups of a process leave, as clusters and containers set them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

#: Names of the files of version 2 and version 1: limit, use, and the line of statistics for memory that is
#: given back when it is needed, such as that of files that were read.
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def left_of_job(process: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that a process may still take: the least that its group and those above it leave.

    Parameters
    ----------
    process : Path, optional
        File that names the groups of the process.
    root : Path, optional
        Folder of all groups.

    Returns
    -------
    int
        `sys.maxsize` where nothing is limited, as on systems without control groups.
    """
    try:
        lines = process.read_text().splitlines()
    except OSError:
        return sys.maxsize
    return min((_left(folder, version) for folder, version in _groups(lines, root)), default=sys.maxsize)


def _groups(lines: list[str], root: Path) -> Iterator[tuple[Path, int]]:
    """Generate the folders of the groups that limit memory, each with those above it."""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, base = (1, root / "memory") if controllers else (2, root)
        folder = base / path.lstrip("/")
        yield from ((each, version) for each in (folder, *folder.parents) if each.is_relative_to(base))


def _left(folder: Path, version: int) -> int:
    limit, use, reclaimable = _FILES[version]
    try:
        left = int((folder / limit).read_text()) - int((folder / use).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # such as "max", or a group that is not seen in a container
        return sys.maxsize
    return max(0, left) + int(statistics.get(reclaimable, 0))
