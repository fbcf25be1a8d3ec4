"""How the intensities of an image are brought to what a network expects."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from napari_tileseg._progress import Progress, drain
from napari_tileseg._types import Array
from napari_tileseg.errors import SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.intensities import (
    Measuring,
    Percentiles,
    ResolvedStep,
    Step,
    Subject,
    ZeroMean,
    apply_steps,
)
from napari_tileseg.nets.intensities.foreground import Runs, holes_in, read_runs
from napari_tileseg.nets.intensities.resolved import finite_number
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.prediction.input.limits import (
    MOST_LIMITS,
    LimitSearch,
    Pairs,
    behind_splines,
    count_of,
    read_pairs,
)
from napari_tileseg.prediction.input.scan import NonFinite, Scan, plan_scan
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

Kind: TypeAlias = Literal["quantiles", "zero_mean", "range", "tile", "none", "steps"]
#: Is given a cleaned block ``(channels, *shape)``, and where it lies.
Seen: TypeAlias = Callable[[Array, Box], None]
_WHAT = "Measuring intensities"
#: Limits that are still to be measured.
UNMEASURED: Pairs = ((), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """A resolved normalization: numbers, no longer rules.

    Parameters
    ----------
    kind : {"quantiles", "zero_mean", "range", "tile", "none", "steps"}
        How the numbers were found; "tile" finds them anew in each read.
    offset, scale : tuple of float
        For each channel, an intensity becomes ``(intensity - offset) / scale``: the low quantile and the
        distance to the high one, or the mean and the standard deviation. Empty for the other kinds.
    percentiles : tuple of float, optional
        Percentiles that become 0 and 1, for "quantiles" and "tile".
    voxels : int
        Voxels of each channel that were looked at.
    sampled : bool
        Whether those were a sample and not the whole image.
    steps : tuple of ResolvedStep
        What is done instead, in this order, for "steps".
    holes : Runs
        Voxels of the image that are zero and enclosed by others, where a step is about what is not zero.
    region : Box, optional
        Part of the image that was looked at; all of it by default.
    origin : str
        Name of the prediction that they are the numbers of; "" where they were measured in the image.
    limits : Pairs, optional
        Least and largest prepared intensities, where the image is brought to another voxel size by splines
        after that; both empty where they are still to be measured, None where nothing is clipped.
    """

    kind: Kind
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    percentiles: tuple[float, float] | None = None
    voxels: int = 0
    sampled: bool = False
    steps: tuple[ResolvedStep, ...] = ()
    holes: Runs = ()
    region: Box | None = None
    origin: str = ""
    limits: Pairs | None = None

    @property
    def known(self) -> bool:
        """Whether the numbers are there; quantiles and moments have to be measured in an image first."""
        return self.limits != UNMEASURED and not self.needs_voxels

    @property
    def needs_voxels(self) -> bool:
        """Whether numbers are still to be measured that quantiles, or mean and deviation, give."""
        if self.kind == "steps":
            return not all(each.known for each in self.steps)
        return self.kind not in {"tile", "none"} and not self.offset

    def apply(self, values: Array, holes: Array | None = None) -> npt.NDArray[np.float32]:
        """Normalize voxels ``(channels, *shape)``; under "quantiles" and "tile" the result is in [0, 1].

        Parameters
        ----------
        values : ndarray
            As they are stored.
        holes : ndarray of bool, optional
            ``(*shape)``: which of them are in `holes`.
        """
        if self.kind == "none":
            return values.astype(np.float32)
        if self.kind == "steps":
            return apply_steps(values, self.steps, holes)
        offset, scale = self._of_tile(values) if self.kind == "tile" else (self.offset, self.scale)
        exact = values.dtype.itemsize <= 2 or values.dtype == np.float32
        working: Array = values.astype(np.float32 if exact else np.float64)
        column = (-1,) + (1,) * (values.ndim - 1)
        np.subtract(working, np.reshape(offset, column), out=working, casting="same_kind")
        np.divide(working, np.reshape(scale, column), out=working, casting="same_kind")
        if self.percentiles is not None:
            np.clip(working, 0, 1, out=working)
        return working.astype(np.float32, copy=False)

    def _of_tile(self, values: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
        flat = values.reshape(len(values), -1)
        low, high = np.percentile(flat, self.percentiles or (0, 100), axis=1)
        return tuple(low), tuple(np.where(high > low, high - low, 1.0))

    def agrees(self, other: Normalization) -> bool:
        """Return whether another is the same but for rounding: sums depend on the chunks of an image."""
        alike = replace(self, offset=other.offset, scale=other.scale, steps=other.steps, limits=other.limits)
        if alike != other or (self.limits is None) != (other.limits is None):
            return False
        ours, theirs = (each.offset + each.scale + sum(each.limits or (), ()) for each in (self, other))
        if len(ours) != len(theirs) or len(self.steps) != len(other.steps):
            return False
        steps = all(mine.agrees(other) for mine, other in zip(self.steps, other.steps, strict=True))
        return steps and bool(np.allclose(ours, theirs, rtol=1e-9, atol=1e-12))

    def answers(self, asked: Normalization) -> bool:
        """Return whether this follows the same rule as `asked`, whatever numbers were measured by it."""
        if self.kind == "range":
            return self.agrees(replace(asked, limits=self.limits))
        mine, theirs = ([each.step for each in one.steps] for one in (self, asked))
        return (self.kind, self.percentiles, mine) == (asked.kind, asked.percentiles, theirs)

    def fits(self, image: Image) -> bool:
        """Return whether the numbers are those of an image of as many channels, and planes, as `image`."""
        channels = len(image.channel_indices)
        if self.limits is not None and (
            behind_splines(image) is None or len(self.limits[0]) != count_of(image)
        ):
            return False
        return len(self.offset) in {0, channels} and all(each.fits(channels) for each in self.steps)

    @property
    def sentence(self) -> str:
        """What was done, in words to show."""
        if self.kind == "none":
            return "intensities as they are"
        if self.kind == "tile":
            return f"each tile by its own quantiles {self._percent}, which makes seams"
        if self.kind == "steps":
            return (
                f"as the network says, of {self._seen}: {', then '.join(each.words for each in self.steps)}"
            )
        pairs = zip(self.offset, self.scale, strict=True)
        if self.kind == "zero_mean":
            numbers = ", ".join(f"mean {a:.6g} and deviation {b:.6g}" for a, b in pairs)
            return f"zero mean and unit variance of {self._seen}: {numbers}"
        numbers = ", ".join(f"{a:.6g} - {a + b:.6g}" for a, b in pairs)
        if self.kind == "range":
            return f"given range: {numbers}"
        return f"quantiles {self._percent} of {self._seen}: {numbers}"

    @property
    def _percent(self) -> str:
        return "{:g} - {:g} %".format(*self.percentiles or (0, 100))

    @property
    def _seen(self) -> str:
        if self.origin:
            return f"the image of {self.origin}"
        part = "the whole image" if self.region is None else f"the region {self.region}"
        if not self.sampled:
            return part
        of = "" if self.region is None else f" of {part}"
        return f"{self.voxels / 1e6:.0f} million sampled voxels{of}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; what came later only where it says something."""
        plain = asdict(replace(self, steps=(), holes=(), limits=None, region=None))
        later = {
            "origin": plain.pop("origin"),
            "region": self.region and [list(self.region.start), list(self.region.stop)],
            "steps": [each.as_dict() for each in self.steps],
            "holes": [list(each) for each in self.holes],
            "limits": self.limits and [list(each) for each in self.limits],
        }
        return {key: value for key, value in (plain | later).items() if value or key not in later}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Normalization:
        """Build a normalization from what `as_dict` returned, lists for tuples allowed.

        Raises
        ------
        KeyError, TypeError, ValueError
            If values are missing, or of another kind.
        """
        offset, scale = (tuple(map(finite_number, values[name])) for name in ("offset", "scale"))
        percentiles = values["percentiles"]
        steps = tuple(map(ResolvedStep.from_dict, values.get("steps", ())))
        if (values["kind"] == "steps") != bool(steps):
            raise ValueError("kind and steps of the intensities do not belong together")
        if values["kind"] not in get_args(Kind) or len(offset) != len(scale) or 0 in scale:
            raise ValueError("kind, offset and scale of the intensities do not belong together")
        return cls(
            kind=values["kind"],
            offset=offset,
            scale=scale,
            percentiles=None
            if percentiles is None
            else (finite_number(percentiles[0]), finite_number(percentiles[1])),
            voxels=int(finite_number(values["voxels"])),
            sampled=bool(values["sampled"]),
            steps=steps,
            holes=read_runs(values.get("holes", ())),
            region=None if values.get("region") is None else _read_box(values["region"]),
            origin=str(values.get("origin", "")),
            limits=None if values.get("limits") is None else read_pairs(values["limits"]),
        )


