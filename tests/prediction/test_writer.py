import copy
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image as OMEImage
from zarr.storage import LocalStore

from napari_tileseg._progress import Noted, drain
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import (
    Saved,
    Started,
    TileDone,
    TileOrder,
    open_prediction,
    plan_tiles,
    predict,
    predict_to_store,
    write_prediction,
)
from napari_tileseg.prediction.plan.measuring import plan_prediction
from napari_tileseg.prediction.plan.plan import lay_plan
from napari_tileseg.prediction.store import lock
from napari_tileseg.prediction.store.pyramid import fill_level, mean_of_pairs, plan_levels
from napari_tileseg.prediction.store.store import levels_of
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

CORE = PredictSettings(core=(8, 16, 16))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _whole_image(image, network, settings):
    """The network on the whole padded image, without tiles."""
    plan = drain(plan_prediction(image, network, settings, route=WHOLE_TILES))
    values = plan.prepared.read(Box.of_shape(plan.grid.padded_shape))
    dtype = torch.float64 if settings.dtype == "float64" else torch.float32
    with torch.no_grad():
        module = network.module if dtype == torch.float32 else _double(network)
        logits = module(torch.from_numpy(values[np.newaxis]).to(dtype))
        output = torch.softmax(logits, 1) if network.spec.activation == "softmax" else logits
    return output.numpy()[0][(slice(None), *plan.grid.box.slices)]


def _double(network):
    return copy.deepcopy(network.module).double()


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "identity"])
def test_the_store_holds_the_whole_images_prediction(tmp_path, make_network, volume, norm):
    network = make_network(3, norm=norm)
    settings = replace(CORE, dtype="float64")
    events = list(predict_to_store(volume, network, settings, tmp_path / "out.zarr"))
    store = open_prediction(tmp_path / "out.zarr")
    expected = _whole_image(volume, network, settings)
    assert expected.std() > 0.01
    assert np.abs(np.asarray(store.view()) - expected).max() <= 1e-10
    assert isinstance(events[-1], Saved)
    assert (events[-1].tiles, events[-1].tiles_computed) == (12, 12)
    assert [e.done for e in events if isinstance(e, TileDone)] == list(range(1, 13))
    assert store.provenance["exact"]


def test_a_halo_one_stride_short_is_seen(tmp_path, make_network, volume):
    network = make_network(3, activation="none")
    need = plan_tiles(volume, network.spec).grid.aligned_halo
    short = replace(CORE, dtype="float64", halo=(need[0], (need[1][0] - 4, need[1][1]), need[2]))
    errors = {}
    for name, settings in {"short": short, "enough": replace(short, halo=need)}.items():
        list(predict_to_store(volume, network, settings, tmp_path / name))
        values = np.asarray(open_prediction(tmp_path / name).view())
        errors[name] = np.abs(values - _whole_image(volume, network, settings)).max()
    assert errors["enough"] <= 1e-12
    assert errors["short"] >= 1e-8


