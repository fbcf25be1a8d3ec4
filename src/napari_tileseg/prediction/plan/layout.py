"""How an image is cut into tiles for a network, why, and what to warn of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from napari_tileseg._types import Halo, Ranges, Shape
from napari_tileseg._words import as_typed, by_axis, bytes_words
from napari_tileseg.errors import ImageError, NetworkError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.images.resample import resampled
from napari_tileseg.images.units import MICROMETERS, voxel_size_in_micrometers
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.prediction.input.normalization import ask_normalization
from napari_tileseg.prediction.order.order_search import sweep_of
from napari_tileseg.prediction.plan.by_splines import by_splines
from napari_tileseg.prediction.plan.channels import feeding
from napari_tileseg.prediction.plan.cores import derive_core, largest_core, resumed_core
from napari_tileseg.prediction.plan.warnings import judge, too_large, unused
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Lattice, Tile, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.engine.regions.cores.core_planner import CorePlan
    from napari_tileseg.engine.tile_planner import TilePlanner


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """How an image is cut into tiles, and why. It is made without reading a voxel.

    Parameters
    ----------
    image : Image
        The image that is tiled: as it was given, or at the network's voxel size.
    grid : TileGrid
        The tiles, over the grid axes of `image`.
    lattice : Lattice
        The network's geometry on those axes.
    core_reason, halo_reason : str
        Where the numbers come from, in one sentence.
    exact : bool
        Whether the result equals the network on the whole padded image.
    exact_if_whole : bool
        The same, in case tiles are computed whole.
    regions : CorePlan, optional
        What a core costs where each layer computes no more than it needs; None where tiles are computed
        whole, core and halo.
    warnings : tuple of str
        What will, or may, go wrong.
    notes : tuple of str
        What differs from what was asked, or was assumed.
    channels : str
        Which channel of the image goes where, as a sentence, which is a note, too; "" where the network does
        not name its channels.
    """

    image: Image
    grid: TileGrid
    lattice: Lattice
    core_reason: str
    halo_reason: str
    exact: bool
    exact_if_whole: bool
    regions: CorePlan | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    channels: str = ""

    @property
    def lead(self) -> int:
        """Grid axes at the front that the network does not know, such as time."""
        return self.lattice.lead

    @property
    def cost(self) -> float:
        """Work relative to one pass over the image: operations, or voxels where tiles are computed whole."""
        return self.grid.cost if self.regions is None else self.regions.ratio


def plan_tiles(
    image: Image,
    spec: NetworkSpec,
    settings: PredictSettings | None = None,
    planner: TilePlanner | None = None,
    *,
    swept: bool = True,
    begun: Shape | None = None,
) -> TilePlan:
    """Cut an image into tiles for a network. No voxel is read: it is quick, whatever the image.

    Parameters
    ----------
    image : Image
        The image.
    spec : NetworkSpec
        What is known of the network.
    settings : PredictSettings, optional
        What is asked; defaults are derived.
    planner : TilePlanner, optional
        Computes what cores cost, from which the core is derived; without it tiles are laid to be computed
        whole.
    swept : bool, optional
        Whether tiles will follow one another in sweeps; otherwise each is computed by itself.
    begun : tuple of int, optional
        Core of a run that is resumed, which keeps it whatever memory there is now.

    Raises
    ------
    ImageError, NetworkError
        If image and network do not fit each other.
    SettingsError
        If core, halo, box or memory cannot work.
    """
    settings = settings or PredictSettings()
    check_fit(image, spec)
    asked = ask_normalization(spec, settings, spec.in_channels)
    target = at_network_size(image, spec) if settings.resample else image
    settings = replace(settings, box=scaled(settings.box, image, target))
    lattice = spec.lattice(len(target.shape))
    by_itself = asked.kind == "tile"
    if planner is not None and by_itself:
        planner = None
    begun = resumed_core(begun, settings.core, lattice)
    grid, reasons, notes = _lay(target, spec, settings, lattice, planner, swept, begun)
    exact, exact_if_whole, warnings = judge(target, spec, settings, lattice, grid, planner)
    channels, doubt = feeding(image, spec)
    if by_itself and grid.read_shape != grid.padded_shape:
        exact = exact_if_whole = False
        warnings += ("Intensities are normalized tile by tile: neighbouring tiles will not agree.",)
    sweep = sweep_of(target, grid, lattice.lead) if swept else 1
    regions = planner.of(grid, sweep=sweep) if planner and exact and planner.fits(grid) else None
    return TilePlan(
        image=target,
        grid=grid,
        lattice=lattice,
        core_reason=reasons[0],
        halo_reason=reasons[1],
        exact=exact,
        exact_if_whole=exact_if_whole,
        regions=regions,
        warnings=(
            *([doubt] if doubt else []),
            *warnings,
            *too_large(regions, settings, planner, begun=begun is not None),
        ),
        notes=(*image.notes, *spec.notes, *([channels] if channels else []), *notes, *unused(settings)),
        channels=channels,
    )


def covered(image: Image, spec: NetworkSpec, settings: PredictSettings) -> tuple[Image, Box]:
    """Return the image that is tiled, at the network's voxel size where that is asked, and what of it.

    Raises
    ------
    ImageError, NetworkError, SettingsError
        As `plan_tiles`.
    """
    check_fit(image, spec)
    target = at_network_size(image, spec) if settings.resample else image
    settings = replace(settings, box=scaled(settings.box, image, target))
    return target, _box(target.shape, spec, settings, spec.lattice(len(target.shape)))[0]


def check_fit(image: Image, spec: NetworkSpec) -> None:
    """Raise where an image's axes or channels are not what a network takes."""
    if not image.spatial_axes.endswith(spec.axes):
        raise NetworkError(
            f"{spec.name} takes images with axes {spec.axes}; {image.name} has {image.spatial_axes} in space"
            f"{' and time' if 't' in image.grid_axes else ''}. Take a {len(image.spatial_axes)}D network, or "
            "state the axes (--axes), if they were taken wrongly."
        )
    channels = image.channel_indices
    if len(channels) != spec.in_channels:
        raise _other_channels(image, spec)


