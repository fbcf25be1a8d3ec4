"""Where layers that look at all of space get their numbers from: a tile, a region, or the whole image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_tileseg._progress import Progress
from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis, bytes_words
from napari_tileseg.engine.device import DTYPES, free_memory
from napari_tileseg.engine.passes.fixed_network import placeholders, with_numbers
from napari_tileseg.engine.passes.gathering import Known, Passes, Room, Swept, gather_together
from napari_tileseg.engine.passes.pass_planner import PassPlan
from napari_tileseg.engine.passes.sampling import Sampled
from napari_tileseg.engine.region_engine import Kept
from napari_tileseg.engine.regions.check.captured import PROCESS_CACHE, CaptureCache
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.engine.tile_planner import SHARE
from napari_tileseg.errors import DeviceError, NetworkError, SettingsError
from napari_tileseg.graphs.graph import Graph, NoRuleError
from napari_tileseg.graphs.statistics.fixing import Numbers
from napari_tileseg.graphs.statistics.statistic import Statistic, find_statistics
from napari_tileseg.nets.architectures.ensembles import Mirrored
from napari_tileseg.nets.intensities.resolved import finite_number
from napari_tileseg.prediction.input.prepared import PreparedImage
from napari_tileseg.prediction.plan.sampling import Sample, sample
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, read_padded
from napari_tileseg.tiling.rounding import round_up

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Numbers that were gathered, in plain values.

    Parameters
    ----------
    values : mapping of int to sequence
        By the number of a feature map, the values of each of a statistic's tensors.
    holds : mapping of int to int
        What was kept from pass to pass, as in `PassPlan`.
    sample : Sample, optional
        How they were sampled, where that was asked for.
    """

    values: Mapping[int, Sequence[Sequence[float]]]
    holds: Mapping[int, int]
    sample: Sample | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Gathered:
        """Build from what `FixedStatistics.as_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            If it is something else.
        """
        return cls(
            values={
                int(number): [[finite_number(value) for value in each] for each in of_number]
                for number, of_number in values["numbers"].items()
            },
            holds={int(number): int(until) for number, until in values["holds"].items()},
            sample=Sample.from_dict(values["sample"]) if "sample" in values else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedStatistics:
    """What a network computes over all of space, once for all tiles.

    Parameters
    ----------
    source : Network
        The network as it was opened.
    graph : Graph
        The same as operations.
    found : tuple of Statistic
        What they compute over all of space.
    part : Box, optional
        Part of the image that the numbers are of, on all its grid axes; None where it is still to be found.
    gathered : Gathered, optional
        The numbers; None where they are still to be gathered.
    kept : Kept, optional
        Feature maps of the whole image that gathering left, so that a prediction begins at them.
    origin : str
        Name of the prediction whose numbers they are; "" where they are of the image itself.
    """

    source: Network
    graph: Graph
    found: tuple[Statistic, ...]
    part: Box | None = None
    gathered: Gathered | None = None
    kept: Kept | None = None
    origin: str = ""

    @property
    def box(self) -> Box:
        """The part, once it is known."""
        assert self.part is not None
        return self.part

    def network(self, cache: CaptureCache = PROCESS_CACHE) -> Network:
        """Return the network with these numbers, or with others of the same shapes where there are none."""
        known = self.gathered
        numbers = placeholders(self.graph, self.found) if known is None else _tensors(known)
        return with_numbers(self.source, self.graph, self.found, numbers, cache)

    def fits(self, gathered: Gathered, *, partly: bool = False) -> bool:
        """Return whether numbers that were stored are those of this network, or of some of its layers."""
        wanted, values = placeholders(self.graph, self.found), gathered.values
        if not (values.keys() <= wanted.keys() if partly else values.keys() == wanted.keys()):
            return False
        # The second of a pair is a variance.
        return gathered.holds.keys() <= {each.source for each in self.found} and all(
            [len(each) for each in numbers] == [each.numel() for each in wanted[number]]
            and all(value >= 0 for each in numbers[1:] for value in each)
            for number, numbers in values.items()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, of numbers that were gathered."""
        assert self.gathered is not None
        return {
            **({"of": self.origin} if self.origin else {"box": [list(self.box.start), list(self.box.stop)]}),
            "layers": {str(each.number): each.layer for each in self.found},
            "numbers": {str(number): values for number, values in self.gathered.values.items()},
            "holds": {str(number): until for number, until in self.gathered.holds.items()},
            **({} if self.gathered.sample is None else {"sample": self.gathered.sample.as_dict()}),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found while they were gathered."""
        if self.origin:
            return (f"Statistics are those of {self.origin}.",)
        sample = None if self.gathered is None else self.gathered.sample
        return () if sample is None else (sample.words,)


def are_fixed(network: Network, settings: PredictSettings) -> bool:
    """Return whether statistics are to be one thing for all tiles, and the network has some."""
    return settings.statistics != "tile" and network.spec.geometry.halo is None


def fix_statistics(
    network: Network,
    settings: PredictSettings,
    shape: Shape,
    box: Box,
    cache: CaptureCache = PROCESS_CACHE,
) -> FixedStatistics | None:
    """Say what a network's statistics are, and of the whole image also what volume; no voxel is read.

    Parameters
    ----------
    network : Network
        The opened network.
    settings : PredictSettings
        How statistics are had.
    shape : tuple of int
        Shape of the image, on its grid axes.
    box : Box
        What is predicted of it.
    cache : CaptureCache, optional
        What is known of networks; that of the process by default.

    Returns
    -------
    FixedStatistics or None
        None where each tile is computed by itself, or the network computes nothing over all of space.

    Raises
    ------
    SettingsError
        If there is more than one volume in the whole of what is predicted.
    NetworkError
        If what the network computes over all of space cannot be put together from parts.
    """
    if not are_fixed(network, settings):
        return None
    whole = _whole(network, shape, box) if settings.statistics in {"whole", "sample"} else None
    try:
        graph = cache.whole_graph_of(network)
        found = find_statistics(graph)
    except NoRuleError as error:
        raise NetworkError(
            f"The statistics of {network.spec.name} cannot be gathered from parts of an image, because "
            f"{_reason(network, error)} Predict with statistics of each tile."
        ) from error
    return FixedStatistics(source=network, graph=graph, found=found, part=whole) if found else None


def _reason(network: Network, error: NoRuleError) -> str:
    if any(isinstance(each, Mirrored) for each in network.module.modules()):
        return "it averages mirrored copies of the image. Open it without them (the setting mirroring)."
    return f"{error}."


def _whole(network: Network, shape: Shape, box: Box) -> Box:
    lead = len(shape) - network.spec.ndim
    if any(b - a > 1 for a, b in zip(box.start[:lead], box.stop[:lead], strict=True)):
        raise SettingsError(
            f"Statistics are those of one volume, and there are {by_axis(box.shape[:lead])} in what is "
            "predicted. Predict one at a time with box, or take statistics of a region of one of them."
        )
    return Box(box.start[:lead] + (0,) * network.spec.ndim, box.stop[:lead] + shape[lead:])


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
    dtype, source = _exact(settings), fixed.source
    read = _reader(fixed.box, prepared, source.spec.ndim, device, dtype)
    # Half of the memory is for feature maps that are held, the rest for computing.
    memory = _room(settings).memory // 2
    drawn = sample(source, fixed.graph, _padded(fixed), settings, memory, read, device, dtype)
    return (yield from drawn)


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


def planned_passes(
    fixed: FixedStatistics, settings: PredictSettings, device: str, shape: Shape
) -> tuple[Passes, PassPlan]:
    """Return passes over a part of an image of a shape, as `gather` makes them, and what they keep."""
    predicts = _begins_at_maps(fixed, settings, shape)
    passes = _passes(fixed, settings, device, _room(settings), predicts=predicts)
    return passes, passes.plan()


def _begins_at_maps(fixed: FixedStatistics, settings: PredictSettings, shape: Shape) -> bool:
    """Return whether the prediction of an image of a shape begins at maps that gathering keeps."""
    space = fixed.box.shape[-fixed.source.spec.ndim :]
    return space == shape[-len(space) :] and DTYPES[settings.dtype] == _exact(settings)


def _passes(
    fixed: FixedStatistics, settings: PredictSettings, device: str, room: Room, *, predicts: bool
) -> Passes:
    return Passes(
        fixed.graph,
        fixed.source.module,
        device,
        _exact(settings),
        _padded(fixed),
        room,
        predicts=predicts,
        origin=_origin(fixed),
    )


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
        known=Known({} if begun is None else _tensors(begun)),
    )


def _origin(fixed: FixedStatistics) -> Shape:
    """Return where the part begins in the image, on the network's axes."""
    return fixed.box.start[-fixed.source.spec.ndim :]


def _check_scratch(passes: Passes, plan: PassPlan, room: Room) -> None:
    """Raise `DeviceError` where there is less disk space than kept feature maps take."""
    needed = passes.on_disk(plan)
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


def _tensors(gathered: Gathered) -> dict[int, tuple[torch.Tensor, ...]]:
    return {
        number: tuple(torch.tensor(each, dtype=torch.float64) for each in values)
        for number, values in gathered.values.items()
    }


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
