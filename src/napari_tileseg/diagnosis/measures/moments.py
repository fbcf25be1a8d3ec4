"""Mean and variance that normalization layers meet, and layers with fixed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.nets.inspection import NormLayer, norm_layers

#: Kinds whose statistics are those of a channel or of a group of channels.
_KNOWN = {"batch", "batch_renorm", "instance", "instance_tracked", "group"}
#: Part of the squared mean below which a variance is computed in two passes.
_CANCELLED = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and biased variance, shaped so that they spread over the layer's input."""

    mean: Tensor
    variance: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviation; where it is 0, a very small number."""
        return torch.sqrt(self.variance.clamp_min(1e-12))


def is_scripted(module: nn.Module) -> bool:
    """Return whether a network is TorchScript, whose layers can be neither watched nor replaced."""
    return hasattr(module, "original_name")


def watched_layers(module: nn.Module) -> tuple[NormLayer, ...]:
    """Return the normalization layers whose statistics are taken over space."""
    if is_scripted(module):
        return ()
    return tuple(layer for layer in norm_layers(module) if layer.kind in _KNOWN or layer.sees_tile)


def layer_at(module: nn.Module, path: str) -> nn.Module:
    """Return the layer at a path that `norm_layers` gave."""
    modules: dict[str, nn.Module] = dict(module.named_modules())
    return modules.get(path, module)


def moments_of(values: Tensor, layer: nn.Module, kind: str) -> Moments:
    """Return the moments that a layer of this kind takes, or would take, from its input.

    Parameters
    ----------
    values : Tensor
        ``(batch, channels, *space)``.
    layer : torch.nn.Module
        Tells its groups or its normalized shape.
    kind : str
        As in `NormLayer`.

    Returns
    -------
    Moments
        In float32. Of several samples the mean, except that a BatchNorm pools them.
    """
    values = values.float()
    if kind not in _KNOWN:
        last = len(tuple(getattr(layer, "normalized_shape", values.shape[1:])))
        mean, variance = _mean_and_variance(values.flatten(-last))
        spread = (-1, *values.shape[1:-last], *(1,) * last)
        return _sizes(*(each.reshape(spread).mean(0, keepdim=True) for each in (mean, variance)))
    groups = int(getattr(layer, "num_groups", values.shape[1]))
    means, variances = _mean_and_variance(values.reshape(len(values), groups, -1))
    mean, variance = means.mean(0), variances.mean(0)
    if kind in {"batch", "batch_renorm"}:
        variance = variance + means.var(0, correction=0)
    channels = (1, values.shape[1]) + (1,) * (values.ndim - 2)
    repeats = values.shape[1] // groups
    return _sizes(*(each.repeat_interleave(repeats).reshape(channels) for each in (mean, variance)))


def _mean_and_variance(values: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce the last axis, by the sum of squares: several times faster on a CPU than `var_mean`."""
    mean = values.mean(-1)
    variance = torch.linalg.vector_norm(values, dim=-1) ** 2 / values.shape[-1] - mean**2
    if bool((variance < _CANCELLED * mean**2).any()):
        # Nearly constant values: the difference of two large numbers is mostly rounding.
        variance = torch.linalg.vector_norm(values - mean[..., None], dim=-1) ** 2 / values.shape[-1]
    return mean, variance


def _sizes(mean: Tensor, variance: Tensor) -> Moments:
    """Copy tensors to the CPU, so that they outlive inference mode."""
    return Moments(*(torch.from_numpy(each.cpu().numpy().copy()) for each in (mean, variance)))


def running_moments(layer: nn.Module) -> Moments | None:
    """Return the running statistics of a layer, if it has any."""
    mean, variance = getattr(layer, "running_mean", None), getattr(layer, "running_var", None)
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        return None
    return Moments(mean.detach().float().cpu(), variance.detach().float().cpu())


Records = dict[str, list[Moments]]


def watch(module: nn.Module, layers: Sequence[NormLayer]) -> tuple[nn.Module, Records]:
    """Copy a network so that it records what its normalization layers meet; return copy and records."""
    copy = deepcopy(module)
    records: Records = {layer.path: [] for layer in layers}
    for layer in layers:
        layer_at(copy, layer.path).register_forward_pre_hook(_recorder(records[layer.path], layer.kind))
    return copy, records


def _recorder(record: list[Moments], kind: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    # A function, not a method: an engine's own copy of the network must write to the same record.
    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        record.append(moments_of(inputs[0], layer, kind))

    return note


def mean_moments(record: Sequence[Moments]) -> Moments:
    """Average the means, and the variances."""
    return Moments(
        torch.stack([each.mean for each in record]).mean(0),
        torch.stack([each.variance for each in record]).mean(0),
    )


class HeldNorm(nn.Module):
    """Normalization by given statistics instead of those of the input.

    Parameters
    ----------
    layer : torch.nn.Module
        The layer that it stands for; its weight, bias and eps are taken over.
    moments : Moments
        Statistics to use.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, layer: nn.Module, moments: Moments) -> None:
        super().__init__()
        self.eps = float(getattr(layer, "eps", None) or 1e-5)
        shape = moments.mean.shape
        self.per_channel = shape[1] == moments.mean.numel() > 1
        # One fused kernel normalizes channels; only a LayerNorm needs its own arithmetic.
        sizes = (shape[1],) if self.per_channel else shape
        self.register_buffer("mean", moments.mean.reshape(sizes).clone())
        self.register_buffer("variance", moments.variance.reshape(sizes).clone())
        self.weight = _frozen(getattr(layer, "weight", None))
        self.bias = _frozen(getattr(layer, "bias", None))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(batch, channels, *space)``."""
        if self.per_channel:
            return functional.batch_norm(
                x, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps
            )
        y = (x - self.mean) / torch.sqrt(self.variance + self.eps)
        y = y if self.weight is None else y * self.weight
        return y if self.bias is None else y + self.bias


def _frozen(values: Tensor | None) -> nn.Parameter | None:
    return None if values is None else nn.Parameter(values.detach().clone(), requires_grad=False)


def hold(module: nn.Module, moments: Mapping[str, Moments]) -> nn.Module:
    """Copy a network so that the layers at these paths use these statistics, whatever the tile."""
    copy = deepcopy(module)
    for path, fixed in moments.items():
        layer = HeldNorm(layer_at(copy, path), fixed).eval()
        if path not in dict(copy.named_modules()):
            return layer
        parent, _, name = path.rpartition(".")
        setattr(copy.get_submodule(parent), name, layer)
    return copy
