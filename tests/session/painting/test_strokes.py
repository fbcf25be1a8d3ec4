"""Painted labels: on disk soon, whole after a kill, found again, and never in the way of painting."""

import copy
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels
from scipy import ndimage

from napari_tileseg._app_dirs import data_folder
from napari_tileseg.errors import ImageError, SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.labels.sparse_array import SparseArray
from napari_tileseg.session import Session
from napari_tileseg.session.painting import files
from napari_tileseg.session.painting.counts import StrokeCounts
from napari_tileseg.session.painting.files import StrokeFiles, find_strokes
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.painting.strokes import Strokes
from napari_tileseg.session.project.project import read_project

CLASSES = (
    StrokeClass(value=1, name="foreground", color=(255, 0, 255)),
    StrokeClass(value=2, name="background", color=(200, 200, 200)),
)


def volume(seed=0, shape=(20, 150, 140)):
    data = np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
    return Image(data, "zyx", name="volume", voxel_size=(2.0, 0.5, 0.5), units=("micrometer",) * 3)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def started(tmp_path):
    """Start sessions with an image, and end them."""
    ended = []

    def start(image, folder="project"):
        session = Session(tmp_path / folder)
        strokes = Strokes(session, retry_after=0.05)
        ended.append((session, strokes))
        session.set_image(image)
        wait_for(lambda: session.image_choice.reference is not None)
        return session, strokes

    yield start
    for session, strokes in ended:
        strokes.close()
        session.close()


def stored(painting):
    return np.asarray(zarr.open_array(painting.folder / "0", mode="r"))


def test_what_is_painted_is_on_disk_and_counted(started):
    session, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    assert not session.folder.exists()
    painting.array[3, 10:12, 120:135] = 1
    painting.array[3, 60:62, 20:30] = 1
    painting.array[9:11, 100, 100] = 2
    wait_for(lambda: painting.saved and painting.settled)
    np.testing.assert_array_equal(stored(painting), np.asarray(painting.array))
    assert {v: (p.voxels, p.strokes) for v, p in painting.painted.items()} == {1: (50, 2), 2: (2, 1)}
    assert painting.settled
    assert read_project(session.folder).image.name == "volume"


def test_erasing_and_painting_over_are_saved_too(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[0, :40, :40] = 1
    wait_for(lambda: painting.saved and painting.settled)
    painting.array[0, :40, :40] = 0
    painting.array[0, 5, 5] = 2
    wait_for(lambda: painting.painted.get(2) and painting.settled)
    np.testing.assert_array_equal(stored(painting), np.asarray(painting.array))
    assert 1 not in painting.painted


def test_it_is_an_ome_zarr_labels_group_aligned_with_the_image(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 2
    wait_for(lambda: painting.saved and painting.settled)
    labels = Labels.from_zarr(zarr.open_group(painting.folder.parent, mode="r"))
    assert labels.ome_attributes.labels == [painting.folder.name]
    label = ImageLabel.from_zarr(zarr.open_group(painting.folder, mode="r")).ome_attributes
    scale = label.multiscales[0].datasets[0].coordinateTransformations[0].scale
    assert tuple(scale) == (2.0, 0.5, 0.5)
    assert [axis.unit for axis in label.multiscales[0].axes] == ["micrometer"] * 3
    assert {c.label_value: c.rgba[:3] for c in label.image_label.colors} == {1: (255, 0, 255), 2: (200,) * 3}


def test_only_changed_chunks_are_written(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 1
    painting.array[19, 149, 139] = 1
    wait_for(lambda: painting.saved and painting.settled)
    files = sorted(p for p in (painting.folder / "0" / "c").rglob("*") if p.is_file())
    before = [p.stat().st_mtime_ns for p in files]
    assert len(files) == 2
    painting.array[0, 1, 1] = 2
    wait_for(lambda: painting.painted.get(2) and painting.settled)
    after = [p.stat().st_mtime_ns for p in files]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True]


def test_a_session_to_come_is_offered_the_strokes_of_the_same_image_only(started, monkeypatch, tmp_path):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))
    assert data_folder() == tmp_path
    _, strokes = started(volume(), "projects/first")
    painting = strokes.begin(CLASSES)
    painting.array[5, 6:9, 7] = 1
    wait_for(lambda: painting.saved and painting.settled)
    for image, found in ((volume(), 1), (volume(seed=1), 0)):
        session, later = started(image, f"projects/then{found}")
        offers = []
        later.offered.connect(offers.append)
        later.look()
        wait_for(lambda offers=offers: offers)
        assert len(offers[-1]) == found
    session, later = started(volume(), "projects/last")
    opened, offers = [], []
    later.opened.connect(opened.append)
    later.open(find_strokes(session.image_choice.reference.fingerprint, session.folder)[0][1])
    wait_for(lambda: opened and opened[0].saved and opened[0].settled)
    later.offered.connect(offers.append)
    later.look()
    wait_for(lambda: offers)
    assert offers[-1] == (), "what is open is not offered, nor what it is a copy of"
    np.testing.assert_array_equal(np.asarray(opened[0].array), np.asarray(painting.array))
    assert opened[0].classes == CLASSES
    assert opened[0].painted[1].voxels == 3
    opened[0].array[0, 0, 0] = 2
    wait_for(lambda: opened[0].painted.get(2) and opened[0].settled)
    assert opened[0].folder.is_relative_to(session.folder)
    assert stored(painting)[0, 0, 0] == 0


