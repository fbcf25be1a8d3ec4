"""A training whose files are damaged, or taken away while it runs."""

import json
import shutil

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.errors import SettingsError, StoreError
from napari_tileseg.images.image import Image
from napari_tileseg.session.project.recent import recent_networks, record_recent
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.training import StepDone
from napari_tileseg.training.checkpoints import LAST, RUN
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_events import Tuned
from napari_tileseg.workflows.finetuning_request import TuneRequest
from napari_tileseg.workflows.measures import NUMBERS

SETTINGS = TrainSettings(steps=4, patch=(16, 16), device="cpu", validate_every=2, remember=0)
IMAGE = Image(np.random.default_rng(0).integers(0, 999, (72, 96)).astype("u2"), "yx", name="cells")


def tune(networks, folder, *, resume=False):
    strokes = np.zeros(IMAGE.shape, np.uint8)
    strokes[4:12, 4:60], strokes[30:38, 4:60] = 1, 2
    return FineTuning(
        TuneRequest(
            image=IMAGE,
            labels=strokes,
            network=networks["batch"],
            folder=folder,
            training=SETTINGS,
            meaning=LabelSettings(labels_kind="strokes"),
            resume=resume,
        )
    )


@pytest.fixture(scope="module")
def finished(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainings") / "run"
    drain(tune(networks, folder).run())
    return folder


def put(*keys, value):
    def change(folder):
        values = inner = json.loads((folder / RUN).read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (folder / RUN).write_text(json.dumps(values))

    return change


def checkpoint(**values):
    def change(folder):
        torch.save({**torch.load(folder / LAST, weights_only=True), **values}, folder / LAST)

    return change


DAMAGE = {
    "run is a list": lambda folder: (folder / RUN).write_text("[]"),
    "run is cut off": lambda folder: (folder / RUN).write_text('{"settings": '),
    "run is nested too deep": lambda folder: (folder / RUN).write_text("[" * 100_000),
    "run is not text": lambda folder: (folder / RUN).write_bytes(b"\xff\xfe\x00"),
    "run is gone": lambda folder: (folder / RUN).unlink(),
    "settings": put("settings", value=5),
    "parent": put("parent", value=None),
    "images": put("images", value=[5]),
    "normalization": put("images", 0, "normalization", "offset", value=[[1]]),
    "recipe": put("recipe", value={"steps": "many"}),
    "checkpoint is cut off": lambda folder: (folder / LAST).write_bytes((folder / LAST).read_bytes()[:900]),
    "checkpoint is empty": lambda folder: (folder / LAST).write_bytes(b""),
    "checkpoint is gone": lambda folder: (folder / LAST).unlink(),
    "checkpoint is a list": lambda folder: torch.save([1], folder / LAST),
    "version": checkpoint(version=99),
    "description": checkpoint(description="{"),
    "state": checkpoint(state={"step": 3}),
    "best": checkpoint(best={"step": 1}),
    "bench": checkpoint(bench={"optimizer": 5}),
    "module": checkpoint(module={}),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_training_is_not_gone_on_with(networks, finished, tmp_path, change):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    change(folder)
    with pytest.raises((StoreError, SettingsError)) as caught:
        drain(tune(networks, folder, resume=True).run())
    assert "start" in str(caught.value).lower() or "Use the program" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        '{"before": 5}',
        '{"before": {"loss": "low"}}',
        "[" * 100_000,
        '{"before": {"classes": 3}}',
    ],
    ids=range(7),
)
def test_damaged_numbers_are_measured_again(networks, finished, tmp_path, text):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / NUMBERS).write_text(text)
    last = drain(tune(networks, folder, resume=True).run())
    assert isinstance(last, Tuned)
    assert json.loads((folder / NUMBERS).read_text())["before"]["classes"]


TAKEN = {
    "removed": shutil.rmtree,
    "renamed": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "run": lambda folder: (folder / RUN).unlink(),
    "checkpoint": lambda folder: (folder / LAST).unlink(),
}


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
def test_a_folder_that_is_taken_away_ends_the_training_at_the_next_step(networks, tmp_path, take):
    folder, steps = tmp_path / "run", []
    work = tune(networks, folder)

    def go_on():
        for event in work.run():
            if isinstance(event, StepDone):
                steps.append(event.step)
                if event.step == 1:
                    take(folder)

    with pytest.raises(StoreError, match=r"removed or renamed while it was being written\. Start it again"):
        go_on()
    assert steps == [1]
    # What was learned is still in memory, for whoever wants to write it elsewhere.
    assert work.trainer.save("last", tmp_path / "n.safetensors").exists()
    work.close()
    last = drain(tune(networks, folder).run())
    assert isinstance(last, Tuned)


@pytest.mark.parametrize(
    "content",
    [b"", b"5", b"{}", b'{"a": 1}', b"\xff", b"[" * 100_000, b'["\\u0000", 3, null, "sample:a"]'],
    ids=range(7),
)
def test_a_damaged_list_of_networks_is_an_empty_one(monkeypatch, tmp_path, content):
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path))
    (tmp_path / "recent.json").write_bytes(content)
    assert set(recent_networks()) <= {"sample:a"}
    record_recent("sample:b")
    assert recent_networks()[0] == "sample:b"
