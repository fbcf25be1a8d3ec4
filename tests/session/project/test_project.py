"""A project folder gives back what was put in, and says what it cannot."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_tileseg.errors import StoreError
from napari_tileseg.session.project.folders import new_project_folder
from napari_tileseg.session.project.project import (
    ImageReference,
    Project,
    Result,
    copy_store,
    read_project,
    size_on_disk,
    write_project,
)
from napari_tileseg.session.project.recent import recent_networks, record_recent
from napari_tileseg.settings import ImageSettings, PredictSettings

halos = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, max_size=3).map(tuple)
predict_settings = st.builds(
    PredictSettings,
    halo=st.none() | halos,
    normalize=st.sampled_from(["network", "none", "tile"]),
    quantiles=st.tuples(st.floats(0, 49), st.floats(50, 100)),
    resample=st.booleans(),
    batch=st.none() | st.integers(1, 9),
)


@given(predict_settings, st.text(), st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, chosen, name, complete):
    image = ImageReference(name=name, uri="a.tif", settings=ImageSettings(level=1, channel=(2, 0)))
    project = Project(
        image=image,
        network={"path": "sample:x", "sha256": "0" * 64},
        settings=chosen,
        results=(
            Result(
                name=name,
                path=tmp_path / "predictions" / "a.ome.zarr",
                complete=complete,
                image=image,
                network=name,
                network_sha256="1" * 64,
            ),
            Result(name=name, path=Path("/elsewhere/b.ome.zarr"), saved=True),
        ),
    )
    write_project(tmp_path, project)
    assert read_project(tmp_path) == project


def test_the_folder_may_be_moved(tmp_path):
    project = Project(results=(Result(name="a", path=tmp_path / "old" / "predictions" / "a"),))
    write_project(tmp_path / "old", project)
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_project(tmp_path / "new").results[0].path == tmp_path / "new" / "predictions" / "a"


def test_a_project_of_the_first_format_opens_with_results_of_no_known_image(tmp_path):
    write_project(tmp_path, Project(results=(Result(name="a", path=tmp_path / "predictions" / "a"),)))
    values = json.loads((tmp_path / "project.json").read_text())
    values["format"] = 1
    for result in values["results"]:
        for later in ("image", "network", "network_sha256"):
            del result[later]
    (tmp_path / "project.json").write_text(json.dumps(values))
    (result,) = read_project(tmp_path).results
    assert result == Result(name="a", path=tmp_path / "predictions" / "a")


def test_a_result_is_of_the_image_with_its_voxels_whatever_that_is_called():
    image = ImageReference(name="a", uri="a.tif", fingerprint="1" * 64)
    result = Result(name="r", path=Path("r"), image=image)
    assert result.is_of(replace(image, name="b", uri=""))
    assert not result.is_of(replace(image, fingerprint="2" * 64))
    assert not result.is_of(None)
    assert not replace(result, image=None).is_of(image)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 99}', '{"format": 1, "image": 3}']
)
def test_a_damaged_project_is_said_and_not_touched(tmp_path, text):
    (tmp_path / "project.json").write_text(text)
    with pytest.raises(StoreError):
        read_project(tmp_path)
    assert (tmp_path / "project.json").read_text() == text


def test_values_out_of_bounds_are_damage(tmp_path):
    write_project(tmp_path, Project())
    values = json.loads((tmp_path / "project.json").read_text())
    values["settings"]["batch"] = -1
    (tmp_path / "project.json").write_text(json.dumps(values))
    with pytest.raises(StoreError, match="batch"):
        read_project(tmp_path)


def test_no_project(tmp_path):
    with pytest.raises(StoreError, match="does not"):
        read_project(tmp_path)


def test_a_failed_write_leaves_the_old_project(tmp_path, monkeypatch):
    write_project(tmp_path, Project(settings=PredictSettings(batch=3)))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_project(tmp_path, Project())
    assert read_project(tmp_path).settings.batch == 3


def test_a_store_is_copied_whole_or_not_at_all(tmp_path, monkeypatch):
    source = tmp_path / "a.ome.zarr"
    (source / "0").mkdir(parents=True)
    (source / "0" / "c").write_bytes(b"12345")
    list(copy_store(source, tmp_path / "deep" / "b.ome.zarr"))
    assert size_on_disk(tmp_path / "deep") == 5
    with pytest.raises(StoreError, match="exists already"):
        list(copy_store(source, tmp_path / "deep" / "b.ome.zarr"))

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", fails)
    with pytest.raises(StoreError, match="still at"):
        list(copy_store(source, tmp_path / "other" / "c.ome.zarr"))
    assert list((tmp_path / "other").iterdir()) == []
    assert source.exists()


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))
    return tmp_path


def test_projects_lie_where_the_user_says(own_home):
    first = new_project_folder()
    second = new_project_folder()
    assert first.parent == second.parent == own_home / "projects"
    assert first != second


def test_recent_networks_are_remembered_latest_first(own_home):
    files = [own_home / f"{number}.safetensors" for number in range(12)]
    for file in files:
        file.touch()
        record_recent(str(file))
    record_recent(str(files[5]))
    files[10].unlink()
    listed = recent_networks()
    assert listed[0] == str(files[5])
    assert str(files[10]) not in listed
    assert len(listed) == len(set(listed)) == 7


def test_a_damaged_list_of_recent_networks_is_as_none(own_home):
    (own_home / "recent.json").write_text("{")
    assert recent_networks() == ()


def test_a_result_without_its_project_is_absolute(tmp_path):
    result = Result(name="a", path=tmp_path / "x")
    write_project(tmp_path / "p", Project(results=(replace(result, saved=True),)))
    assert read_project(tmp_path / "p").results[0].path == tmp_path / "x"
