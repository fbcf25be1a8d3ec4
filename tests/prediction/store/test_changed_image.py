"""A call that does not go on with the image it was begun with says what has changed, in words."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tileseg.errors import ImageError, StoreError
from napari_tileseg.images import open_image
from napari_tileseg.images.identity import identity_of, what_changed
from napari_tileseg.images.image import Image
from napari_tileseg.prediction import predict_to_store
from napari_tileseg.settings import PredictSettings

SETTINGS = PredictSettings(core=(16, 16), device="cpu", normalize="none")
VOXELS = np.random.default_rng(0).integers(0, 4000, (32, 40), dtype=np.uint16)
IMAGE = Image(VOXELS, "yx", name="cells", voxel_size=(0.5, 0.5), units=("micrometer",) * 2)
CHANGES: dict[str, dict[str, Any]] = {
    "the voxels of cells have changed": {"data": VOXELS[::-1].copy()},
    "the voxel size of cells was 0.5,0.5 and now is 0.5,0.6": {"voxel_size": (0.5, 0.6)},
    "the place of cells was 0.0,0.0 and now is 1.0,0.0": {"translation": (1.0, 0.0)},
    "the units of cells": {"units": ("nanometer",) * 2},
    "the type of cells was u2 and now is i4": {"data": VOXELS.astype("i4")},
    "the shape of cells was 32,40 and now is 32,36": {"data": VOXELS[:, :36]},
    "the affine of cells": {"affine": ((1.0, 0.1, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_has_changed_is_named(tmp_path, make_network, words):
    list(predict_to_store(IMAGE, make_network(2), SETTINGS, tmp_path / "out"))

    with pytest.raises(StoreError, match=re.escape(words)) as caught:
        list(predict_to_store(replace(IMAGE, **CHANGES[words]), make_network(2), SETTINGS, tmp_path / "out"))

    assert not re.search(r"[0-9a-f]{16}", str(caught.value)), "no hash is a reason"


def test_the_file_is_called_as_the_user_calls_it(tmp_path, make_network):
    tifffile.imwrite(tmp_path / "cells.tif", VOXELS)
    list(predict_to_store(open_image(tmp_path / "cells.tif"), make_network(2), SETTINGS, tmp_path / "out"))
    tifffile.imwrite(tmp_path / "cells.tif", VOXELS // 2)

    with pytest.raises(StoreError, match=r"the voxels of cells\.tif have changed"):
        list(
            predict_to_store(open_image(tmp_path / "cells.tif"), make_network(2), SETTINGS, tmp_path / "out")
        )


@pytest.mark.parametrize("before", [None, "4650be45", [], {}, {"voxels": None}])
def test_parts_that_were_not_kept_are_no_error(before):
    assert "cells" in what_changed(before, identity_of(IMAGE).parts, "cells")


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("value", ["Infinity", "NaN", "-1", "1e400"])
def test_no_size_of_a_file_makes_a_store_that_is_no_json(tmp_path, make_network, value):
    about = f"ImageJ=1.53t\nimages=3\nslices=3\nunit=micron\nspacing={value}\nfinterval={value}\n"
    voxels = np.stack([VOXELS] * 3)
    tifffile.imwrite(
        tmp_path / "a.tif",
        voxels,
        photometric="minisblack",
        metadata=None,
        description=about,
        resolution=(2, 2),
    )
    image = open_image(tmp_path / "a.tif")

    list(predict_to_store(image, make_network(3), PredictSettings(device="cpu"), tmp_path / "out"))

    for file in (tmp_path / "out").rglob("*.json"):
        json.loads(file.read_text(), parse_constant=no_constant)
    assert any("along z" in note for note in image.notes)


@pytest.mark.parametrize(
    "odd",
    [
        {"voxel_size": (np.nan, 1.0)},
        {"voxel_size": (np.inf, 1.0)},
        {"voxel_size": (0.0, 1.0)},
        {"translation": (np.nan, 0.0)},
        {"translation": (0.0, -np.inf)},
        {"affine": ((1.0, np.nan, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
    ],
)
def test_no_image_lies_nowhere(odd):
    with pytest.raises(ImageError, match="finite"):
        replace(IMAGE, **odd)
