"""Gathering what layers compute over all of space: of one image, of several, or of a sample of parts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir

import numpy as np
import torch

from napari_tileseg._progress import Progress
from napari_tileseg._types import Array, Shape
from napari_tileseg._words import bytes_words
from napari_tileseg.engine.device import DTYPES, free_memory
from napari_tileseg.engine.passes.gathering import Known, Passes, Room
from napari_tileseg.engine.passes.pass_planner import PassPlan
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.passes.sampling import Sampled
from napari_tileseg.engine.passes.together import Swept, gather_together
from napari_tileseg.engine.region_engine import Kept
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.engine.tile_planner import SHARE
from napari_tileseg.errors import DeviceError
from napari_tileseg.graphs.statistics.fixing import Numbers
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.prediction.plan.numbers.sampling import Sample, sample, work_of_sample
from napari_tileseg.prediction.plan.numbers.statistics import FixedStatistics, Gathered
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, read_padded
from napari_tileseg.tiling.rounding import round_up

_GIGABYTE = 1e9


def gather(
    fixed: FixedStatistics,
    prepared: PreparedImage,
    settings: PredictSettings,
    device: str,
    begun: Gathered | None = None,
    keep: Callable[[Gathered], None] | None = None,
) -> Generator[Progress, None, FixedStatistics]:
    """Gather the numbers over their part of an image, as if that were an image by itself.

    Parameters
    ----------
    fixed : FixedStatistics
        What is to be gathered, and of what part.
    prepared : PreparedImage
        The image.
    settings : PredictSettings
        How it is predicted.
    device : str
        A device that `resolve_device` gave.
    begun : Gathered, optional
        What was gathered before, of all layers or of some. Feature maps that the prediction begins at, or
        that the other layers need, are computed again.
    keep : callable, optional
        Is given what is known after each pass.

    Yields
    ------
    Progress
        How far it is.

    Returns
    -------
    FixedStatistics
        With its numbers.

    Raises
    ------
    ImageError
        If a number is not finite.
    """
    if settings.statistics == "result":
        return replace(fixed, gathered=begun)
    taken = None if begun is None else begun.sample
    if settings.statistics == "sample" and begun is None:
        taken, sampled = yield from _drawn(fixed, prepared, settings, device)
        if sampled is not None:
            gathered = Gathered(values=_plain(sampled.numbers), holds={}, sample=taken)
            if keep is not None:
                keep(gathered)
            return replace(fixed, gathered=gathered)
    if taken is not None and not taken.whole:
        return replace(fixed, gathered=begun)
    predicts = _begins_at_maps(fixed, settings, prepared.image.shape)
    swept = _swept(fixed, prepared, settings, device, _room(settings), begun, predicts=predicts)
    done = len(swept.known.numbers)
    for event in gather_together([swept]):
        if keep is not None and len(swept.known.numbers) > done:
            done = len(swept.known.numbers)
            keep(_so_far(swept, taken))
        yield event
    found = _gathered(fixed, swept, taken)
    if keep is not None:
        keep(_so_far(swept, taken))
    if not swept.known.maps:
        return found
    return replace(found, kept=Kept(_padded(fixed), swept.passes.final_graph(swept.plan, swept.known)))


def _drawn(
    fixed: FixedStatistics, prepared: PreparedImage, settings: PredictSettings, device: str
) -> Generator[Progress, None, tuple[Sample, Sampled | None]]:
    """Draw a sample; None where the whole image is to be taken instead."""
    placed, source = _placed(fixed, settings, device), fixed.source
    read = _reader(fixed.box, prepared, source.spec.ndim, device, placed.dtype)
    # Half of the memory is for feature maps that are held, the rest for computing.
    memory = _room(settings).memory // 2
    return (yield from sample(source.spec, placed, _padded(fixed), settings, memory, read))


def gather_of_all(
    fixed: Sequence[FixedStatistics],
    prepared: Sequence[PreparedImage],
    settings: PredictSettings,
    device: str,
) -> Generator[Progress, None, FixedStatistics]:
    """Gather the numbers over parts of several images, as if these were one: each voxel counts once.

    Parameters
    ----------
    fixed : sequence of FixedStatistics
        What is to be gathered of each, of the same network.
    prepared : sequence of PreparedImage
        The images.
    settings, device
        As `gather` takes them; memory and scratch are shared by the images.

    Yields
    ------
    Progress
        How far it is.

    Returns
    -------
    FixedStatistics
        That of the first image, with the numbers of all.

    Raises
    ------
    ImageError
        If a number is not finite.
    """
    room = _room(settings)
    share = replace(room, memory=room.memory // len(fixed), scratch=room.scratch // len(fixed))
    swept = [
        _swept(each, image, settings, device, share, None, predicts=False)
        for each, image in zip(fixed, prepared, strict=True)
    ]
    yield from gather_together(swept)
    return _gathered(fixed[0], swept[0])


def planned_passes(fixed: FixedStatistics, settings: PredictSettings, device: str, shape: Shape) -> PassPlan:
    """Return what passes over a part of an image of a shape keep, as `gather` makes them."""
    predicts = _begins_at_maps(fixed, settings, shape)
    return _passes(fixed, settings, device, _room(settings), predicts=predicts).plan()


def planned_sample(
    fixed: FixedStatistics, settings: PredictSettings, device: str
) -> tuple[float, float] | None:
    """Return the least and the most work of sampling, as `work_of_sample` does."""
    return work_of_sample(fixed.source.spec, _placed(fixed, settings, device), _padded(fixed))


def _begins_at_maps(fixed: FixedStatistics, settings: PredictSettings, shape: Shape) -> bool:
    """Return whether the prediction of an image of a shape begins at maps that gathering keeps."""
    space = fixed.box.shape[-fixed.source.spec.ndim :]
    return space == shape[-len(space) :] and DTYPES[settings.dtype] == _exact(settings)


def _passes(
    fixed: FixedStatistics, settings: PredictSettings, device: str, room: Room, *, predicts: bool
) -> Passes:
    network = _placed(fixed, settings, device)
    return Passes(network, _padded(fixed), room, predicts=predicts, origin=_origin(fixed))


def _placed(fixed: FixedStatistics, settings: PredictSettings, device: str) -> PlacedNetwork:
    return PlacedNetwork(fixed.graph, fixed.source.module, device, _exact(settings))


def _swept(
    fixed: FixedStatistics,
    prepared: PreparedImage,
    settings: PredictSettings,
    device: str,
    room: Room,
    begun: Gathered | None,
    *,
    predicts: bool,
) -> Swept:
    """Return passes over a part of an image, which have not begun."""
    passes = _passes(fixed, settings, device, room, predicts=predicts)
    plan = passes.plan(None if begun is None else begun.holds)
    _check_scratch(passes, plan, room)
    return Swept(
        passes=passes,
        read=_reader(fixed.box, prepared, fixed.source.spec.ndim, device, _exact(settings)),
        plan=plan,
        known=Known({} if begun is None else begun.tensors()),
    )


def _origin(fixed: FixedStatistics) -> Shape:
    """Return where the part begins in the image, on the network's axes."""
    return fixed.box.start[-fixed.source.spec.ndim :]


