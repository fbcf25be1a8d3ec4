"""Numbers in words."""

from __future__ import annotations


def bytes_words(count: float) -> str:
    """A number of bytes in the unit that fits, with three digits.

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
