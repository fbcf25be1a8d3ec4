"""Drafts have an owner: nothing is left behind, and of several that start at once one wins."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._files import write_bytes
from napari_tileseg.cli.files.heatmap_file import write_heatmap
from napari_tileseg.cli.files.sample_files import write_sample
from napari_tileseg.diagnosis.report.page import Section, write_page
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import open_prediction, predict_to_store
from napari_tileseg.samples import cells_image
from napari_tileseg.session.project.network_files import copied
from napari_tileseg.session.project.project import copy_store
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box
from napari_tileseg.training.checkpoints import LAST, write_checkpoint

#: Begins a draft, says its name, and is killed.
KILLED = """
import os, signal, sys
from pathlib import Path
from napari_tileseg._drafts import drafted
with drafted(Path(sys.argv[1])) as draft:
    if sys.argv[2] == "folder":
        (draft / "0").mkdir(parents=True)
        (draft / "0" / "part").write_text("half")
    else:
        draft.write_text("half")
    print(draft, flush=True)
    if sys.argv[3] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""
IMAGE = Image(np.random.default_rng(0).integers(0, 99, (40, 36)).astype("u1"), "yx")
SETTINGS = PredictSettings(core=(16, 16), device="cpu")
SAMPLE = cells_image((32, 32))


def leave_draft(target, kind="folder"):
    process = subprocess.run(
        [sys.executable, "-c", KILLED, target, kind, "killed"], capture_output=True, text=True, check=False
    )
    draft = Path(process.stdout.strip())
    assert draft.exists()
    return draft


def predict(networks, target):
    list(predict_to_store(IMAGE, networks["batch"], SETTINGS, target))


def heatmap(_networks, target):
    values = da.zeros((2, 40, 36), dtype="float32")
    write_heatmap(values, IMAGE, Box.of_shape(IMAGE.shape), ("a", "b"), target, lambda: None)


def sample(_networks, target):
    write_sample(SAMPLE, target)


def save_as(networks, target):
    source = target.parent / "source.ome.zarr"
    if not source.exists():
        predict(networks, source)
    list(copy_store(source, target))


def copy_network(networks, target):
    list(copied(Path(networks["batch"].reference.path), target))


def report(_networks, target):
    write_page(target.parent, "title", None, [Section(title="a")], {"a": 1})


def checkpoint(_networks, target):
    write_checkpoint(target.parent, {"a": 1})


def plain(_networks, target):
    write_bytes(target, b"whole")


#: What writes, its name, and whether a second one after it is refused.
WRITERS = {
    "prediction": (predict, "out.ome.zarr", False),
    "heatmap": (heatmap, "map.ome.zarr", True),
    "sample as zarr": (sample, "cells.ome.zarr", True),
    "sample as tiff": (sample, "cells.tif", True),
    "labels of a sample": (sample, "cells_labels.tif", True),
    "save as": (save_as, "saved.ome.zarr", True),
    "network": (copy_network, "n.safetensors", False),
    "page": (report, "report.html", False),
    "values": (report, "report.json", False),
    "checkpoint": (checkpoint, LAST, False),
    "file": (plain, "a.json", False),
    "name of the longest kind": (plain, "a" * 240 + ".json", False),
}


def hidden(folder):
    return [path.name for path in folder.rglob(".*")]


@pytest.mark.parametrize(("write", "name", "_"), WRITERS.values(), ids=WRITERS)
def test_what_a_killed_process_leaves_is_removed_by_the_next_one(tmp_path, networks, write, name, _):
    leave_draft(tmp_path / name, "file" if write is plain else "folder")
    target = tmp_path / ("cells.tif" if name == "cells_labels.tif" else name)
    write(networks, target)
    assert target.exists()
    assert hidden(tmp_path) == []


def test_what_was_laid_out_in_an_empty_folder_is_nothing(tmp_path, networks):
    out = tmp_path / "out.ome.zarr"
    out.mkdir()
    draft = leave_draft(out)
    assert draft.parent == out
    assert is_vacant(out)
    predict(networks, out)
    assert hidden(out) == []
    mine = tmp_path / "mine"
    (mine / ".other.host.12.0123456789abcdef.draft").mkdir(parents=True)
    assert not is_vacant(mine)
    with pytest.raises(StoreError, match="something else"):
        predict(networks, mine)


