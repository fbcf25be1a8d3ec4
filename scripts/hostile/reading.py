"""Reads files that were made to harm, one after the other, in a process whose address space is limited.

Each is read as the program reads it. Reported are what it was answered with, the seconds of computing, and
the peak of memory beyond what was in use before.
"""

from __future__ import annotations

import json
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Bytes of address space beyond those in use after start-up: a guard, so that nothing takes the machine down.
_GUARD = 3 * 2**30


def _network(path: Path, about: dict[str, Any]) -> None:
    from napari_tileseg.nets import open_network
    from napari_tileseg.settings import NetworkSettings

    open_network(path, NetworkSettings(architecture=about.get("architecture")))


def _project(path: Path, _: dict[str, Any]) -> None:
    from napari_tileseg.nets import NetworkReference, open_network
    from napari_tileseg.session.diagnosis.files import read_finding
    from napari_tileseg.session.project.project import read_project

    project = read_project(path)
    for result in project.results:
        _left_alone(result.path, path)
    for folder in path.glob("diagnoses/*"):
        read_finding(folder)
    if project.network is not None:
        open_network(NetworkReference.from_untrusted(project.network))


def _left_alone(result: Path, project: Path) -> None:
    """Discard a result, as the panel does; one that is not the project's own is refused."""
    from napari_tileseg.errors import StoreError
    from napari_tileseg.session.project.own_files import remove_set_aside, set_aside

    try:
        remove_set_aside(set_aside(result, project))
    except StoreError:
        return


def _strokes(path: Path, _: dict[str, Any]) -> None:
    from napari_tileseg.session.painting.files import StrokeFiles

    StrokeFiles.open(path)


def _recipe(path: Path, _: dict[str, Any]) -> None:
    from napari_tileseg.workflows.recipe_file import read_recipe

    read_recipe(path)


def _image(path: Path, _: dict[str, Any]) -> None:
    from napari_tileseg.images import open_image

    open_image(path)


def _training(path: Path, _: dict[str, Any]) -> None:
    from napari_tileseg.training.checkpoints import read_about, read_checkpoint

    read_about(path)
    read_checkpoint(path)


_READERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "network": _network,
    "project": _project,
    "strokes": _strokes,
    "recipe": _recipe,
    "image": _image,
    "training": _training,
}


def _status(key: str) -> int:
    """Return the bytes that the kernel reports for this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024


def _read(case: dict[str, Any]) -> dict[str, Any]:
    """How reading one file ended."""
    from napari_tileseg.errors import TilesegError

    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak of memory starts anew
    before, begun = _status("VmRSS"), time.process_time()
    try:
        _READERS[case["how"]](Path(case["path"]), case)
        answer, kind = "", "opened"
    except TilesegError as error:
        answer, kind = str(error), type(error).__name__
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is reported
        answer, kind = repr(error), "another exception"
    seconds, peak = time.process_time() - begun, _status("VmHWM") - before
    return {"name": case["name"], "kind": kind, "answer": answer, "seconds": seconds, "bytes": max(peak, 0)}


def read_all(cases: Path) -> Iterator[dict[str, Any]]:
    """Read all cases of a JSON file, one after the other; yield how each ended."""
    warnings.simplefilter("ignore")
    import monai.networks.nets.unet  # noqa: F401 - loaded before anything is measured
    import torch

    listed = json.loads(cases.read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    for _ in range(2):
        _read(listed[0])
    used = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (used + _GUARD, resource.getrlimit(resource.RLIMIT_AS)[1]))
    yield from map(_read, listed)
