"""What the names of slices show: their order, and whether some are missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_NUMBER = re.compile(r"([0-9]+)")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sorting key under which ``slice2`` comes before ``slice10``.

    Examples
    --------
    >>> sorted(["slice10", "slice2", "slice"], key=natural_key)
    ['slice', 'slice2', 'slice10']
    """
    parts = _NUMBER.split(name.lower())
    return [(0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part) for part in parts if part]


def name_notes(names: Sequence[str]) -> tuple[str, ...]:
    """Return notes on what the names of slices, in their order, leave in doubt.

    Parameters
    ----------
    names : sequence of str
        Without their endings.

    Examples
    --------
    >>> name_notes(["z001", "z002", "z004"])
    ('The slices are numbered from 1 to 4; 3 is missing, and its neighbours are taken as adjacent.',)
    >>> name_notes(["z1", "z2", "z3"]), name_notes(["z0", "z5", "z10"])
    ((), ())
    """
    texts = {_NUMBER.sub("#", name.lower()) for name in names}
    if len(texts) > 1:
        shown = ", ".join(sorted(texts)[:3])
        return (f"The slices have names of {len(texts)} kinds ({shown}); all are stacked along z.",)
    columns = list(zip(*(map(int, _NUMBER.findall(name)) for name in names), strict=True))
    varying = [column for column in columns if len(set(column)) > 1]
    if not varying or len(set(varying[0])) < len(names):
        count = len(varying) or "no"
        return (f"The names of the slices hold {count} numbers that change; all are stacked along z.",) * (
            len(names) > 1
        )
    return _gaps(sorted(varying[0]))


def _gaps(numbers: Sequence[int]) -> tuple[str, ...]:
    step = min(later - earlier for earlier, later in pairwise(numbers))
    missing: list[int] = []
    for earlier, later in pairwise(numbers):
        missing += list(range(earlier + step, later, step))[:4]
    if not missing:
        return ()
    total = (numbers[-1] - numbers[0]) // step + 1 - len(numbers)
    listed = ", ".join(map(str, missing[:3])) + (f" and {total - 3} more" if total > 3 else "")
    are = "is missing, and its" if total == 1 else "are missing, and their"
    return (
        f"The slices are numbered from {numbers[0]} to {numbers[-1]}; {listed} {are} neighbours are taken as "
        "adjacent.",
    )