def _other_channels(image: Image, spec: NetworkSpec) -> ImageError:
    """Return the error where an image gives more or fewer channels than a network takes."""
    given = image.channel_indices
    named = f" ({', '.join(spec.channel_names)})" if spec.channel_names else ""
    problem = (
        f"{spec.name} takes {spec.in_channels} channel(s){named}; {image.name} gives {len(given)}: "
        f"{as_typed(given)}."
    )
    if len(image.with_channels(None).channel_indices) < spec.in_channels:
        return ImageError(
            f"{problem} Bring all of them into one image, along an axis c.",
            in_panel=f"{problem} Select the layers that show them, merge these (right-click, Merge to "
            f"Stack), and name the axes of the stack, such as c{image.grid_axes}.",
        )
    few = ",".join(str(i) for i in range(spec.in_channels))
    return ImageError(f"{problem} Pick channels, such as --channel {few}.")


def at_network_size(image: Image, spec: NetworkSpec) -> Image:
    """Return a lazy view of an image at the voxel size a network was trained at.

    Raises
    ------
    SettingsError
        If one of the two voxel sizes is not known.
    """
    known = voxel_size_in_micrometers(image)
    if known is None or spec.voxel_size is None:
        missing = spec.name if spec.voxel_size is None else image.name
        raise SettingsError(
            f"To resample, the voxel sizes of image and network are needed; that of {missing} is not known. "
            "Give the image's (--voxel-size), or do not resample."
        )
    space = image.units[len(image.grid_axes) - len(known) :]
    wanted = spec.voxel_size_for(known)
    if wanted == known:
        return image
    if spec.resampling is not None:
        return by_splines(image, spec.resampling, known, wanted)
    return resampled(image, tuple(a / MICROMETERS[unit] for a, unit in zip(wanted, space, strict=True)))


def scaled(box: Ranges | None, image: Image, target: Image) -> Ranges | None:
    """Return the voxels of the resampled image that meet a box of the image."""
    if box is None or target is image:
        return box
    last = slice(len(image.shape) - len(box), None)
    ratios = (a / b for a, b in zip(image.voxel_size[last], target.voxel_size[last], strict=True))
    return tuple(
        (floor(start * ratio), min(ceil(stop * ratio), max(size, 1)))
        for (start, stop), ratio, size in zip(box, ratios, target.shape[last], strict=True)
    )


def on_target(box: Box, image: Image, target: Image) -> Box:
    """Return a box of an image on the voxels of the same one at the network's voxel size."""
    ends = scaled(tuple(zip(box.start, box.stop, strict=True)), image, target)
    assert ends is not None
    start, stop = zip(*ends, strict=True)
    return Box(start, stop)


