"""YAML that somebody else may have written: plain values, and no more of them than the file shows."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from napari_tileseg._files import read_ordinary

#: Bytes of a file, which are parsed slowly, and values in it, each counted where it is referred to.
_LARGEST, _MOST_VALUES = 2**17, 100_000


class OneOfEachKey(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML carries no types
    """Refuses a key that is given twice, where YAML would silently take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for each, _ in node.value:
            key = self.construct_object(each, deep=deep)
            # A key that cannot be one is refused below, by YAML itself.
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else id(key))
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, loader: type[Any] = yaml.SafeLoader) -> Any:
    """Read plain values out of a YAML file.

    Parameters
    ----------
    path : Path
        An ordinary file.
    loader : type
        `yaml.SafeLoader`, or one that is as safe.

    Raises
    ------
    OSError
        If it cannot be read, is a pipe or a device, or is large.
    ValueError
        If it refers to the same values again and again, or to what they lie in.
    yaml.YAMLError
        If it is no YAML.
    """
    return parse_yaml(read_ordinary(path, _LARGEST), loader)


def parse_yaml(data: bytes, loader: type[Any] = yaml.SafeLoader) -> Any:
    """Read plain values out of YAML; as `read_yaml`.

    Raises
    ------
    ValueError
        If it is large, or refers to the same values again and again, or to what they lie in.
    yaml.YAMLError
        If it is no YAML.
    """
    if len(data) > _LARGEST:
        raise ValueError(f"it has {len(data)} bytes; at most {_LARGEST} are read")
    reading = loader(data)
    try:
        node = reading.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MOST_VALUES:
            raise ValueError(f"it stands for more than {_MOST_VALUES} values")
        return reading.construct_document(node)
    finally:
        reading.dispose()


def yaml_text(values: Any) -> str:
    """Return plain values as YAML, keys in their order."""
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110))


def _count(node: Any, known: dict[int, int]) -> int:
    """Return the values that a node stands for, all that it refers to included."""
    if id(node) not in known:
        # Met again before it is counted, it lies in itself.
        known[id(node)] = _MOST_VALUES + 1
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for each in below for part in (each if isinstance(each, tuple) else (each,)))
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]
