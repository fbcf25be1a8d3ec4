"""Statistics of the whole image for networks of other packages: how exact, and how many passes.

    python benchmarks/whole_statistics.py [--only WORD ...] [--out FILE]

Each network predicts an image in parts, and is compared with one run of the bare network on the whole image,
in float64 and in float32. Nothing is kept from pass to pass, and slabs are as thin as they go; a network that
would take too long so has more room, and its row says how much, and how many passes were run. Other passes
are those that are planned for a volume or image of the size that is told, by the bytes that may be kept for
each voxel. All include the prediction. Weights are random, as in `third_party_networks`. Networks that
compute nothing over all of space are left out; so are packages that are absent, with the reason.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import torch
from third_party_networks import image, off
from third_party_subjects import Subject, more_with_statistics, subjects
from third_party_table import Row, built, left_out, make_table
from torch import Tensor

from napari_tileseg._progress import drain
from napari_tileseg.engine.passes.gathering import Known, Passes, Room
from napari_tileseg.engine.passes.pass_planner import PassPlanner
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.passes.together import Swept, gather_together
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import TilesegError
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.graphs.statistics.statistic import find_statistics
from napari_tileseg.nets import Network
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.reference import NetworkReference
from napari_tileseg.nets.resting import at_rest
from napari_tileseg.nets.specification import specify
from napari_tileseg.tiling import Box
from napari_tileseg.tiling.rounding import round_up

RESULT = Path(__file__).parent / "results" / "whole_statistics.json"
#: Voxels along each axis of what passes are planned for, and of what is computed, by number of axes.
PLANNED, COMPUTED = {2: 4096, 3: 192}, {2: 96, 3: 48}
#: Bytes for each voxel that may be kept.
KEPT = (0, 80, 300)
#: What passes that are run may take, in floating-point operations, and room that is tried, in bytes a voxel.
_LONGEST, _ROOMS = 4e12, (0, 64, 128, 256, 512)


def tried(subject: Subject) -> Row | None:
    """Return what was found of one network; None if it computes nothing over all of space."""
    try:
        module = at_rest(built(subject))
    except (ImportError, RuntimeError) as error:
        return left_out(error)
    try:
        said = Description(axes=axes_of(subject.ndim), in_channels=subject.channels)
        spec = specify(module, said, None, Path(subject.name))
        if spec.geometry.halo is not None:
            return None
        network = Network(spec, module, "", NetworkReference("", ""))
        graph = PROCESS_CACHE.whole_graph_of(network)
        found = find_statistics(graph)
    except (TilesegError, NoRuleError) as error:
        return {"refused": str(error)}
    step = np.lcm(spec.geometry.stride, spec.geometry.read.step).tolist()
    row: Row = {"statistics": len(found), "levels": 1 + max(each.level for each in found)}
    row["passes"] = _passes(graph, tuple(round_up(PLANNED[subject.ndim], s) for s in step))
    least = zip(spec.geometry.read.minimum, step, strict=True)
    shape = tuple(round_up(max(n + s, COMPUTED[subject.ndim]), s) for n, s in least)
    row["shape"] = shape
    row["room"], row["passes run"] = _room(network, graph, shape)
    errors = {name: _error(network, graph, row["room"], shape, dtype) for name, dtype in _FORMATS.items()}
    return row | {f"error, {name}": error for name, error in errors.items()}


_FORMATS = {"float64": torch.float64, "float32": torch.float32}


def _passes(graph: Graph, shape: tuple[int, ...]) -> dict[str, float]:
    planner = PassPlanner(graph, find_statistics(graph), graph.wholes(shape), torch.float32.itemsize)
    return {str(bytes_): round(planner.best(bytes_ * prod(shape)).passes, 3) for bytes_ in KEPT}


def _room(network: Network, graph: Graph, shape: tuple[int, ...]) -> tuple[int, float]:
    """The least room, in bytes a voxel, with which passes do not take too long, and how many they are."""
    for room in _ROOMS:
        plan = _run(network, graph, room, shape, torch.float32).plan()
        if plan.work <= _LONGEST:
            break
    return room, round(plan.passes, 3)


def _run(network: Network, graph: Graph, room: int, shape: tuple[int, ...], dtype: torch.dtype) -> Passes:
    memory = max(1, room * prod(shape) * dtype.itemsize // torch.float32.itemsize)
    return Passes(PlacedNetwork(graph, network.module, "cpu", dtype), shape, Room(memory=memory))


def _error(network: Network, graph: Graph, room: int, shape: tuple[int, ...], dtype: torch.dtype) -> float:
    """Largest difference of the result, relative to the largest value of the network on the whole image."""
    values = image(network.spec.in_channels, shape)
    with torch.inference_mode():
        whole = network.module.double()(values.clone())
    network.module.float()
    passes = _run(network, graph, room, shape, dtype)
    plan, known = passes.plan(), Known()

    def read(box: Box) -> Tensor:
        return values[(..., *box.slices)].to(dtype)

    drain(gather_together([Swept(passes=passes, read=read, plan=plan, known=known)]))
    program = Program(passes.final_graph(plan, known), network.module, "cpu", dtype)
    with torch.inference_mode():
        result = program.run(values.to(dtype), program.schedule(shape, Box.of_shape(shape)))
    whole = whole if isinstance(whole, Tensor) else whole[0]
    return off(result.double(), whole, whole)


def line(row: Row) -> str:
    """Say what was found of one network."""
    errors = "  ".join(f"{name} {row[f'error, {name}']:.0e}" for name in _FORMATS)
    passes = "  ".join(f"{passes:.2f} with {bytes_}" for bytes_, passes in row["passes"].items())
    return f"{row['statistics']:3d} in {row['levels']:2d} levels  {errors}  {passes}"


if __name__ == "__main__":
    make_table(__doc__, (*more_with_statistics(), *subjects()), tried, line, RESULT)
