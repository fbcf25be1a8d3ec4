"""What a bundle does before its network: steps of intensities, turned axes, what is left to the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import number
from napari_tileseg.nets.formats.monai_bundle.axes import SPACE, Axes
from napari_tileseg.nets.formats.monai_bundle.config import Config, Expression
from napari_tileseg.nets.formats.monai_bundle.intensities import STEPS, half_type, steps_of
from napari_tileseg.nets.formats.monai_bundle.transforms import NotKnownError, Reading, Transform
from napari_tileseg.nets.intensities import MOST_STEPS, Over, Step

#: Where the transforms stand.
_KEY, _DATASET = "preprocessing", "dataset"
#: Entries of a dictionary that are no image.
_ASIDE = ("label", "labels", "mask", "seg", "pred")
#: Transforms that leave intensities and axes as they are.
_IDLE = (
    *("EnsureChannelFirst", "AddChannel", "AsChannelFirst", "SqueezeDim", "ToTensor", "ToDevice", "Identity"),
    *("ConcatItems", "SelectItems", "DeleteItems", "CopyItems", "ToMetaTensor", "FromMetaTensor"),
)
#: Transforms after which the network sees another part of the image, or more than that.
_PARTS = (
    *("SpatialPad", "BorderPad", "DivisiblePad", "CenterSpatialCrop", "SpatialCrop", "ResizeWithPadOrCrop"),
    "CenterScaleCrop",
)
#: The foreground that is the usual one, as an expression without blanks.
_ABOVE_ZERO = "$lambdax:x>0"
#: What to do where a transform is not known.
_CURE = (
    ", which is not done here. Prepare the image so, and say how its intensities are scaled then in the "
    'setting architecture, such as {"input_normalization": {"kind": "none"}}: what is not known of the '
    "preparation is left out then."
)
_MICROMETERS = 1000


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done before a network.

    Parameters
    ----------
    steps : tuple of Step, optional
        Of intensities; None where nothing says.
    order : tuple of int
        Which axis of an image here each of the network's is.
    flipped : tuple of int
        The network's axes that run the other way.
    voxel_size : tuple of float, optional
        In micrometers, along each axis here.
    notes : tuple of str
        Sentences.
    """

    steps: tuple[Step, ...] | None
    order: tuple[int, ...]
    flipped: tuple[int, ...]
    voxel_size: tuple[float, ...] | None
    notes: tuple[str, ...]


def preparation_of(config: Config, ndim: int, *, strict: bool) -> Preparation:
    """Return what a configuration does before its network.

    Parameters
    ----------
    config : Config
        The configuration.
    ndim : int
        Axes of space, 1 to 3.
    strict : bool
        Whether a transform that changes numbers and is not known is an error; else it is a note.

    Raises
    ------
    NetworkError
        If a transform is not known, which is named.
    """
    reader = _Preparing(config.source, ndim, strict=strict)
    value = config.value(_KEY)
    if value is None:
        data = config.value(_DATASET)
        value = data.get("transform") if isinstance(data, Mapping) else None
    if value is not None:
        reader.take_all(value)
    return reader.result(known=value is not None)


