"""A prediction from end to end in a process of its own, as a cluster runs it.

`make test-core` runs this file where neither napari nor Qt is installed.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import zarr

from napari_tileseg.errors import SettingsError

VIEWER = {"PyQt6", "PySide6", "magicgui", "napari", "qtpy", "superqt", "vispy"}

RUN = """
import sys
from napari_tileseg.cli import main

try:
    main(sys.argv[1:])
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""

#: The same where matplotlib is not installed: what is None in `sys.modules` cannot be found.
UNDRAWN = 'import sys\nsys.modules["matplotlib"] = None\n' + RUN


def _tileseg(*arguments: str | Path, run: str = RUN) -> dict[str, object]:
    """Run the command line in a fresh process, see that it has loaded no viewer, and return its answer."""
    command = [sys.executable, "-c", run, *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not set(done.stderr.splitlines()[-1].split()) & VIEWER
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_sample_and_prediction_need_no_viewer(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (8, 40, 44), dtype=np.uint16)
    np.save(tmp_path / "image.npy", image)
    networks = _tileseg("networks")
    assert networks

    store = tmp_path / "prediction.ome.zarr"
    answer = _tileseg("predict", tmp_path / "image.npy", "sample:nuclei_3d_batch_renorm", "-o", store)

    classes = zarr.open_array(store / "0", mode="r")
    assert classes.shape[1:] == image.shape
    assert np.isfinite(classes[:]).all()
    assert answer["tiles"] == answer["tiles_computed"]


def test_without_matplotlib_diagnoses_run_and_reports_name_what_to_install(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.random.default_rng(0).integers(0, 4000, (8, 20, 22), dtype=np.uint16))
    answer = _tileseg("diagnose", tmp_path / "image.npy", "sample:nuclei_3d_batch_renorm", run=UNDRAWN)
    assert answer["seam_free"] is True

    # There is no such image: what is missing for the report is found before anything is opened.
    for verb in ("diagnose", "sweep", "receptive-field"):
        command = [verb, "no.npy", "sample:nuclei_3d_batch_renorm", "-o", str(tmp_path / "report")]
        done = subprocess.run(
            [sys.executable, "-c", UNDRAWN, *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == SettingsError.exit_code
        assert 'pip install "napari-tileseg[report]"' in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "report").exists()