def test_the_store_is_an_ome_zarr_in_the_images_place(tmp_path, make_network):
    voxels = np.random.default_rng(0).integers(0, 99, (600, 520)).astype("u1")
    image = Image(
        voxels,
        "yx",
        voxel_size=(0.5, 0.25),
        translation=(3.0, 4.0),
        units=("micrometer",) * 2,
        affine=((0.8, -0.6, 0), (0.6, 0.8, 0), (0, 0, 1)),
    )
    network = make_network(2, classes=("nucleus", "rest"))
    settings = PredictSettings(box=((200, 600), (0, 520)), core=(128, 256))
    list(predict_to_store(image, network, settings, tmp_path / "out.ome.zarr"))
    model = OMEImage.from_zarr(zarr.open_group(tmp_path / "out.ome.zarr", mode="r"))
    (multiscale,) = model.ome_attributes.multiscales
    assert [(a.name, a.type, a.unit) for a in multiscale.axes][1:] == [
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    first, second, *_ = (d.coordinateTransformations for d in multiscale.datasets)
    assert (first[0].scale, first[1].translation) == ([1, 0.5, 0.25], [0, 103, 4])
    # Only x is halved while y's voxels are twice as large.
    assert (second[0].scale, second[1].translation) == ([1, 0.5, 0.5], [0, 103, 4.125])
    assert [c["label"] for c in model.ome_attributes.omero["channels"]] == ["nucleus", "rest"]
    store = open_prediction(tmp_path / "out.ome.zarr")
    assert store.image.affine == image.affine
    assert (store.image.voxel_size, store.image.translation) == ((0.5, 0.25), (103.0, 4.0))
    assert store.image.units == image.units
    assert store.classes == ("nucleus", "rest")
    assert store.grid == plan_tiles(image, network.spec, settings).grid
    assert store.provenance["network"]["sha256"] == network.sha256
    assert store.complete
    full, half = np.asarray(store.levels[0]), np.asarray(store.levels[1])
    np.testing.assert_allclose(half, full.reshape(2, 400, 260, 2).mean(axis=-1), atol=1e-7)


def test_time_and_slices_are_independent(tmp_path, make_network):
    voxels = np.random.default_rng(0).integers(0, 99, (3, 2, 24, 20)).astype("u1")
    image, network = Image(voxels, "tzyx"), make_network(2)
    list(predict_to_store(image, network, None, tmp_path / "out"))
    store = open_prediction(tmp_path / "out")
    assert zarr.open_array(tmp_path / "out" / "0", mode="r").shape == (3, 2, 2, 24, 20)
    assert store.view().shape == (2, 3, 2, 24, 20)
    normalization = drain(plan_prediction(image, network, route=WHOLE_TILES)).normalization
    for t in range(3):
        sheet = normalization.apply(voxels[t, 1][np.newaxis])
        with torch.no_grad():
            expected = torch.softmax(network.module(torch.from_numpy(sheet[np.newaxis])), 1)[0].numpy()
        np.testing.assert_allclose(store.view()[:, t, 1], expected, atol=1e-5)
        np.testing.assert_allclose(store.view()[0, t, -1, 3:9], expected[0, 3:9], atol=1e-5)


def test_what_is_not_done_is_nan_and_zero_is_written(tmp_path, make_network, volume):
    run = predict_to_store(volume, make_network(3), CORE, tmp_path / "out")
    for event in run:
        if isinstance(event, TileDone):
            run.close()
            break
    store = open_prediction(tmp_path / "out")
    assert store.done() == {(0, 0, 0)}
    assert not store.complete
    values = store.view()[...]
    assert np.isfinite(values[:, :8, :16, :16]).all()
    assert np.isnan(values[:, 8:]).all()
    assert np.isnan(values[:, :, 16:]).all()


def test_a_chunk_of_zeros_is_a_result(tmp_path, make_network, volume):
    network = make_network(3, activation="none")
    module = torch.nn.Conv3d(1, 2, 1).requires_grad_(False)
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    list(predict_to_store(volume, replace(network, module=module), CORE, tmp_path / "out"))
    assert (np.asarray(open_prediction(tmp_path / "out").view()) == 0).all()
    assert len(list((tmp_path / "out" / "0" / "c").rglob("*/*/*/*"))) == 2 * 12


def test_a_stopped_run_goes_on_and_leaves_the_same_bytes(tmp_path, make_network, volume):
    network = make_network(3)
    list(predict_to_store(volume, network, CORE, tmp_path / "a"))
    run = predict_to_store(volume, network, CORE, tmp_path / "b")
    assert sum(isinstance(next(run), TileDone) for _ in range(6)) == 4
    run.close()
    with (tmp_path / "b" / "tiles_done.txt").open("a") as journal:
        journal.write("1 1")  # torn
    (tmp_path / "b" / "0" / "c" / "0.deadbeef.partial").write_bytes(b"torn")
    events = list(predict_to_store(volume, network, CORE, tmp_path / "b"))
    assert Started(12, 4) in events
    assert events[-1].tiles_computed == sum(isinstance(event, TileDone) for event in events) == 8
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    again = list(predict_to_store(volume, network, CORE, tmp_path / "b"))
    assert again[-1].tiles_computed == 0
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


def test_two_writers_never_share_a_store(tmp_path, make_network, volume, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    network, path = make_network(3), tmp_path / "out"
    first = predict_to_store(volume, network, CORE, path)
    while not isinstance(next(first), TileDone):
        pass
    with pytest.raises(StoreError, match="being written by another"):
        list(predict_to_store(volume, network, CORE, path))
    assert len(list(first)) > 10
    list(predict_to_store(volume, network, CORE, tmp_path / "alone"))
    assert _files(path) == _files(tmp_path / "alone")


@pytest.mark.parametrize("finished", [True, False])
def test_a_tile_whose_chunk_is_gone_is_done_again(tmp_path, make_network, volume, finished):
    network, path = make_network(3), tmp_path / "out"
    list(predict_to_store(volume, network, CORE, tmp_path / "whole"))
    run = predict_to_store(volume, network, CORE, path)
    for event in run:
        if not finished and isinstance(event, TileDone) and event.done == 9:
            run.close()
    (path / "0" / "c" / "1" / "0" / "1" / "0").unlink()
    if not finished:
        with (path / "tiles_done.txt").open("ab") as journal:
            journal.write(b"\0\0\xff\n0 7 7\n")
    events = list(predict_to_store(volume, network, CORE, path))
    assert events[-1].tiles_computed == (1 if finished else 4)
    assert _files(path) == _files(tmp_path / "whole")


def test_an_empty_folder_is_filled_and_stays_the_same_one(tmp_path, make_network, volume, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    for place in (Path(), tmp_path / "link", tmp_path / "a b" / "é.zarr"):
        list(predict_to_store(volume, make_network(3), CORE, place))
        assert open_prediction(place).complete
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a b", "here", "link", "there"]


def _refuse(monkeypatch, folder):
    """Let nothing be made in a folder, as the operating system does where one may not write."""

    def refusing(call, which):
        def guarded(*places, **how):
            if Path(places[which]).parent == folder:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(places[which]))
            return call(*places, **how)

        return guarded

    monkeypatch.setattr(os, "mkdir", refusing(os.mkdir, 0))
    monkeypatch.setattr(os, "rename", refusing(os.rename, 1))


def test_an_empty_folder_needs_no_parent_that_can_be_written(tmp_path, make_network, volume, monkeypatch):
    network, out = make_network(3), tmp_path / "out.zarr"
    out.mkdir()
    with monkeypatch.context() as patch:
        _refuse(patch, tmp_path)
        assert isinstance(list(predict_to_store(volume, network, CORE, out))[-1], Saved)
        with pytest.raises(StoreError, match=r"cannot be written.*Permission denied"):
            list(predict_to_store(volume, network, CORE, tmp_path / "new.zarr"))
    list(predict_to_store(volume, network, CORE, tmp_path / "other.zarr"))
    assert _files(out) == _files(tmp_path / "other.zarr")


def test_a_journal_that_somebody_reads_is_removed_the_next_time(tmp_path, make_network, volume, monkeypatch):
    """Windows removes no file that is open."""
    network, out, unlink = make_network(3), tmp_path / "out.zarr", Path.unlink

    def held(path, **how):
        if path.name == "tiles_done.txt":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        unlink(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", held)
        assert isinstance(list(predict_to_store(volume, network, CORE, out))[-1], Saved)
    assert open_prediction(out).complete
    assert (out / "tiles_done.txt").exists()
    assert list(predict_to_store(volume, network, CORE, out))[-1].tiles_computed == 0
    assert not (out / "tiles_done.txt").exists()


KILLED = """
import os, signal, sys
import numpy as np
from napari_tileseg.images.image import Image
from napari_tileseg.nets import open_network
from napari_tileseg.prediction import TileDone, predict_to_store
from napari_tileseg.settings import PredictSettings
network, source, out, last = sys.argv[1:]
image = Image(np.load(source, mmap_mode="r"), "zyx", name="volume")
for event in predict_to_store(image, open_network(network), PredictSettings(core=(8, 16, 16)), out):
    if isinstance(event, TileDone) and event.done == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_tile_and_changes_no_byte(tmp_path, make_network, volume):
    network = make_network(3)
    np.save(tmp_path / "image.npy", volume.data)
    arguments = [network.reference.path, tmp_path / "image.npy", tmp_path / "killed"]
    run = [sys.executable, "-c", KILLED, *map(str, arguments)]
    for last in ("5", "9"):
        ended = subprocess.run([*run, last], check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    image = Image(np.load(tmp_path / "image.npy", mmap_mode="r"), "zyx", name="volume")
    assert len(open_prediction(tmp_path / "killed").done()) == 9
    events = list(predict_to_store(image, network, CORE, tmp_path / "killed"))
    assert events[-1].tiles_computed == sum(isinstance(event, TileDone) for event in events) == 3
    list(predict_to_store(image, network, CORE, tmp_path / "undisturbed"))
    assert _files(tmp_path / "killed") == _files(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"core": (8, 8, 16)}, "core was"),
        ({"dtype": "float64"}, "dtype was float32 and now is float64"),
        ({"normalize": "zero_mean"}, "normalize was"),
        ({"network": "other"}, "network was"),
        ({"image": "other"}, "the voxels of volume"),
    ],
)
def test_another_request_is_never_mixed_in(tmp_path, make_network, volume, change, match):
    path = tmp_path / "out"
    list(predict_to_store(volume, make_network(3), CORE, path))
    before = _files(path)
    network = make_network(3, norm="identity") if "network" in change else make_network(3)
    image = replace(volume, data=volume.data + 1) if "image" in change else volume
    settings = replace(CORE, **{k: v for k, v in change.items() if k not in {"network", "image"}})
    with pytest.raises(StoreError, match=match):
        list(predict_to_store(image, network, settings, path))
    assert _files(path) == before
    device = replace(CORE, device="cpu", batch=2)
    assert list(predict_to_store(volume, make_network(3), device, path))[-1].tiles_computed == 0


def test_something_else_in_the_place_is_not_touched(tmp_path, make_network, volume):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not touch")
    zarr.create_array(tmp_path / "other.zarr", shape=(3,), dtype="f4")
    zarr.create_group(tmp_path / "group.zarr")
    (tmp_path / "file").write_text("a file")
    before = _files(tmp_path)
    for name in ("mine", "other.zarr", "group.zarr", "file"):
        with pytest.raises(StoreError, match=r"something else|should be a prediction"):
            list(predict_to_store(volume, make_network(3), CORE, tmp_path / name))
    assert _files(tmp_path) == before
    (tmp_path / "empty").mkdir()
    assert isinstance(list(predict_to_store(volume, make_network(3), CORE, tmp_path / "empty"))[-1], Saved)


def test_a_full_disk_is_told_and_the_rest_is_done_later(tmp_path, make_network, volume, monkeypatch):
    network, put, calls = make_network(3), LocalStore.set, []

    async def full(self, key, *args, **kwargs):
        if "/c/" in key:
            calls.append(key)
            if len(calls) > 9:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await put(self, key, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(StoreError, match=r"full.*same command again"):
            list(predict_to_store(volume, network, CORE, tmp_path / "out"))
    done = open_prediction(tmp_path / "out").done()
    assert 0 < len(done) < 12
    events = list(predict_to_store(volume, network, CORE, tmp_path / "out"))
    assert events[-1].tiles_computed == 12 - len(done)


def test_too_little_space_is_told_before_anything_is_written(tmp_path, make_network, volume, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StoreError, match=r"needs up to 128 KB .* 1 KB are free"):
        list(predict_to_store(volume, make_network(3), CORE, tmp_path / "out"))
    assert not any(tmp_path.iterdir())


def test_the_order_can_change_while_it_runs(tmp_path, make_network, volume):
    network = make_network(3)
    plan = lay_plan(volume, network, CORE)
    order = TileOrder(plan.grid)
    came = []
    for event in write_prediction(plan, tmp_path / "out", order=order):
        if isinstance(event, TileDone):
            came.append(event.tile.index)
            if event.done == 2:
                order.prioritize(Box((12, 40, 0), (13, 41, 1)))
    # The third tile may have been begun when the order changed.
    assert came[:2] == [(0, 0, 0), (0, 0, 1)]
    assert (1, 2, 0) in came[2:4]
    assert sorted(came) == [tile.index for tile in order.grid]
    other = TileOrder(plan_tiles(volume, network.spec).grid)
    with pytest.raises(SettingsError, match="order"):
        list(write_prediction(plan, tmp_path / "new", order=other))
    assert not (tmp_path / "new").exists()


def test_an_order_that_lost_tiles_does_not_pass_for_complete(tmp_path, make_network, volume):
    plan = lay_plan(volume, make_network(3), CORE)
    order = TileOrder(plan.grid)
    order.pop(2)
    with pytest.raises(SettingsError, match="2 of 12 tiles not done"):
        list(write_prediction(plan, tmp_path / "out", order=order))
    assert not open_prediction(tmp_path / "out").complete


def test_warnings_are_told(tmp_path, make_network, volume):
    settings = replace(CORE, normalize="tile", box=((0, 13), (3, 41), (0, 30)))
    events = list(predict_to_store(volume, make_network(3), settings, tmp_path / "out"))
    told = " ".join(event.message for event in events if isinstance(event, Noted))
    assert "tile by tile" in told
    assert "starts at 0,0,0" in told


def test_nothing_happens_before_the_first_event(tmp_path, make_network, volume):
    predict_to_store(volume, make_network(3), CORE, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_a_broken_store_is_refused(tmp_path, make_network, volume):
    with pytest.raises(StoreError, match="should be a prediction"):
        open_prediction(tmp_path / "absent")
    list(predict_to_store(volume, make_network(3), CORE, tmp_path / "out"))
    file = tmp_path / "out" / "zarr.json"
    metadata = json.loads(file.read_text())
    del metadata["attributes"]["tileseg"]["grid"]["core"]
    file.write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match="core"):
        open_prediction(tmp_path / "out")
    for part in ("fallbacks", "identity"):
        del metadata["attributes"]["tileseg"][part]
        file.write_text(json.dumps(metadata))
        with pytest.raises(StoreError, match=rf"is damaged.*'{part}'.*Remove it"):
            list(predict_to_store(volume, make_network(3), CORE, tmp_path / "out"))


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_the_lazy_array_equals_the_store(tmp_path, make_network, volume, scheduler):
    network = make_network(3)
    lazy = predict(volume, network, CORE)
    assert lazy.chunks == ((2,), (8, 5), (16, 16, 9), (16, 14))
    list(predict_to_store(volume, network, CORE, tmp_path / "out"))
    stored = np.asarray(open_prediction(tmp_path / "out").view())
    part = lazy if scheduler == "threads" else lazy[:, :8, :16]
    values = part.compute(scheduler=scheduler, num_workers=2)
    np.testing.assert_allclose(values, stored[tuple(map(slice, part.shape))], atol=1e-6)
    assert predict(volume, network, CORE).name == lazy.name
    assert predict(volume, network, replace(CORE, normalize="zero_mean")).name != lazy.name


def test_the_lazy_array_warns_of_seams(make_network, volume):
    with pytest.warns(UserWarning, match="Tiles will show"):
        predict(volume, make_network(3, norm="instance"), replace(CORE, statistics="tile"))


def test_the_lazy_array_reads_nothing_until_it_is_computed(make_network):
    class Unread:
        shape, dtype = (64, 64), np.dtype("u1")

        def __getitem__(self, key):
            raise AssertionError("read too early")

    lazy = predict(Image(Unread(), "yx"), make_network(2))
    with pytest.raises(ImageError, match="too early"):
        lazy.compute(scheduler="synchronous")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.data())
def test_a_coarser_voxel_is_the_mean_of_those_it_covers(shape, data):
    ratios = tuple(data.draw(st.integers(1, 2)) for _ in shape)
    values = np.random.default_rng(0).normal(size=shape)
    coarse = mean_of_pairs(values, ratios)
    for index in np.ndindex(coarse.shape):
        covered = tuple(slice(i * r, i * r + r) for i, r in zip(index, ratios, strict=True))
        assert coarse[index] == pytest.approx(values[covered].mean())


class _Level:
    """A level in chunks that counts how often each is decoded."""

    def __init__(self, values, chunks):
        self.values, self.chunks = values, chunks
        self.shape, self.dtype = values.shape, values.dtype
        self.decoded = np.zeros([-(-n // c) for n, c in zip(values.shape, chunks, strict=True)], int)

    def __getitem__(self, key):
        self.decoded[
            tuple(
                slice(part.start // c, -(-part.stop // c)) for part, c in zip(key, self.chunks, strict=True)
            )
        ] += 1
        return self.values[key]

    def __setitem__(self, key, values):
        self.values[key] = values


@given(st.lists(st.integers(1, 24), min_size=1, max_size=3), st.data())
def test_a_level_is_filled_from_the_finer_one_a_chunk_at_a_time(shape, data):
    ratios = tuple(data.draw(st.integers(1, 2)) for _ in shape)
    chunks = tuple(data.draw(st.integers(1, 9)) for _ in shape)
    finer = _Level(np.random.default_rng(0).normal(size=shape), chunks)
    expected = mean_of_pairs(finer.values, ratios)
    coarser = _Level(np.full_like(expected, np.nan), chunks)
    *_, share = fill_level(finer, coarser, ratios)
    assert share == 1
    assert np.array_equal(coarser.values, expected)
    whole = all(chunk % ratio == 0 for chunk, ratio in zip(chunks, ratios, strict=True))
    assert not whole or (finer.decoded == 1).all()


def test_levels_become_isotropic_first():
    levels = plan_levels((2, 64, 1000, 1000), "czyx", (1, 2.0, 0.5, 0.5))
    assert [level.factors for level in levels] == [(1, 1, 1, 1), (1, 1, 2, 2), (1, 1, 4, 4)]
    for channels in (1, 3):
        assert [level.shape for level in plan_levels((channels, 1, 1), "cyx", (1, 1, 1))] == [
            (channels, 1, 1)
        ]


def test_levels_compare_axes_in_one_unit(make_network, volume):
    mixed = replace(volume, voxel_size=(2000.0, 0.5, 0.5), units=("nanometer", "micrometer", "micrometer"))
    levels = [
        levels_of(lay_plan(replace(each, data=np.tile(each.data, (1, 9, 9))), make_network(3)))
        for each in (volume, mixed)
    ]
    assert levels[0] == levels[1]
    assert levels[0][1].factors == (1, 1, 2, 2)


def test_a_resampled_image_is_predicted_at_the_networks_voxel_size(tmp_path, make_network, volume):
    network = make_network(3, voxel_size=(2.0, 1.0, 1.0))
    settings = PredictSettings(resample=True)
    list(predict_to_store(volume, network, settings, tmp_path / "out"))
    store = open_prediction(tmp_path / "out")
    assert store.view().shape == (2, 13, 20, 15)
    assert store.image.voxel_size == (2.0, 1.0, 1.0)
    assert store.image.translation == (1.0, -2.75, 0.5)
    back = store.onto(volume)
    assert (back.shape, back.translation) == (volume.shape, volume.translation)
    assert np.isfinite(back.read(Box.of_shape(volume.shape))).all()
    part = plan_tiles(volume, network.spec, replace(settings, box=((0, 13), (8, 40), (16, 30))))
    assert part.grid.box == Box((0, 4, 8), (13, 20, 15))


def test_napari_ome_zarr_opens_the_store(tmp_path, make_network, napari_ome_zarr):
    image = Image(
        np.random.default_rng(0).integers(0, 99, (300, 280)).astype("u1"), "yx", voxel_size=(0.5, 0.5)
    )
    list(predict_to_store(image, make_network(2), None, tmp_path / "out.ome.zarr"))
    channels = napari_ome_zarr(tmp_path / "out.ome.zarr")
    assert [each["kind"] for each in channels] == ["image", "image"]
    assert [each["name"].split(": ")[-1] for each in channels] == ["class 1", "class 2"]
    np.testing.assert_array_equal(
        [each["voxels"] for each in channels], np.asarray(open_prediction(tmp_path / "out.ome.zarr").view())
    )


def test_real_nuclei_are_predicted_as_the_whole_image(tmp_path, make_network, data_dir):
    from napari_tileseg.images import open_image

    path = data_dir / "bbbc050_mouse_embryo_3d" / "images" / "train_Emb01_t401.tif"
    image, network = open_image(path), make_network(3)
    settings = PredictSettings(core=(32, 64, 64))
    list(predict_to_store(image, network, settings, tmp_path / "out"))
    values = np.asarray(open_prediction(tmp_path / "out").view())
    assert np.abs(values - _whole_image(image, network, settings)).max() <= 1e-5
