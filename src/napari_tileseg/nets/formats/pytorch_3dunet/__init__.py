"""Checkpoints of pytorch-3dunet, PlantSeg and PanSeg, with the configuration that they were trained by."""
