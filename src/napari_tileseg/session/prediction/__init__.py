"""Predictions of a viewer's image and network."""
