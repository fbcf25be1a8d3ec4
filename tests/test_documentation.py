"""The commands of README and documentation run as they stand, in order, in an empty folder."""

import re
import shlex
import shutil
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from napari_tileseg.cli import main
from napari_tileseg.images import open_image

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *ROOT.joinpath("docs").glob("*.md"))
    if re.search(r"^```sh\n(?:.*\n)*?tileseg ", page.read_text(encoding="utf-8"), re.MULTILINE)
)
#: Programs that install something or open a window: their lines are left out.
ELSEWHERE = {"pip", "napari", "make", "cd", "git", "python"}
#: Less of the same, as nobody waits here for what a person waits for.
LESS = {
    "--minutes 1": "--steps 1",
    "sample nuclei.ome.zarr": "sample nuclei.ome.zarr --shape 32,64,64",
    "32,96,96": "24,64,64",
}
#: What a page says that its reader brings.
BROUGHT = {
    "docs/teach.md": ("embryo.tif",),
    "docs/train.md": ("image.ome.zarr", "network.safetensors", "nuclei.yaml"),
    "docs/python.md": ("embryo.ome.zarr",),
}


def commands(page):
    text = ROOT.joinpath(page).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            parts = shlex.split(line, comments=True)
            if parts and parts[0] not in ELSEWHERE:
                yield parts


def lessened(parts):
    line = shlex.join(parts)
    for much, little in LESS.items():
        line = line.replace(much, little)
    return shlex.split(line)


def bring(name):
    if name == "nuclei.yaml":
        recipe = (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8")
        Path(name).write_text(re.sub(r"steps: \d+", "steps: 1", recipe), encoding="utf-8")
    elif name == "network.safetensors":
        shutil.copy(ROOT / "src/napari_tileseg/samples/networks/nuclei_3d_instance.safetensors", name)
    else:
        made = CliRunner().invoke(main, ["sample", name, "--shape", "32,64,64", "--strokes", "strokes.tif"])
        assert made.exit_code == 0, made.output


def test_there_are_pages_with_commands():
    assert {"README.md", "docs/start.md", "docs/train.md", "docs/teach.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_order_in_an_empty_folder(tmp_path, monkeypatch, page):
    monkeypatch.chdir(tmp_path)
    for name in BROUGHT.get(page, ()):
        bring(name)
    ran = 0
    for program, *args in map(lessened, commands(page)):
        assert program == "tileseg"
        quiet = ["--device", "cpu"] if args[0] in {"predict", "diagnose", "finetune", "convert"} else []
        if args[0] == "finetune" and Path("better.safetensors").exists():
            quiet.append("--restart")
        result = CliRunner().invoke(main, [*args, *quiet])
        assert result.exit_code == 0, (args, result.output, result.exception)
        ran += 1
    assert ran


def test_the_python_of_a_page_runs_from_top_to_bottom_in_an_empty_folder(tmp_path, monkeypatch):
    page = "docs/python.md"
    monkeypatch.chdir(tmp_path)
    for name in BROUGHT[page]:
        bring(name)
    blocks = re.findall(r"^```python\n(.*?)^```", ROOT.joinpath(page).read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 1
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert names["ts"].open_prediction("prediction.ome.zarr").complete


def test_the_citation_names_the_version_and_the_licence_of_the_package():
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load(ROOT.joinpath("CITATION.cff").read_text(encoding="utf-8"))
    for key in ("version", "license"):
        assert citation[key] == project[key]


@pytest.mark.parametrize("kind", ["nuclei", "cells"])
def test_strokes_mean_what_is_painted_on(tmp_path, kind):
    shape = "16,48,48" if kind == "nuclei" else "96,96"
    args = ["sample", tmp_path / "a.tif", "--strokes", tmp_path / "s.tif", "--kind", kind, "--shape", shape]
    assert CliRunner().invoke(main, list(map(str, args))).exit_code == 0
    strokes, labels = (np.asarray(open_image(tmp_path / name).data[:]) for name in ("s.tif", "a_labels.tif"))
    assert strokes.shape == labels.shape
    assert set(np.unique(strokes)) == {0, 1, 2, 3}
    assert (labels[(strokes == 1) | (strokes == 2)] > 0).all()
    assert (labels[strokes == 3] == 0).all()
    assert 0 < (strokes > 0).mean() < 0.2


@pytest.mark.parametrize("name", ["strokes.tif", "absent/labels.zarr", "l.h5"])
def test_labels_that_are_not_there_are_called_labels(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    np.save("i.npy", np.random.default_rng(0).integers(0, 99, (64, 64)))
    args = ["finetune", "i.npy", name, "sample:cells_2d_batch_renorm", "-o", "n.safetensors"]
    result = CliRunner().invoke(main, [*args, "--labels-kind", "strokes", "--steps", "1"])
    assert result.exit_code == 3
    assert f"There are no labels at {name}" in result.stderr


def hook(name):
    """A script that writes into pages, as a module."""
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_words_that_stand_for_something_on_a_page_are_known():
    known = {*hook("docs_results").WRITERS, *hook("docs_reference").WRITERS}
    for page in ROOT.joinpath("docs").glob("*.md"):
        words = re.findall(r"^\[\[.*\]\]$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words) <= known, page


def test_what_surroundings_cost_is_a_mean_over_images_and_a_sum_of_what_was_invented():
    row = {"network": "InstanceNorm", "way": "whole image"}
    rows = [
        {**row, "image": "a", "times": 1, "dice": 0.5, "invented": 0},
        {**row, "image": "a", "times": 9, "dice": 0.5, "invented": 2000},
        {**row, "image": "b", "times": 9, "dice": 0.25, "invented": 4},
        {**row, "image": "other", "times": 9, "dice": 1.0, "invented": 1},
        {**row, "network": "another", "image": "a", "times": 30, "dice": 1.0, "invented": 1},
    ]
    lines = list(hook("docs_results").write_surroundings({"rows": rows}, images=("a", "b"), shipped=True))
    assert lines[0].startswith("| network | statistics | alone | in 9 times the area |\n")
    # Alone, only one of both was measured.
    assert lines[1:] == ["| InstanceNorm | whole image |  | 0.375; 2,004 |"]
