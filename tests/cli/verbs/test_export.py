"""``tileseg export`` writes networks for other programs."""

import numpy as np

from napari_tileseg.errors import StoreError
from napari_tileseg.nets import open_network


def test_the_shell_exports_and_tells_what_came_of_it(tileseg, tmp_path):
    image = tmp_path / "image.npy"
    np.save(image, np.random.default_rng(0).integers(0, 900, (5, 200, 220)).astype("u2"))
    flags = ("--author", "A. Nobody", "--image", image, "--axes", "tyx")
    code, report = tileseg.json(
        "export", "sample:cells_2d_batch_renorm", "-o", tmp_path / "cells.zip", *flags
    )
    assert code == 0
    assert report["format"] == "bioimageio"
    assert report["difference"] <= 1e-5
    assert "seams" in report["notes"][0]
    assert open_network(report["output"]).spec.self_test.reproduces
    code, said = tileseg.json("export", "sample:cells_2d_batch_renorm", "-o", tmp_path / "cells.doc")
    assert code == StoreError.exit_code
    assert "onnx" in said["error"]
