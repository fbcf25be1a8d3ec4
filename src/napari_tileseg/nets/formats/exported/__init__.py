"""Exported programs of PyTorch (.pt2): graph and weights read as data, by none of torch's own loaders."""
