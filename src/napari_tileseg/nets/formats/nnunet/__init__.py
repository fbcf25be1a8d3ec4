"""Trained folders of nnU-Net v2: plans, labels and the checkpoints of its folds, read as data."""

from napari_tileseg.nets.formats.nnunet.folder import read, recognises

__all__ = ["read", "recognises"]
