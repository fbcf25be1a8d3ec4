"""Distillation: a teacher's predictions of unlabelled voxels, which training stays close to.

Fine-tuning on a few strokes would otherwise make a network worse where nobody has painted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from napari_tileseg._progress import Noted, Progress
from napari_tileseg._types import Halo, Shape
from napari_tileseg.engine.choice import open_engine
from napari_tileseg.errors import NetworkError, UntrustedNetworkError
from napari_tileseg.labels.targets import Targets
from napari_tileseg.nets.network import open_network
from napari_tileseg.nets.reference import NetworkReference
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.tiling import Box, Tile, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels that are predicted for it, about; one tile always is.
EFFORT = 2**22
_WHAT = "Predicting with the present network, to keep what it knows"


@final
@dataclass(frozen=True, slots=True, eq=False)
class TeacherOutputs:
    """Probabilities of the teacher where they are known, and nobody has painted.

    Parameters
    ----------
    cores : mapping of Box to ndarray
        Boxes of the image and probabilities there, ``(classes, *box.shape)``, float16; NaN where somebody has
        painted, be it for training or for validation.
    classes : int
        How many.
    source : dict
        The teacher network, in plain values.
    """

    cores: dict[Box, npt.NDArray[np.float16]]
    classes: int
    source: dict[str, Any]

    def read(self, box: Box) -> npt.NDArray[np.float32]:
        """Return probabilities of a box: ``(classes, *box.shape)``, NaN where there are none."""
        values = np.full((self.classes, *box.shape), np.nan, np.float32)
        for core, known in self.cores.items():
            if core.meets(box):
                part = core.clip(box)
                values[(slice(None), *part.within(box))] = known[(slice(None), *part.within(core))]
        return values


def predict_teacher(
    plan: Plan,
    network: Network,
    targets: Targets,
    *,
    effort: int = EFFORT,
    tiles: int | None = None,
    enough: Callable[[], bool] = bool,
) -> Generator[Progress, None, TeacherOutputs]:
    """Predict the tiles around what is labelled, those with most of it first, and leave out what is labelled.

    Parameters
    ----------
    plan : Plan
        The image, and its tiles as a user has seen them predicted.
    network : Network
        The teacher.
    targets : Targets
        All that is labelled, before any of it is held out.
    effort : int
        Voxels to predict, about.
    tiles : int, optional
        Tiles to predict at most.
    enough : callable
        Whether to leave out the tiles that are left; asked after each one.

    Yields
    ------
    Progress
        After each tile.

    Raises
    ------
    DeviceError, NetworkError, ImageError
        If a tile cannot be predicted.
    """
    chosen = _around(plan.grid, targets, effort)[:tiles]
    cores = {}
    with closing(open_engine(network, plan.device, plan.dtype)) as engine:
        for number, tile in enumerate(chosen):
            yield Progress(_WHAT, number / len(chosen))
            (values,) = engine.compute(plan.prepared, [tile])
            box = plan.grid.kept(tile)
            free = targets.index[box.slices] < 0
            known = values[(slice(None), *box.within(tile.core))].astype(np.float16)
            cores[box] = np.where(free, known, np.float16(np.nan))
            if enough():
                break
    yield Progress(_WHAT, 1.0)
    source = {"name": network.spec.name, **network.reference.as_data()}
    return TeacherOutputs(cores, network.spec.out_channels, source)


def _around(grid: TileGrid, targets: Targets, effort: int) -> list[Tile]:
    """Return the tiles in whose reads something is labelled, most first."""
    points = targets.voxels()
    counts = {}
    for tile in _near(grid, points):
        inside = ((points >= tile.read.start) & (points < tile.read.stop)).all(axis=1)
        counts[tile.index] = int(np.count_nonzero(inside))
    order = sorted(counts, key=lambda index: (-counts[index], index))
    most = max(1, effort // Box.of_shape(grid.read_shape).size)
    return [grid[index] for index in islice(order, most)]


def _near(grid: TileGrid, points: npt.NDArray[np.int64]) -> list[Tile]:
    """Return the tiles that own something labelled, and their neighbours as far as a halo reaches."""
    halo: Halo = grid.aligned_halo
    found: dict[Shape, Tile] = {}
    owners = np.unique(points // np.array(grid.core), axis=0) * np.array(grid.core)
    for start in owners.tolist():
        stop = tuple(a + n for a, n in zip(start, grid.core, strict=True))
        box = Box(tuple(start), stop).grow(halo).clip(Box.of_shape(grid.shape))
        found |= {tile.index: tile for tile in grid.tiles_in(box)}
    return list(found.values())


def teacher_of(network: Network) -> Generator[Noted, None, Network]:
    """Return the teacher for distillation: the network with which fine-tuning began.

    A network that was fine-tuned names it. To distil each round's result instead would let small losses add
    up from round to round. Whoever wrote the file may name any other one: it is opened as
    any file is, without trust, and asked only if it takes the same images and gives as many classes.

    Yields
    ------
    Noted
        Why the network is its own teacher, where it names another one.
    """
    known = network.description.provenance.get("remembered")
    if not isinstance(known, dict):
        return network
    name = str(known.get("name"))[:80]
    try:
        teacher = open_network(NetworkReference.from_untrusted(known))
    except UntrustedNetworkError as error:
        yield _own(network, name, f"{error.source} runs code when it is opened, and you have not trusted it")
        return network
    except NetworkError as error:
        yield _own(network, name, str(error).rstrip("."))
        return network
    if _form(teacher) != _form(network):
        yield _own(network, name, "it takes other images or gives another number of classes")
        return network
    return teacher


def _own(network: Network, name: str, why: str) -> Noted:
    return Noted(
        f"{network.spec.name} was fine-tuned from {name}, whose answers cannot be asked for: {why}. Its own "
        "are used instead."
    )


def _form(network: Network) -> tuple[Any, ...]:
    """Return what has to be equal for answers of one network to be compared with those of another."""
    spec = network.spec
    return spec.axes, spec.in_channels, spec.out_channels, spec.input_normalization
