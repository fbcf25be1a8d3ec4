"""Folders of the user's own: the one that ``TILESEG_HOME`` names, or else those of the system."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_APP = "napari-tileseg"


def data_folder() -> Path:
    """Return the folder of projects, recent networks and trusted hashes; it need not exist."""
    return _home() or platformdirs.user_data_path(_APP, appauthor=False)


def cache_folder() -> Path:
    """Return the folder of what can be measured anew; it need not exist."""
    return _home() or platformdirs.user_cache_path(_APP, appauthor=False)


def _home() -> Path | None:
    named = os.environ.get("TILESEG_HOME")
    return Path(named) if named else None
