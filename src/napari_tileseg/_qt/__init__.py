"""Dock widgets: a folder for each panel, and what they share."""
