"""From what a user wants to what will be done: tiles, normalization, device."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._progress import Progress, drain
from napari_tileseg.engine.device import check_dtype, resolve_device
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import Normalization, measure_normalization
from napari_tileseg.prediction.input.prepared import PreparedImage, prepare
from napari_tileseg.prediction.plan.layout import TilePlan, plan_tiles
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, TileGrid

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a prediction needs to know.

    Parameters
    ----------
    tiles : TilePlan
        The tiles, and what to say of them.
    normalization : Normalization
        With its numbers.
    settings : PredictSettings
        What was asked.
    device : str
        Device that torch understands.
    dtype : str
        Number format of the computation.
    batch : int
        Tiles at once.
    classes : tuple of str
        Names of the result's channels.
    """

    tiles: TilePlan
    normalization: Normalization
    settings: PredictSettings
    device: str
    dtype: str
    batch: int
    classes: tuple[str, ...]

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        return self.tiles.grid

    @property
    def prepared(self) -> PreparedImage:
        """The image as an engine reads it."""
        return prepare(self.tiles, self.normalization, self.settings)


def make_plan(image: Image, network: Network, settings: PredictSettings | None = None) -> Plan:
    """Resolve what is asked against an image and a network; measures intensities, so it reads the image.

    Parameters
    ----------
    image : Image
        The image.
    network : Network
        The opened network.
    settings : PredictSettings, optional
        What is asked; defaults are derived.

    Raises
    ------
    ImageError, NetworkError
        If image and network do not fit each other, or the intensities are of no use.
    SettingsError
        If core, halo, box or normalization cannot work.
    DeviceError
        If the device is absent.
    """
    return drain(measure_plan(image, network, settings or PredictSettings()))


def measure_plan(
    image: Image, network: Network, settings: PredictSettings, known: Normalization | None = None
) -> Generator[Progress, None, Plan]:
    """As `make_plan`, telling its progress; `known` is used in place of measuring."""
    return measured(plan_tiles(image, network.spec, settings), network, settings, known)


def measured(
    tiles: TilePlan, network: Network, settings: PredictSettings, known: Normalization | None = None
) -> Generator[Progress, None, Plan]:
    """As `measure_plan`, on tiles that are laid already."""
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device)
    normalization = known or (yield from measure_normalization(tiles.image, network.spec, settings))
    return Plan(
        tiles=tiles,
        normalization=normalization,
        settings=settings,
        device=device,
        dtype=settings.dtype,
        batch=settings.batch or _derive_batch(tiles, device),
        classes=network.spec.classes,
    )


def _derive_batch(tiles: TilePlan, device: str) -> int:
    """Small tiles together, as far as they make about one 3D tile; one at a time on the CPU."""
    if device == "cpu":
        return 1
    shape = tiles.grid.core if tiles.regions else tiles.grid.read_shape
    fitting = tiles.regions.fitting if tiles.regions else 16
    return max(1, min(16, fitting, 2**21 // Box.of_shape(shape).size))
