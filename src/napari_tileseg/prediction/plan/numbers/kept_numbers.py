"""Statistics that were gathered, kept by image, network and settings: no image is gathered of twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_tileseg._app_dirs import cache_folder
from napari_tileseg._files import json_text, write_text
from napari_tileseg.images.identity import fingerprint
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.plan.numbers.statistics import FixedStatistics, Gathered
from napari_tileseg.settings import PredictSettings

#: Raised with every change of what is gathered, so that older entries are gathered anew.
_VERSION = 1
#: Entries at most, and bytes of one.
MOST_ENTRIES, _BYTES = 64, 2**26
#: Settings that change numbers, beside those that intensities and the part of the image show.
_SETTINGS = ("statistics", "sample_error", "sample_seed", "padding", "nonfinite", "resample")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the numbers of one image, network and choice of settings are kept, as far as they are known.

    Parameters
    ----------
    path : Path
        A file in the folder ``statistics`` of the user's cache.
    fixed : FixedStatistics
        What they are numbers of.
    """

    path: Path
    fixed: FixedStatistics

    def load(self) -> Gathered | None:
        """Return what is known; None where nothing is, or not of this.

        Numbers of some layers are what a process knew when it was killed: with the feature maps that it had
        chosen to keep, the rest comes out as it would have. Where all are known, none has to be kept.
        """
        try:
            if self.path.stat().st_size > _BYTES:
                return None
            found = Gathered.from_dict(json.loads(self.path.read_text(encoding="utf-8")))
        except Exception:  # noqa: BLE001 - whatever is wrong with an entry, numbers are gathered anew
            return None
        if self.fixed.fits(found):
            return replace(found, holds={})
        return found if self.fixed.fits(found, partly=True) else None

    def save(self, gathered: Gathered) -> None:
        """Keep what is known by now; the oldest entries go."""
        # A cache that cannot be written costs time, not results.
        with suppress(OSError):
            write_text(self.path, json_text(replace(self.fixed, gathered=gathered).as_dict(), indent=None))
            entries = sorted(self.path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for path in entries[:-MOST_ENTRIES]:
                path.unlink(missing_ok=True)


def shelf_of(
    image: Image,
    fixed: FixedStatistics,
    normalization: Normalization,
    settings: PredictSettings,
    device: str,
) -> Shelf | None:
    """Return where numbers are kept; None for an image in memory, whose voxels may change unseen, or of none.

    Parameters
    ----------
    image : Image
        As it was given.
    fixed : FixedStatistics
        What numbers are of, and of which part.
    normalization : Normalization
        With its numbers, which are measured anew each time: where these change, so do statistics.
    settings : PredictSettings
        How they are gathered.
    device : str
        Where.
    """
    network = fixed.source
    if not (image.uri and network.sha256) or fixed.part is None:
        return None
    about: Mapping[str, Any] = {
        "version": [_VERSION, *(version(name) for name in ("napari-tileseg", "torch"))],
        "image": [fingerprint(image), *_file(image.uri)],
        "network": [network.sha256, network.reference.architecture],
        "part": str(fixed.box),
        "intensities": normalization.as_dict(),
        "exact": settings.dtype == "float64",
        "device": device.partition(":")[0],
        **{name: getattr(settings, name) for name in _SETTINGS},
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return Shelf(cache_folder() / "statistics" / f"{key}.json", fixed)


def _file(uri: str) -> list[int]:
    """Return size and time of an image that is one file: a change between sampled voxels shows there."""
    try:
        found = Path(uri).stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
