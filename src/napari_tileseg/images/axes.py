"""Which axis is which: what a file states, and what is taken where it does not."""

from __future__ import annotations

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import ImageError, SettingsError

#: The order that images are brought to; the channel may stand anywhere.
ORDER = "tczyx"
#: Names given to axes without a stated name, from the last axis on.
_GUESSES = "xyzct"
_NAMES = {
    "t": ("t", "time", "frame"),
    "c": ("c", "ch", "channel"),
    "z": ("z", "plane", "depth"),
    "y": ("y", "row", "height"),
    "x": ("x", "column", "width"),
}
_LETTERS = {name: letter for letter, names in _NAMES.items() for name in names}


def letter_of(name: str) -> str:
    """Return the letter of ``tczyx`` for an axis as files and viewers name it; empty if there is none.

    Examples
    --------
    >>> letter_of("Z"), letter_of("time"), letter_of("axis -1")
    ('z', 't', '')
    """
    return _LETTERS.get(name.strip().lower(), "")


def complete_axes(axes: str, shape: Shape, name: str) -> str:
    """Return the axes with a name for each ``?``.

    The names still free are given from the last axis on, in the order x, y, z, c, t: ``yx``, ``zyx``,
    ``czyx`` and ``tczyx`` for two to five axes without a stated name.

    Raises
    ------
    ImageError
        If there are more than five axes, or fewer than two.

    Examples
    --------
    >>> complete_axes("????", (2, 3, 4, 5), "image"), complete_axes("??c", (4, 5, 3), "image")
    ('czyx', 'yxc')
    """
    if not 2 <= len(axes) <= len(ORDER):
        raise ImageError(
            f"{name} should have two to five axes, from t, c, z, y, x; its shape is {by_axis(shape)}."
        )
    free = [letter for letter in _GUESSES if letter not in axes]
    named = [free.pop(0) if letter == "?" else letter for letter in reversed(axes)]
    return "".join(reversed(named))


def check_axes(axes: str, shape: Shape, name: str) -> str:
    """Return the axes a user names, in small letters.

    Raises
    ------
    SettingsError
        Unless they name each axis of `shape` once, with y and x.
    """
    letters = axes.lower().replace(",", "").replace(" ", "")
    unique = len(set(letters)) == len(letters) == len(shape)
    if not unique or not {"y", "x"} <= set(letters) <= set(ORDER):
        example = complete_axes("?" * len(shape), shape, name)
        raise SettingsError(
            f"{name} has {len(shape)} axes, of lengths {by_axis(shape)}: axes should name each once, "
            "from t, "
            f"c, z, y, x, with y and x; for example {example!r}; "
            f"got {axes!r}."
        )
    return letters


def axis_order(axes: str) -> Shape:
    """Return the axis that each axis comes from once they are in order; a channel may stay where it is.

    Examples
    --------
    >>> axis_order("xyz"), axis_order("tzcyx")
    ((2, 1, 0), (0, 1, 2, 3, 4))
    """
    indices = range(len(axes))
    grid = [ORDER.index(letter) for letter in axes if letter != "c"]
    if grid == sorted(grid):
        return tuple(indices)
    return tuple(sorted(indices, key=lambda index: ORDER.index(axes[index])))
