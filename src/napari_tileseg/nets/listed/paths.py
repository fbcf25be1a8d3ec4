"""Names of weights in files, as paths at which a module can have them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

_LONGEST, _DEEPEST = 300, 24
#: Beginnings of paths that are given here and in `layers`.
_GIVEN = ("weight_", "normalization_", "convolution_")
#: What a listed network uses for itself, beside what every module does.
_OWN = "listing sizes takes_batches beyond_its_range _layers _names _overwrites _uses _together _call"
_TAKEN = frozenset({*dir(nn.Module()), *_OWN.split()})


def module_paths(names: Iterable[str]) -> dict[str, str]:
    """Return a path for each name: the name itself where a module can have that, else ``weight_NUMBER``.

    Examples
    --------
    >>> module_paths(["a.weight", "a", "forward", "b..c"])
    {'a.weight': 'a.weight', 'a': 'weight_1', 'forward': 'weight_2', 'b..c': 'weight_3'}
    """
    paths: dict[str, str] = {}
    ends: set[str] = set()
    ways: set[str] = set()
    for number, name in enumerate(names):
        parts = name.split(".")
        before = {".".join(parts[:count]) for count in range(1, len(parts))}
        fits = _is_fine(name, parts) and name not in ends | ways and ends.isdisjoint(before)
        path = name if fits else f"weight_{number}"
        ends.add(path)
        ways |= before if fits else set()
        paths[name] = path
    return paths


def _is_fine(name: str, parts: list[str]) -> bool:
    if len(name) > _LONGEST or len(parts) > _DEEPEST or name.startswith(_GIVEN):
        return False
    return all(part and part not in _TAKEN and part.isprintable() for part in parts)
