"""Files that the program writes itself and reads back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.images import voxels
from fuzzing.kinds import Kind
from fuzzing.networks import make_network
from napari_tileseg.errors import (
    DeviceError,
    ImageError,
    NetworkError,
    SettingsError,
    StoreError,
    TilesegError,
)
from napari_tileseg.images import open_image
from napari_tileseg.nets import open_network
from napari_tileseg.settings import (
    ImageSettings,
    LabelSettings,
    PredictSettings,
    TrainSettings,
)

_SHAPE = (72, 96)
_TILES = PredictSettings(core=(16, 16), device="cpu")
_STORE = "out.ome.zarr"


def _make_pair(folder: Path) -> None:
    np.save(folder / "image.npy", voxels(*_SHAPE))
    make_network(folder / "net.safetensors")


def _make_store(tiles: int | None, folder: Path) -> None:
    from napari_tileseg.prediction import predict_to_store
    from napari_tileseg.prediction.events import TileDone

    _make_pair(folder)
    image, network = open_image(folder / "image.npy"), open_network(folder / "net.safetensors")
    events = predict_to_store(image, network, _TILES, folder / _STORE)
    for event in events:
        if isinstance(event, TileDone) and event.done == tiles:
            events.close()
            break


def _resume_store(folder: Path) -> None:
    from napari_tileseg.prediction import open_prediction, predict_to_store

    try:
        store = open_prediction(folder / _STORE)
        store.done()
        for level in store.levels:
            level[()]
    finally:
        image, network = open_image(folder / "image.npy"), open_network(folder / "net.safetensors")
        for _ in predict_to_store(image, network, _TILES, folder / _STORE):
            pass


def _make_project(folder: Path) -> None:
    from napari_tileseg.session.project.image_reference import refer
    from napari_tileseg.session.project.project import Project, Result, write_project

    _make_pair(folder)
    network = open_network(folder / "net.safetensors")
    result = Result(name="a", path=folder / "predictions" / "a.ome.zarr", complete=True)
    image = refer(open_image(folder / "image.npy"), ImageSettings())
    project = Project(image=image, network=network.reference.as_data(), settings=_TILES, results=(result,))
    write_project(folder, project)


def _read_project(folder: Path) -> None:
    from napari_tileseg.session.prediction.network_opening import opening
    from napari_tileseg.session.project.image_reference import reopen_image
    from napari_tileseg.session.project.project import read_project

    project = read_project(folder)
    if project.image is not None:
        reopen_image(project.image)
    if project.network is not None:
        list(opening(project.network, None))


def _make_finding(folder: Path) -> None:
    from napari_tileseg.prediction import lay_plan
    from napari_tileseg.session.diagnosis.findings import Subject
    from napari_tileseg.session.diagnosis.run import Request, carry_out

    _make_pair(folder)
    image, network = open_image(folder / "image.npy"), open_network(folder / "net.safetensors")
    plan = lay_plan(image, network, _TILES)
    request = Request(
        plan=plan,
        look_at="everything",
        project=folder,
        subject=Subject.of(plan, None),
    )
    for _ in carry_out(request):
        pass


def _read_finding(folder: Path) -> None:
    from napari_tileseg.session.diagnosis.files import read_finding, read_findings

    read_findings(folder)
    read_finding(folder / "diagnoses" / "0001")


def _tune(folder: Path, *, resume: bool) -> Iterator[Any]:
    from napari_tileseg.workflows.finetuning import FineTuning
    from napari_tileseg.workflows.finetuning_request import TuneRequest

    strokes = np.zeros(_SHAPE, np.uint8)
    strokes[4:12, 4:30], strokes[20:26, 4:30] = 1, 2
    request = TuneRequest(
        image=open_image(folder / "image.npy"),
        labels=strokes,
        network=open_network(folder / "net.safetensors"),
        folder=folder / "run",
        training=TrainSettings(steps=3, patch=(16, 16), device="cpu", validate_every=1, remember=0),
        meaning=LabelSettings(labels_kind="strokes"),
        resume=resume,
    )
    return FineTuning(request).run()


def _make_run(folder: Path) -> None:
    _make_pair(folder)
    for _ in _tune(folder, resume=False):
        pass


def _resume_run(folder: Path) -> None:
    for _ in _tune(folder, resume=True):
        pass


_RECIPE = """
output: new.safetensors
classes: [cell, edge]
labels_kind: classes
map: {1: cell, 2: edge}
architecture: {name: unet, ndim: 2, features: [2, 3], norm: batch_renorm}
input_normalization: {kind: quantiles, low: 1, high: 99.8}
pairs:
  - {image: a.tif, labels: a_labels.tif, validation: true}
  - {image: b.tif, labels: b_labels.tif}
