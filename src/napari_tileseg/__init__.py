"""Seam-free segmentation of large images, tile by tile.

Importing this package loads neither torch nor Qt: public names are resolved when first used.
"""

import lazy_loader

from napari_tileseg._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
