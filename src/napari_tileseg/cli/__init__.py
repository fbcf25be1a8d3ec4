"""The verbs of the product for the shell, such as `tileseg predict` and `tileseg diagnose`.

Loading it loads neither torch nor napari; each verb loads what it needs.
"""

from napari_tileseg.cli.run.starting import listen

# Before anything else is imported, which takes its time.
listen()

from napari_tileseg.cli.app import main  # noqa: E402

__all__ = ["main"]
