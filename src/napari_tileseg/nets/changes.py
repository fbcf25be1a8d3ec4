"""What differs between two references to networks, in words: hashes are for comparing only."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from typing import Any

from napari_tileseg.nets.reference import NetworkReference

#: Entries that a message lists.
_NAMED = 3


def what_changed(before: Mapping[str, Any], name: str, now: NetworkReference) -> str:
    """Say what is not as it was of a network.

    Parameters
    ----------
    before : mapping
        What was written down of the former network: its name, and the rest as `NetworkReference.as_data`
        gives it. Somebody may have changed it.
    name : str
        What the network is called now.
    now : NetworkReference
        Its reference.

    Examples
    --------
    >>> before = {"name": "nuclei", "path": "/a.pt", "sha256": "0", "architecture": '{"activation": "none"}'}
    >>> what_changed(before, "nuclei", NetworkReference("/a.pt", "0", '{"activation": "softmax"}'))
    "what is said of the network nuclei has changed: activation was 'none' and now is 'softmax'"
    """
    former, path = before.get("name"), before.get("path")
    if former != name:
        return f"the network was {reprlib.repr(former).strip(chr(39))} and now is {name}"
    if before.get("sha256") == now.sha256:
        return f"what is said of the network {name} has changed: {_described(before, now)}"
    if path != now.path:
        return f"the network {name} was another file, {reprlib.repr(path)}, and now is {now.path}"
    return f"the file of the network {name} has changed"


def _described(before: Mapping[str, Any], now: NetworkReference) -> str:
    """Return the entries of the description that differ, with both values."""
    former, latter = _entries(before.get("architecture")), _entries(now.architecture)
    differing = [key for key in sorted(former.keys() | latter.keys()) if former.get(key) != latter.get(key)]
    changes = [
        f"{key} was {_value(former.get(key))} and now is {_value(latter.get(key))}" for key in differing
    ]
    rest = len(changes) - _NAMED
    return "; ".join(changes[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "") or "its wording"


def _entries(text: object) -> dict[str, Any]:
    try:
        values = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _value(value: Any) -> str:
    return "not said" if value in (None, [], {}) else reprlib.repr(value)
