"""Settings of each pair of image and network, so that what was typed for one is not used for another."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from napari_tileseg.settings import PredictSettings

#: What belongs to the machine, whatever is predicted on it.
_OF_MACHINE = ("device", "dtype", "batch", "memory")


class PairSettings:
    """Remembers, as long as a viewer is open, how each image was predicted with each network."""

    def __init__(self) -> None:
        self._pair: tuple[Hashable, Hashable] | None = None
        self._former: dict[tuple[Hashable, Hashable], PredictSettings] = {}

    def choose(self, image: Hashable, network: Hashable, present: PredictSettings) -> PredictSettings:
        """Return the settings of a pair that is chosen now; they replace those of the pair before.

        Parameters
        ----------
        image, network : hashable
            Identify them; None where there is none, when the settings stay.
        present : PredictSettings
            Those of the pair before. The first pair takes them, as they were typed or read for it.

        Returns
        -------
        PredictSettings
            Those that the pair had when it was left; the defaults for a new one. What belongs to the machine
            stays as it is.
        """
        if image is None or network is None or (image, network) == self._pair:
            return present
        if self._pair is None:
            self._pair = (image, network)
            return present
        self._former[self._pair] = present
        self._pair = (image, network)
        known = self._former.get(self._pair, PredictSettings())
        return _with_machine_of(present, known)

    def inherit(self, image: Hashable, network: Hashable, present: PredictSettings) -> None:
        """Let a pair take over the settings of the one before, as for a network that was trained further."""
        if image is not None and network is not None:
            if self._pair is not None:
                self._former[self._pair] = present
            self._pair = (image, network)

    def forget(self) -> None:
        """Let the next pair take the settings that are there."""
        self._pair = None
        self._former.clear()


def _with_machine_of(present: PredictSettings, known: PredictSettings) -> PredictSettings:
    return replace(known, **{name: getattr(present, name) for name in _OF_MACHINE})
