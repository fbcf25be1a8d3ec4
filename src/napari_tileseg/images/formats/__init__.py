"""One module for each kind of file: how it is recognised, what levels it holds, how one is opened.

A format is a module-level `Format`; `napari_tileseg.images.opening` tries them in turn.
"""