def test_the_project_itself_goes_on_in_place(started):
    image = volume()
    session, strokes = started(image)
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, :9] = 1
    wait_for(lambda: painting.saved and painting.settled)
    place = painting.folder
    strokes.close()
    again = Strokes(session)
    opened, offers = [], []
    again.opened.connect(opened.append)
    again.offered.connect(offers.append)
    again.open(StrokeFiles.open(place))
    wait_for(lambda: opened and opened[0].folder == place)
    wait_for(lambda: () in offers)
    again.close()


def full(path, _):
    """Write nothing, as the disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_full_disk_is_told_painting_goes_on_and_is_saved_later(started, monkeypatch):
    _, strokes = started(volume())
    told, real = [], files.write_bytes
    monkeypatch.setattr(files, "write_bytes", full)
    strokes.not_saved.connect(lambda painting: told.append(str(painting.error)))
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 1
    wait_for(lambda: len(told) > 1)
    assert "No space left" in told[0]
    assert "tried again" in told[0]
    assert not strokes.settle()
    painting.array[0, 0, 1] = 2
    monkeypatch.setattr(files, "write_bytes", real)
    wait_for(lambda: painting.saved and painting.settled)
    assert painting.error is None
    np.testing.assert_array_equal(stored(painting)[0, 0, :3], [1, 2, 0])
    assert len(list(painting.folder.parent.glob("[0-9]*"))) == 1


def test_a_chunk_that_cannot_be_written_keeps_no_other_from_being_saved(started, monkeypatch):
    _, strokes = started(volume())
    told, real = [], StrokeFiles.write_chunk

    def write(files, index, values):
        if index == (1, 1, 1):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(files.chunk_path(index)))
        real(files, index, values)

    monkeypatch.setattr(StrokeFiles, "write_chunk", write)
    strokes.not_saved.connect(told.append)
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 1
    painting.array[0, 149, 0] = 2
    painting.array[19, 149, 139] = 1
    wait_for(lambda: len(told) > 1)
    values = stored(painting)
    assert (values[0, 0, 0], values[0, 149, 0], values[19, 149, 139]) == (1, 2, 0)
    assert "Permission denied" in str(painting.error)
    assert not strokes.close()


def test_labels_that_are_left_while_the_disk_fails_are_tried_again(started, monkeypatch):
    _, strokes = started(volume())
    told, real = [], files.write_bytes
    strokes.not_saved.connect(told.append)
    painting = strokes.begin(CLASSES)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", full)
        painting.array[0, 0, 0] = 1
        wait_for(lambda: told)
        strokes.leave(painting)
        seen = len(told)
        wait_for(lambda: len(told) > seen + 2)
        assert not strokes.settle()
    wait_for(lambda: painting.saved and painting.settled)
    assert stored(painting)[0, 0, 0] == 1
    assert files.write_bytes is real


def test_damaged_labels_are_refused_by_the_name_of_the_file(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[:] = 1
    wait_for(lambda: painting.saved and painting.settled)
    files = StrokeFiles.open(painting.folder)
    chunk = files.chunk_path((0, 0, 0))
    whole = chunk.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:20] + b"tile" + whole[24:]):
        chunk.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"c/0/0/0 should hold painted voxels.*Move it away"):
            files.read()


def test_closing_saves_what_was_painted_just_before_and_leaves_no_thread(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[1, 2, 3] = 1
    assert strokes.close()
    assert stored(painting)[1, 2, 3] == 1
    assert not [t for t in threading.enumerate() if t.name == "tileseg-strokes"]


def test_labels_made_elsewhere_are_saved_from_the_first_touch_on(started):
    image = volume()
    _, strokes = started(image)
    plain = np.zeros(image.shape, np.int64)
    plain[2, 3, 4] = 70_000
    painting = strokes.adopt(plain, "classes", CLASSES)
    time.sleep(0.05)
    assert painting.folder is None
    plain[19, 149, 139] = 1
    box = files.chunk_box((1, 1, 1), (16, 128, 128), image.shape)
    painting.touch(box)
    wait_for(lambda: painting.saved and painting.settled)
    np.testing.assert_array_equal(stored(painting), plain)
    plain[2, 3, 4] = 0
    painting.recheck()
    wait_for(lambda: 70_000 not in painting.painted and painting.settled)
    np.testing.assert_array_equal(stored(painting), plain)


@pytest.mark.parametrize("error", [ImageError("the disk is away"), MemoryError("no room"), ValueError("odd")])
def test_whatever_goes_wrong_is_told_and_tried_again(started, monkeypatch, error):
    _, strokes = started(volume())
    told = []

    def broken(*_):
        raise error

    strokes.not_saved.connect(lambda painting: told.append(str(painting.error)))
    painting = strokes.begin(CLASSES)
    with monkeypatch.context() as patch:
        patch.setattr(SparseArray, "__getitem__", broken)
        painting.array[0, 0, 0] = 1
        wait_for(lambda: len(told) > 1)
        assert str(error) in told[0]
        assert "save the layer elsewhere" in told[0]
        assert not strokes.settle()
    wait_for(lambda: painting.saved and painting.settled)
    assert stored(painting)[0, 0, 0] == 1
    assert strokes.settle()


def test_a_listener_that_fails_does_not_end_the_saving(started):
    _, strokes = started(volume())
    heard = []

    def fail(painting):
        heard.append(painting)
        raise ValueError("a listener's own trouble")

    strokes.saved.connect(fail)
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 1
    wait_for(lambda: heard)
    painting.array[0, 0, 1] = 2
    wait_for(lambda: len(heard) > 1)
    np.testing.assert_array_equal(stored(painting)[0, 0, :2], [1, 2])


def test_a_stroke_right_after_opening_is_saved(started, monkeypatch):
    image = volume()
    session, strokes = started(image)
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, :9] = 1
    wait_for(lambda: painting.saved and painting.settled)
    place = painting.folder
    strokes.close()
    painted, real = threading.Event(), StrokeFiles.saved_at

    def late(files):
        # As slow as a disk may be, where that is asked by the thread that saves.
        if threading.current_thread().name == "tileseg-strokes":
            painted.wait(30)
        return real(files)

    def paint(opened):
        opened.array[0, 0, 0] = 2
        painted.set()

    monkeypatch.setattr(StrokeFiles, "saved_at", late)
    again, known = Strokes(session), []
    again.opened.connect(paint)
    again.opened.connect(known.append)
    again.open(StrokeFiles.open(place))
    wait_for(lambda: known and known[0].saved and known[0].settled)
    assert again.close()
    np.testing.assert_array_equal(stored(known[0])[0, 0, :3], [2, 1, 1])


def test_what_is_painted_while_a_chunk_is_written_is_not_taken_for_saved(started, monkeypatch):
    image = volume()
    _, strokes = started(image)
    plain = np.zeros(image.shape, np.uint8)
    plain[0, 0, 0] = 1
    real = StrokeFiles.write_chunk

    def paint_and_write(files, index, values):
        if index == (0, 0, 0):
            plain[0, 0, 0] = 2
        real(files, index, values)

    painting = strokes.adopt(plain, "strokes", CLASSES)
    box = files.chunk_box((0, 0, 0), (16, 128, 128), image.shape)
    with monkeypatch.context() as patch:
        patch.setattr(StrokeFiles, "write_chunk", paint_and_write)
        painting.touch(box)
        wait_for(lambda: painting.saved and painting.settled)
    plain[0, 0, 0] = 1
    painting.touch(box)
    wait_for(lambda: painting.settled)
    np.testing.assert_array_equal(stored(painting), plain)


def test_what_nobody_has_said_is_not_recorded_and_what_is_said_is(started):
    image = volume()
    _, strokes = started(image)
    plain = np.zeros(image.shape, np.uint8)
    plain[2, 3, 4] = 1
    painting = strokes.adopt(plain)
    painting.touch(files.chunk_box((0, 0, 0), (16, 128, 128), image.shape))
    wait_for(lambda: painting.saved and painting.settled)
    record = StrokeFiles.open(painting.folder).record
    assert (record.kind, record.classes, record.fixed) == (None, (), False)
    painting.explain("classes", CLASSES)
    wait_for(lambda: painting.settled)
    record = StrokeFiles.open(painting.folder).record
    assert (record.kind, record.classes, record.fixed) == ("classes", CLASSES, False)
    label = ImageLabel.from_zarr(zarr.open_group(painting.folder, mode="r")).ome_attributes
    assert {color.label_value for color in label.image_label.colors} == {1, 2}
    np.testing.assert_array_equal(stored(painting), plain)


def test_what_is_said_before_anything_is_saved_is_saved_with_it(started):
    image = volume()
    _, strokes = started(image)
    painting = strokes.adopt(np.ones(image.shape, np.uint8))
    painting.explain("instances", ())
    wait_for(lambda: painting.settled)
    assert painting.folder is None
    painting.touch(files.chunk_box((0, 0, 0), (16, 128, 128), image.shape))
    wait_for(lambda: painting.saved and painting.settled)
    assert StrokeFiles.open(painting.folder).record.kind == "instances"


def test_the_meaning_of_new_labels_is_fixed(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.explain("instances", ())
    painting.array[0, 0, 0] = 1
    wait_for(lambda: painting.saved and painting.settled)
    record = StrokeFiles.open(painting.folder).record
    assert (record.kind, record.classes, record.fixed) == ("strokes", CLASSES, True)


def test_a_copy_of_painted_labels_is_saved_at_once(started):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, :5] = 1
    painting.array[19, 149, 139] = 2
    copied = strokes.adopt(copy.deepcopy(painting.array))
    wait_for(lambda: copied.saved and copied.settled)
    np.testing.assert_array_equal(stored(copied), np.asarray(painting.array))
    copied.array[0, 0, 0] = 2
    wait_for(lambda: copied.painted[2].voxels == 2)
    wait_for(lambda: painting.saved and painting.settled)
    assert stored(painting)[0, 0, 0] == 1


def test_a_claimed_folder_is_never_gone(started, monkeypatch):
    _, strokes = started(volume())
    painting = strokes.begin(CLASSES)
    painting.array[0, 0, 0] = 1
    wait_for(lambda: painting.saved and painting.settled)
    files, gone, real = StrokeFiles.open(painting.folder), [], shutil.rmtree

    def remove(path, *args, **kwargs):
        gone.append(Path(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", remove)
    files.create()
    assert files.path not in gone
    assert StrokeFiles.open(files.path).record == files.record
    assert not list(files.written())


def test_what_does_not_fit_is_explained(started):
    session, strokes = started(volume())
    with pytest.raises(ImageError, match="shape of the image"):
        strokes.adopt(np.zeros((3, 3), np.uint8), "strokes", CLASSES)
    with pytest.raises(ImageError, match=r"in memory .* an array of zarr"):
        strokes.adopt(zarr.zeros(session.image.shape, dtype=np.uint8))
    session.set_image(None)
    with pytest.raises(SettingsError, match="choose one first"):
        strokes.begin(CLASSES)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 8), st.integers(1, 2)), max_size=25
    )
)
@settings(max_examples=60)
def test_strokes_are_counted_as_scipy_does(voxels):
    array = SparseArray((4, 7, 9), (2, 3, 4), np.uint8)
    for z, y, x, value in voxels:
        array[z, y, x] = value
    counts, plain = StrokeCounts(array.shape), np.asarray(array)
    for index in array.written:
        counts.update(index, array.chunk_box(index), array[array.chunk_box(index).slices])
    expected = {
        int(v): (int((plain == v).sum()), ndimage.label(plain == v, np.ones((3, 3, 3)))[1])
        for v in np.unique(plain)
        if v
    }
    assert {v: (p.voxels, p.strokes) for v, p in counts.counted().items()} == expected


def test_dense_labels_are_counted_without_holding_every_voxel():
    array = SparseArray((8, 8), (4, 8), np.uint8)
    counts = StrokeCounts(array.shape, most=10)

    def update(*rows):
        for row in rows:
            box = array.chunk_box((row, 0))
            counts.update((row, 0), box, array[box.slices])
        return [(each.voxels, each.strokes) for each in counts.counted().values()]

    array[0, :6] = 1
    assert update(0) == [(6, 1)]
    array[4, :6] = 1
    assert update(1) == [(12, None)]
    assert not counts._points
    array[4, :] = 0
    assert update(1) == [(6, None)]
    assert update(0) == [(6, 1)]


_PAINT = """
import sys, time
from pathlib import Path
import numpy as np
from napari_tileseg.images.image import Image
from napari_tileseg.session import Session
from napari_tileseg.session.painting.record import StrokeClass
from napari_tileseg.session.painting.strokes import Strokes

session = Session(Path(sys.argv[1]))
strokes = Strokes(session)
session.set_image(Image(np.zeros((20, 150, 140), np.uint8), "zyx"))
painting = strokes.begin((StrokeClass(value=1, name="foreground", color=(1, 2, 3)),))
strokes.saved.connect(lambda _: print("saved", flush=True))
for number in range(10_000):
    painting.array[number % 20, (number * 7) % 150, :] = 1
    time.sleep(0.002)
"""


def test_a_kill_while_painting_leaves_whole_chunks(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _PAINT, str(tmp_path / "project")], stdout=subprocess.PIPE, text=True
    )
    with process:
        for _ in range(3):
            assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    files = StrokeFiles.open(tmp_path / "project" / "labels" / "0001")
    painted = np.asarray(files.read())
    assert painted.any()
    assert set(np.unique(painted)) <= {0, 1}
