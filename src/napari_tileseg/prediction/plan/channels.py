"""Which channel of an image a network takes as which of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg._types import Indices
from napari_tileseg._words import as_typed

if TYPE_CHECKING:
    from napari_tileseg.images.image import Image
    from napari_tileseg.nets.spec import NetworkSpec


def channels_by_name(image: Image, spec: NetworkSpec) -> Indices | None:
    """Return the channels of an image that are called as those of a network are, in the network's order.

    Parameters
    ----------
    image : Image
        Of which all stored channels count, whichever are read.
    spec : NetworkSpec
        What is known of the network.

    Returns
    -------
    tuple of int or None
        None where a name is missing, or is there more than once: then there is more than one answer.
    """
    stored, wanted = (
        [name.strip().casefold() for name in names] for names in (image.channel_names, spec.channel_names)
    )
    if not wanted or len(set(wanted)) < len(wanted) or any(stored.count(name) != 1 for name in wanted):
        return None
    return tuple(stored.index(name) for name in wanted)


def with_channels_by_name(image: Image, spec: NetworkSpec) -> Image:
    """Return an image whose channels a network takes by their names, unless somebody has chosen them."""
    found = channels_by_name(image, spec) if image.channels is None else None
    return image if found is None else image.with_channels(found)


def has_to_be_asked(image: Image, spec: NetworkSpec) -> bool:
    """Return whether only a person can say which channel of an image is which of a network.

    That is so where the network names its channels, the image has as many or more, and not the same names.
    """
    count = len(image.with_channels(None).channel_indices)
    several = count > 1 and count >= spec.in_channels
    return bool(spec.channel_names) and several and channels_by_name(image, spec) is None


def feeding(image: Image, spec: NetworkSpec) -> tuple[str, str]:
    """Return what goes where, and a warning where nobody has said so or names say otherwise.

    Parameters
    ----------
    image : Image
        With the channels that are read, as many as the network takes.
    spec : NetworkSpec
        What is known of the network.

    Returns
    -------
    tuple of str
        Two sentences, or "" for each: where a network does not name its channels, or there is one for one,
        nothing is said.
    """
    stored = image.with_channels(None).channel_indices
    if not spec.channel_names or len(stored) == 1:
        return "", ""
    named = zip(spec.channel_names, image.channel_indices, strict=False)
    taken = f"Channels: {', '.join(f'{name} from {title_of(image, channel)}' for name, channel in named)}."
    by_name = channels_by_name(image, spec)
    if by_name is not None and by_name != image.channel_indices:
        return taken, (
            f"The network takes the channels {', '.join(spec.channel_names)} in this order; {image.name} "
            f"gives {', '.join(image.channel_names[index] for index in image.channel_indices)}. Choose the "
            f"channels {as_typed(by_name)}."
        )
    if image.channels is None and has_to_be_asked(image, spec):
        return taken, (
            f"Nothing says which channel of {image.name} is which: they are taken in their order. Another "
            "order gives a wrong result without an error: check it, and state the channels in the network's "
            f"order, such as --channel {as_typed(image.channel_indices)}."
        )
    return taken, ""


def title_of(image: Image, channel: int) -> str:
    """Return the number of a channel, and its name where it says more, such as ``0 (membrane)``."""
    name = image.channel_names[channel].strip() if channel < len(image.channel_names) else ""
    return str(channel) if name in {"", f"channel {channel}"} else f"{channel} ({name})"
