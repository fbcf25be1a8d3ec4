"""A session's prediction as a line for the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import SettingsError
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.settings import PredictSettings

if TYPE_CHECKING:
    from napari_tileseg.nets import Network


def command_of(
    image: ImageReference | None, network: Network | None, settings: PredictSettings, out: str
) -> str:
    """Give one line for the shell that predicts the same.

    Raises
    ------
    SettingsError
        If image or network are missing, or the image was only in memory.
    """
    from napari_tileseg.prediction.command import predict_command

    if image is None or network is None:
        raise SettingsError("The command is not known yet; wait until image and network are open and read.")
    if not image.uri:
        raise SettingsError(
            f"A command needs an image on disk; {image.name} is only in memory. Save it (File > Save "
            "Selected Layers), open the file, and choose it."
        )
    return predict_command(image.uri, network.reference, out, image.settings, settings)
