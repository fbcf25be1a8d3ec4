"""Write the files of a former version that `tests/test_older_files.py` opens and resumes.

It is run with the version whose files are wanted, not with the present one, and uses that one's names:

    git worktree add --detach ../older 7040707
    PYTHONPATH=../older/src python scripts/make_older_files.py tests/older/0.1.0-a

Writes an image; networks with instance and with batch renormalization; predictions that are complete,
resampled, of a box, and half done by a process that was killed; a project; a fine-tuning and a training from
scratch that were stopped in between, and what they come to when they are not; and a user's folder with a
cache, a list of trusted files and networks opened before.

They are made in `PLACE`, whose path stands in some of them. In text `MARK` stands for it, in whose place a
test puts the folder that it copies them to.
"""

# What is imported here is no module of the version that the linter sees.
# ruff: noqa: I001

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from napari_tileseg import __file__ as package
from napari_tileseg import __version__
from napari_tileseg.cli.sample_files import write_sample, write_strokes
from napari_tileseg.images import open_image
from napari_tileseg.nets import open_network, save_network, trust
from napari_tileseg.nets.registry import build
from napari_tileseg.predict import predict_to_store
from napari_tileseg.predict.events import TileDone
from napari_tileseg.samples import cells_image
from napari_tileseg.session import Session
from napari_tileseg.session.diagnosing import Diagnoser
from napari_tileseg.session.finetuning import FineTuning, TuneOrder
from napari_tileseg.session.from_scratch import lay_out
from napari_tileseg.session.home import remember_network
from napari_tileseg.session.label_file import read_labels
from napari_tileseg.session.recipe_file import read_recipe
from napari_tileseg.session.stroke_record import StrokeClass
from napari_tileseg.session.strokes import Strokes
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.train import StepDone

#: Where the files are made: it stands in them, and says nothing of whoever runs this.
PLACE = Path("/tmp/tileseg-older-files")
#: What it becomes in text.
MARK = "@FOLDER@"
CELLS, STROKES = "cells.ome.zarr", "strokes.tif"
#: How the complete and the half done prediction are made, and the one that the project goes on with.
SETTINGS = PredictSettings(core=(32, 32), device="cpu")
#: Tiles of a prediction, and steps of a training, that are done before it ends too early.
TILES, STEPS = 4, 3
TRAINING = TrainSettings(
    steps=2 * STEPS, patch=(32, 32), learning_rate=0.01, accumulate=1, validate_every=STEPS, device="cpu"
)
RECIPE = f"""\
output: scratch.safetensors
pairs:
  - image: {CELLS}
    labels: {CELLS}/labels/cells
labels_kind: instances
classes: [foreground, boundary]
architecture:
  name: unet
  ndim: 2
  features: [2, 3]
  blocks: 1
  norm: batch_renorm
training:
  steps: {2 * STEPS}
  patch: [32, 32]
  learning_rate: 0.01
  accumulate: 1
  validate_every: {STEPS}
  device: cpu
"""


def main() -> None:
    """Make the files, and put them where they are wanted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", type=Path, help="folder to write, which must not exist")
    target = parser.parse_args().target
    PLACE.mkdir()
    try:
        _write_all(PLACE)
        _hide_place(PLACE)
        shutil.copytree(PLACE, target)
    finally:
        shutil.rmtree(PLACE)


def _write_all(place: Path) -> None:
    os.environ["TILESEG_HOME"] = str(place / "home")
    torch.set_num_threads(2)
    torch.manual_seed(0)
    cells = cells_image((80, 96))
    write_sample(cells, place / CELLS)
    write_strokes(cells, place / STROKES)
    _write_instance_network(place / "instance.safetensors")
    # The second comes to what the first would have come to.
    _fine_tune(place, "stopped", stop=True)
    _fine_tune(place, "tuned", stop=False)
    _train(place)
    _write_predictions(place)
    expected = _write_project(place / "project")
    expected["script_sha256"] = _write_script(place / "script.pt")
    trust(expected["script_sha256"])
    remember_network(str(place / "instance.safetensors"))
    remember_network(str(place / "tuned.safetensors"))
    about = {"version": __version__, "commit": _commit(), "torch": torch.__version__}
    (place / "expected.json").write_text(json.dumps({**about, **expected}, indent=2) + "\n")


def _write_instance_network(path: Path) -> None:
    arguments = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": (3, 4), "blocks": 1}
    arguments["norm"] = "instance"
    save_network(
        build("unet", **arguments),
        path,
        architecture="unet",
        arguments=arguments,
        activation="sigmoid",
        classes=("foreground", "boundary"),
        voxel_size=(0.9, 0.9),
    )


def _fine_tune(place: Path, name: str, *, stop: bool) -> None:
    """Teach the network with instance normalization, and save its last weights."""
    image, folder = open_image(place / CELLS), place / f"{name}.run"
    order = TuneOrder(
        image=image,
        labels=read_labels(str(place / STROKES), image.shape),
        network=open_network(place / "instance.safetensors"),
        folder=folder,
        training=TRAINING,
        meaning=LabelSettings(labels_kind="strokes"),
    )
    job = FineTuning(order)
    for event in job.events():
        if stop and isinstance(event, StepDone) and event.step == STEPS:
            job.stop()
    job.save("last", place / f"{name}.safetensors")
    job.close()
    if not stop:
        shutil.rmtree(folder)


def _train(place: Path) -> None:
    """Train from scratch, once to the end, of which the network stays, and then half of it."""
    (place / "scratch.yaml").write_text(RECIPE)
    recipe = read_recipe(place / "scratch.yaml")
    for stop, name in ((False, "scratch-whole"), (True, "scratch-stopped")):
        training = _returned(lay_out(recipe))
        for event in training.events():
            if stop and isinstance(event, StepDone) and event.step == STEPS:
                training.stop()
        training.save("last", place / f"{name}.safetensors")
        training.close()


def _returned(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def _write_predictions(place: Path) -> None:
    image, tuned = open_image(place / CELLS), open_network(place / "tuned.safetensors")
    instance = open_network(place / "instance.safetensors")
    resampled = PredictSettings(core=(32, 32), resample=True, device="cpu")
    box = PredictSettings(core=(16, 16), box=((8, 56), (16, 64)), normalize="zero_mean", device="cpu")
    list(predict_to_store(image, tuned, SETTINGS, place / "complete.ome.zarr"))
    list(predict_to_store(image, tuned, resampled, place / "resampled.ome.zarr"))
    list(predict_to_store(image, instance, box, place / "box.ome.zarr"))
    process = multiprocessing.get_context("spawn").Process(target=_predict_and_die, args=(place,))
    process.start()
    process.join()


def _predict_and_die(place: Path) -> None:
    """Predict some tiles, and end as a process does that is killed."""
    torch.set_num_threads(2)
    image, tuned = open_image(place / CELLS), open_network(place / "tuned.safetensors")
    for event in predict_to_store(image, tuned, SETTINGS, place / "half.ome.zarr"):
        if isinstance(event, TileDone) and event.done == TILES:
            os._exit(1)


class _Owner:
    """The thread that owns a session: what others tell is run in it while it waits."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.dispatch = self._calls.put

    def wait(self, over: Callable[[], bool]) -> None:
        """Run what is told until something is so."""
        while not over():
            self._calls.get()()

    def settle(self, session: Session) -> None:
        """Run what is told until nothing is under way."""
        kinds = ("network", "path", "image", "measure", "predict", "save", "size")
        self.wait(lambda: not any(map(session.running, kinds)))


