"""What configs/metadata.json of a bundle says of input and output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import count, mapping
from napari_tileseg.nets.formats.monai_bundle.config import Config

#: Channels whose names are read, and letters of a name.
_MOST, _LONGEST = 100, 80
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Metadata:
    """Input and output, as far as they are stated.

    Parameters
    ----------
    source : str
        The file, for messages.
    name : str, optional
        Of the network.
    ndim : int, optional
        Axes of space.
    in_channels, out_channels : int, optional
        Channels of the input and the output.
    channel_names, classes : tuple of str
        Their names in order; empty where there are none, or not one for each.
    """

    source: str
    name: str | None
    ndim: int | None
    in_channels: int | None
    out_channels: int | None
    channel_names: tuple[str, ...]
    classes: tuple[str, ...]

    def check(self, ndim: int, in_channels: int) -> None:
        """Raise `NetworkError` where a network has other axes or channels in than are stated."""
        for what, stated, found in (
            ("axes", self.ndim, ndim),
            ("channels in", self.in_channels, in_channels),
        ):
            if stated not in (None, found):
                raise NetworkError(
                    f"{self.source} describes a network of {stated} {what}; the one that its configuration "
                    f"defines has {found}. Put the files together that belong together."
                )

    def classes_for(self, out_channels: int) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
        """Return the names of so many outputs, None where these have none, and a sentence if they differ."""
        if len(self.classes) == out_channels:
            return self.classes, ()
        if not self.classes:
            return None, ()
        named = few(self.classes, _NAMED)
        return None, (
            f"{self.source} names {len(self.classes)} channels out ({named}); the network has "
            f"{out_channels}, whose names are not known.",
        )


def metadata_of(config: Config) -> Metadata:
    """Return what the metadata of a bundle says.

    Parameters
    ----------
    config : Config
        configs/metadata.json.

    Raises
    ------
    NetworkError
        If it describes several inputs or outputs.
    """
    stated = mapping(config.held.get("network_data_format"))
    given, found = (_only(stated.get(f"{each}s"), each, config.source) for each in ("input", "output"))
    shape = given.get("spatial_shape")
    ndim = len(shape) if isinstance(shape, list) and 1 <= len(shape) <= 3 else None
    name = config.held.get("name")
    return Metadata(
        source=config.source,
        name=name[:_LONGEST] if isinstance(name, str) and name else None,
        ndim=ndim,
        in_channels=count(given.get("num_channels")) or None,
        out_channels=count(found.get("num_channels")) or None,
        channel_names=_names(given.get("channel_def"), count(given.get("num_channels"))),
        classes=_names(found.get("channel_def"), None),
    )


def _only(stated: Any, what: str, source: str) -> Mapping[str, Any]:
    """Return what is said of the only input or output."""
    tensors = mapping(stated)
    if len(tensors) > 1:
        named = few([str(each)[:_LONGEST] for each in tensors], _NAMED)
        raise NetworkError(
            f"{source} describes a network of {len(tensors)} {what}s ({named}); networks of one {what} are "
            "opened here."
        )
    return next(map(mapping, tensors.values()), {})


def _names(stated: Any, wanted: int | None) -> tuple[str, ...]:
    """Return names that are numbered from 0 on; none where they are not, or not as many as wanted."""
    named = mapping(stated)
    if not 0 < len(named) <= _MOST or (wanted is not None and len(named) != wanted):
        return ()
    return tuple(_in_order({str(key): each for key, each in named.items()}))


def _in_order(named: Mapping[str, Any]) -> Iterator[str]:
    numbers = [str(number) for number in range(len(named))]
    if {*numbers} == {*named} and all(isinstance(each, str) for each in named.values()):
        for number in numbers:
            yield named[number][:_LONGEST] or f"channel {number}"
