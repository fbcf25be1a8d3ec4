"""What ``tileseg predict`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictCommand:
    """What ``tileseg predict`` is asked for.

    Parameters
    ----------
    image, network : str
        Where they are.
    out : Path
        OME-Zarr to write, or to resume.
    image_settings, network_settings, settings : settings
        What was chosen.
    on_image : Path, optional
        OME-Zarr to write the result to once more, on the voxels of the image.
    quiet : bool
        Whether to show no progress.
    """

    image: str
    network: str
    out: Path
    image_settings: ImageSettings
    network_settings: NetworkSettings
    settings: PredictSettings
    on_image: Path | None
    quiet: bool
