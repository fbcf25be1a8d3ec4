"""What differs of a network is said in words: which one, which file, or which entry of what is said of it."""

import json
import re
from typing import Any

import pytest

from napari_tileseg.nets.changes import what_changed
from napari_tileseg.nets.reference import NetworkReference

HASHES = "a" * 64, "b" * 64
SAID = {"architecture": "unet", "activation": "sigmoid", "classes": ["cell"], "voxel_size": [1.0, 0.5]}


def reference(said: dict[str, Any] | None = None, path: str = "/nets/a.pt", sha256: str = HASHES[0]) -> Any:
    return NetworkReference(path, sha256, None if said is None else json.dumps(said))


CHANGES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "another network": (
        {"name": "tissue"},
        reference(SAID, "/nets/b.pt", HASHES[1]),
        "was tissue and now is cells",
    ),
    "another file of that name": (
        {},
        reference(SAID, "/other/a.pt", HASHES[1]),
        "'/nets/a.pt', and now is /other/a.pt",
    ),
    "the same file, changed": (
        {},
        reference(SAID, sha256=HASHES[1]),
        "the file of the network cells has changed",
    ),
    "activation": (
        {},
        reference({**SAID, "activation": "softmax"}),
        "activation was 'sigmoid' and now is 'softmax'",
    ),
    "classes": ({}, reference({**SAID, "classes": ["rim"]}), r"classes was \['cell'\] and now is \['rim'\]"),
    "no longer said": (
        {},
        reference({**SAID, "voxel_size": None}),
        r"voxel_size was \[1.0, 0.5\] and now is not said",
    ),
    "two of them": (
        {},
        reference({**SAID, "classes": ["rim"], "activation": "none"}),
        "activation was .*; classes was",
    ),
    "many": ({}, reference({f"key{n}": n for n in range(9)}), "and 10 more"),
    "not described any more": ({}, reference(), "architecture was 'unet' and now is not said"),
    "damaged before": (
        {"architecture": "[" * 10**5},
        reference(SAID),
        "activation was not said and now is 'sigmoid'",
    ),
    "of another sort before": (
        {"architecture": 5, "name": ["x"]},
        reference(SAID),
        r"was \['x'\] and now is cells",
    ),
}


@pytest.mark.parametrize(("changes", "now", "words"), CHANGES.values(), ids=CHANGES)
def test_what_has_changed_is_named_without_hashes(changes: dict[str, Any], now: Any, words: str) -> None:
    before = {"name": "cells", **reference(SAID).as_data(), **changes}
    said = what_changed(before, "cells", now)
    assert re.search(words, said), said
    assert not any(each in said for each in HASHES)
    assert len(said) < 500
