"""Architectures that a file may ask for by name."""
