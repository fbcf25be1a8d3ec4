"""Stores that are damaged, taken away while they are written, or complete already."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from napari_tileseg._progress import Noted
from napari_tileseg.cli import main
from napari_tileseg.errors import StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import Saved, Started, TileDone, open_prediction, predict_to_store
from napari_tileseg.prediction.store.store import grid_of
from napari_tileseg.settings import PredictSettings

#: Large enough for a pyramid of two levels.
IMAGE = Image(np.random.default_rng(0).integers(0, 999, (300, 280)).astype("u2"), "yx", name="cells")
SETTINGS = PredictSettings(core=(64, 64), device="cpu")
OUT = "out.ome.zarr"


def run(networks, path, image=IMAGE, settings=SETTINGS, network="batch"):
    return list(predict_to_store(image, networks[network], settings, path))


@pytest.fixture(scope="module")
def whole(networks, tmp_path_factory):
    """A complete store, and one with four tiles done."""
    folder = tmp_path_factory.mktemp("stores")
    run(networks, folder / "complete" / OUT)
    events = predict_to_store(IMAGE, networks["batch"], SETTINGS, folder / "begun" / OUT)
    for event in events:
        if isinstance(event, TileDone) and event.done == 4:
            events.close()
            break
    return folder


def set_json(*keys, value):
    """Put a value into JSON at a path of keys."""

    def change(text):
        values = inner = json.loads(text)
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return json.dumps(values)

    return change


OURS = ("attributes", "tileseg")
DAMAGE = {
    "attributes": ("zarr.json", set_json("attributes", value=5)),
    "attributes as a list": ("zarr.json", set_json("attributes", value=[])),
    "cut off": ("zarr.json", lambda text: text[: len(text) // 2]),
    "empty": ("zarr.json", lambda _: ""),
    "nested too deep": ("zarr.json", lambda _: "[" * 100_000),
    "ours is text": ("zarr.json", set_json(*OURS, value="tileseg")),
    "identity": ("zarr.json", set_json(*OURS, "identity", value=5)),
    "identity as pairs": ("zarr.json", set_json(*OURS, "identity", value=["ab", 3])),
    "normalization": ("zarr.json", set_json(*OURS, "normalization", value={"kind": 3})),
    "fallbacks": ("zarr.json", set_json(*OURS, "fallbacks", value=5)),
    "shape of level 0": ("0/zarr.json", set_json("shape", value="abc")),
    "shape of level 1": ("1/zarr.json", set_json("shape", value=[1, 2, -3])),
    "another shape": ("0/zarr.json", set_json("shape", value=[2, 300, 281])),
    "another type": ("0/zarr.json", set_json("data_type", value="uint8")),
    "chunks": ("0/zarr.json", set_json("chunk_grid", "configuration", "chunk_shape", value=[1, 10**30, 64])),
    "codecs": ("0/zarr.json", set_json("codecs", value=[{"name": "absent"}])),
    "type of a level": ("0/zarr.json", set_json("node_type", value="group")),
    "no level": ("0/zarr.json", lambda _: "null"),
}
QUANTILES = {"kind": "quantiles", "percentiles": [1.0, 99.8], "voxels": 9, "sampled": False}
ONE, TWO = {"offset": [1.0], "scale": [2.0]}, {"offset": [1.0, 1.0], "scale": [2.0, 2.0]}
#: What is possible by itself, and not what the same image, network and settings make of a prediction.
DISAGREEING = {
    "intensities of two channels": (("normalization",), {**QUANTILES, **TWO}),
    "intensities without numbers": (("normalization",), {**QUANTILES, "offset": [], "scale": []}),
    "other percentiles": (("normalization",), {**QUANTILES, **ONE, "percentiles": [2.0, 99.8]}),
    "intensities by another rule": (("normalization",), {**QUANTILES, **ONE, "kind": "zero_mean"}),
    "other classes": (("classes",), ["one", "another"]),
    "another activation": (("activation",), "none"),
    "another stride": (("grid", "stride"), [64, 64]),
    "another core": (("grid", "core"), [128, 64]),
    "another place": (("placement", "translation"), [1.0, 0.0]),
    "another voxel size": (("placement", "voxel_size"), [2.0, 1.0]),
    "another channel": (("source", "channels"), [3]),
    "another network": (("network", "sha256"), "0" * 64),
    "other settings": (("settings", "padding"), "edge"),
}


@pytest.mark.parametrize(("file", "change"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("which", ["complete", "begun"])
def test_a_damaged_store_says_so_and_stays(networks, whole, tmp_path, which, file, change):
    path = tmp_path / OUT
    shutil.copytree(whole / which / OUT, path)
    (path / file).write_text(change((path / file).read_text()))
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    if which == "begun" or file == "zarr.json":
        with pytest.raises(StoreError, match=r"is damaged.* Remove it, or choose another location\."):
            run(networks, path)
        assert {each: each.read_bytes() for each in path.rglob("*") if each.suffix == ".json"} == {
            each: content for each, content in before.items() if each.suffix == ".json"
        }
    if which == "complete" and file != "zarr.json":
        with pytest.raises(StoreError, match="is damaged"):
            read_all(path)


@pytest.mark.parametrize(("keys", "value"), DISAGREEING.values(), ids=DISAGREEING)
@pytest.mark.parametrize("which", ["complete", "begun"])
def test_a_store_that_contradicts_itself_is_neither_complete_nor_resumed(
    networks, whole, tmp_path, which, keys, value
):
    path = tmp_path / OUT
    shutil.copytree(whole / which / OUT, path)
    file = path / "zarr.json"
    file.write_text(set_json(*OURS, *keys, value=value)(file.read_text()))
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"is damaged.* Remove it, or choose another location\."):
        run(networks, path)
    assert file.read_bytes() == before


@pytest.mark.parametrize("level", ["0", "1"])
def test_a_complete_store_without_a_level_is_not_complete(networks, whole, tmp_path, level):
    path = tmp_path / OUT
    shutil.copytree(whole / "complete" / OUT, path)
    shutil.rmtree(path / level)
    run(networks, path)
    assert same_values(path, whole / "complete" / OUT)


def read_all(path):
    store = open_prediction(path)
    for level in store.levels:
        level[()]


@pytest.mark.parametrize("which", ["complete", "begun"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 30, b"(\xb5/\xfd"], ids=["empty", "zeros", "cut off"])
def test_a_damaged_chunk_says_so_where_it_is_read(whole, tmp_path, which, content):
    path = tmp_path / OUT
    shutil.copytree(whole / which / OUT, path)
    chunk = next(file for file in sorted((path / "0" / "c").rglob("*")) if file.is_file())
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        open_prediction(path).view()[()]


#: Reads the predictions that are named, and says how that ended.
READ = """
import sys
from napari_tileseg.errors import StoreError
from napari_tileseg.prediction import open_prediction
for path in sys.argv[1:]:
    try:
        open_prediction(path).view()[()]
        print("read", flush=True)
    except StoreError as error:
        print(error, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(whole, tmp_path):
    parts = ["0/zarr.json", "0/c/0/0/0"]
    for number, part in enumerate(parts):
        path = tmp_path / f"{number}.ome.zarr"
        shutil.copytree(whole / "complete" / OUT, path)
        (path / part).unlink()
        os.mkfifo(path / part)
    stores = [*sorted(tmp_path.iterdir()), whole / "complete" / OUT]
    command = [sys.executable, "-c", READ, *map(str, stores)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    *damaged, fine = ended.stdout.splitlines()
    assert fine == "read"
    assert ["is damaged" in said and "a pipe" in said for said in damaged] == [True, True]


@pytest.mark.parametrize(
    "lines", [b"9 9\n", b"x\n", b"\xff\xfe\n0 0\n", b"1" * 5000 + b" 0\n", b"0 0 0\n", b"\n"]
)
def test_a_damaged_journal_costs_time_only(networks, whole, tmp_path, lines):
    path = tmp_path / OUT
    shutil.copytree(whole / "begun" / OUT, path)
    (path / "tiles_done.txt").write_bytes(lines)
    assert open_prediction(path).done() <= {(0, 0)}
    assert run(networks, path)[-1].tiles_computed >= 24
    assert same_values(path, whole / "complete" / OUT)


def same_values(first, second):
    stores = [open_prediction(path) for path in (first, second)]
    pairs = zip(*(store.levels for store in stores), strict=True)
    return all(np.array_equal(a[()], b[()], equal_nan=False) for a, b in pairs)


def remove(*parts):
    def act(path):
        part = path.joinpath(*parts)
        shutil.rmtree(part) if part.is_dir() else part.unlink()

    return act


def replace_folder(path):
    path.rename(path.with_name("elsewhere"))
    path.mkdir()


TAKEN = {
    "removed": remove(),
    "renamed": lambda path: path.rename(path.with_name("elsewhere")),
    "replaced": replace_folder,
    "metadata": remove("zarr.json"),
    "level": remove("0"),
    "metadata of a level": remove("0", "zarr.json"),
    "coarser level": remove("1"),
    "metadata of a coarser level": remove("1", "zarr.json"),
    "journal": remove("tiles_done.txt"),
    "lock": remove("writer.lock"),
    "chunks": remove("0", "c"),
    "chunk": lambda path: remove(
        next(p for p in sorted((path / "0").rglob("*")) if p.name == "0" and p.is_file())
    )(path),
}


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_what_is_taken_away_is_noticed_and_the_same_call_completes_it(networks, whole, tmp_path, take):
    path, after = tmp_path / OUT, []
    events = predict_to_store(IMAGE, networks["batch"], SETTINGS, path)

    def go_on():
        for event in events:
            if isinstance(event, TileDone):
                if event.done == 6:
                    take(path)
                if event.done >= 6:
                    after.append(event)

    with pytest.raises(StoreError, match=r"removed .*while it was being written") as caught:
        go_on()
    assert str(caught.value).count(". ") == 1
    # The next tile may be on its way to the disk already. Single chunks are counted at the end.
    alone = take in (TAKEN["chunk"], TAKEN["chunks"])
    assert alone or len(after) <= 2
    assert run(networks, path)[-1].tiles == 25
    assert same_values(path, whole / "complete" / OUT)
    assert [each.name for each in path.iterdir() if each.name in {"tiles_done.txt", "writer.lock"}] == []


def test_somebody_elses_files_are_never_taken_for_remains(networks, tmp_path):
    path = tmp_path / OUT
    (path / "0" / "c").mkdir(parents=True)
    (path / "0" / "notes.txt").write_text("mine")
    (path / "tiles_done.txt").write_text("")
    with pytest.raises(StoreError, match="something else, which was not touched"):
        run(networks, path)
    assert (path / "0" / "notes.txt").read_text() == "mine"


def test_a_complete_result_is_said_to_be_there_and_nothing_is_measured(networks, whole, tmp_path):
    class Counted:
        shape, dtype = IMAGE.shape, IMAGE.dtype
        read = 0

        def __getitem__(self, key):
            values = IMAGE.data[key]
            self.read += values.size
            return values

    path = tmp_path / OUT
    shutil.copytree(whole / "complete" / OUT, path)
    source = Counted()
    events = run(networks, path, image=replace(IMAGE, data=source))
    assert [type(each) for each in events] == [Started, Saved]
    assert (events[-1].tiles, events[-1].tiles_computed) == (25, 0)
    assert source.read <= 34 * 16 * 16
    assert not any(isinstance(each, Noted) for each in events)


def test_the_shell_says_that_it_was_there(networks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("cells.npy", np.asarray(IMAGE.data))
    args = ["predict", "cells.npy", networks["batch"].reference.path, "-o", OUT, "--device", "cpu"]
    first, second = (CliRunner().invoke(main, args) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), second.output
    assert "computed now, in" in first.stdout
    assert "It was there already" in second.stdout
    reports = [json.loads(CliRunner().invoke(main, [*args, "--json"]).stdout) for _ in range(2)]
    assert reports[0]["tiles_computed"] == 0
    assert reports[0]["cost"] == reports[1]["cost"] >= 1


OTHER = replace(IMAGE, data=np.asarray(IMAGE.data) // 2)
CHANGED = {
    "voxels": ({"image": OTHER}, "the voxels of cells have changed"),
    "size": ({"image": replace(IMAGE, data=np.asarray(IMAGE.data)[:288])}, "shape of cells was 300,280"),
    "voxel size": ({"image": replace(IMAGE, voxel_size=(2.0, 1.0))}, "voxel size of cells was 1.0,1.0"),
    "units": ({"image": replace(IMAGE, units=("micrometer",) * 2)}, "units of cells was pixel,pixel"),
    "network": ({"network": "instance"}, "the network was batch"),
    "core": ({"settings": replace(SETTINGS, core=(32, 64))}, "core was 64,64 and now is 32,64"),
    "halo": ({"settings": replace(SETTINGS, halo=((8, 8), (8, 8)))}, "and now is 8:8,8:8"),
    "box": ({"settings": replace(SETTINGS, box=((0, 64), (0, 64)))}, "box was not set and now is 0:64,0:64"),
    "padding": ({"settings": replace(SETTINGS, padding="edge")}, "padding was reflect and now is edge"),
    "quantiles": (
        {"settings": replace(SETTINGS, quantiles=(2.0, 99.0))},
        "was 1.0,99.8 and now is 2.0,99.0",
    ),
}


@pytest.mark.parametrize(("now", "words"), CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("which", ["complete", "begun"])
def test_what_differs_is_named_in_words(networks, whole, which, now, words):
    with pytest.raises(StoreError, match="another kind") as caught:
        run(networks, whole / which / OUT, **now)
    assert words in str(caught.value)
    assert not any(len(word) > 40 and "/" not in word for word in str(caught.value).split())


@pytest.mark.parametrize("part", ["shape", "core", "stride", "minimum", "halo"])
def test_tiles_lie_at_whole_numbers(part):
    values = {"shape": [8.0], "core": [4.0], "stride": [2.0], "minimum": [2.0], "halo": [[1.0, 1.0]]}
    whole = {"shape": [8], "core": [4], "stride": [2], "minimum": [2], "halo": [[1, 1]]}
    box = {"box": {"start": [0], "stop": [8]}}
    assert grid_of({**whole, **box}).core == (4,)
    with pytest.raises(TypeError):
        grid_of({**whole, **box, part: values[part]})
