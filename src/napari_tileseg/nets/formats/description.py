"""The JSON that describes a network: what a file of weights does not say about itself."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import prod
from typing import Any, get_args

from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.intensities import MOST_STEPS, read_steps
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.nets.spec import Activation, InputNormalization

#: Version of the description's own format; what needs more than the first is written as the second, so that
#: older programs refuse it.
VERSION = 1
_WITH_STEPS = 2
#: Entries that version 1 did not have at first; left out where they say nothing, so that older programs can
#: read on.
_LATER = ("renormalized", "frozen", "r_max", "d_max", "halo", "notes", "channel_names", "resampling")
_AXES = {1: "x", 2: "yx", 3: "zyx"}
#: Largest of counts and of other numbers, and voxels of a shape that a network is tried with.
_LARGEST, _FARTHEST, _MOST_VOXELS = 2**20, 1e300, 2**22
#: What to write where a description is asked for.
EXAMPLE = (
    '{"architecture": "unet", "arguments": {"ndim": 3, "in_channels": 1, "out_channels": 2, '
    '"features": [32, 64, 128], "norm": "batch"}, "classes": ["foreground", "boundary"], '
    '"activation": "sigmoid", "input_normalization": {"kind": "quantiles", "low": 1, "high": 99.8}, '
    '"voxel_size": [1.0, 0.5, 0.5], "name": "nuclei"}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is stated, not measured, about a network.

    Parameters
    ----------
    architecture : str, optional
        Registered name; None for files that hold their own code.
    arguments : mapping
        Arguments of the architecture.
    name : str, optional
        What to call the network.
    axes : str, optional
        Spatial axes, where no architecture says how many: ``yx`` or ``zyx``.
    in_channels : int, optional
        Channels in, where no architecture says so.
    read_shape : tuple of int, optional
        Spatial shape that the network is known to accept, where none would be found by trying.
    classes : tuple of str, optional
        Names of the output channels.
    activation : {"none", "sigmoid", "softmax"}, optional
        What turns outputs into probabilities.
    input_normalization : InputNormalization, optional
        How intensities are prepared; None where nobody says so.
    voxel_size : tuple of float, optional
        Voxel size in micrometers along each spatial axis at which it was trained.
    renormalized : tuple of str
        Paths of the normalization layers that became batch renormalization after the architecture was built.
    frozen : tuple of str
        Paths of the normalization layers that became BatchNorm with the statistics of an image, likewise.
    r_max, d_max : float, optional
        Limits of batch renormalization that training reached; those at the end of training where a file does
        not say.
    provenance : mapping
        Where it comes from: anything that JSON holds.
    halo : tuple of int, optional
        Voxels of context along each spatial axis that somebody states; what is measured counts.
    channel_names : tuple of str, optional
        Names of the channels in, in the order in which the network takes them.
    notes : tuple of str
        A sentence for each thing that was stated of it and could not be taken.
    resampling : Resampling, optional
        How images were brought to its voxel size in training; linearly where nobody says so.
    """

    architecture: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    axes: str | None = None
    in_channels: int | None = None
    read_shape: Shape | None = None
    classes: tuple[str, ...] | None = None
    activation: Activation | None = None
    input_normalization: InputNormalization | None = None
    voxel_size: tuple[float, ...] | None = None
    renormalized: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    r_max: float | None = None
    d_max: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    halo: Shape | None = None
    channel_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    resampling: Resampling | None = None

    def __post_init__(self) -> None:
        _check(self)

    def to_json(self) -> str:
        """Return one line of JSON that `from_json` reads; the same description gives the same text.

        Raises
        ------
        NetworkError
            If it holds what JSON cannot.
        """
        try:
            said = {
                key: value
                for key, value in asdict(self).items()
                if key not in _LATER or value not in (None, ())
            }
            return json.dumps({**said, **self._intensities()}, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise NetworkError(
                f"A network's description holds only what JSON can: {error}. "
                "Give plain text, numbers and lists."
            ) from error

    def _intensities(self) -> dict[str, Any]:
        """Return the preparation of intensities, and the version that can say it."""
        wanted = self.input_normalization
        steps = wanted is not None and wanted.kind == "steps"
        return {
            "version": _WITH_STEPS if steps else VERSION,
            "input_normalization": wanted and wanted.as_dict(),
        }

    @classmethod
    def from_json(cls, text: str, source: str) -> Description:
        """Read a description.

        Parameters
        ----------
        text : str
            JSON object.
        source : str
            Where it was found, for messages.

        Raises
        ------
        NetworkError
            If it is not JSON, names what does not exist, or holds a value of the wrong kind.
        """
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise NetworkError(
                f"The description in {source} is not JSON ({error}). It should read like {EXAMPLE}"
            ) from error
        if not isinstance(values, dict):
            raise NetworkError(f"The description in {source} is not a JSON object. Write one like {EXAMPLE}")
        return _from_values(values, source)


def axes_of(ndim: int) -> str:
    """Return the names of `ndim` spatial axes.

    Raises
    ------
    NetworkError
        If there are other than 1 to 3.
    """
    if ndim not in _AXES:
        raise NetworkError(f"A network has 1, 2 or 3 spatial axes; got {ndim}.")
    return _AXES[ndim]


def _from_values(values: dict[str, Any], source: str) -> Description:
    values = dict(values)
    version = values.pop("version", VERSION)
    if version not in (VERSION, _WITH_STEPS):
        raise NetworkError(
            f"{source} holds a description of version {_shown(version)}; this program reads versions "
            f"{VERSION} and {_WITH_STEPS}. Use a newer napari-tileseg."
        )
    if "ndim" in values and values.get("axes") is None:
        values["axes"] = next(
            (axes for ndim, axes in _AXES.items() if ndim == values["ndim"]), values["ndim"]
        )
    values.pop("ndim", None)
    known = {each.name for each in fields(Description)}
    if unknown := values.keys() - known:
        raise NetworkError(
            f"{source} describes {', '.join(sorted(unknown))}, which means nothing here; "
            f"a description has {', '.join(sorted(known))}."
        )
    try:
        for key in ("classes", "read_shape", "voxel_size", "halo", "channel_names"):
            values[key] = None if values.get(key) is None else tuple(values[key])
        for key in ("renormalized", "frozen", "notes"):
            values[key] = tuple(values.get(key) or ())
        wanted = values.get("input_normalization")
        if wanted is not None and not isinstance(wanted, InputNormalization):
            values["input_normalization"] = _read_normalization(wanted)
        if isinstance(values.get("resampling"), dict):
            values["resampling"] = Resampling(**values["resampling"])
        return Description(**values)
    except TypeError as error:
        raise NetworkError(f"The description in {source} holds a value of the wrong kind: {error}") from error


def _read_normalization(values: Any) -> InputNormalization:
    wanted = InputNormalization(**values)
    return replace(wanted, steps=read_steps(wanted.steps))


def _check(said: Description) -> None:
    """Raise `NetworkError` unless every value is of its kind and in its range."""
    words = {"activation": get_args(Activation), "axes": tuple(_AXES.values())}
    for key, allowed in words.items():
        value = getattr(said, key)
        if value is not None and value not in allowed:
            raise NetworkError(f"A network's {key} is one of {', '.join(allowed)}; got {_shown(value)}.")
    for key in ("architecture", "name"):
        if not isinstance(getattr(said, key), (str, type(None))):
            raise NetworkError(f"A network's {key} is text; got {_shown(getattr(said, key))}.")
    for key in ("arguments", "provenance"):
        if not isinstance(getattr(said, key), Mapping):
            raise NetworkError(f"A network's {key} are names with values; got {_shown(getattr(said, key))}.")
    if not isinstance(said.resampling, (Resampling, type(None))):
        raise NetworkError(
            f"A network's resampling has order, coarse_order and coarse_apart; got {_shown(said.resampling)}."
        )
    _check_names(said)
    _check_numbers(said)


def _check_names(said: Description) -> None:
    for key in ("classes", "channel_names"):
        if not all(map(_is_name, getattr(said, key) or ())):
            raise NetworkError(f"A network's {key} are names; got {_shown(getattr(said, key))}.")
    if not all(map(_is_name, said.notes)):
        raise NetworkError(f"A network's notes are sentences; got {_shown(said.notes)}.")
    for key in ("renormalized", "frozen"):
        if not all(map(_is_name, getattr(said, key))):
            raise NetworkError(f"A network's {key} are paths of layers; got {_shown(getattr(said, key))}.")


def _check_numbers(said: Description) -> None:
    if said.in_channels is not None and not _is_count(said.in_channels):
        raise NetworkError(
            f"A network's in_channels is a whole number from 1 on; got {_shown(said.in_channels)}."
        )
    if said.read_shape is not None and not (
        all(map(_is_count, said.read_shape)) and prod(said.read_shape) <= _MOST_VOXELS
    ):
        raise NetworkError(
            f"A network's read_shape are whole numbers from 1 on, {_MOST_VOXELS} voxels at most; "
            f"got {_shown(said.read_shape)}."
        )
    if said.voxel_size is not None and not all(map(_is_size, said.voxel_size)):
        raise NetworkError(
            f"A network's voxel_size is in micrometers, above 0; got {_shown(said.voxel_size)}."
        )
    for key, least in (("r_max", 1), ("d_max", 0)):
        value = getattr(said, key)
        if value is not None and not (_is_number(value) and least <= value < float("inf")):
            raise NetworkError(f"A network's {key} is a number from {least} on; got {_shown(value)}.")
    if said.halo is not None and not all(isinstance(n, int) and 0 <= n <= _LARGEST for n in said.halo):
        raise NetworkError(
            f"A network's halo are whole numbers from 0 to {_LARGEST}; got {_shown(said.halo)}."
        )
    if said.input_normalization is not None:
        _check_normalization(said.input_normalization)


def _check_normalization(wanted: Any) -> None:
    if not isinstance(wanted, InputNormalization):
        raise NetworkError(f"A network's input_normalization is a kind, low and high; got {_shown(wanted)}.")
    kinds = ("quantiles", "zero_mean", "range", "none", "steps")
    if wanted.kind not in kinds:
        raise NetworkError(
            f"A network's input_normalization is one of {', '.join(kinds)}; got {_shown(wanted.kind)}."
        )
    if (wanted.kind == "steps") != bool(read_steps(wanted.steps)):
        raise NetworkError(
            f"A network's input_normalization has 1 to {MOST_STEPS} steps where its kind is steps, and none "
            f"otherwise; got {_shown(wanted.kind)} with {len(wanted.steps)}."
        )
    ordered = _is_number(wanted.low) and _is_number(wanted.high) and wanted.low < wanted.high
    percent = wanted.kind != "quantiles" or (ordered and wanted.low >= 0 and wanted.high <= 100)
    if not (ordered and percent):
        raise NetworkError(
            "A network's input_normalization has low below high, percentiles of 0 to 100 for quantiles; "
            f"got {_shown(wanted.low)} and {_shown(wanted.high)}."
        )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_size(value) and value <= _LARGEST


def _is_size(value: Any) -> bool:
    return _is_number(value) and 0 < value < float("inf")


def _is_number(value: Any) -> bool:
    # A whole number of JSON may have more digits than any other program takes.
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and abs(value) <= _FARTHEST


def _shown(value: Any) -> str:
    """Return a value for a message, shortened: it may be as long as its file."""
    return reprlib.repr(value)
