"""What SECURITY.md promises: whoever wrote a file, reading it runs no code of its, and costs little."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "hostile_files.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are reported on Linux")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Make hostile files of every kind, and have them read in a child process."""
    folder = tmp_path_factory.mktemp("hostile") / "files"
    child = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), str(folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    assert rows, child.stderr
    return {row["name"]: row for row in rows}


def test_no_hostile_file_runs_code_changes_anything_or_costs_much(ended: dict[str, dict[str, Any]]) -> None:
    faults = {name: row for name, row in ended.items() if row["fault"]}
    assert not faults, json.dumps(faults, indent=1)


def test_hostile_files_of_many_kinds_are_tried(ended: dict[str, dict[str, Any]]) -> None:
    assert len(ended) > 130
    assert sum(name.startswith("a package") for name in ended) >= 30
    assert sum(name.startswith("a bundle") for name in ended) >= 50
    assert ended["a good network"]["kind"] == "opened"


def test_costs_are_measured(ended: dict[str, dict[str, Any]]) -> None:
    assert sum(row["seconds"] for row in ended.values()) > 0
    assert max(row["bytes"] for row in ended.values()) > 0