def _write_project(folder: Path) -> dict[str, Any]:
    """Predict, paint and diagnose as the panels do; give what a test compares with."""
    place, owner = folder.parent, _Owner()
    session = Session(folder, owner.dispatch)
    session.failed.connect(_fail)
    session.set_image(open_image(place / CELLS))
    session.open_network(str(place / "instance.safetensors"))
    owner.settle(session)
    session.set_settings(PredictSettings(core=(48, 48), device="cpu"))
    owner.settle(session)
    finding = _diagnose(session, owner)
    session.start()
    owner.settle(session)
    session.open_network(str(place / "tuned.safetensors"))
    owner.settle(session)
    session.set_settings(SETTINGS)
    owner.settle(session)
    session.tile_written.connect(lambda event: event.done == TILES and session.cancel())
    session.start()
    owner.settle(session)
    painted = _paint(session, owner)
    session.close()
    return {"finding": finding, "painted": painted}


def _diagnose(session: Session, owner: _Owner) -> dict[str, Any]:
    diagnosing = Diagnoser(session, owner.dispatch)
    diagnosing.failed.connect(_fail)
    diagnosing.start("everything")
    owner.wait(lambda: not diagnosing.running)
    (finding,) = diagnosing.findings
    diagnosing.close()
    values = asdict(finding)
    named = ("seam_free", "largest", "pairs", "cause", "when", "network", "core")
    worst = [finding.places[0].class_name, *finding.places[0].point]
    return {name: values[name] for name in named} | {"places": len(finding.places), "worst": worst}


def _paint(session: Session, owner: _Owner) -> dict[str, list[int | None]]:
    """Paint two strokes of the first class, one of the second; give voxels and strokes of each."""
    strokes = Strokes(session, owner.dispatch)
    strokes.failed.connect(_fail)
    colors = {"foreground": (255, 0, 255), "boundary": (0, 200, 0)}
    classes = (StrokeClass(value=n, name=name, color=colors[name]) for n, name in enumerate(colors, 1))
    painting = strokes.begin(tuple(classes))
    painting.array[10:12, 5:30] = 1
    painting.array[40:42, 50:80] = 1
    painting.array[60, 20:35] = 2
    owner.wait(lambda: painting.saved is not None and painting.settled)
    painted = {str(value): [each.voxels, each.strokes] for value, each in painting.painted.items()}
    strokes.close()
    return painted


def _fail(*problem: Any) -> None:
    raise RuntimeError(*problem)


def _write_script(path: Path) -> str:
    """Write a TorchScript file, which runs code when it is opened; give its hash."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Conv2d(1, 2, 3, padding=1)).save(str(path))
    said = {"axes": "yx", "in_channels": 1, "classes": ["a", "b"], "activation": "sigmoid"}
    path.with_name(f"{path.name}.json").write_text(json.dumps(said))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _commit() -> str:
    """Which version ran."""
    command = ["git", "-C", str(Path(package).parent), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _hide_place(place: Path) -> None:
    for path in (each for each in place.rglob("*") if each.suffix in {".json", ".csv", ".txt"}):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(str(place), MARK), encoding="utf-8")


if __name__ == "__main__":
    main()
