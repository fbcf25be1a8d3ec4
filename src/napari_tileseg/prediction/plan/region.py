"""The part of an image that numbers are those of: as it is given, or suggested, where there is content."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_tileseg._progress import Progress
from napari_tileseg._types import Ranges
from napari_tileseg._words import as_typed, by_axis
from napari_tileseg.errors import ImageError, NoContentError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.prediction.input.content import Content, find_content
from napari_tileseg.prediction.input.limits import behind_splines
from napari_tileseg.prediction.plan.layout import on_target
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Part of an image that numbers are those of.

    Parameters
    ----------
    within : Box
        The volume, or slice, that it lies in, on the grid axes of the image as it was given.
    box : Box, optional
        The region, on the same axes; None where it is still to be found.
    suggested : bool
        Whether it is where there is content, as nobody has named one.
    known : bool
        Whether the voxels were looked at: it was found, or has content.
    """

    within: Box
    box: Box | None = None
    suggested: bool = True
    known: bool = False

    @property
    def sentence(self) -> str:
        """What it is, in words to show."""
        if self.box is None:
            return "Region: where there is content, which is found before anything is computed."
        share = f"{self.box.size / self.within.size:.0%} of what was searched"
        if not self.suggested:
            return f"Region: {self.box}, as you set it."
        if self.box == self.within:
            return f"Region: {self.box}, all that was searched, as content fills most of it."
        return f"Region: {self.box}, where there is content, {share}."

    def on(self, image: Image, target: Image) -> Box:
        """Return one that is known on the voxels of an image that may have another voxel size.

        Parameters
        ----------
        image, target : Image
            As it was given, and as it is predicted.
        """
        assert self.box is not None
        return on_target(self.box, image, target)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, of one that is known."""
        assert self.box is not None
        return {"box": [list(self.box.start), list(self.box.stop)], "suggested": self.suggested}

    def with_dict(self, values: Mapping[str, Any]) -> Region:
        """Return this region as it was when `as_dict` returned something.

        Raises
        ------
        KeyError, TypeError, ValueError
            If that is something else, or lies elsewhere.
        """
        start, stop = values["box"]
        box = Box(tuple(map(int, start)), tuple(map(int, stop)))
        if bool(values["suggested"]) != self.suggested or self.box not in {None, box}:
            raise ValueError("a region that was set is where it was set")
        if self.suggested and not (self.within.ndim == box.ndim and box.size and self.within.contains(box)):
            raise ValueError("a region lies in what was searched")
        return replace(self, box=box, known=True)


def ask_region(image: Image, spec: NetworkSpec, settings: PredictSettings) -> Region:
    """Return the region that settings ask for; no voxel is read.

    Parameters
    ----------
    image : Image
        As it was given.
    spec : NetworkSpec
        What is known of the network.
    settings : PredictSettings
        Of which `region` and `box` count.

    Raises
    ------
    SettingsError
        If the region does not lie in the image, or holds more than one volume.
    """
    shape = image.shape
    lead = len(shape) - spec.ndim
    region = looked_at(image, spec, settings)
    if any(n > 1 for n in region.shape[:lead]):
        raise SettingsError(
            f"Numbers of a region are those of one volume, and there are {by_axis(region.shape[:lead])} in "
            "what is predicted. Name one of them in region, such as "
            f"{as_typed(((0, 1),) * lead + tuple((0, n) for n in shape[lead:]))}, or predict one at a time "
            "with box."
        )
    if settings.region is None:
        return Region(within=region)
    return Region(within=_volumes(image, spec, settings), box=region, suggested=False)


def looked_at(image: Image, spec: NetworkSpec, settings: PredictSettings) -> Box:
    """Return the region that settings name, or where one is looked for, which may be in several volumes.

    It is looked for in all of a volume, whatever of that is predicted: parts of it fit together then.

    Raises
    ------
    SettingsError
        If it does not lie in the image.
    """
    within = _volumes(image, spec, settings)
    return _on_all_axes("region", settings.region, within, spec, image.shape)


def _volumes(image: Image, spec: NetworkSpec, settings: PredictSettings) -> Box:
    """Return all of the volumes of which something is predicted."""
    shape, lead = image.shape, len(image.shape) - spec.ndim
    box = _on_all_axes("box", settings.box, Box.of_shape(shape), spec, shape)
    return Box(box.start[:lead] + (0,) * spec.ndim, box.stop[:lead] + shape[lead:])


def region_of_intensities(
    region: Region | None, image: Image, target: Image, settings: PredictSettings
) -> Box | None:
    """Return the part that intensities are measured in, on the voxels that are measured; None for all.

    Parameters
    ----------
    region : Region, optional
        Known, where numbers are those of one.
    image, target : Image
        As it was given, and as it is predicted; where splines make that, what is behind them is measured.
    settings : PredictSettings
        What is asked.
    """
    if region is None or settings.intensities_of != "region":
        return None
    return region.box if behind_splines(target) is not None else region.on(image, target)


def _on_all_axes(
    name: str, ends: Ranges | None, usual: Box, spec: NetworkSpec, shape: tuple[int, ...]
) -> Box:
    if ends is None:
        return usual
    if len(ends) not in {spec.ndim, len(shape)}:
        raise SettingsError(
            f"{name} needs one entry for each axis of the network ({', '.join(spec.axes)}), or for each of "
            f"the image's {len(shape)} axes; got {as_typed(ends)}."
        )
    missing = len(shape) - len(ends)
    start = usual.start[:missing] + tuple(a for a, _ in ends)
    stop = usual.stop[:missing] + tuple(b for _, b in ends)
    if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, shape, strict=True)):
        raise SettingsError(
            f"The {name} should lie in the image of {by_axis(shape)} and not be empty; got {as_typed(ends)}."
        )
    return Box(start, stop)


def find_region(
    region: Region, image: Image, spec: NetworkSpec, settings: PredictSettings
) -> Generator[Progress, None, Region]:
    """Find where there is content, or see that there is some where the region was set.

    Parameters
    ----------
    region : Region
        As it was asked for.
    image : Image
        As it was given.
    spec : NetworkSpec
        Of which the halo says how far around content a suggested region reaches.
    settings : PredictSettings
        Which say whether NaN and infinity count as zero.

    Yields
    ------
    Progress
        How far it is.

    Raises
    ------
    NoContentError
        If there is none in all that was searched.
    ImageError
        If there is none in a region that was set, but elsewhere, which is named. If voxels are NaN or
        infinite, and that is refused.
    """
    if region.known:
        return region
    margin = tuple(max(pair) for pair in spec.default_halo)

    def found(within: Box) -> Generator[Progress, None, Content]:
        lead, zero = within.ndim - spec.ndim, settings.nonfinite == "zero"
        return find_content(image, within, lead, margin, zero=zero)

    inside = None if region.box is None else (yield from found(region.box))
    if inside is not None and inside.box is not None:
        return replace(region, known=True)
    content = (yield from found(region.within)).box
    if content is not None and region.box is None:
        return replace(region, box=content, known=True)
    if content is not None and region.box is not None and inside is not None:
        if region.box.meets(content) and not inside.constant:
            # Alone it looks like noise, which it does not beside the rest of the image.
            return replace(region, known=True)
        what = "one value" if inside.constant else "noise"
        raise ImageError(
            f"A region should have content; {region.box} of {image.name} is {what}. There is content in "
            f"{content}: name that as region, or none, and it is found."
        )
    raise NoContentError(
        f"A region should have content, and none was found in {region.within} of {image.name}: all of it is "
        "one value, or noise. Take statistics and intensities of the whole image instead, or see that this "
        "is the right channel."
    )
