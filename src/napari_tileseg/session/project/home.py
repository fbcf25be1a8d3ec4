"""Where projects live, and which networks were opened last."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import platformdirs

from napari_tileseg._files import json_text, write_text

RECENT_LIMIT = 8


def home() -> Path:
    """Folder of everything that is kept for the user: `TILESEG_HOME`, or the system's place for data."""
    place = os.environ.get("TILESEG_HOME")
    return Path(place) if place else platformdirs.user_data_path("napari-tileseg", appauthor=False)


def new_project_folder() -> Path:
    """Path of a project folder that does not exist yet, named after the time."""
    stem = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    parent = home() / "projects"
    tries = (parent / (stem if not n else f"{stem}-{n}") for n in range(10_000))
    return next(path for path in tries if not path.exists())


def recent_networks() -> tuple[str, ...]:
    """Networks opened last, latest first; files that are gone are left out."""
    path = home() / "recent.json"
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return tuple(each for each in listed if _is_there(each))
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, it is a convenience only
        return ()


def _is_there(place: object) -> bool:
    try:
        return isinstance(place, str) and (place.startswith("sample:") or Path(place).exists())
    except (OSError, ValueError):
        return False  # no name that a file could have


def remember_network(path: str) -> None:
    """Put `path` first among the recent networks."""
    listed = [path, *(p for p in recent_networks() if p != path)][:RECENT_LIMIT]
    write_text(home() / "recent.json", json_text(listed))
