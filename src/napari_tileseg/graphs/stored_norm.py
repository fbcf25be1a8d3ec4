"""Normalization by stored statistics: as an exported call, as an operation, and as part of a convolution."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from napari_tileseg.graphs.call import Call, Made
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.graphs.operations.operation import Local
from napari_tileseg.graphs.operations.windows import AnyConvolution, Convolution


def stored_norm(call: Call) -> Made:
    """Translate a normalization of torch.

    Raises
    ------
    NoRuleError
        If it uses statistics of what it is given.
    """
    flag = "training" if "training" in call.arguments else "use_input_stats"
    if call.arguments[flag] or call.arguments["running_mean"] is None:
        raise NoRuleError(f"its {call.name} uses the mean and spread of what it is given")
    operation = StoredNorm(
        call.arguments["eps"], call.arguments["weight"] is not None, call.arguments["bias"] is not None
    )
    weights = call.weights("running_mean", "running_var", "weight", "bias")
    return operation, [call.map_of(call.arguments["input"])], weights


@final
@dataclass(frozen=True, slots=True)
class StoredNorm(Local):
    """Normalization by stored statistics: mean, variance, and a scale and a shift where it has them.

    Parameters
    ----------
    eps : float
        Added to the variance.
    scaled, shifted : bool
        Whether a scale, and a shift, follow mean and variance among the weights.
    """

    eps: float
    scaled: bool
    shifted: bool

    def parts(self, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return mean, variance, scale and shift."""
        rest = list(weights[2:])
        scale = rest.pop(0) if self.scaled else None
        return weights[0], weights[1], scale, rest.pop(0) if self.shifted else None

    def run(
        self, values: Sequence[Tensor], weights: Sequence[Tensor], place: Hashable, *, reuse: bool
    ) -> Tensor:
        """See `Operation.run`."""
        del place, reuse
        mean, variance, scale, shift = self.parts(weights)
        return functional.batch_norm(values[0], mean, variance, scale, shift, False, 0.0, self.eps)


def folded(
    convolution: AnyConvolution, weights: Sequence[Tensor], norm: StoredNorm, statistics: Sequence[Tensor]
) -> tuple[AnyConvolution, tuple[Tensor, Tensor]]:
    """Make a normalization part of the convolution before it.

    The weights are multiplied in float64, so that what changes is rounding only.

    Parameters
    ----------
    convolution : AnyConvolution
        What nothing but the normalization uses.
    weights : sequence of Tensor
        Its weight, and its bias where it has one.
    norm : StoredNorm
        The normalization.
    statistics : sequence of Tensor
        The normalization's own tensors.

    Returns
    -------
    convolution : AnyConvolution
        Both as one, with a bias.
    weights : tuple of Tensor
        Its weight and bias, float64.
    """
    parts = norm.parts(statistics)
    mean, variance, scale, shift = (None if part is None else part.double() for part in parts)
    assert mean is not None
    assert variance is not None
    factor = torch.rsqrt(variance + norm.eps)
    factor = factor if scale is None else factor * scale
    offset = -mean * factor if shift is None else shift - mean * factor
    bias = convolution.bias(weights)
    if bias is not None:
        offset = offset + bias.double() * factor
    return replace(convolution, biased=True), (_scaled(weights[0].double(), factor, convolution), offset)


def _scaled(weight: Tensor, factor: Tensor, operation: AnyConvolution) -> Tensor:
    """Return a weight with each of its output channels multiplied."""
    ones = (1,) * (weight.ndim - 2)
    if isinstance(operation, Convolution):
        return weight * factor.reshape(-1, 1, *ones)
    # Inputs come first, and each group of them has output channels of its own.
    groups = operation.groups
    apart = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return (apart * factor.reshape(groups, 1, -1, *ones)).reshape(weight.shape)
