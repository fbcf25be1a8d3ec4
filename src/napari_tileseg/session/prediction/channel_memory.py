"""Which channels of an image a network takes: what was answered, what names say, and what is still asked."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from napari_tileseg._types import Indices
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.plan.channels import channels_by_name, has_to_be_asked, title_of

if TYPE_CHECKING:
    from napari_tileseg.nets.spec import NetworkSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelQuestion:
    """Which channel of an image is which of a network's.

    Parameters
    ----------
    names : tuple of str
        Channels of the network, in its order.
    titles : tuple of str
        Channels of the image, by their numbers.
    chosen : tuple of int
        Number of the image's channel for each of the network's.
    answered : bool
        Whether a person has chosen them.
    """

    names: tuple[str, ...]
    titles: tuple[str, ...]
    chosen: Indices
    answered: bool


def channel_question(image: Image, spec: NetworkSpec) -> ChannelQuestion | None:
    """Return what only a person can say of an image's channels; None where there is one answer."""
    if not has_to_be_asked(image, spec):
        return None
    stored = image.with_channels(None).channel_indices
    fits = image.channels is not None and len(image.channels) == spec.in_channels
    return ChannelQuestion(
        names=spec.channel_names,
        titles=tuple(title_of(image, channel) for channel in stored),
        chosen=image.channel_indices if fits else tuple(_likely(image, spec)),
        answered=fits,
    )


def _likely(image: Image, spec: NetworkSpec) -> Iterator[int]:
    """Yield the channels of equal names, and the others in their order for those that have none."""
    called = [name.strip().casefold() for name in image.channel_names]
    wanted = [name.strip().casefold() for name in spec.channel_names]
    equal = {name: called.index(name) for name in wanted if called.count(name) == 1}
    left = iter(n for n in image.with_channels(None).channel_indices if n not in equal.values())
    for name in wanted:
        yield equal[name] if name in equal else next(left)


#: What identifies an image, and the names of a network's channels.
_Pair: TypeAlias = tuple[Hashable, tuple[str, ...]]


class ChannelMemory:
    """Remembers, as long as a viewer is open, which channels were named for which image and network.

    Networks whose channels are called alike share an answer, such as one and what it becomes by training.
    """

    def __init__(self) -> None:
        self._answers: dict[_Pair, Indices] = {}
        #: For which pair channels were put in place last, and which; None where a person typed them.
        self._put: tuple[_Pair, Indices | None] | None = None

    def answer(self, image: Hashable, spec: NetworkSpec, channels: Indices) -> None:
        """Take the answer of a person.

        Parameters
        ----------
        image : hashable
            Identifies the image.
        spec : NetworkSpec
            The network.
        channels : tuple of int
            Number of the image's channel for each of the network's.
        """
        pair = (image, spec.channel_names)
        self._answers[pair] = channels
        self._put = (pair, channels)

    def leave(self) -> None:
        """Take note that no image is chosen: one that is chosen next asks for nothing by itself."""
        self._put = None

    def channels_for(self, image: Image, key: Hashable, spec: NetworkSpec) -> Indices | None:
        """Return the channels to read for a network; None for all in their order.

        Parameters
        ----------
        image : Image
            With the channels that are read now.
        key : hashable
            Identifies the image.
        spec : NetworkSpec
            The network.
        """
        present, pair = image.channels, (key, spec.channel_names)
        former = self._put
        if present is not None and (former is None or former[0][0] != key or former[1] != present):
            # Somebody typed them, now or when the image was chosen before, or a project has them.
            self._put = None
            return present
        if former is not None and former[0] == pair:
            if present is not None:
                return present
            # All were asked for again.
            self._answers.pop(pair, None)
        found = self._answers.get(pair) or channels_by_name(image, spec)
        self._put = (pair, found)
        return found
