"""Whether tiles give the whole image's result, and warnings before anything is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg._words import as_typed, bytes_words
from napari_tileseg.engine.device import free_memory, resolve_device
from napari_tileseg.images.image import Image
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.prediction.plan.voxel_sizes import size_warning
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.tiling import Lattice, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.cores.core_planner import CorePlan
    from napari_tileseg.engine.tile_planner import TilePlanner


def judge(
    image: Image,
    spec: NetworkSpec,
    settings: PredictSettings,
    lattice: Lattice,
    grid: TileGrid,
    planner: TilePlanner | None,
) -> tuple[bool, bool, tuple[str, ...]]:
    """Return whether the tiles, and the same computed whole, give the whole image's result, and warnings."""
    # Axes that the network does not know, such as time, are independent: one read of the others is all.
    one_read = grid.read_shape[-spec.ndim :] == grid.padded_shape[-spec.ndim :]
    short = _short_axes(image, lattice, grid)
    whole = one_read or (spec.seam_free and not short)
    # Regions know where they lie: what depends on the position in the whole image is no seam for them.
    exact = whole or (planner is not None and planner.sees(grid, lattice))
    warnings = []
    if not exact and not spec.seam_free:
        warnings.append(f"Tiles will show: {spec.reason}")
    elif not exact:
        warnings.append(
            f"The halo is too small on {', '.join(short)}: the network sees {as_typed(spec.geometry.halo)} "
            "voxels "
            f"around a core, and is given {as_typed(grid.halo[-spec.ndim :])}. Seams will show."
        )
    size = None if settings.resample else size_warning(image, spec)
    return exact, whole, (*warnings, *([size] if size else []))


def _short_axes(image: Image, lattice: Lattice, grid: TileGrid) -> list[str]:
    """Return the axes on which the network sees further than the reads reach."""
    return [
        image.grid_axes[axis]
        for axis, (need, has) in enumerate(zip(lattice.halo or (), grid.aligned_halo, strict=False))
        if (need[0] > has[0] or need[1] > has[1]) and grid.read_shape[axis] != grid.padded_shape[axis]
    ]


def too_large(
    regions: CorePlan | None, settings: PredictSettings, planner: TilePlanner | None, *, begun: bool
) -> tuple[str, ...]:
    """Return a warning where a core takes more memory than was allowed, or than is free.

    Parameters
    ----------
    regions : CorePlan, optional
        What the core costs.
    settings : PredictSettings
        What is asked.
    planner : TilePlanner, optional
        Has the memory that is allowed.
    begun : bool
        Whether the core is that of a run that is resumed.
    """
    if regions is None or planner is None:
        return ()
    device = resolve_device(settings.device)
    bounds = {f"are free on {device}": free_memory(device)}
    if settings.memory is not None:
        bounds = {"are allowed": planner.memory, **bounds}
    exceeded = next(((words, size) for words, size in bounds.items() if regions.peak > size), None)
    if exceeded is None:
        return ()
    words, size = exceeded
    cure = "Leave the core empty, and one that fits is chosen."
    if settings.core is None:
        cure = "Close other programs, or set memory or core to less."
    if begun:
        cure = "What was begun keeps its core: close other programs, or predict to another location."
    return (
        f"A core of {as_typed(regions.core)} takes about {bytes_words(regions.peak)} of memory, and "
        f"{bytes_words(size)} {words}. {cure}",
    )


def unused(settings: PredictSettings) -> tuple[str, ...]:
    """Return a note for each number for the intensities, or region, that was given and has no effect."""
    used = {"range": ("range",), "quantiles": ("quantiles", "tile")}
    numbers = {settings.statistics, settings.intensities_of}
    others: tuple[str, ...] = ()
    if settings.region is not None and "region" not in numbers:
        others = ("region is not used: it needs statistics, or intensities, to be of the region.",)
    if settings.result is not None and "result" not in numbers:
        others += ("result is not used: it needs statistics, or intensities, to be of the result.",)
    return others + tuple(
        f"{each.name} is not used: it needs normalize to be {' or '.join(used[each.name])}, and that is "
        f"{settings.normalize}."
        for each in knobs(PredictSettings)
        if each.name in used
        and settings.normalize not in used[each.name]
        and getattr(settings, each.name) != each.default
    )
