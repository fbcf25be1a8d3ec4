"""Damages files of every kind that is read, and sees how reading them ends."""