def test_a_draft_whose_owner_lives_is_left_alone(tmp_path):
    target = tmp_path / "out.ome.zarr"
    command = [sys.executable, "-c", KILLED, target, "folder", "waits"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        draft = Path(owner.stdout.readline().strip())
        with pytest.raises(StoreError, match=r"Another tileseg is writing .*out\.ome\.zarr"):
            drafted(target, patience=0).__enter__()
        assert (draft / "0" / "part").exists()
        owner.stdin.close()
        assert owner.wait() == 0
    assert (target / "0" / "part").read_text() == "half"
    assert hidden(tmp_path) == []


def test_drafts_of_another_machine_are_left_alone_for_a_day(tmp_path):
    token = "0123456789abcdef.draft"
    fresh, old = tmp_path / f".a.json.elsewhere.1.{token}", tmp_path / f".a.json.else-where.2.{token}"
    strange = tmp_path / ".a.json.draft"
    for path in (fresh, old, strange):
        path.write_text("half")
    os.utime(old, (1, 1))
    write_bytes(tmp_path / "a.json", b"1")
    assert sorted(hidden(tmp_path)) == sorted([fresh.name, strange.name])


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_whatever_ends_it_nothing_is_left(tmp_path, error):
    target = tmp_path / "a.json"
    target.write_text("before")

    def fail():
        with drafted(target) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "before"
    assert hidden(tmp_path) == []


def together(starts):
    """Let threads begin at the same moment; give what each raised, or None."""
    barrier, ended = threading.Barrier(len(starts)), [None] * len(starts)

    def run(number, start):
        barrier.wait()
        try:
            start()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            ended[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(starts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


CLEAR = re.compile(r"Another tileseg is writing|is being written by another|already")


@pytest.mark.parametrize(("write", "name", "refuses"), WRITERS.values(), ids=WRITERS)
def test_of_threads_that_start_at_once_one_wins(tmp_path, networks, write, name, refuses):
    target = tmp_path / ("cells.tif" if name == "cells_labels.tif" else name)
    if write is save_as:
        predict(networks, tmp_path / "source.ome.zarr")
    ended = together([lambda: write(networks, target)] * 6)
    errors = [error for error in ended if error is not None]
    assert len(errors) == (5 if refuses else 0), errors
    for error in errors:
        assert isinstance(error, StoreError), repr(error)
        assert CLEAR.search(str(error)), str(error)
    assert target.exists()
    assert hidden(tmp_path) == []
    if write is predict:
        assert open_prediction(target).complete


#: Starts with others once its input ends; says which paths were vacant when it came to them.
STARTS = """
import sys
from pathlib import Path
from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._files import write_bytes
folder, number = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.read()
for name in ("one", "two", "three"):
    with drafted(folder / name) as draft:
        if is_vacant(folder / name):
            draft.mkdir()
            (draft / "who").write_text(number)
            print(name)
    write_bytes(folder / "shared", number.encode() * 1000)
"""


def test_of_processes_that_start_at_once_one_wins(tmp_path):
    gate, release = os.pipe()
    command = [sys.executable, "-c", STARTS, tmp_path]
    processes = [
        subprocess.Popen([*command, str(n)], stdin=gate, stdout=subprocess.PIPE, text=True) for n in range(6)
    ]
    os.close(gate)
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 6
    os.close(release)
    won = [name for process in processes for name in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 6
    assert sorted(won) == ["one", "three", "two"]
    shared = (tmp_path / "shared").read_text()
    assert (len(set(shared)), len(shared)) == (1, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "shared", "three", "two"]


LOOP = """
import sys
from pathlib import Path
from napari_tileseg._files import write_bytes
while True:
    for each in b"01":
        write_bytes(Path(sys.argv[1]), bytes([each]) * 1000)
        print(flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_at_any_moment_leaves_old_or_new(tmp_path):
    target = tmp_path / "a.json"
    for wait in range(5):
        with subprocess.Popen([sys.executable, "-c", LOOP, target], stdout=subprocess.PIPE) as process:
            for _ in range(wait + 1):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert target.read_bytes() in {b"0" * 1000, b"1" * 1000}
    write_bytes(target, b"2")
    assert hidden(tmp_path) == []