class _Preparing:
    """Takes transforms one after the other."""

    def __init__(self, source: str, ndim: int, *, strict: bool) -> None:
        self.source, self.strict = source, strict
        self.axes = Axes(ndim)
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.size: dict[str, float] | None = None
        #: Whether a foreground that was cut out is the box around what is not zero; None if none was.
        self.box: bool | None = None
        self.known: dict[str, Callable[[Transform], None]] = {
            "LoadImage": self.axes.load,
            "Orientation": lambda each: self.notes.append(self.axes.orient(each)),
            "Flip": self.axes.flip,
            "Transpose": self.axes.transpose,
            "Spacing": self._spacing,
            "Resize": self._resize,
            "EnsureType": self._typed,
            "CastToType": self._typed,
            "CropForeground": self._crop,
            **dict.fromkeys(STEPS, self._intensities),
            **dict.fromkeys(_PARTS, self._part),
            **dict.fromkeys(_IDLE, lambda _: None),
        }

    def take_all(self, value: Any) -> None:
        """Take transforms in their order; what is not known is an error, or a note."""
        try:
            listed = Reading(self.known, _ASIDE).transforms(value)
        except NotKnownError as error:
            self._leave_out(str(error))
            return
        for each in listed:
            try:
                self._take(each)
            except NotKnownError as error:
                self._leave_out(f"{each.written}{error}")

    def _take(self, transform: Transform) -> None:
        known = self.known.get(transform.name)
        if known is None:
            raise NotKnownError("")
        known(transform)

    def _leave_out(self, what: str) -> None:
        if self.strict:
            raise NetworkError(f"{self.source} prepares images by {what}{_CURE}")
        self.notes.append(f"{self.source} prepares images by {what}, which is not done here.")

    def result(self, *, known: bool) -> Preparation:
        """Return what came together."""
        letters = ", ".join(self.axes.letters)
        if self.axes.order != tuple(range(len(self.axes.order))):
            self.notes.append(
                f"Its network takes the axes {letters}, as MONAI's loader gives them; here it is turned to "
                "those of the image."
            )
        size = self.size and tuple(self.size[letter] for letter in SPACE if letter in self.size)
        steps = tuple(self.steps) if known else None
        return Preparation(steps, self.axes.order, self.axes.flipped, size or None, tuple(self.notes))

    def _spacing(self, transform: Transform) -> None:
        letters, given = self.axes.letters, transform.whole("pixdim")
        listed = given if isinstance(given, list) else [given]
        # MONAI takes the last for further axes, and leaves an axis alone where it is not above 0.
        sizes = [number(each) or 0.0 for each in (*listed, *listed[-1:] * len(letters))[: len(letters)]]
        if not sizes or min(sizes) <= 0:
            self.notes.append(f"Its {transform.written} gives a voxel size along some axes alone.")
            return
        self.size = {letter: size * _MICROMETERS for letter, size in zip(letters, sizes, strict=True)}
        self.notes.append(
            f"Its {transform.written} brings voxels to {by_axis(f'{size:g}' for size in sizes)} "
            f"({', '.join(letters)}), which MONAI means in millimeters."
        )

    def _resize(self, transform: Transform) -> None:
        size = transform.whole("spatial_size")
        words = by_axis(str(each)[:12] for each in (size if isinstance(size, list) else [size])[:3])
        self.notes.append(
            f"Its {transform.written} brings every image to {words} voxels ({', '.join(self.axes.letters)}), "
            "which is not done here: give it images in which things are as large as they are there."
        )

    def _part(self, transform: Transform) -> None:
        self.notes.append(f"Its {transform.written} is not done here: the whole image is predicted.")

    def _crop(self, transform: Transform) -> None:
        chosen = transform.whole("select_fn")
        usual = chosen is None or (
            isinstance(chosen, Expression) and "".join(chosen.text.split()) == _ABOVE_ZERO
        )
        plain = transform.whole("channel_indices") is None and all(
            transform.whole(key, idle) in (idle, [idle] * len(self.axes.order))
            for key, idle in (("margin", 0), ("k_divisible", 1))
        )
        self.box = usual and plain and not self.steps
        self._part(transform)

    def _typed(self, transform: Transform) -> None:
        if kind := half_type(transform):
            self.notes.append(f"Its {transform.written} rounds to {kind}, which is not done here.")

    def _intensities(self, transform: Transform) -> None:
        self.steps.extend(steps_of(transform, self._over))
        if len(self.steps) > MOST_STEPS:
            raise NotKnownError(f" after {MOST_STEPS} other steps")

    def _over(self, over: Over) -> Over:
        """Return of which voxels something is measured, after a crop."""
        if self.box is None or over == "nonzero":
            return over
        if not self.box:
            raise NotKnownError(" in a foreground that was cut out before")
        return "box"
