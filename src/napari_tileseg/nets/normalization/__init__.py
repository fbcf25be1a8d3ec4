"""Normalization layers, and batch renormalization in their place."""
