"""Numbers and settings in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def bytes_words(count: float) -> str:
    """Return a number of bytes in the unit that fits, with three digits.

    Examples
    --------
    >>> [bytes_words(count) for count in (0, 399, 1500, 999_999, 1.234e9, 5e15)]
    ['0 B', '399 B', '1.5 KB', '1 MB', '1.23 GB', '5 PB']
    """
    size, unit = 1.0, "B"
    for larger in ("KB", "MB", "GB", "TB", "PB", "EB"):
        # What would be written as 1000 of a unit is 1 of the next.
        if count < 999.5 * size:
            break
        size, unit = 1000 * size, larger
    return f"{float(f'{count / size:.3g}'):.12g} {unit}" if unit != "B" else f"{count:.0f} B"


def time_words(seconds: float) -> str:
    """Return a length of time, such as ``40 s`` or ``1 h 5 min``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def by_axis(sizes: Iterable[object]) -> str:
    """Return the numbers of voxels along each axis, as they are written.

    Examples
    --------
    >>> by_axis((32, 64, 64)), by_axis((7,))
    ('32 x 64 x 64', '7')
    """
    return " x ".join(map(str, sizes)) or "no axis"


def few(names: Sequence[str], most: int) -> str:
    """Return the first of some names, and how many more there are.

    Examples
    --------
    >>> few(["norm1", "norm2"], 2), few(["norm1", "norm2", "norm3"], 1)
    ('norm1, norm2', 'norm1 and 2 more')
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def as_typed(value: object) -> str:
    """Return a value as a user types it, whatever it is.

    Examples
    --------
    >>> [as_typed(value) for value in ((32, 64), ((-3, 4), (0, 8)), (0.5,), None, "zyx")]
    ['32,64', '-3:4,0:8', '0.5', 'nothing', "'zyx'"]
    """
    if isinstance(value, (tuple, list)):
        return ",".join(map(_entry, value)) or "nothing"
    if isinstance(value, str):
        return repr(value)
    return "nothing" if value is None else str(value)


def _entry(value: object) -> str:
    return ":".join(map(_entry, value)) if isinstance(value, (tuple, list)) else str(value)
