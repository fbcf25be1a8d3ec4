"""How far quantiles of a whole image are from those of the part that has content."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass

from napari_tileseg._progress import Progress
from napari_tileseg.errors import ImageError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.prediction.input.content import ContentSearch
from napari_tileseg.prediction.input.normalization import Normalization, measure_normalization
from napari_tileseg.prediction.input.scan import WHOLE_LIMIT
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box

#: From which ratio on it is said. Embryos and an ovule: 1.0 alone, 1.25 to 1.4 in three times their area, 1.7
#: to 2.2 in nine times.
TELLING = 1.2
#: Voxels along each axis of which one is looked at: an eighth of the work, and ratios 0.1 more or less.
_STEP = 2


@dataclass(frozen=True, slots=True)
class Contrast:
    """Content that quantiles of the whole image make little of.

    Parameters
    ----------
    box : Box
        Where it is, roughly, on the image's grid axes.
    ratio : float
        How many times as far apart its quantiles are as those of the whole image.
    """

    box: Box
    ratio: float

    @property
    def sentence(self) -> str:
        """What it is, and what to do."""
        return (
            f"The image is mostly empty: quantiles of the part with content, {self.box}, lie "
            f"{self.ratio:.1f} times as far apart as those of the whole image, by which its intensities are "
            "scaled. That costs objects: set intensities to region."
        )


def search_for(
    image: Image, target: Image, spec: NetworkSpec, settings: PredictSettings, asked: Normalization
) -> ContentSearch | None:
    """Return what looks for content while quantiles are measured; None where nothing would be said.

    Parameters
    ----------
    image, target : Image
        As it was given, and as it is predicted.
    spec : NetworkSpec
        What is known of the network.
    settings : PredictSettings
        What is asked; who says where intensities are measured knows better.
    asked : Normalization
        The rule for the intensities.
    """
    lead, whole = len(image.shape) - spec.ndim, Box.of_shape(image.shape)
    by_default = settings.intensities == "auto" and settings.intensities_of == "image"
    if not (by_default and asked.kind == "quantiles" and target is image and whole.size <= WHOLE_LIMIT):
        return None
    if max(image.shape[:lead], default=1) > 1:
        return None
    margin = tuple(max(pair) for pair in spec.default_halo)
    return ContentSearch(whole, len(image.channel_indices), lead, margin, _STEP)


def compare(
    search: ContentSearch, found: Normalization, image: Image, spec: NetworkSpec, settings: PredictSettings
) -> Generator[Progress, None, Contrast | None]:
    """Compare quantiles of the whole image with those of its content, which is read once more for that.

    Parameters
    ----------
    search : ContentSearch
        Has seen all of the image.
    found : Normalization
        By quantiles of the whole image.
    image, spec, settings
        As `search_for` takes them.

    Yields
    ------
    Progress
        How far it is.

    Returns
    -------
    Contrast or None
        None where they are alike.
    """
    content = search.content
    if content.box is None or content.fills:
        return None
    # A channel that is constant there says nothing.
    with suppress(ImageError):
        part = yield from measure_normalization(image, spec, settings, part=content.box)
        ratio = max(a / b for a, b in zip(part.scale, found.scale, strict=True))
        return Contrast(content.box, ratio) if ratio >= TELLING else None
    return None