def _lay(
    image: Image,
    spec: NetworkSpec,
    settings: PredictSettings,
    lattice: Lattice,
    planner: TilePlanner | None,
    swept: bool,
    begun: Shape | None,
) -> tuple[TileGrid, tuple[str, str], tuple[str, ...]]:
    """Return the grid, the reasons of its core and halo, and what differs from what was asked."""
    ndim = len(image.shape)
    halo: Halo = _per_axis("halo", _shared(settings.halo, spec), spec, ndim, (0, 0)) or lattice.default_halo
    box, notes = _box(image.shape, spec, settings, lattice)
    core: Shape = _per_axis("core", _shared(settings.core, spec), spec, ndim, 1)
    why_core = "as you set it"
    if begun is not None:
        core, why_core = begun, "the one it was begun with"
    derived = not core
    if derived:
        core, why_core = derive_core(image.shape, box, halo, lattice)
    grid = lattice.tiles(image.shape, core, box, halo)
    if derived and planner and settings.halo is None and planner.fits(grid):
        grid = replace(grid, core=planner.best(grid, swept=swept).core)
        why_core = _why_planned(grid, planner)
    if derived and not (lattice.fixed or lattice.takes(grid)):
        grid = replace(grid, core=largest_core(grid, lattice))
        why_core = "equal parts of the image, as large as the network takes them with the halo"
    if not lattice.takes(grid):
        accepted = f"{by_axis(lattice.minimum)} voxels only"
        if not lattice.fixed:
            accepted = f"up to {by_axis(lattice.maximum or ())} voxels"
        raise SettingsError(
            f"{spec.name} takes reads of {accepted}; core {as_typed(core)} and halo {as_typed(halo)} make "
            f"{by_axis(grid.read_shape)}. Leave core and halo empty, or make them smaller."
        )
    return grid, (why_core, _why_halo(spec, settings)), notes


def _shared(value: tuple[Any, ...] | None, spec: NetworkSpec) -> tuple[Any, ...] | None:
    """Return a setting of which one entry may stand for all axes of the network."""
    return value * spec.ndim if value is not None and len(value) == 1 else value


def _per_axis(
    name: str, value: tuple[Any, ...] | None, spec: NetworkSpec, ndim: int, lead: Any
) -> tuple[Any, ...]:
    """Return a setting with one entry for each grid axis; empty if it is not set."""
    if value is None:
        return ()
    if len(value) not in {spec.ndim, ndim}:
        raise SettingsError(
            f"The {name} needs one entry for each axis of the network ({', '.join(spec.axes)}), or for each "
            f"of the image's {ndim} axes; got {as_typed(value)}."
        )
    return (lead,) * (ndim - len(value)) + tuple(value)


def _box(
    shape: Shape, spec: NetworkSpec, settings: PredictSettings, lattice: Lattice
) -> tuple[Box, tuple[str, ...]]:
    whole = Box.of_shape(shape)
    if settings.box is None:
        return whole, ()
    _per_axis("box", settings.box, spec, len(shape), None)
    ends = tuple((0, n) for n in shape[: len(shape) - len(settings.box)]) + settings.box
    if any(not 0 <= a < b <= n for (a, b), n in zip(ends, shape, strict=True)):
        raise SettingsError(
            f"The box should lie in the image of {by_axis(shape)} and not be empty; got {as_typed(ends)}."
        )
    start = tuple(a // step * step for (a, _), step in zip(ends, lattice.stride, strict=True))
    asked = tuple(a for a, _ in ends)
    note = (
        f"The box starts at {as_typed(start)} instead of {as_typed(asked)}: tiles start on the network's "
        "stride."
    )
    return Box(start, tuple(b for _, b in ends)), () if start == asked else (note,)


def _why_planned(grid: TileGrid, planner: TilePlanner) -> str:
    if all(n >= extent for n, extent in zip(grid.core, grid.covered.shape, strict=True)):
        return "the whole image fits into one tile"
    return (
        f"the least work in {bytes_words(planner.memory)} of memory, no tile taking longer than a plain one "
        "of usual size"
    )


def _why_halo(spec: NetworkSpec, settings: PredictSettings) -> str:
    if settings.halo is not None:
        return "as you set it"
    if spec.geometry.halo is None:
        return "a choice: every output of this network depends on its whole input, so no halo is enough"
    return "measured from the network: no voxel further away can change the core"


def middle_tile(grid: TileGrid) -> Tile:
    """Return the tile on which reduced precision is checked: always the same one."""
    return grid[tuple(n // 2 for n in grid.counts)]
