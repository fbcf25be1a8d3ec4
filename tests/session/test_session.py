"""The session: what it plans, predicts, keeps and finds again; no Qt, no napari."""

import shlex
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from napari_tileseg._progress import Progress
from napari_tileseg.engine import tile_planner
from napari_tileseg.errors import ImageError, NetworkError, NonFiniteError, SettingsError, StoreError
from napari_tileseg.images import open_image
from napari_tileseg.images.image import Image
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.prediction import open_prediction, predict
from napari_tileseg.prediction.events import Saved, Started, TileDone
from napari_tileseg.prediction.plan.layout import plan_tiles
from napari_tileseg.samples import cells_image
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.prediction.first_look import Looked
from napari_tileseg.session.project.image_reference import refer, reopen_image
from napari_tileseg.settings import ImageSettings, PredictSettings
from napari_tileseg.tiling import Box

NETWORK = "sample:cells_2d_batch_renorm"
SETTINGS = PredictSettings(core=(64, 64))
KINDS = ("network", "route", "image", "reopen", "measure", "predict", "save", "size")


@pytest.fixture(scope="module")
def values():
    return cells_image((192, 160)).image


@pytest.fixture
def image(values):
    return Image(data=values, axes="yx", name="cells", voxel_size=(0.65, 0.65), units=("micrometer",) * 2)


def settle(session):
    """Wait for everything that is under way: what one job has found may begin the next."""
    quiet = 0
    while quiet < 3:
        for kind in KINDS:
            assert session.jobs.wait(kind, 60)
        quiet = 0 if any(map(session.jobs.running, KINDS)) else quiet + 1


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path / "project")
    session.problems = []
    session.events = []
    session.failed.connect(lambda kind, error: session.problems.append((kind, error)))
    session.prediction.reported.connect(session.events.append)
    yield session
    session.close()
    for thread in threading.enumerate():
        if thread.name.startswith("tileseg-"):
            thread.join(2)
            assert not thread.is_alive()


@pytest.fixture
def ready(session, image):
    session.set_settings(SETTINGS)
    session.network_choice.open(NETWORK)
    session.set_image(image)
    settle(session)
    assert session.readiness.ready, session.problems
    return session


def test_a_prediction_is_what_predict_gives(ready, image):
    result = ready.start()
    settle(ready)
    assert ready.results.all[0].complete
    # Tiles that follow one another share what was computed: sums are taken in another order.
    np.testing.assert_allclose(
        open_prediction(result.path).view()[...], predict(image, ready.network, SETTINGS).compute(), atol=1e-5
    )


def test_nothing_is_computed_twice(ready):
    ready.start()
    settle(ready)
    ready.start()
    settle(ready)
    first, second = (event for event in ready.events if isinstance(event, Saved))
    assert (first.tiles_computed, second.tiles_computed) == (9, 0)
    assert len(ready.results.all) == 1


def test_other_settings_never_mix_with_an_old_result(ready):
    first = ready.start()
    settle(ready)
    ready.set_settings(PredictSettings(core=(64, 64), normalize="none"))
    settle(ready)
    second = ready.start()
    settle(ready)
    assert first.path != second.path
    assert [r.complete for r in ready.results.all] == [True, True]


def test_a_core_is_planned_once_on_its_way_from_the_settings_to_the_store(ready, monkeypatch):
    planned = []

    def counted(*args, **kwargs):
        planned.append(plan_tiles(*args, **kwargs))
        return planned[-1]

    monkeypatch.setattr("napari_tileseg.prediction.plan.plan.plan_tiles", counted)
    ready.set_settings(replace(SETTINGS, core=(96, 80)))
    settle(ready)
    result = ready.start()
    settle(ready)
    assert [tiles.grid.core for tiles in planned] == [(96, 80)]
    assert open_prediction(result.path).provenance["identity"]["core"] == [96, 80]


def test_tiles_in_view_come_first_and_the_view_may_change(ready):
    moved = []

    def move(event):
        if not moved:
            moved.append(event.tile.index)
            ready.prediction.prioritize(Box((64, 150), (65, 151)))

    ready.prediction.tile_written.connect(move)
    ready.start(Box((150, 150), (151, 151)))
    settle(ready)
    order = [event.tile.index for event in ready.events if isinstance(event, TileDone)]
    assert order[0] == (2, 2)
    # Another tile may have been begun when the view moved.
    assert order.index((1, 2)) <= 2
    assert len(order) == len(set(order)) == 9


