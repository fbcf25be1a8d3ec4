"""Which networks were opened last."""

from __future__ import annotations

import json
from pathlib import Path

from napari_tileseg._app_dirs import data_folder
from napari_tileseg._files import json_text, write_text

RECENT_LIMIT = 8


def recent_networks() -> tuple[str, ...]:
    """Return the networks opened last, latest first; files that are gone are left out."""
    try:
        listed = json.loads(_file().read_text(encoding="utf-8"))
        return tuple(each for each in listed if _is_there(each))
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, it is a convenience only
        return ()


def _file() -> Path:
    return data_folder() / "recent.json"


def _is_there(path: object) -> bool:
    try:
        return isinstance(path, str) and (path.startswith("sample:") or Path(path).exists())
    except (OSError, ValueError):
        return False  # no name that a file could have


def record_recent(path: str) -> None:
    """Put `path` first among the recent networks."""
    listed = [path, *(p for p in recent_networks() if p != path)][:RECENT_LIMIT]
    write_text(_file(), json_text(listed))
