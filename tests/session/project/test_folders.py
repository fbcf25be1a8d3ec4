"""Numbered folders of a project: none is given twice, and none that was there is given."""

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from napari_tileseg.errors import StoreError
from napari_tileseg.session.project.folders import claim_folder, claim_result_folder


def test_numbers_go_on_behind_the_last_one(tmp_path):
    (tmp_path / "runs" / "0007").mkdir(parents=True)
    (tmp_path / "runs" / "notes").mkdir()
    assert claim_folder(tmp_path, "runs") == tmp_path / "runs" / "0008"
    assert claim_folder(tmp_path, "labels") == tmp_path / "labels" / "0001"


def test_who_claims_at_the_same_time_gets_another_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(claim_folder, repeat(tmp_path, 40), repeat("diagnoses")))
    assert sorted(path.name for path in folders) == [f"{number:04}" for number in range(1, 41)]


@pytest.mark.parametrize("obstacle", ["file", "link"])
def test_what_stands_in_the_way_is_named(tmp_path, obstacle):
    if obstacle == "file":
        (tmp_path / "diagnoses").write_text("")
    else:
        (tmp_path / "diagnoses").symlink_to(tmp_path / "gone")
    with pytest.raises(StoreError, match=r"A diagnosis should be stored in .*diagnoses.*TILESEG_HOME"):
        claim_result_folder(tmp_path, "diagnoses", "A diagnosis")
