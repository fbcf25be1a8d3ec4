"""An image as a viewer shows it: by one layer, or by one for each of its channels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_tileseg._napari.image_layers import image_layers
from napari_tileseg._napari.images.joined_channels import JoinedChannels, split_images
from napari_tileseg._napari.images.layer_file import uri_of
from napari_tileseg._napari.images.layer_image import (
    channel_names_of,
    image_of,
    level_shapes,
    placement_of,
)
from napari_tileseg._napari.images.placement import Placement, axes_of
from napari_tileseg._types import Shape
from napari_tileseg.errors import ImageError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session.project.image_reference import channels_that_give, is_everything
from napari_tileseg.settings import ImageSettings


@dataclass(frozen=True, slots=True)
class ShownImage:
    """Layers that show one image.

    Parameters
    ----------
    layers : tuple of napari.layers.Image
        One, or one for each channel.
    """

    layers: tuple[ImageLayer, ...]

    @property
    def key(self) -> Hashable:
        """Tells it from other images, whatever its layers are called."""
        ids = tuple(layer.unique_id for layer in self.layers)
        return ids[0] if len(ids) == 1 else ids

    @property
    def name(self) -> str:
        """What it is called now."""
        if len(self.layers) == 1:
            return str(self.layers[0].name)
        return f"{self._title}: {len(self.layers)} layers as channels"

    @property
    def _title(self) -> str:
        return Path(self.uri).name or self.layers[0].name

    @property
    def uri(self) -> str:
        """Where it was opened from; empty for an array in memory."""
        return uri_of(self.layers[0])

    @property
    def levels(self) -> tuple[Shape, ...]:
        """Shape of the data at each level."""
        shapes = level_shapes(self.layers[0])
        return shapes if len(self.layers) == 1 else tuple((len(self.layers), *shape) for shape in shapes)

    @property
    def axes(self) -> str:
        """Axes of the data, as far as they are known."""
        axes = axes_of(self.layers[0])
        return axes if len(self.layers) == 1 else f"c{axes}"

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What is known of the names of channels."""
        if len(self.layers) > 1:
            return _without_common_start([layer.name for layer in self.layers])
        return channel_names_of(self.layers[0], self.axes)

    def image(self, settings: ImageSettings) -> Image:
        """Return its voxels, axes and position, lazily.

        Raises
        ------
        ImageError
            As `image_of`.
        """
        if len(self.layers) == 1:
            return image_of(self.layers[0], settings)
        part = self._of_a_part(settings)
        parts = [image_of(layer, part) for layer in self.layers]
        return replace(
            parts[0],
            data=JoinedChannels([each.data for each in parts]),
            axes=f"c{parts[0].axes}",
            name=self._title,
            channels=settings.channel,
            channel_names=self.channel_names,
        )

    def placement(self, settings: ImageSettings) -> Placement:
        """Return the placement of its grid axes at a level.

        Raises
        ------
        ImageError
            If the axes do not fit.
        """
        if len(self.layers) > 1:
            settings = self._of_a_part(settings)
        return placement_of(self.layers[0], settings)

    def _of_a_part(self, settings: ImageSettings) -> ImageSettings:
        if settings.axes is not None and not settings.axes.startswith("c"):
            raise ImageError(
                f"{self.name} has the channels first; the axes should begin with c; got {settings.axes!r}."
            )
        return replace(settings, axes=settings.axes and settings.axes[1:], channel=None)

    def settings_for(self, image: Image) -> ImageSettings | None:
        """Return level, axes and channels at which an image's voxels are shown; None where they are not."""
        for level in range(len(self.levels)):
            for axes in dict.fromkeys((None, image.axes)):
                settings = ImageSettings(level=level, axes=axes)
                try:
                    mine = self.image(settings)
                    channels = channels_that_give(image, mine)
                except TilesegError:
                    continue  # another number of axes, or voxels that cannot be read
                if channels is not None:
                    return replace(
                        settings, channel=None if is_everything(channels, image, mine) else channels
                    )
        return None


def _without_common_start(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without the words that all of them begin with, such as that of their image.

    Numbers stay with their words: they say nothing alone.
    """
    words = [name.split(" ") for name in names]
    common = sum(1 for _ in takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False)))
    left = [" ".join(each[common:]) for each in words]
    return tuple(names) if any(not each or each.isdecimal() for each in left) else tuple(left)


def shown_images(viewer: ViewerModel) -> tuple[ShownImage, ...]:
    """Return images that can be predicted: each layer, then layers that show channels of one image."""
    layers = image_layers(viewer)
    single = tuple(ShownImage((layer,)) for layer in layers)
    return (*single, *(ShownImage(group) for group in split_images(layers)))
