"""Settings that have no effect on a prediction, and chunks that have to be read more than once."""

from __future__ import annotations

from collections.abc import Iterator

from napari_tileseg._words import bytes_words
from napari_tileseg.engine import resolve_device
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.chunk_cache import bytes_of_chunk, most_cached
from napari_tileseg.prediction.order.order_search import sweep_of
from napari_tileseg.prediction.plan.layout import TilePlan
from napari_tileseg.settings import PredictSettings


def idle_settings(tiles: TilePlan, settings: PredictSettings, *, begun: bool) -> Iterator[str]:
    """Generate a note for each of memory and batch that is set and has no effect.

    Parameters
    ----------
    tiles : TilePlan
        The tiles, laid with a planner wherever there is one.
    settings : PredictSettings
        What was asked.
    begun : bool
        Whether the core is that of a store that is resumed.
    """
    if settings.memory is not None:
        why = _why_memory_is_idle(settings.memory, tiles, settings, begun=begun)
        if why:
            yield f"memory is not used: it decides the core where that is free, and {why}."
    if settings.batch is not None and _goes_one_by_one(tiles):
        yield "batch is not used: these tiles are computed region by region, one after another."


def _why_memory_is_idle(memory: float, tiles: TilePlan, settings: PredictSettings, *, begun: bool) -> str:
    if tiles.regions is None:
        return "these tiles are laid to be computed whole"
    # On other devices than the CPU it decides how many tiles go at once, too; an excess is a warning already.
    batched = resolve_device(settings.device) != "cpu" and not _goes_one_by_one(tiles)
    if batched or tiles.regions.peak > memory * 1e9:
        return ""
    if settings.core is not None:
        return "the core is set"
    if begun:
        return "what was begun keeps its core"
    return "the halo is set" if settings.halo is not None else ""


def _goes_one_by_one(tiles: TilePlan) -> bool:
    """Return whether no two tiles can be computed at once: swept, or none that differ in time only."""
    if tiles.regions is None:
        return False
    grid, lead = tiles.grid, tiles.lead
    swept = max(grid.core[:lead], default=1) == 1 and grid.counts[lead] > 1
    return not lead or (swept and sweep_of(tiles.image, grid, lead) > 1)


def chunks_read_again(image: Image, tiles: TilePlan) -> Iterator[str]:
    """Note that an image's chunks are too large to be cached, so that each tile decodes them again."""
    size = bytes_of_chunk(image)
    if len(tiles.grid) > 1 and size > most_cached(image):
        yield (
            f"A chunk of {image.name} takes {bytes_words(size)}, too much to be cached: each tile decodes "
            "those that it meets anew. Store the image in smaller chunks first, such as of 64 voxels along "
            "an axis."
        )
