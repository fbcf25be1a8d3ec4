"""The verbs of the product for the shell: `tileseg predict`, `inspect`, `networks`, `sample`, `demo`.

Loading it loads neither torch nor napari; each verb loads what it needs.
"""

from napari_tileseg.cli.app import main

__all__ = ["main"]
