"""Passes over a whole image, one for each level of what a network computes over all of space."""
