"""Damages files of every kind that is read, and records how reading them ends."""