def _read_box(values: Any) -> Box:
    start, stop = (tuple(int(finite_number(each)) for each in ends) for ends in values)
    return Box(start, stop)


def resolve_normalization(
    image: Image,
    spec: NetworkSpec,
    settings: PredictSettings,
    scan: Scan | None = None,
    part: Box | None = None,
) -> Normalization:
    """Return what `measure_normalization` finds, without its progress."""
    return drain(measure_normalization(image, spec, settings, scan, part))


def measure_normalization(
    image: Image,
    spec: NetworkSpec,
    settings: PredictSettings,
    scan: Scan | None = None,
    part: Box | None = None,
    seen: Seen | None = None,
) -> Generator[Progress, None, Normalization]:
    """Find the normalization of an image for a network; reads the image where its statistics are needed.

    Parameters
    ----------
    image : Image
        The image as it is predicted. Where it is brought to another voxel size by splines, these go through
        prepared intensities, and what is measured is the image behind it.
    spec : NetworkSpec
        What is known of the network.
    settings : PredictSettings
        What is asked.
    scan : Scan, optional
        Blocks to read of the whole of what is measured; as `plan_scan` plans them by default.
    part : Box, optional
        What is measured, on the grid axes of the image, or of the one behind it; all of it by default.
    seen : callable, optional
        Is given each block that is measured once, with its place, so that nobody reads it again.

    Yields
    ------
    Progress
        After each block; the work may be stopped there.

    Raises
    ------
    ImageError
        If a channel is constant, or intensities are NaN or infinite and that is refused.
    SettingsError
        If the settings contradict each other.
    """
    asked = asked_for(image, spec, settings)
    if asked.known:
        return asked
    subject = image if asked.limits is None else behind_splines(image)
    assert subject is not None
    walk = _Walk(subject, scan or plan_scan(subject), settings.nonfinite == "zero")
    scan = walk.scan if part is None else plan_scan(subject, within=part)
    found = asked
    if asked.needs_voxels:
        work = yield from _measured(walk, scan, _steps_of(asked), 0 if asked.limits is None else 1, seen)
        found = replace(asked, voxels=scan.voxels, sampled=scan.sampled, region=part)
        if asked.kind == "steps":
            found = replace(found, steps=work.resolved, holes=work.holes)
        else:
            (only,) = work.resolved
            found = replace(found, offset=only.offset, scale=only.scale)
    if asked.limits is None:
        return found
    return replace(found, limits=(yield from _limits(image, walk, found)))


