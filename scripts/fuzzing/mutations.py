"""Damage to files and members of them: bytes are changed, cut off, put in or copied, JSON is restructured."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from random import Random
from typing import Any

#: How far from either end most changes lie: headers and directories are there.
_EDGE = 384
_WORDS = ("", "abc", "\u0000", "../../elsewhere", "NaN", "1e400", "z" * 5000)
_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**25, 10**400, -(10**30), 0.5, 1e308, -1e-320)
_SPECIAL = (float("nan"), float("inf"), float("-inf"))


def mutate(data: bytes, rng: Random) -> bytes:
    """Damage the bytes of a file; what reads as JSON is changed in its structure two times of three.

    Parameters
    ----------
    data : bytes
        The intact file.
    rng : Random
        Decides what is done: the same state gives the same damage.
    """
    values = _as_json(data)
    if values is not None and rng.random() < 2 / 3:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            values = _changed(values, rng)
        return json.dumps(values).encode()
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_DAMAGE)(damaged, rng)
    return bytes(damaged)


def mutate_member(data: bytes, pattern: str, rng: Random) -> bytes:
    """Damage one member of a zip file, which is whole otherwise.

    Parameters
    ----------
    data : bytes
        The intact zip file.
    pattern : str
        Names of the members of which one is damaged, counted from a folder that holds all of them.
    rng : Random
        Decides what is done.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w") as new:
        infos = old.infolist()
        tops = {info.filename.partition("/")[0] + "/" for info in infos}
        top = tops.pop() if len(tops) == 1 else ""
        chosen = rng.choice([each for each in infos if fnmatch(each.filename.removeprefix(top), pattern)])
        for info in infos:
            content = old.read(info)
            new.writestr(info, mutate(content, rng) if info is chosen else content)
    return file.getvalue()


def _as_json(data: bytes) -> Any:
    if data[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def _place(data: bytearray, rng: Random) -> int:
    """Pick a position in a file, mostly near one of its ends."""
    if not data:
        return 0
    edge, side = min(_EDGE, len(data)), rng.random()
    if side < 0.45:
        return rng.randrange(edge)
    return len(data) - 1 - rng.randrange(edge) if side < 0.7 else rng.randrange(len(data))


def _flip(data: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: Random) -> None:
    start, length = _place(data, rng), rng.choice((1, 2, 4, 8))
    part = rng.choice((b"\x00" * length, b"\xff" * length, rng.randbytes(length)))
    data[start : start + length] = part[: len(data) - start]


def _cut(data: bytearray, rng: Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: Random) -> None:
    start = _place(data, rng)
    del data[start : start + rng.choice((1, 4, 64))]


def _insert(data: bytearray, rng: Random) -> None:
    start = _place(data, rng)
    noise = rng.randbytes(rng.choice((1, 4, 32)))
    data[start:start] = rng.choice((noise, noise, b"\x00" * 16, b"9" * 24, b"[" * 20_000, b'{"a":' * 20_000))


def _copy_block(data: bytearray, rng: Random) -> None:
    source, target, length = _place(data, rng), _place(data, rng), rng.choice((4, 32, 256))
    block = data[source : source + length]
    data[target : target + len(block)] = block


_DAMAGE: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _cut,
    _remove,
    _insert,
    _copy_block,
)


def _changed(values: Any, rng: Random) -> Any:
    """Copy a value with one entry changed, at any depth."""
    places = list(_places(values, ()))
    if not places:
        return _odd(values, rng)
    return _at(values, rng.choice(places), rng)


def _places(values: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if not isinstance(values, (dict, list)):
        return
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    for key, inner in entries:
        yield (*above, key)
        if isinstance(inner, (dict, list)) and inner:
            yield from _places(inner, (*above, key))


def _at(values: Any, place: tuple[Any, ...], rng: Random) -> Any:
    key, *below = place
    copy = dict(values) if isinstance(values, dict) else list(values)
    if below:
        copy[key] = _at(values[key], tuple(below), rng)
        return copy
    return _entry_changed(copy, key, rng)


def _entry_changed(copy: Any, key: Any, rng: Random) -> Any:
    """Return a container with one entry gone, doubled, renamed or of another value."""
    what = rng.random()
    if what < 0.2:
        del copy[key]
    elif what < 0.25 and isinstance(copy, list):
        copy.insert(key, copy[key])
    elif what < 0.25:
        copy[f"{key}x"] = copy.pop(key)
    else:
        copy[key] = _odd(copy[key], rng)
    return copy


def _odd(value: Any, rng: Random) -> Any:
    """Pick something that does not belong where `value` is."""
    nested: Any = value
    for _ in range(rng.choice((1, 3, 200))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    around = {"path": value, "0": None}
    odd = (None, True, False, [], {}, [None], around, nested, rng.choice(_WORDS), rng.choice(_SPECIAL))
    return rng.choice((*odd, *[rng.choice(_NUMBERS) for _ in range(4)], *_near(value)))


def _near(value: Any) -> tuple[Any, ...]:
    """List values of the right type that are wrong all the same."""
    if isinstance(value, bool) or value is None:
        return (str(value), 1)
    if isinstance(value, (int, float)):
        return (-value, value + 1, value * 1000, str(value), [value])
    if isinstance(value, str):
        return (value[::-1], value + value, value.upper(), f" {value}")
    return (list(value), list(value) + list(value))
