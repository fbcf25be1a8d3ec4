"""Processing before and after a network: as steps of intensities, as its activation, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.tensors import Axis
from napari_tileseg.nets.formats.bioimageio.values import entries, mapping, number
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, Step, ZeroMean
from napari_tileseg.nets.spec import Activation

#: What is added to divisors where nothing is stated.
_EPS = 1e-6
#: Numbers are float32 here: conversions to these types change nothing.
_FLOATS = ("float32", "float64")
#: Work that only its own program can do.
_FOREIGN = {
    "custom": "of its own code",
    "stardist_postprocessing": "of StarDist",
    "cellpose_flow_dynamics": "of Cellpose",
}
_WIDE = {"channel": "c", "batch": "b", "time": "t", "index": "i"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A step of processing: its name, and its arguments."""

    name: str
    arguments: Mapping[str, Any]


def operations(value: Any, source: str) -> tuple[Operation, ...]:
    """Return steps of processing by either version's key, without those that change nothing.

    Raises
    ------
    NetworkError
        If one is the work of another program, or of code in the package.
    """
    stated = [mapping(each) for each in entries(value)]
    found = [
        Operation(str(each.get("id") or each.get("name")), mapping(each.get("kwargs"))) for each in stated
    ]
    for each in found:
        for name, whose in _FOREIGN.items():
            if each.name == name or each.name.partition("_")[0] == name.partition("_")[0]:
                raise NetworkError(
                    f"{source} processes by {each.name[:60]}, which is work {whose} and not done here. Take "
                    "a network that gives probabilities or values by itself."
                )
    return tuple(each for each in found if not _is_idle(each))


def _is_idle(operation: Operation) -> bool:
    return operation.name == "ensure_dtype" and operation.arguments.get("dtype", "float32") in _FLOATS