def _limits(image: Image, walk: _Walk, found: Normalization) -> Generator[Progress, None, Pairs | None]:
    """Return the limits of prepared intensities; None where they cannot be known, or are too many."""
    if walk.scan.sampled or count_of(image) > MOST_LIMITS:
        return None
    search, shape = LimitSearch(image), walk.image.shape
    for values, box, progress in walk.once(walk.scan):
        holes = holes_in(found.holes, shape, box.start, box.shape) if found.holes else None
        search.add(found.apply(values, holes), box)
        yield progress
    return search.pairs


def _steps_of(asked: Normalization) -> list[Step]:
    """Return what is to be measured, as steps."""
    if asked.kind == "steps":
        return [each.step for each in asked.steps]
    if asked.percentiles is None:
        return [ZeroMean()]
    low, high = asked.percentiles
    return [Percentiles(low=low, high=high, clip=True)]


def ask_normalization(spec: NetworkSpec, settings: PredictSettings, channels: int) -> Normalization:
    """Return what network and settings ask for; with offset and scale only where no image is needed.

    Raises
    ------
    SettingsError
        If the settings contradict each other.
    """
    wish = spec.input_normalization
    kind, low, high = settings.normalize, *settings.quantiles
    if kind == "network" and wish.kind == "steps":
        return Normalization(kind="steps", steps=tuple(ResolvedStep(step=step) for step in wish.steps))
    if kind == "network":
        kind, low, high = wish.kind, wish.low, wish.high
    elif kind == "range":
        if settings.range is None:
            raise SettingsError(
                "normalize is range: give the intensities that become 0 and 1 (range LOW,HIGH)."
            )
        low, high = settings.range
    if kind in {"range", "quantiles", "tile"} and not low < high:
        raise SettingsError(f"The low end should lie below the high end; got {low:g} and {high:g}.")
    if kind == "range":
        return Normalization(kind="range", offset=(low,) * channels, scale=(high - low,) * channels)
    if kind in {"quantiles", "tile"}:
        return Normalization(kind="tile" if kind == "tile" else "quantiles", percentiles=(low, high))
    return Normalization(kind="zero_mean" if kind == "zero_mean" else "none")


