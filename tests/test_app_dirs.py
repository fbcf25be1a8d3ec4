"""Where the user's own files lie: in the folder that is named, or where the system keeps data and caches."""

import platformdirs

from napari_tileseg._app_dirs import cache_folder, data_folder


def test_a_named_folder_holds_data_and_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "own"))
    assert data_folder() == cache_folder() == tmp_path / "own"
    assert not data_folder().exists(), "it is made by who writes into it"


def test_without_a_name_the_system_says_where(monkeypatch):
    monkeypatch.setenv("TILESEG_HOME", "")
    assert data_folder() == platformdirs.user_data_path("napari-tileseg", appauthor=False)
    assert cache_folder() == platformdirs.user_cache_path("napari-tileseg", appauthor=False)
    assert data_folder() != cache_folder()
