"""The order and direction in which a bundle's network is given the axes of an image."""

from __future__ import annotations

from napari_tileseg.nets.formats.monai_bundle.transforms import NotKnownError, Transform

#: Axes of images here, and what MONAI's loader makes of them.
SPACE = "zyx"
#: Letters of an orientation: the axis, and whether it runs the other way. What has no orientation is taken to
#: run to the right, to the front and to the top, as MONAI takes it.
_DIRECTIONS = {
    "R": ("x", False),
    "L": ("x", True),
    "A": ("y", False),
    "P": ("y", True),
    "S": ("z", False),
    "I": ("z", True),
}
#: The ends of axes where none are stated.
_LABELS = [["L", "R"], ["P", "A"], ["I", "S"]]
_SHOWN = 40
_WORDS = {"x": "x to the right", "y": "y to the front", "z": "z to the top"}
#: Readers of MONAI that give axes as they are stored, and those that do where `reverse_indexing` is so.
_AS_STORED = ("NumpyReader", "WSIReader")
_REVERSING = {"ITKReader": True, "PILReader": False}


class Axes:
    """Axes as they are at a place in a list of transforms.

    Parameters
    ----------
    ndim : int
        Axes of space.
    """

    def __init__(self, ndim: int) -> None:
        self._here = SPACE[-ndim:]
        #: Each axis that the network has: the axis here, and whether it runs the other way.
        self._now = [(letter, False) for letter in reversed(self._here)]
        self._moved = False

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters of the network's axes, in its order."""
        return tuple(letter for letter, _ in self._now)

    @property
    def order(self) -> tuple[int, ...]:
        """Which axis here each of the network's is."""
        return tuple(self._here.index(letter) for letter in self.letters)

    @property
    def flipped(self) -> tuple[int, ...]:
        """Numbers of the network's axes that run the other way."""
        return tuple(number for number, (_, turned) in enumerate(self._now) if turned)

    def load(self, transform: Transform) -> None:
        """Take the axes as a reader of files gives them."""
        reader = str(transform.said("reader"))
        reversing = transform.whole("reverse_indexing")
        stored = reader in _AS_STORED or _REVERSING.get(reader) is reversing is not None
        self._now = [(letter, False) for letter in (self._here if stored else self._here[::-1])]

    def orient(self, transform: Transform) -> str:
        """Turn axes to an orientation, and return what is assumed, as sentences.

        Raises
        ------
        NotKnownError
            If it is no orientation of these axes.
        """
        codes = transform.whole("axcodes")
        if transform.whole("as_closest_canonical") is True:
            codes = "RAS"
        codes = "".join(map(str, codes)) if isinstance(codes, list) else str(codes)
        found = [_DIRECTIONS.get(letter, ("", False)) for letter in codes[: len(self._here)]]
        fits = sorted(letter for letter, _ in found) == sorted(self._here)
        if not fits or self._moved or transform.whole("labels") not in (None, _LABELS):
            raise NotKnownError(f" to {codes[:_SHOWN]}")
        self._now = found
        running = ", ".join(_WORDS[letter] for letter in reversed(self._here))
        return (
            f"Its {transform.written} turns images to {codes[: len(self._here)]}. Images have no orientation "
            f"here, and are taken as MONAI takes one without: {running}. Where yours runs otherwise, name "
            "those of the network's axes that are to be flipped, numbers from 0 on, in the setting "
            'architecture: {"arguments": {"flipped": [0, 1]}}.'
        )

    def flip(self, transform: Transform) -> None:
        """Flip axes.

        Raises
        ------
        NotKnownError
            If they are no numbers of axes.
        """
        count = len(self._now)
        axes = transform.whole("spatial_axis")
        listed = list(range(count)) if axes is None else axes if isinstance(axes, list) else [axes]
        if not all(type(axis) is int and -count <= axis < count for axis in listed):
            raise NotKnownError(f" along {str(axes)[:_SHOWN]}")
        for axis in listed:
            letter, turned = self._now[axis]
            self._now[axis] = letter, not turned

    def transpose(self, transform: Transform) -> None:
        """Bring axes into another order.

        Raises
        ------
        NotKnownError
            If it is no order that leaves channels first.
        """
        indices = transform.whole("indices")
        fits = isinstance(indices, list) and all(type(each) is int for each in indices)
        if not fits or sorted(indices) != list(range(len(self._now) + 1)) or indices[0] != 0:
            raise NotKnownError(f" to {str(indices)[:_SHOWN]}")
        self._now, self._moved = [self._now[each - 1] for each in indices[1:]], True