def asked_for(image: Image, spec: NetworkSpec, settings: PredictSettings) -> Normalization:
    """Return what is asked for an image as it is predicted, with limits to be measured where it needs some.

    Raises
    ------
    SettingsError
        If the settings contradict each other.
    """
    asked = ask_normalization(spec, settings, len(image.channel_indices))
    first = behind_splines(image) is not None and asked.kind != "tile"
    return replace(asked, limits=UNMEASURED) if first else asked


class _Walk:
    """One or more passes over an image, with NaN and infinity looked after in the first."""

    def __init__(self, image: Image, scan: Scan, zero: bool) -> None:
        self.image = image
        self.scan = scan
        self._zero = zero
        self.passes = 1
        self._done = 0

    def once(self, scan: Scan) -> Iterator[tuple[Array, Box, Progress]]:
        """Generate cleaned blocks ``(channels, *shape)``, where they lie, and how far it is."""
        found = NonFinite(self.image.name)
        for number, box in enumerate(scan.boxes, start=1):
            values = found.clean(self.image.read(box), box.start)
            share = (self._done + number / len(scan.boxes)) / self.passes
            yield values, box, Progress(_WHAT, min(share, 1.0))
        if not self._zero:
            found.refuse()
        self._done += 1


def _measured(
    walk: _Walk, scan: Scan, steps: list[Step], later: int, seen: Seen | None
) -> Generator[Progress, None, Measuring]:
    """Show the image as often as its steps need, before some later passes, and return what was found."""
    image = walk.image
    # Holes are looked for where the whole image is read: a way out of them may lead anywhere.
    shape = None if walk.scan.sampled else image.shape
    lead = len(image.grid_axes) - len(image.spatial_axes)
    work = Measuring(steps, Subject(image.name, tuple(image.channel_indices), image.dtype, shape, lead))
    walk.passes = work.passes + later
    while not work.done:
        # What is foreground follows from all of the image, whatever part of it is measured.
        for values, box, progress in walk.once(walk.scan if work.looking else scan):
            work.add(values, box.start)
            if seen is not None:
                seen(values, box)
            yield progress
        work.end_pass()
        seen = None
    return work
