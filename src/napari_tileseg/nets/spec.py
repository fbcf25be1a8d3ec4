"""What is known of an opened network, in plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import lcm
from typing import Any, Literal, TypeAlias

from napari_tileseg._types import Halo, Shape
from napari_tileseg.nets.intensities import Linear, Percentiles, Step, ZeroMean, single_kind, steps_words
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.nets.self_test.result import SelfTestResult
from napari_tileseg.tiling import Lattice
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_down, round_up

Activation: TypeAlias = Literal["none", "sigmoid", "softmax"]
#: How kinds of normalization layers are called where people read them.
NORM_NAMES = {
    "batch": "BatchNorm",
    "instance": "InstanceNorm",
    "instance_tracked": "InstanceNorm with running statistics",
    "group": "GroupNorm",
    "batch_renorm": "BatchRenorm",
    "layer": "LayerNorm",
    "other": "other normalization",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputNormalization:
    """How a network wants its intensities.

    Parameters
    ----------
    kind : {"quantiles", "zero_mean", "range", "none", "steps"}
        To [0, 1] by quantiles, clipped; to zero mean and unit variance; to [0, 1] from `low` and `high`,
        not clipped; left alone; or by `steps`, for all that is more than one of these.
    low, high : float
        Percentiles (0 to 100) for "quantiles", intensities for "range".
    steps : tuple of Step
        What is done, in this order, for "steps"; empty for the others.
    """

    kind: Literal["quantiles", "zero_mean", "range", "none", "steps"] = "quantiles"
    low: float = 1.0
    high: float = 99.8
    steps: tuple[Step, ...] = ()

    @classmethod
    def of_steps(cls, steps: Sequence[Step]) -> InputNormalization:
        """Return what does some steps: by a kind of its own where it is what one of them is."""
        if not steps:
            return cls(kind="none")
        simple = single_kind(steps[0]) if len(steps) == 1 else None
        return cls(kind="steps", steps=tuple(steps)) if simple is None else cls(**simple)

    @property
    def as_steps(self) -> tuple[Step, ...]:
        """Steps that do the same, whatever its kind."""
        if self.kind == "quantiles":
            return (Percentiles(low=self.low, high=self.high, clip=True),)
        if self.kind == "range":
            unit = self.high - self.low
            return (Linear(gain=1 / unit, offset=-self.low / unit),)
        return (ZeroMean(),) if self.kind == "zero_mean" else self.steps

    @property
    def words(self) -> str:
        """What is done, as part of a sentence."""
        if self.kind == "steps":
            return steps_words(self.steps)
        ends = f"{self.low:g} and {self.high:g}"
        return {
            "quantiles": f"percentiles {ends} to 0 - 1, clipped",
            "zero_mean": "zero mean and unit variance",
            "range": f"{self.low:g} - {self.high:g} to 0 - 1",
            "none": "as they are",
        }[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: kind, low and high, or kind and steps."""
        if self.kind == "steps":
            return {"kind": "steps", "steps": [step.as_dict() for step in self.steps]}
        return {"kind": self.kind, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How far, and from where, a network's outputs see; measured from the network itself.

    Parameters
    ----------
    stride : tuple of int
        Total stride along each axis: tiles must start on its multiples.
    read : ReadShape
        Shapes that the network accepts.
    halo : tuple of (int, int), optional
        Voxels of context that a core starting on the stride needs before and after; None where every
        output depends on the whole input.
    receptive_field : tuple of int, optional
        Voxels along each axis that one output voxel can depend on; None where unbounded.
    shift_equivariant : bool
        Whether moving the input by one stride moves the output, and cutting the input with the halo leaves
        the output as it is.
    random : bool
        Whether the same input gives another output each time; nothing else is measured then.
    """

    stride: Shape
    read: ReadShape
    halo: Halo | None
    receptive_field: Shape | None
    shift_equivariant: bool = True
    random: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """What a network is, what it needs, and whether tiles can show.

    Parameters
    ----------
    name : str
        What to call it.
    architecture : str
        Registered name, or what its file is: ``torchscript``, ``exported program``, ``ONNX``.
    axes : str
        Spatial axes, ``yx`` or ``zyx``.
    in_channels, out_channels : int
        Channels in and out.
    classes : tuple of str
        Name of each output channel.
    activation : {"none", "sigmoid", "softmax"}
        What turns the network's output into probabilities; "none" where the network does so itself.
    input_normalization : InputNormalization
        How intensities are prepared.
    norm_counts : mapping of str to int
        Kind of normalization layer (``batch``, ``instance``, ``instance_tracked``, ``group``,
        ``batch_renorm``, ``layer``, ``other``) to how many there are.
    geometry : Geometry
        Stride, read shapes, halo and receptive field.
    default_halo : tuple of (int, int)
        The halo in use: the measured one, or a stated choice where it is unbounded.
    voxel_size : tuple of float, optional
        Voxel size along each axis at which it was trained, in micrometers.
    seam_free : bool
        Whether a tiled prediction can equal the whole image's.
    reason : str
        Why, in one sentence.
    seam_layers : tuple of str
        Paths of the layers that make it impossible.
    seam_cause : str
        What makes it impossible in a few words, such as ``10 InstanceNorm layers``; "" where nothing does.
    parameters : int
        Number of trainable and fixed weights.
    channel_names : tuple of str
        Name of each channel in; empty where nobody states them.
    notes : tuple of str
        A sentence for each thing that neither the file nor the user stated, and that was assumed.
    self_test : SelfTestResult, optional
        What came of running its package's own test; None where it has none.
    resampling : Resampling, optional
        How images were brought to its voxel size in training; None for linearly, which the setting
        ``resample`` then does, too.
    """

    name: str
    architecture: str
    axes: str
    in_channels: int
    out_channels: int
    classes: tuple[str, ...]
    activation: Activation
    input_normalization: InputNormalization = field(default_factory=InputNormalization)
    norm_counts: Mapping[str, int]
    geometry: Geometry
    default_halo: Halo
    voxel_size: tuple[float, ...] | None = None
    seam_free: bool
    reason: str
    seam_layers: tuple[str, ...] = ()
    seam_cause: str = ""
    parameters: int
    channel_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    self_test: SelfTestResult | None = None
    resampling: Resampling | None = None

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.axes)

    def voxel_size_for(self, known: tuple[float, ...]) -> tuple[float, ...]:
        """Return the voxel size to which an image is brought, from its own along its axes of space."""
        return known[: len(known) - self.ndim] + self.voxel_size if self.voxel_size else known

    def lattice(self, ndim: int) -> Lattice:
        """Return stride, halo and reads over the `ndim` grid axes of an image.

        The stride is the least common multiple of the network's and of the step of the shapes that it
        accepts.
        """
        geometry, lead = self.geometry, ndim - self.ndim
        independent = ((0, 0),) * lead
        stride = tuple(map(lcm, geometry.stride, geometry.read.step))
        return Lattice(
            stride=(1,) * lead + stride,
            halo=None if geometry.halo is None else independent + geometry.halo,
            default_halo=independent + self.default_halo,
            minimum=(1,) * lead + tuple(geometry.read.minimum),
            fixed=geometry.read.fixed,
            lead=lead,
            maximum=self._largest(stride),
        )

    def _largest(self, stride: Shape) -> Shape | None:
        """Return the largest shape on a stride that the network accepts; None where nothing bounds it."""
        most = self.geometry.read.maximum
        return None if most is None else tuple(map(round_down, most, stride))

    @property
    def padded_sizes(self) -> ReadShape:
        """Shapes of padded images on the network's axes: on its stride, even where it accepts others."""
        lattice = self.lattice(self.ndim)
        least = tuple(map(round_up, lattice.minimum, lattice.stride))
        return ReadShape(minimum=least, step=lattice.stride, fixed=lattice.fixed, maximum=lattice.maximum)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, where `norm_counts` is called ``normalization``."""
        values = {
            **asdict(self),
            "input_normalization": self.input_normalization.as_dict(),
            "self_test": self.self_test and self.self_test.as_dict(),
        }
        return {"normalization" if name == "norm_counts" else name: values[name] for name in values}
