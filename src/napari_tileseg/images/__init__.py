"""Images as lazy arrays with named axes and a position in the world."""

from napari_tileseg.images.identity import fingerprint
from napari_tileseg.images.image import Image
from napari_tileseg.images.opening import list_levels, open_image
from napari_tileseg.images.resample import resampled, resampled_onto

__all__ = ["Image", "fingerprint", "list_levels", "open_image", "resampled", "resampled_onto"]