training: {steps: 20, patch: [16, 16], learning_rate: 0.001, augment: true}
"""


def _make_recipe(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(_RECIPE, encoding="utf-8")


def _read_recipe(folder: Path) -> None:
    from napari_tileseg.workflows.recipe_file import read_recipe

    read_recipe(folder / "recipe.yaml")


def _make_strokes(folder: Path) -> None:
    from napari_tileseg.session.painting.files import StrokeFiles
    from napari_tileseg.session.painting.record import StrokeClass, StrokeRecord

    np.save(folder / "image.npy", voxels(*_SHAPE))
    classes = (StrokeClass(value=1, name="cell", color=(255, 0, 0)),)
    image = open_image(folder / "image.npy")
    record = StrokeRecord.of(image, "0" * 64, "strokes", classes, fixed=False)
    files = StrokeFiles(folder / "labels" / "0001", record, np.dtype("u1"))
    files.create()
    files.write_chunk((0, 0), np.ones(_SHAPE, np.uint8))


def _read_strokes(folder: Path) -> None:
    from napari_tileseg.session.painting.files import StrokeFiles, find_strokes

    find_strokes("0" * 64, folder)
    files = StrokeFiles.open(folder / "labels" / "0001")
    files.read()
    files.saved_at()


@contextmanager
def _at_home(folder: Path) -> Iterator[None]:
    former = os.environ["TILESEG_HOME"]
    os.environ["TILESEG_HOME"] = str(folder / "home")
    try:
        yield
    finally:
        os.environ["TILESEG_HOME"] = former


def _make_home(folder: Path) -> None:
    from napari_tileseg.nets.trust_list import trust
    from napari_tileseg.session.project.recent import record_recent

    make_network(folder / "net.safetensors")
    with _at_home(folder):
        open_network(folder / "net.safetensors")
        record_recent("sample:cells_2d_batch_renorm")
        trust("0" * 64)


def _read_home(folder: Path) -> None:
    from napari_tileseg.nets.trust_list import is_trusted, trust
    from napari_tileseg.session.project.recent import recent_networks, record_recent

    with _at_home(folder):
        network = open_network(folder / "net.safetensors")
        network.spec.as_dict()
        recent_networks()
        record_recent("sample:cells_2d_instance")
        is_trusted("1" * 64)
        trust("1" * 64)


def _plan_with_geometry(folder: Path) -> None:
    from napari_tileseg.prediction import plan_tiles

    with _at_home(folder):
        spec = open_network(folder / "net.safetensors").spec
    plan_tiles(open_image(folder / "image.npy"), spec)


def _make_geometry(folder: Path) -> None:
    _make_home(folder)
    np.save(folder / "image.npy", voxels(*_SHAPE))


_STORES: tuple[type[TilesegError], ...] = (StoreError, DeviceError)
#: A damaged hash of labels cannot be told from other labels, which are an `ImageError`.
_RUNS = (StoreError, SettingsError, ImageError, DeviceError)
OWN_FILES = (
    Kind(
        name="store, complete",
        make=partial(_make_store, None),
        damaged=(f"{_STORE}/zarr.json", f"{_STORE}/?/zarr.json", f"{_STORE}/0/c/**/[0-9]"),
        read=_resume_store,
        answers=_STORES,
        share=5,
    ),
    Kind(
        name="store, begun",
        make=partial(_make_store, 3),
        damaged=(
            *(f"{_STORE}/zarr.json", f"{_STORE}/?/zarr.json", f"{_STORE}/0/c/**/[0-9]"),
            *(f"{_STORE}/tiles_done.txt", f"{_STORE}/writer.lock"),
        ),
        read=_resume_store,
        answers=_STORES,
        share=5,
    ),
    Kind(
        name="project",
        make=_make_project,
        damaged=("project.json",),
        read=_read_project,
        answers=(StoreError, ImageError, NetworkError, SettingsError, DeviceError),
        share=4,
    ),
    Kind(
        name="finding",
        make=_make_finding,
        damaged=("diagnoses/0001/diagnosis.json",),
        read=_read_finding,
        answers=_STORES,
        share=3,
    ),
    Kind(
        name="run",
        make=_make_run,
        damaged=("run/*.json", "run/last.pt", "run/*.csv"),
        read=_resume_run,
        answers=_RUNS,
        share=4,
    ),
    Kind(
        name="recipe",
        make=_make_recipe,
        damaged=("recipe.yaml",),
        read=_read_recipe,
        answers=(SettingsError,),
        share=3,
    ),
    Kind(
        name="strokes",
        make=_make_strokes,
        damaged=("labels/**/zarr.json", "labels/0001/0/c/**/[0-9]"),
        read=_read_strokes,
        answers=_STORES,
        share=3,
    ),
    Kind(
        name="home",
        make=_make_home,
        damaged=("home/*.txt", "home/*.json"),
        read=_read_home,
        answers=_STORES,
    ),
    Kind(
        name="geometry",
        make=_make_geometry,
        damaged=("home/geometry/*.json",),
        read=_plan_with_geometry,
        answers=(DeviceError, ImageError, SettingsError),
    ),
)
