"""The verbs of the product for the shell, such as `tileseg predict` and `tileseg diagnose`.

Loading it loads neither torch nor napari; each verb loads what it needs.
"""

from napari_tileseg.cli.app import main

__all__ = ["main"]
