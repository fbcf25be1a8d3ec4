"""Every knob, written once: type, bounds, unit, help, default.

The form in napari, the flags of the command line, the saved file and the reference in the docs are
derived from these dataclasses by `knobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, TypeAlias, TypeVar

from napari_tileseg._types import Halo, Shape
from napari_tileseg.errors import SettingsError

#: What a knob holds. Kinds that end in "s" have one value for each spatial axis.
Kind: TypeAlias = Literal["int", "float", "text", "flag", "choice", "ints", "floats", "pairs", "map"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as a form or a command line sees it.

    Parameters
    ----------
    name : str
        Field of the settings class.
    kind : str
        What it holds; see `Kind`.
    help : str
        One plain sentence.
    default : object
        Value when nobody says otherwise; None stands for "derived".
    unit : str
        Unit of the value, or "".
    minimum, maximum : float or None
        Closed bounds of each number.
    length : int or None
        How many numbers "ints" or "floats" have, where that does not depend on the image's axes.
    choices : tuple of str
        Allowed words of a "choice".
    identity : bool
        Whether another value gives another result, so that a started result cannot be resumed.
    """

    name: str
    kind: Kind
    help: str
    default: Any = None
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    length: int | None = None
    choices: tuple[str, ...] = ()
    identity: bool = True

    @property
    def flag(self) -> str:
        """Its flag on the command line, such as ``--voxel-size``."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Raise `SettingsError` unless `value` fits."""
        if value is None and self.default is None:
            return
        if self.kind == "choice" and value not in self.choices:
            raise SettingsError(f"{self.name} is one of {', '.join(self.choices)}; got {value!r}.")
        if self.length is not None and len(value) != self.length:
            raise SettingsError(f"{self.name} should be {self.length} numbers; got {value!r}.")
        numbers = _flat(value) if self.kind in {"int", "float", "ints", "floats", "pairs"} else ()
        for number in numbers:
            low = self.minimum is not None and number < self.minimum
            high = self.maximum is not None and number > self.maximum
            if low or high or not isfinite(number):
                raise SettingsError(f"{self.name} should be {self.bounds or 'finite'}; got {value}.")

    @property
    def bounds(self) -> str:
        """The closed range in words, such as "0 to 100 %" or "1 or more voxels"; "" where there is none."""
        if self.minimum is None or self.maximum is None:
            low = "" if self.minimum is None else f"{self.minimum:g} or more"
            words = low if self.maximum is None else f"{self.maximum:g} or less"
        else:
            words = f"{self.minimum:g} to {self.maximum:g}"
        return f"{words} {self.unit}".strip()

    def parse(self, text: str) -> Any:
        """Value from its text on a command line.

        ``ints`` and ``floats`` are separated by commas, as in ``32,64,64``; ``pairs`` are
        ``before:after`` or one number for both, as in ``8:12,22,22``.

        Raises
        ------
        SettingsError
            If the text is not of the knob's kind, or its value out of bounds.
        """
        try:
            value = _PARSERS[self.kind](text)
        except ValueError as error:
            raise SettingsError(
                f"{self.name} should read like {_EXAMPLES[self.kind]}; got {text!r}."
            ) from error
        self.check(value)
        return value

    def format(self, value: Any) -> str:
        """Text that `parse` turns back into `value`."""
        if self.kind == "pairs":
            return ",".join(f"{a}:{b}" for a, b in value)
        if self.kind == "map":
            return ",".join(f"{number}={name}" for number, name in value)
        if self.kind in {"ints", "floats"}:
            return ",".join(str(number) for number in value)
        return str(value).lower() if self.kind == "flag" else str(value)


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _flag(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        return words[text.lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _pair(text: str) -> tuple[int, int]:
    before, _, after = text.partition(":")
    return int(before), int(after or before)


def _meaning(part: str) -> tuple[int, str]:
    value, _, name = part.partition("=")
    if not name.strip():
        raise ValueError(part)
    return int(value), name.strip()


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "text": str,
    "choice": str,
    "flag": _flag,
    "ints": lambda text: tuple(int(part) for part in text.split(",")),
    "floats": lambda text: tuple(float(part) for part in text.split(",")),
    "pairs": lambda text: tuple(_pair(part) for part in text.split(",")),
    "map": lambda text: tuple(_meaning(part) for part in text.split(",")),
}
_EXAMPLES = {
    "int": "4",
    "float": "0.5",
    "text": "words",
    "choice": "one of its words",
    "flag": "true or false",
    "ints": "32,64,64",
    "floats": "1.75,0.8,0.8",
    "pairs": "8:12,22,22",
    "map": "127=myelin,255=axon",
}


def knob(kind: Kind, default: T, help: str, **about: Any) -> T:
    """Dataclass field that carries its `Knob`; `about` holds the knob's further entries."""
    return field(default=default, metadata={"kind": kind, "help": help, **about})


def knobs(settings: type[Any]) -> tuple[Knob, ...]:
    """Knobs of a settings class, in the order of its fields."""
    return tuple(
        Knob(name=f.name, default=None if f.default is MISSING else f.default, **f.metadata)
        for f in fields(settings)
    )


class _Checked:
    """Settings that check each knob when they are made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in knobs(type(self)):
            each.check(getattr(self, each.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings(_Checked):
    """Which part of what a file holds is the image, and what the file does not say about it."""

    level: int = knob("int", 0, "Level of a multiscale image, 0 being the finest.", minimum=0)
    axes: str | None = knob(
        "text", None, "Axes of the array in order, from t, c, z, y, x; taken from the file if it says."
    )
    channel: Shape | None = knob(
        "ints", None, "Channels to feed to the network, in its order; all by default.", minimum=0
    )
    voxel_size: tuple[float, ...] | None = knob(
        "floats",
        None,
        "Voxel size along each spatial axis; taken from the file if it says.",
        unit="um",
        minimum=1e-9,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings(_Checked):
    """What a network's file does not say about itself."""

    architecture: str | None = knob(
        "text",
        None,
        "JSON (or the path of a JSON file) that describes the network of a bare state dict or TorchScript "
        "file: a registered architecture's name, its arguments, and the spec.",
    )
    trust_sha256: str | None = knob(
        "text", None, "SHA-256 of a TorchScript file that you trust to run its code.", identity=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSettings(_Checked):
    """How an image is predicted."""

    core: Shape | None = knob(
        "ints",
        None,
        "Voxels that each tile owns along each axis, multiples of the network's stride; derived by default.",
        unit="voxels",
        minimum=1,
    )
    halo: Halo | None = knob(
        "pairs",
        None,
        "Context read around the core along each axis, before:after; measured from the network by default.",
        unit="voxels",
        minimum=0,
    )
    box: Halo | None = knob(
        "pairs",
        None,
        "Part of the image to predict, start:stop along each axis; all of it by default.",
        unit="voxels",
        minimum=0,
    )
    normalize: str = knob(
        "choice",
        "network",
        "How intensities are brought to the network's range: as the network says, by quantiles of the "
        "whole image, by given numbers, to zero mean and unit variance, each tile by itself "
        "(makes seams; for comparison), or not at all.",
        choices=("network", "quantiles", "range", "zero_mean", "tile", "none"),
    )
    quantiles: tuple[float, float] = knob(
        "floats", (1.0, 99.8), "Percentiles that become 0 and 1.", unit="%", minimum=0, maximum=100, length=2
    )
    range: tuple[float, float] | None = knob(
        "floats", None, "Intensities that become 0 and 1, where normalize is range.", length=2
    )
    padding: str = knob(
        "choice",
        "reflect",
        "How the image goes on past its far end, up to a multiple of the stride.",
        choices=("reflect", "edge", "zero"),
    )
    nonfinite: str = knob(
        "choice",
        "refuse",
        "What to do with voxels that are NaN or infinite: refuse the image, or take them as zero.",
        choices=("refuse", "zero"),
    )
    resample: bool = knob(
        "flag",
        False,
        "Bring the image to the voxel size the network was trained at; the result has that voxel size.",
    )
    device: str = knob("text", "auto", "Where to compute: auto, cpu, mps, cuda or cuda:1.", identity=False)
    dtype: str = knob(
        "choice",
        "float32",
        "Number format of the computation.",
        choices=("float32", "bfloat16", "float16", "float64"),
    )
    batch: int | None = knob(
        "int", None, "Tiles computed at once; derived by default.", minimum=1, identity=False
    )
    memory: float | None = knob(
        "float",
        None,
        "Memory that the tensors of a tile may take on the device, from which the core is derived; a quarter "
        "of what is free by default.",
        unit="GB",
        minimum=1e-6,
        identity=False,
    )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseSettings(_Checked):
    """How a prediction is diagnosed."""

    sample: int | None = knob(
        "int",
        None,
        "Pairs of overlapping tiles to compare, drawn at random; as many as the effort allows by default.",
        minimum=1,
    )
    everything: bool = knob(
        "flag", False, "Compare all pairs of tiles on a grid over the whole image, whatever the effort."
    )
    effort: float = knob(
        "float",
        0.28,
        "Voxels that a diagnosis may put through the network, as a part of the image's; one pair of tiles "
        "is always compared.",
        minimum=0.01,
        maximum=100,
    )
    shift: int = knob(
        "int",
        64,
        "Distance between the two tiles of a pair; lowered to a multiple of the network's stride.",
        unit="voxels",
        minimum=1,
    )
    threshold: float = knob("float", 0.5, "Least probability that belongs to a mask.", minimum=0, maximum=1)
    explain: bool = knob("flag", True, "Find out why tiles disagree, where they do.", identity=False)
    seed: int = knob("int", 0, "Of the random sample: the same seed gives the same pairs.", minimum=0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings(_Checked):
    """What the values of labels mean."""

    labels_kind: str | None = knob(
        "choice",
        None,
        "What the labels hold: strokes (one value for each class, 0 is not labelled), classes (one value for "
        "each class, 0 is background), or instances (one number for each object, 0 is background).",
        choices=("strokes", "classes", "instances"),
    )
    map: tuple[tuple[int, str], ...] | None = knob(
        "map",
        None,
        "Which value is which class, such as 127=myelin,255=axon; by default 1, 2, ... in the network's "
        "order, and the next one for background.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(_Checked):
    """How a network is trained."""

    steps: int | None = knob(
        "int", None, "Steps of the optimizer; derived from minutes by default.", minimum=1
    )
    minutes: float | None = knob(
        "float", None, "Time to train; turned into steps once the speed is known.", unit="min", minimum=0.05
    )
    norm: str = knob(
        "choice",
        "batch_renorm",
        "What the network's normalization layers become before training: batch_renorm, or what they are.",
        choices=("batch_renorm", "keep"),
    )
    train: str = knob(
        "choice",
        "everything",
        "Which weights learn; the others stay as they are.",
        choices=("everything", "decoder_and_norms", "norms", "last_layer"),
    )
    learning_rate: float | None = knob(
        "float",
        None,
        "Of Adam; by default 0.001 from scratch and 0.0001 for fine-tuning.",
        minimum=1e-8,
        maximum=1,
    )
    remember: float = knob(
        "float",
        3.0,
        "How much weight, over that of the strokes, fine-tuning gives to what the first network says where "
        "nothing is painted; 0 lets it forget.",
        minimum=0,
        maximum=1000,
    )
    patch: Shape | None = knob(
        "ints",
        None,
        "Voxels of a patch along each axis, multiples of the network's stride; derived by default.",
        unit="voxels",
        minimum=1,
    )
    batch: int = knob("int", 1, "Patches that go through the network at once.", minimum=1)
    accumulate: int | None = knob(
        "int",
        None,
        "Batches whose gradients make one step; by default 8 from scratch and 2 for fine-tuning.",
        minimum=1,
    )
    first_phase: int | None = knob(
        "int",
        None,
        "Steps with plain batch statistics, before the ramp. By default from scratch until the loss has "
        "stopped falling, 40 % of the run at most; a trained network, whose statistics are good or have been "
        "measured, starts at the final limits.",
        minimum=0,
    )
    r_max: float = knob(
        "float", 3.0, "Final limit of batch renormalization's correction of the deviation.", minimum=1
    )
    d_max: float = knob(
        "float", 5.0, "Final limit of batch renormalization's correction of the mean.", minimum=0
    )
    held_out: float = knob(
        "float", 0.2, "Part of the strokes, or of the volumes, kept for validation.", minimum=0, maximum=0.9
    )
    validate_every: int = knob("int", 20, "Steps between two validations.", minimum=1, identity=False)
    checkpoint_every: float = knob(
        "float", 20.0, "Seconds between two checkpoints.", unit="s", minimum=0, identity=False
    )
    augment: bool = knob(
        "flag", True, "Flip patches, turn them where voxels are as long as wide, and vary intensities."
    )
    dtype: str = knob(
        "choice",
        "float32",
        "Number format of convolutions in training; statistics and weights stay in float32.",
        choices=("float32", "bfloat16", "float16"),
    )
    device: str = knob("text", "auto", "Where to compute: auto, cpu, mps, cuda or cuda:1.", identity=False)
    seed: int = knob("int", 0, "Of patches, augmentation and fresh weights.", minimum=0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)