def test_tiles_follow_from_what_they_cost_and_it_is_said_how_they_are_computed(ready):
    ready.set_settings(PredictSettings())
    assert ready.network_choice.route.kind == "regions"
    tiles = ready.plan.tiles
    assert tiles.regions.core == tiles.grid.core
    ready.set_settings(PredictSettings(memory=2e-4))
    short = ready.plan.tiles
    assert short.regions.peak <= 2e5 < tiles.regions.peak
    assert len(short.grid) > len(tiles.grid)
    ready.set_settings(PredictSettings(memory=1e-6))
    assert ready.plan.tiles is None
    kind, error = ready.problems[-1]
    assert kind == "plan"
    assert "least tile" in str(error)
    told = []
    ready.network_choice.route_found.connect(told.append)
    ready.set_settings(SETTINGS)
    ready.set_network(instance_network(ready.network))
    ready.set_settings(replace(SETTINGS, statistics="tile"))
    settle(ready)
    assert ready.network_choice.route == told[-1]
    assert ready.network_choice.route.kind == "plain"
    assert "instance_norm" in ready.network_choice.route.reason
    assert ready.plan.tiles.regions is None


def instance_network(like):
    """A network whose tiles are computed whole."""
    torch.manual_seed(0)
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (2, 3), "norm": "instance"}
    described = replace(like.description, arguments=arguments)
    return network_in_memory(build("unet", **arguments), described)


def test_cancel_keeps_what_is_done_and_predict_goes_on_from_there(ready):
    def stop(_):
        ready.prediction.cancel()
        ready.prediction.tile_written.disconnect(stop)

    ready.prediction.tile_written.connect(stop)
    ready.start()
    settle(ready)
    assert ready.events[-1] == Ended(cancelled=True)
    done = sum(isinstance(event, TileDone) for event in ready.events)
    assert done == 1
    ready.start()
    settle(ready)
    assert [e.tiles_computed for e in ready.events if isinstance(e, Saved)] == [9 - done]


def test_what_is_in_view_is_seen_before_statistics_of_the_whole_image(ready):
    ready.set_network(instance_network(ready.network))
    ready.set_settings(replace(SETTINGS, statistics="whole"))
    settle(ready)
    ready.start(Box((64, 64), (128, 128)))
    settle(ready)
    kinds = [type(event) for event in ready.events]
    assert kinds.index(Looked) < kinds.index(Started) < kinds.index(TileDone)
    assert any("pass 2 of" in event.what for event in ready.events if isinstance(event, Progress))
    assert ready.results.all[0].complete
    ready.events.clear()
    ready.start(Box((64, 64), (128, 128)))
    settle(ready)
    assert Looked not in map(type, ready.events)


def test_cancel_works_within_a_part_of_a_pass(ready):
    ready.set_network(instance_network(ready.network))
    ready.set_settings(replace(SETTINGS, statistics="whole", memory=1e-3))
    settle(ready)
    parts = []

    def stop(event):
        if isinstance(event, Progress) and event.what.startswith("Gathering"):
            parts.append(event)
            ready.prediction.cancel()

    ready.prediction.reported.connect(stop)
    ready.start()
    settle(ready)
    assert ready.events[-1] == Ended(cancelled=True)
    # One more may have been under way when it was asked.
    assert len(parts) <= 2
    assert parts[-1].fraction < 1
    assert Started not in map(type, ready.events)


def test_it_says_what_is_missing(session):
    with pytest.raises(SettingsError, match="Choose an image and a network"):
        session.start()
    with pytest.raises(SettingsError, match="Choose an image"):
        session.command()


def test_an_image_that_does_not_fit_is_told_at_once(ready):
    ready.set_image(Image(data=np.zeros((2, 64, 64), np.uint8), axes="cyx", name="two"))
    assert [(kind, type(error)) for kind, error in ready.problems] == [("plan", ImageError)]
    assert not ready.readiness.ready


def test_nan_is_told_and_can_be_taken_as_zero(ready, values):
    broken = values.astype(np.float32)
    broken[3, 4] = np.nan
    ready.set_image(Image(data=broken, axes="yx", name="broken"))
    settle(ready)
    kind, error = ready.problems[-1]
    assert (kind, type(error)) == ("measure", NonFiniteError)
    ready.set_settings(PredictSettings(core=(64, 64), nonfinite="zero"))
    settle(ready)
    assert ready.readiness.ready


def test_intensities_are_measured_again_only_where_that_counts(ready):
    begun = []
    ready.jobs.busy_changed.connect(lambda kind, busy: begun.append(kind) if busy else None)
    ready.set_settings(PredictSettings(core=(32, 32)))
    settle(ready)
    assert "measure" not in begun
    ready.set_settings(PredictSettings(core=(32, 32), quantiles=(2.0, 99.0)))
    settle(ready)
    assert "measure" in begun


