"""Numbers of one of our own predictions, for another image: untrusted, as the prediction is a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tileseg.errors import SettingsError, StoreError, answering
from napari_tileseg.images.image import Image
from napari_tileseg.prediction.input.normalization import Normalization
from napari_tileseg.prediction.plan.numbers.statistics import FixedStatistics, Gathered
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Bytes of the description of a prediction at most.
_BYTES = 2**26
_CURE = "Name another prediction, or take statistics and intensities of the image itself."


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """What a prediction knows of its image.

    Parameters
    ----------
    name : str
        What to call it: the name of its folder.
    normalization : Normalization
        How its intensities were prepared.
    gathered : Gathered, optional
        Its statistics, where they were those of all its tiles.
    """

    name: str
    normalization: Normalization
    gathered: Gathered | None

    def intensities_for(self, asked: Normalization, image: Image) -> Normalization:
        """Return how intensities of another image are prepared with the same numbers.

        Parameters
        ----------
        asked : Normalization
            The rule that network and settings ask for.
        image : Image
            As it is predicted.

        Raises
        ------
        SettingsError
            If the numbers follow another rule, or are about places in their own image.
        """
        mine = self.normalization
        if not mine.answers(asked):
            raise SettingsError(
                f"The intensities of {self.name} were prepared in another way ({mine.sentence}). {_CURE}"
            )
        if mine.holes or mine.limits is not None or asked.limits is not None or not mine.fits(image):
            raise SettingsError(
                f"The intensities of {self.name} depend on places in its image, or on its channels. Take "
                "them of the image itself, with intensities set to image."
            )
        return replace(mine, origin=self.name, region=None)

    def statistics_for(self, fixed: FixedStatistics) -> FixedStatistics:
        """Return statistics of the same network with these numbers.

        Raises
        ------
        SettingsError
            If there are none.
        StoreError
            If they are not those of the network.
        """
        if self.gathered is None:
            raise SettingsError(f"{self.name} was predicted with statistics of each tile. {_CURE}")
        if not fixed.fits(self.gathered):
            raise StoreError(f"{self.name} is damaged: its statistics are not those of its network. {_CURE}")
        return replace(fixed, gathered=replace(self.gathered, holds={}), origin=self.name)


def borrow(network: Network, settings: PredictSettings) -> Borrowed | None:
    """Return the numbers of the prediction that settings name; None where they take none of it.

    Raises
    ------
    SettingsError
        If none is named, or it is of another network, or at another voxel size.
    StoreError
        If there is no prediction, or it is damaged.
    """
    if "result" not in {settings.statistics, settings.intensities_of}:
        return None
    if settings.result is None:
        raise SettingsError(
            "Numbers of another prediction are asked for: name it in result, such as control.ome.zarr."
        )
    path = Path(settings.result)
    about = _about(path)
    with answering(StoreError, f"{path} should be a prediction that is whole", _CURE):
        known = about["network"]
        same = (known["sha256"], known.get("architecture")) == (
            network.sha256,
            network.reference.architecture,
        )
        resampled = bool(about["settings"]["resample"])
        found = Borrowed(
            name=path.name,
            normalization=Normalization.from_dict(about["normalization"]),
            gathered=Gathered.from_dict(about["statistics"]) if "statistics" in about else None,
        )
    if not same:
        raise SettingsError(f"{path.name} is of another network than {network.spec.name}. {_CURE}")
    if resampled != settings.resample:
        state = "was" if resampled else "was not"
        raise SettingsError(
            f"{path.name} {state} predicted at the network's voxel size. Set resample to the same, or name "
            "another prediction."
        )
    return found


def _about(path: Path) -> dict[str, Any]:
    """Return what a store says of itself."""
    file = path / "zarr.json"
    if not file.is_file():
        raise StoreError(f"result should name a prediction, an OME-Zarr; there is none at {path}. {_CURE}")
    if file.stat().st_size > _BYTES:
        raise StoreError(f"{file} is too large for the description of a prediction. {_CURE}")
    with answering(StoreError, f"{path} should be a prediction of this program", _CURE):
        about = json.loads(file.read_text(encoding="utf-8"))["attributes"]["tileseg"]
        return dict(about)
