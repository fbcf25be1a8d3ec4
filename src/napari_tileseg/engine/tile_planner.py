"""Which cores a network's tiles should have where its layers compute no more than a core needs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, final

from napari_tileseg._types import Shape
from napari_tileseg.engine.device import free_memory, resolve_device
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE, CaptureCache
from napari_tileseg.engine.regions.cores.core_planner import CorePlan, Limits, Planner
from napari_tileseg.engine.regions.cores.cost import cost_of
from napari_tileseg.engine.regions.program.program import Program
from napari_tileseg.errors import FREE_MEMORY, DeviceError, SettingsError
from napari_tileseg.graphs.graph import Graph
from napari_tileseg.tiling import Lattice, Tile, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.engine.engine import Route
    from napari_tileseg.nets.network import Network

#: Part of a device's free memory that a tile may take by default.
SHARE = 1 / 4
#: Most work of a tile, as the voxels of one plain tile, by the number of axes: 2^16, 1024^2 and 128^3. It
#: bounds latency: a visible tile appears quickly and a run stops promptly.
PATIENCE = {1: 2**16, 2: 2**20, 3: 2**21}
_GIGABYTE = 1e9


@final
class TilePlanner:
    """Chooses cores for one network, and predicts what they cost. It runs nothing, and reads no voxel.

    Parameters
    ----------
    graph : Graph
        The network as operations with rules.
    program : Program
        The same, bound to no device.
    memory : int
        Bytes of tensors that a tile may take.
    asked : bool
        Whether somebody has set that; else it is what the device can give.
    """

    def __init__(self, graph: Graph, program: Program, memory: int, *, asked: bool) -> None:
        self._graph = graph
        self._program = program
        self._memory = memory
        self._asked = asked

    @property
    def memory(self) -> int:
        """Bytes of tensors that a tile may take."""
        return self._memory

    def fits(self, grid: TileGrid) -> bool:
        """Whether images of a grid's padded shape are computed as the network computes them."""
        return self._program.fits(grid.padded_shape[self._lead(grid) :])

    def sees(self, grid: TileGrid, lattice: Lattice) -> bool:
        """Whether the reads of a grid's tiles hold all that their cores need, or at least what was measured.

        The engine reads what it needs, from the opposite border too, unless a halo was made too small. What
        a tile needs depends on where it lies only as far as it is first, last, or between on an axis.

        Parameters
        ----------
        grid : TileGrid
            Over all grid axes.
        lattice : Lattice
            The network's geometry on those axes.
        """
        if not self.fits(grid):
            return False
        positions = [sorted({0, count // 2, count - 1}) for count in grid.counts]
        return all(self._reads(grid[index], grid.padded_shape, lattice) for index in product(*positions))

    def _reads(self, tile: Tile, padded: Shape, lattice: Lattice) -> bool:
        needed = self._program.schedule(padded[lattice.lead :], tile.core.drop_axes(lattice.lead)).read
        return tile.read.drop_axes(lattice.lead).contains(needed) or lattice.sees(tile, padded)

    def best(self, grid: TileGrid, *, swept: bool) -> CorePlan:
        """Choose the core for the box that a grid covers, whatever core it has.

        Parameters
        ----------
        grid : TileGrid
            Over all grid axes; cores have one voxel on those that the network does not know.
        swept : bool
            Whether tiles follow one another in sweeps; else each is computed by itself.

        Raises
        ------
        SettingsError
            If the memory that was set does not suffice for the least core.
        DeviceError
            If that of the device does not.
        """
        planner, lead = self._planner(grid, None if swept else 1), self._lead(grid)
        whole = cost_of(self._program, planner.shape, planner.box).work / planner.box.size
        try:
            plan = planner.best(Limits(self._memory, whole * PATIENCE[len(planner.shape)]))
        except SettingsError as error:
            if not self._asked:
                raise DeviceError(f"{error} {FREE_MEMORY}") from error
            raise SettingsError(f"{error} Set memory to more, or choose a device that has more.") from error
        return CorePlan((1,) * lead + plan.core, plan.peak, plan.ratio)

    def of(self, grid: TileGrid, *, sweep: int) -> CorePlan:
        """Return what a grid's cores cost.

        Parameters
        ----------
        grid : TileGrid
            Over all grid axes.
        sweep : int
            Cores that follow one another in a sweep; 1 where each is computed by itself.
        """
        lead = self._lead(grid)
        length = sweep if max(grid.core[:lead], default=1) == 1 else 1
        plan = self._planner(grid, length).of(grid.core[lead:])
        return replace(plan, core=grid.core, fitting=max(1, self._memory // max(plan.peak, 1)))

    def _lead(self, grid: TileGrid) -> int:
        return grid.ndim - len(self._graph.step)

    def _planner(self, grid: TileGrid, length: int | None) -> Planner:
        lead = self._lead(grid)
        return Planner(
            self._program, grid.padded_shape[lead:], grid.covered.drop_axes(lead), grid.stride[lead:], length
        )


def open_planner(
    network: Network,
    route: Route,
    device: str = "auto",
    dtype: str = "float32",
    memory: float | None = None,
    cache: CaptureCache = PROCESS_CACHE,
) -> TilePlanner | None:
    """Return a planner of a network's cores; None where its tiles are computed whole.

    Parameters
    ----------
    network : Network
        The opened network.
    route : Route
        How its tiles are computed on the device, as `route_of` gives it.
    device : str
        As `resolve_device` takes it.
    dtype : {"float32", "bfloat16", "float16", "float64"}
        Number format of the computation.
    memory : float, optional
        Gigabytes that a tile may take; by default a quarter of what is free on the device, lowered to a power
        of two so that it seldom changes from one moment to the next.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.

    Raises
    ------
    DeviceError
        If the device is absent.
    """
    graph, found = route.graph, resolve_device(device)
    if graph is None:
        return None
    program = cache.planning_program(network, graph, dtype)
    allowed = _default_memory(found) if memory is None else int(memory * _GIGABYTE)
    return TilePlanner(graph, program, allowed, asked=memory is not None)


def _default_memory(device: str) -> int:
    share = max(1, int(SHARE * free_memory(device)))
    return 1 << (share.bit_length() - 1)