def test_a_network_that_cannot_be_opened_leaves_the_former(ready, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    former = ready.network
    ready.network_choice.open(str(tmp_path / "broken.safetensors"))
    settle(ready)
    assert isinstance(ready.problems[-1][1], NetworkError)
    assert ready.network is former


def test_saving_moves_the_result_out_of_the_project(ready, tmp_path):
    result = ready.start()
    settle(ready)
    moved = []
    ready.results.moved.connect(lambda old, new: moved.append((old.path, new.path)))
    target = tmp_path / "mine.ome.zarr"
    before = open_prediction(result.path).view()[...]
    ready.results.save(ready.results.all[0], target)
    settle(ready)
    ready.close()
    np.testing.assert_array_equal(open_prediction(target).view()[...], before)
    assert moved == [(result.path, target)]
    assert ready.results.all[0].saved
    assert not result.path.exists()


def test_a_failed_save_loses_nothing(ready, tmp_path):
    result = ready.start()
    settle(ready)
    (tmp_path / "taken.ome.zarr").mkdir()
    ready.results.save(ready.results.all[0], tmp_path / "taken.ome.zarr")
    settle(ready)
    assert "exists already" in str(ready.problems[-1][1])
    assert ready.results.all[0].path == result.path
    assert result.path.exists()


def test_discarding_removes_scratch_but_never_what_was_saved(ready, tmp_path):
    ready.start()
    settle(ready)
    ready.results.save(ready.results.all[0], tmp_path / "mine.ome.zarr")
    settle(ready)
    scratch = ready.start()
    settle(ready)
    for result in ready.results.all:
        ready.results.discard(result)
    ready.close()
    assert (tmp_path / "mine.ome.zarr").exists()
    assert not scratch.path.exists()
    assert ready.results.all == ()


def test_a_result_predicted_again_while_the_saved_one_is_removed_is_whole(ready, tmp_path, monkeypatch):
    remove, go_on = shutil.rmtree, threading.Event()

    def slowly(path, *args, **kwargs):
        assert go_on.wait(60)
        remove(path, *args, **kwargs)

    ready.start()
    settle(ready)
    first = ready.results.all[0]
    before = open_prediction(first.path).view()[...]
    monkeypatch.setattr(shutil, "rmtree", slowly)
    ready.results.save(first, tmp_path / "mine.ome.zarr")
    settle(ready)
    again = ready.start()
    settle(ready)
    go_on.set()
    ready.jobs.close()
    assert again.path == first.path
    assert ready.problems == []
    np.testing.assert_array_equal(open_prediction(again.path).view()[...], before)
    assert [path.name for path in again.path.parent.iterdir()] == [again.path.name]


def test_a_removal_that_came_to_no_end_is_taken_up_by_the_next(ready, monkeypatch):
    def killed(*_, **__):
        raise SystemExit

    ready.start()
    settle(ready)
    first = ready.results.all[0]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        ready.results.discard(first)
        assert ready.jobs.wait(f"remove {first.path}", 60)
    assert len(list(first.path.parent.iterdir())) == 1
    ready.start()
    settle(ready)
    ready.results.discard(ready.results.all[0])
    ready.close()
    assert list(first.path.parent.iterdir()) == []


class TestComingBack:
    """Quit, and take the project up again."""

    @pytest.fixture
    def file(self, tmp_path, values):
        path = tmp_path / "cells.tif"
        tifffile.imwrite(path, values, metadata={"axes": "YX"})
        return path

    @pytest.fixture
    def folder(self, session, file):
        session.set_settings(SETTINGS)
        session.network_choice.open(NETWORK)
        session.set_image(open_image(file))
        settle(session)
        session.start()
        settle(session)
        session.close()
        return session.folder

    @pytest.fixture
    def again(self, tmp_path):
        again = Session(tmp_path / "unused")
        again.problems, again.images, again.events = [], [], []
        again.failed.connect(lambda kind, error: again.problems.append((kind, str(error))))
        again.image_choice.reopened.connect(again.images.append)
        again.prediction.reported.connect(again.events.append)
        yield again
        again.close()

    def test_everything_is_there_and_nothing_is_computed_again(self, again, folder):
        again.reopen(folder)
        settle(again)
        assert again.problems == []
        again.set_image(again.images[0])
        settle(again)
        assert again.settings == SETTINGS
        again.start()
        settle(again)
        assert [e.tiles_computed for e in again.events if isinstance(e, Saved)] == [0]

    def test_an_interrupted_run_is_gone_on_with_whatever_memory_is_free(
        self, session, again, file, monkeypatch
    ):
        def stop(_):
            session.prediction.cancel()
            session.prediction.tile_written.disconnect(stop)

        monkeypatch.setattr(tile_planner, "free_memory", lambda _: 2 * 10**6)
        session.network_choice.open(NETWORK)
        session.set_image(open_image(file))
        settle(session)
        begun = session.plan.tiles.grid
        session.prediction.tile_written.connect(stop)
        session.start()
        settle(session)
        session.close()
        monkeypatch.setattr(tile_planner, "free_memory", lambda _: 2**40)
        again.reopen(session.folder)
        settle(again)
        again.set_image(again.images[0])
        settle(again)
        assert again.plan.tiles.grid == begun
        assert "begun" in again.plan.tiles.core_reason
        again.start()
        settle(again)
        assert again.problems == []
        (saved,) = [event for event in again.events if isinstance(event, Saved)]
        assert 0 < saved.tiles_computed < saved.tiles == len(begun)
        assert len(again.results.all) == 1
        again.set_settings(PredictSettings(padding="edge"))
        settle(again)
        assert again.plan.tiles.grid.core != begun.core, "something else is laid for the memory there is"

    def test_a_changed_image_is_said_and_the_results_are_kept(self, again, folder, file, values):
        tifffile.imwrite(file, values[::-1].copy(), metadata={"axes": "YX"})
        again.reopen(folder)
        settle(again)
        assert "has changed" in dict(again.problems)["reopen"]
        assert len(again.results.all) == 1

    def test_a_missing_image_is_said(self, again, folder, file):
        file.unlink()
        again.reopen(folder)
        settle(again)
        assert "no image at" in dict(again.problems)["reopen"]

    def test_no_project_there(self, again, tmp_path):
        folder = again.folder
        with pytest.raises(Exception, match="does not"):
            again.reopen(tmp_path)
        assert again.folder == folder

    @pytest.mark.usefixtures("folder")
    def test_the_command_does_the_same(self, session, file):
        words = shlex.split(session.command())
        assert words[:4] == ["tileseg", "predict", str(file), NETWORK]
        assert "--core=64,64" in words


def test_an_image_in_memory_cannot_come_back_and_has_no_command(ready):
    reference = ready.project_folder.project.image
    with pytest.raises(ImageError, match="only in memory"):
        reopen_image(reference)
    with pytest.raises(SettingsError, match="only in memory"):
        ready.command()


def test_a_channel_that_a_viewer_split_off_is_found_in_its_file(tmp_path):
    values = np.random.default_rng(0).integers(0, 999, (3, 40, 50), dtype=np.uint16)
    path = tmp_path / "three.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "CYX"})
    shown = Image(data=values[1], axes="yx", uri=str(path), voxel_size=(2, 3))
    reference = refer(shown, ImageSettings())
    assert reference.settings.channel == (1,)
    np.testing.assert_array_equal(reopen_image(reference).read(Box.of_shape((40, 50)))[0], values[1])


def test_an_image_changed_since_it_was_opened_counts_as_in_memory(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8))
    assert refer(Image(data=np.ones((40, 50), np.uint8), axes="yx", uri=str(path)), ImageSettings()).uri == ""


def test_a_disk_that_fails_keeps_nobody_from_choosing(ready, monkeypatch):
    ready.project_folder.ensure_file()
    chosen, told = [], []
    ready.network_changed.connect(chosen.append)
    ready.failed.connect(lambda kind, error: told.append((kind, str(error))))

    def full(*_):
        raise StoreError("The disk is full.")

    monkeypatch.setattr("napari_tileseg.session.project.project.write_project", full)
    network = ready.network
    ready.set_network(network)
    assert chosen == [network]
    assert told == [("project", "The disk is full.")]
    settle(ready)
    assert ready.readiness.ready


def test_what_was_begun_is_measured_again_where_memory_is_short_by_now(ready, image):
    ready.set_settings(PredictSettings(device="cpu"))
    settle(ready)
    ready.prediction.reported.connect(lambda event: isinstance(event, TileDone) and ready.prediction.cancel())
    ready.start()
    settle(ready)
    ready.set_image(None)
    ready.set_settings(PredictSettings(device="cpu", memory=1e-6))
    ready.set_image(image)
    settle(ready)
    assert ready.plan.tiles is not None
    assert ready.readiness.ready
