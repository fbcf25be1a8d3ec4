"""``python -m napari_tileseg.cli`` is ``tileseg``."""

from napari_tileseg.cli import main

main(prog_name="tileseg")
