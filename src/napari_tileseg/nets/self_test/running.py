"""Running a package's test input, and finding the step that is the likely cause where the output differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite, prod

import numpy as np
import torch
from torch import Tensor, nn

from napari_tileseg._types import Array
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.intensities import Percentiles, Step, ZeroMean, prepare_array
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.nets.self_test.result import SelfTestResult, is_small
from napari_tileseg.nets.spec import Activation, InputNormalization, NetworkSpec

#: Voxels of a test input, and these times weights, that are run on opening: seconds on one core.
_MOST_VOXELS, _MOST_WORK = 2**22, 2e12
_ACTIVATIONS: tuple[Activation, ...] = ("none", "sigmoid", "softmax")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """A test input and the output that a package states for it.

    Parameters
    ----------
    image, answer : array, optional
        Of shape ``(channels, *space)`` and ``(classes, *space)``.
    sha256 : str
        Hash of both, as they are stored.
    after : callable, optional
        What the package does to the output behind the activation, and only the test does here.
    problem : str
        Why they cannot be used, where they cannot; as part of a sentence.
    """

    image: Array | None = None
    answer: Array | None = None
    sha256: str = ""
    after: Callable[[Array], Array] | None = None
    problem: str = ""


def run_self_test(test: SelfTest, module: nn.Module, spec: NetworkSpec) -> SelfTestResult:
    """Run a package's test input through preparation, network and activation.

    Parameters
    ----------
    test : SelfTest
        The test.
    module : torch.nn.Module
        The network, in evaluation mode.
    spec : NetworkSpec
        How intensities are prepared, and which activation follows.
    """
    if test.image is None or test.answer is None:
        return SelfTestResult(problem=test.problem)
    voxels = prod(test.image.shape[1:])
    if voxels > _MOST_VOXELS or voxels * max(spec.parameters, 1) > _MOST_WORK:
        size = by_axis(test.image.shape[1:])
        return SelfTestResult(problem=f"an input of {size} takes too long for a network of this size")
    trial = _Trial(test.image, test.answer, module, test.after)
    try:
        difference = trial.difference(spec.input_normalization, spec.activation)
    except Exception as error:  # noqa: BLE001 - whatever a network raises, it opens without its test
        reason = str(error).rstrip(".") if isinstance(error, NetworkError) else reason_of(error)
        return SelfTestResult(problem=reason)
    largest = trial.largest
    likely = None
    if not is_small(difference, largest):
        likely = next(trial.reproducing(spec), None)
    return SelfTestResult(difference=difference, largest=largest, likely=likely)


class _Trial:
    """Runs a network on one image, prepared in several ways."""

    def __init__(
        self, image: Array, answer: Array, module: nn.Module, after: Callable[[Array], Array] | None
    ) -> None:
        self.image, self.module, self.after = image, module, after
        self.answer = answer.astype(np.float64)
        self.largest = float(np.abs(self.answer).max(initial=0.0))
        self._logits: dict[InputNormalization, Tensor] = {}

    def difference(self, wanted: InputNormalization, activation: Activation, plain: bool = False) -> float:
        """Return the largest difference from the answer."""
        if wanted not in self._logits:
            values = torch.from_numpy(prepare_array(self.image, wanted.as_steps))[None]
            with torch.inference_mode():
                self._logits[wanted] = only_tensor(self.module(values))
        output = apply_activation(self._logits[wanted], activation)[0].double().numpy()
        if self.after is not None and not plain:
            output = self.after(output)
        if output.shape != self.answer.shape:
            came, stated = (by_axis(each.shape) for each in (output, self.answer))
            raise NetworkError(f"it gives {came} values (classes, then space) where {stated} are stated")
        found = float(np.abs(output - self.answer).max(initial=0.0))
        return found if isfinite(found) else float("inf")

    def reproducing(self, spec: NetworkSpec) -> Iterator[str]:
        """Yield what is to be done otherwise for the answer to come out."""
        for words, wanted in (("", spec.input_normalization), *_preparations(spec.input_normalization)):
            for activation in (spec.activation, *(each for each in _ACTIVATIONS if each != spec.activation)):
                other = (
                    "" if activation == spec.activation else _activation_words(spec.activation, activation)
                )
                said = " and ".join(each for each in (words, other) if each)
                if said and self._reproduces(wanted, activation):
                    yield said
        if self.after is not None and is_small(
            self.difference(spec.input_normalization, spec.activation, plain=True), self.largest
        ):
            yield "without the steps after its activation"

    def _reproduces(self, wanted: InputNormalization, activation: Activation) -> bool:
        try:
            return is_small(self.difference(wanted, activation), self.largest)
        except Exception:  # noqa: BLE001 - what fails reproduces nothing
            return False


def _activation_words(stated: Activation, tried: Activation) -> str:
    if tried == "none":
        return f"without its {stated}"
    return f"with a {tried}" if stated == "none" else f"with a {tried} in place of its {stated}"


def _preparations(wanted: InputNormalization) -> Iterator[tuple[str, InputNormalization]]:
    """Yield other preparations of intensities that are easily meant, and what they are called."""
    steps = wanted.as_steps
    if steps:
        yield "without preparation of intensities", InputNormalization(kind="none")
    for words, change in _CHANGES.items():
        other = tuple(change(step) for step in steps)
        if other != steps:
            yield words, InputNormalization(kind="steps", steps=other)
    if not any(isinstance(step, ZeroMean) for step in steps):
        yield "with zero mean and unit variance", InputNormalization(kind="zero_mean")
    if not any(isinstance(step, Percentiles) for step in steps):
        usual = (Percentiles(),)
        yield "with the intensities from minimum to maximum", InputNormalization(kind="steps", steps=usual)


def _jointly(step: Step) -> Step:
    return (
        replace(step, per_channel=not step.per_channel) if isinstance(step, (ZeroMean, Percentiles)) else step
    )


def _clipped(step: Step) -> Step:
    return replace(step, clip=not step.clip) if isinstance(step, Percentiles) else step


_CHANGES: dict[str, Callable[[Step], Step]] = {
    "with channels normalized the other way, jointly or each by itself,": _jointly,
    "with clipping the other way, at the percentiles or not at all,": _clipped,
}