@dataclass(frozen=True, slots=True)
class Preparation:
    """How intensities are prepared: steps, and sentences about what differs."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...]


class _Reader:
    """Reads steps for a tensor of known axes."""

    def __init__(self, axes: Sequence[Axis], tensor: str, source: str) -> None:
        self.axes, self.tensor, self.source = axes, tensor, source
        self.notes: list[str] = []

    def step(self, operation: Operation) -> Step:
        read = {
            "clip": self._clip,
            "scale_linear": self._linear,
            "zero_mean_unit_variance": self._zero_mean,
            "fixed_zero_mean_unit_variance": self._fixed,
            "scale_range": self._range,
        }.get(operation.name)
        if read is None:
            raise self.wrong(f"{operation.name[:60]}, which is not known here")
        return read(operation.arguments)

    def wrong(self, what: str) -> NetworkError:
        return NetworkError(
            f"{self.source} prepares intensities by {what}. Take a network that is given its intensities "
            "otherwise, or prepare the image, and state how in the setting architecture."
        )

    def _clip(self, said: Mapping[str, Any]) -> Step:
        if unknown := said.keys() - {"min", "max"}:
            raise self.wrong(f"clip with {few(sorted(map(str, unknown)), 3)}, which is not known here")
        return Clip(low=number(said.get("min")), high=number(said.get("max")))

    def _linear(self, said: Mapping[str, Any]) -> Step:
        self._check_axis(said, "scale_linear")
        gain, offset = self._numbers(said.get("gain", 1.0)), self._numbers(said.get("offset", 0.0))
        if gain is None or offset is None:
            raise self.wrong("scale_linear with a gain or offset that is no number")
        return Linear(gain=gain, offset=offset)

    def _fixed(self, said: Mapping[str, Any], eps: float = 0.0) -> Step:
        self._check_axis(said, "fixed mean and deviation")
        mean, deviation = self._numbers(said.get("mean")), self._numbers(said.get("std"))
        flat = [
            each for value in (mean, deviation) for each in (value if isinstance(value, tuple) else (value,))
        ]
        count = max(len(value) if isinstance(value, tuple) else 1 for value in (mean, deviation))
        if None in flat or len(flat) not in {2, count + 1, 2 * count}:
            raise self.wrong("a fixed mean and deviation that are no numbers")
        means = mean if isinstance(mean, tuple) else (mean,) * count
        deviations = deviation if isinstance(deviation, tuple) else (deviation,) * count
        divisors = [(each or 0.0) + eps for each in deviations]
        if 0 in divisors:
            raise self.wrong("division by a deviation of 0")
        gain = tuple(1 / each for each in divisors)
        offset = tuple(-(each or 0.0) / divisor for each, divisor in zip(means, divisors, strict=True))
        return Linear(gain=gain, offset=offset) if count > 1 else Linear(gain=gain[0], offset=offset[0])

    def _zero_mean(self, said: Mapping[str, Any]) -> Step:
        eps = self._eps(said)
        if said.get("mode") == "fixed" or "mean" in said:
            return self._fixed({key: said[key] for key in said if key != "axes"}, eps)
        return ZeroMean(per_channel=self._per_channel(said, "zero_mean_unit_variance"), eps=eps)

    def _range(self, said: Mapping[str, Any]) -> Step:
        reference = said.get("reference_tensor")
        if reference not in (None, self.tensor):
            raise self.wrong(f"the percentiles of another tensor, {str(reference)[:60]!r}")
        low, high = number(said.get("min_percentile", 0.0)), number(said.get("max_percentile", 100.0))
        if low is None or high is None:
            raise self.wrong("percentiles that are no numbers")
        per_channel = self._per_channel(said, "scale_range")
        return Percentiles(low=low, high=high, per_channel=per_channel, eps=self._eps(said))

    def _eps(self, said: Mapping[str, Any]) -> float:
        eps = number(said.get("eps", _EPS))
        if eps is None or eps < 0:
            raise self.wrong("an eps that is no number from 0 on")
        return eps

    def _numbers(self, value: Any) -> float | tuple[float, ...] | None:
        single = number(value)
        if single is not None or not isinstance(value, list):
            return single
        found = [number(each) for each in value]
        known = [each for each in found if each is not None]
        return tuple(known) if known and len(known) == len(found) else None

    def _check_axis(self, said: Mapping[str, Any], what: str) -> None:
        along = said.get("axis")
        several = any(isinstance(value, list) and len(value) > 1 for value in said.values())
        if several and along is not None and along != "channel":
            raise self.wrong(f"{what} along the axis {str(along)[:40]}; along channels alone it is done here")

    def _per_channel(self, said: Mapping[str, Any], what: str) -> bool:
        """Return whether each channel is measured by itself, as the axes of one measurement state."""
        stated = said.get("axes")
        if isinstance(stated, list):
            letters = "".join(_WIDE.get(str(each), str(each)) for each in stated)
        else:
            letters = stated if isinstance(stated, str) else "".join(axis.letter for axis in self.axes)
        apart = [a.letter for a in self.axes if a.kind == "space" and a.letter not in letters and a.size != 1]
        if apart:
            raise self.wrong(
                f"{what} over the axes {letters[:20] or 'none'}, each {' and '.join(apart)} by itself; over "
                "all axes of space it is done here"
            )
        if said.get("mode") == "per_dataset" or (stated is not None and "b" in letters):
            self.notes.append(
                f"{self.source} measures intensities in a whole data set; here it is done in each image."
            )
        channels = next((axis.size for axis in self.axes if axis.kind == "channel"), 1)
        return "c" not in letters or channels == 1


def preparation(found: Sequence[Operation], axes: Sequence[Axis], tensor: str, source: str) -> Preparation:
    """Return the steps that prepare intensities.

    Parameters
    ----------
    found : sequence of Operation
        Steps of processing before the network.
    axes : sequence of Axis
        Those of the input.
    tensor : str
        Name of the input.
    source : str
        The description, for messages.

    Raises
    ------
    NetworkError
        If a step has no counterpart here; it is named.
    """
    reader = _Reader(axes, tensor, source)
    steps = tuple(reader.step(each) for each in found)
    return Preparation(steps, tuple(dict.fromkeys(reader.notes)))


def activation_of(found: Sequence[Operation]) -> tuple[Activation, tuple[Operation, ...]]:
    """Return what turns outputs into probabilities, and the steps after it, which are not done."""
    first = found[0].name if found else ""
    activation: Activation = "sigmoid" if first == "sigmoid" else "softmax" if first == "softmax" else "none"
    return activation, tuple(found[0 if activation == "none" else 1 :])


def left_out(found: Sequence[Operation], source: str) -> tuple[str, ...]:
    """Return a sentence about steps that are not done."""
    if not found:
        return ()
    names = ", ".join(each.name for each in found)
    return (f"{source} processes the network's output by {names}, which is not done.",)
