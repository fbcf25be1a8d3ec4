"""Damaged files end with an error of ours; and what damages and counts them counts right."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
#: Four ways of ending, told from the file that was to be damaged.
ENDINGS = """
import json, os, sys, tempfile, time
from pathlib import Path
sys.path.insert(0, {scripts!r})
from fuzzing import workers
from fuzzing.kinds import Kind
from napari_tileseg.errors import ImageError, StoreError

def make(folder):
    (folder / "a.txt").write_text("whole " * 9)

def reading(how):
    def read(folder):
        if (folder / "a.txt").read_bytes() != b"whole " * 9:
            how()
    return read

def answer(kind):
    raise kind("damaged")

def loop():
    while True:
        pass

workers.SECONDS = 0.2
ways = {{"ok": int, "answered": lambda: answer(ImageError), "other": lambda: [][1],
        "wrong": lambda: answer(StoreError), "crash": os.abort, "hang": loop, "left": lambda: sys.exit(3)}}
kinds = [Kind(name=name, make=make, damaged=("*.txt",), read=reading(how), answers=(ImageError,), share=1)
         for name, how in ways.items()]
with tempfile.TemporaryDirectory() as folder:
    workers.make_specimens(kinds, Path(folder, "specimens"))
    cases = [workers.Case(kind.name, number, 0) for kind in kinds for number in range(3)]
    print(json.dumps([[e.case.kind, e.outcome] for e in workers.run_cases(kinds, cases, Path(folder))]))
"""


def python(*args):
    process = subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False)
    return process.returncode, process.stdout, process.stderr


def test_each_way_of_ending_is_counted_as_what_it_is():
    code, stdout, stderr = python("-c", ENDINGS.format(scripts=str(SCRIPTS)))
    assert code == 0, stderr
    expected = {"wrong": "other", "left": "other"}
    ended = json.loads(stdout)
    assert len(ended) == 21
    assert [each for each in ended if each[1] != expected.get(each[0], each[0])] == []


def test_the_same_seed_damages_alike(tmp_path):
    for place in ("first", "second"):
        code, _, stderr = python(SCRIPTS / "fuzz.py", "--case", "recipe", "4", "--at", tmp_path / place)
        assert code in {0, 1}, stderr
    first, second = ((tmp_path / place / "recipe.yaml").read_bytes() for place in ("first", "second"))
    assert first == second


def test_a_thousand_damaged_files_end_in_words():
    code, stdout, stderr = python(SCRIPTS / "fuzz.py", "--count", "1000", "--json")
    assert stdout, stderr
    found = json.loads(stdout)
    assert found["faults"] == []
    assert code == 0
    assert found["ok"] + found["answered"] == 1000
    assert all(row["answered"] + row["ok"] for row in found["kinds"].values())