def _check_scratch(passes: Passes, plan: PassPlan, room: Room) -> None:
    """Raise `DeviceError` where there is less disk space than kept feature maps take."""
    needed = plan.on_disk
    if not needed or room.folder is None:
        return
    if not room.folder.is_dir():
        raise DeviceError(
            f"Scratch goes to a folder; there is none at {room.folder}. Make it, set scratch_folder to "
            "another, or leave scratch out."
        )
    free = disk_usage(room.folder).free
    if needed > free:
        without = passes.plan_in_memory()
        raise DeviceError(
            f"Gathering statistics keeps {bytes_words(needed)} in {room.folder}, where {bytes_words(free)} "
            "are free. Set scratch_folder to another disk, or leave scratch out: then it takes "
            f"{without.passes:.1f} passes in all instead of {plan.passes:.1f}."
        )


def _exact(settings: PredictSettings) -> torch.dtype:
    # Sums in half precision would be none.
    return torch.float64 if DTYPES[settings.dtype] == torch.float64 else torch.float32


def _padded(fixed: FixedStatistics) -> Shape:
    """Return the shape of a part that is continued to what the network takes."""
    spec = fixed.source.spec
    sizes = spec.padded_sizes
    space = fixed.box.shape[-spec.ndim :]
    return tuple(
        max(least, round_up(n, step)) for n, least, step in zip(space, sizes.minimum, sizes.step, strict=True)
    )


def _gathered(fixed: FixedStatistics, swept: Swept, taken: Sample | None = None) -> FixedStatistics:
    return replace(fixed, gathered=_so_far(swept, taken))


def _so_far(swept: Swept, taken: Sample | None) -> Gathered:
    return Gathered(values=_plain(swept.known.numbers), holds=swept.plan.holds, sample=taken)


def _plain(numbers: Numbers) -> dict[int, list[list[float]]]:
    return {number: [each.reshape(-1).tolist() for each in tensors] for number, tensors in numbers.items()}


def _reader(box: Box, prepared: PreparedImage, ndim: int, device: str, dtype: torch.dtype) -> Read:
    """Return what reads a part of an image as if that were an image by itself."""
    lead = box.ndim - ndim
    start = box.start[lead:]

    def inside(part: Box) -> Array:
        part = part.shift(start)
        values = prepared.read(Box(box.start[:lead] + part.start, box.stop[:lead] + part.stop))
        return values.reshape(len(values), *part.shape)

    def read(part: Box) -> torch.Tensor:
        values = read_padded(inside, box.shape[lead:], part, prepared.padding)
        return torch.from_numpy(np.ascontiguousarray(values))[None].to(device, dtype)

    return read


def _room(settings: PredictSettings) -> Room:
    memory = SHARE * free_memory("cpu") if settings.memory is None else settings.memory * _GIGABYTE
    folder = Path(settings.scratch_folder or gettempdir())
    return Room(memory=int(memory), scratch=int((settings.scratch or 0) * _GIGABYTE), folder=folder)
