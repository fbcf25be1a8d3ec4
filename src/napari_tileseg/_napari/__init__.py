"""Layers and viewers, handled without Qt."""
