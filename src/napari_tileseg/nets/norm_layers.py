"""Normalization layers: by name, batch renormalization among them, and put in place of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from napari_tileseg.errors import NetworkError

#: Share of the newest batch in running statistics, in PyTorch's convention.
MOMENTUM = 0.01
#: Limits of batch renormalization at the end of training (Ioffe 2017, arXiv 1702.03275).
R_MAX, D_MAX = 3.0, 5.0
#: Largest number of groups of a ``group`` normalization.
GROUPS = 8

BATCH_NORMS: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
INSTANCE_NORMS: dict[int, type[nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d]] = {
    1: nn.InstanceNorm1d,
    2: nn.InstanceNorm2d,
    3: nn.InstanceNorm3d,
}


class BatchRenorm(nn.Module):
    """Batch renormalization (Ioffe 2017, arXiv 1702.03275) over 1, 2 or 3 spatial axes.

    In training, with batch statistics mu, sigma and running ones mu', sigma'::

        y = (x - mu) / sigma * r + d
        r = clip(sigma / sigma', 1 / r_max, r_max)      d = clip((mu - mu') / sigma', -d_max, d_max)

    and no gradient flows through r and d. In evaluation it is `torch.nn.BatchNorm3d` to the bit. It starts
    as plain batch normalization (``r_max = 1``, ``d_max = 0``); a schedule outside sets both attributes, in
    steps of the optimizer. Statistics are stored as mean and unbiased *variance* without `eps`, by the names
    that BatchNorm uses, so that the two read each other's weights. They are computed in float32 at least.

    Parameters
    ----------
    num_features : int
        Channels.
    ndim : int
        Spatial axes: 1, 2 or 3.
    eps : float
        Added to the variance before the square root.
    momentum : float
        Share of the newest batch in the running statistics, in (0, 1].
    affine : bool
        Whether a learned weight and bias for each channel follow.

    Attributes
    ----------
    r_max : float
        Largest correction of the standard deviation, at least 1.
    d_max : float
        Largest correction of the mean, in running standard deviations, at least 0.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_features: int,
        ndim: int = 3,
        *,
        eps: float = 1e-5,
        momentum: float = MOMENTUM,
        affine: bool = True,
    ) -> None:
        super().__init__()
        if ndim not in BATCH_NORMS:
            raise NetworkError(f"BatchRenorm works on 1, 2 or 3 spatial axes; got {ndim}.")
        self.num_features, self.ndim, self.eps, self.momentum = num_features, ndim, eps, momentum
        self.r_max, self.d_max = 1.0, 0.0
        self.register_parameter("weight", nn.Parameter(torch.ones(num_features)) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(num_features)) if affine else None)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def extra_repr(self) -> str:
        """Return the arguments, as ``repr`` shows them."""
        return (
            f"{self.num_features}, ndim={self.ndim}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.weight is not None}, r_max={self.r_max}, d_max={self.d_max}"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(batch, channels, *space)``; in training, update the running statistics too.

        Raises
        ------
        ValueError
            If `x` has other axes than the layer, or, in training, one value per channel.
        """
        if x.dim() != self.ndim + 2:
            raise ValueError(f"expected (batch, channels) and {self.ndim} spatial axes; got {x.dim()} axes")
        if not self.training:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        count = x.numel() // x.shape[1]
        if count < 2:
            raise ValueError("batch statistics need more than one value per channel; got 1")
        with torch.autocast(x.device.type, enabled=False):
            return self._renormalize(x, count)

    def _renormalize(self, x: Tensor, count: int) -> Tensor:
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        r, d = self._correct(values.detach(), count)
        # One fused kernel does the rest: (x - mu) / sigma * (r * weight) + (d * weight + bias).
        weight = r if self.weight is None else r * self.weight
        shift = d if self.weight is None else d * self.weight
        bias = shift if self.bias is None else shift + self.bias
        return functional.batch_norm(values, None, None, weight, bias, True, 0.0, self.eps).to(x.dtype)

    def _correct(self, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the corrections r and d from the statistics so far, which the batch then enters."""
        axes = [0, *range(2, values.dim())]
        variance, mean = torch.var_mean(values, dim=axes, correction=0)
        before = torch.sqrt(self.running_var + self.eps)
        r = (torch.sqrt(variance + self.eps) / before).clamp(1.0 / self.r_max, self.r_max)
        d = ((mean - self.running_mean) / before).clamp(-self.d_max, self.d_max)
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked.add_(1)
        return r.to(values.dtype), d.to(values.dtype)


_MAKERS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda channels, ndim: BATCH_NORMS[ndim](channels, momentum=MOMENTUM),
    "instance": lambda channels, ndim: INSTANCE_NORMS[ndim](channels, affine=True),
    "instance_tracked": lambda channels, ndim: INSTANCE_NORMS[ndim](
        channels, affine=True, momentum=MOMENTUM, track_running_stats=True
    ),
    "group": lambda channels, _: nn.GroupNorm(gcd(GROUPS, channels), channels),
    "batch_renorm": BatchRenorm,
    "identity": lambda *_: nn.Identity(),
}
#: Names that `make_norm` knows.
NORMS: tuple[str, ...] = tuple(_MAKERS)


def make_norm(name: str, channels: int, ndim: int) -> nn.Module:
    """Return a normalization layer by name.

    Parameters
    ----------
    name : {"batch", "instance", "instance_tracked", "group", "batch_renorm", "identity"}
        Kind. All but "identity" have a learned weight and bias; those with running statistics take
        `MOMENTUM`; "group" has as many groups as divide `channels` evenly, up to `GROUPS`.
    channels : int
        Channels of the input.
    ndim : int
        Spatial axes: 1, 2 or 3.

    Raises
    ------
    NetworkError
        If there is no such kind, or not for `ndim` axes.
    """
    if name not in _MAKERS:
        raise NetworkError(f"Normalization is one of {', '.join(NORMS)}; got {name!r}.")
    if ndim not in BATCH_NORMS:
        raise NetworkError(f"Normalization works on 1, 2 or 3 spatial axes; got {ndim}.")
    return _MAKERS[name](channels, ndim)


def convertible(module: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers that can be replaced, in order; "" is the network itself.

    These are BatchNorm, InstanceNorm (with and without running statistics) and GroupNorm layers of PyTorch.
    """
    kinds = (_BatchNorm, _InstanceNorm, nn.GroupNorm)
    return tuple(path for path, layer in module.named_modules() if isinstance(layer, kinds))


def renormalize(module: nn.Module, paths: Sequence[str] | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a copy of a network whose normalization layers are batch renormalization, of the same weights.

    A layer without weights gets them, as 1 and 0, so that it can learn. Running statistics are
    copied where there are any; elsewhere they are those of a fresh layer, and have to be measured before the
    network is of use.

    Parameters
    ----------
    module : torch.nn.Module
        Any network but TorchScript; it is not changed.
    paths : sequence of str, optional
        Layers to replace; all that `convertible` gives by default.

    Returns
    -------
    copy : torch.nn.Module
        The converted network.
    paths : tuple of str
        The layers that were replaced.

    Raises
    ------
    NetworkError
        If there is no such layer at a path, or nothing says how many axes a GroupNorm works on.

    Examples
    --------
    >>> copy, paths = renormalize(nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4)))
    >>> type(copy[1]).__name__, paths
    ('BatchRenorm', ('1',))
    """
    chosen = convertible(module) if paths is None else tuple(paths)
    return _replaced(module, chosen, _as_batch_renorm), chosen


def freeze(module: nn.Module, paths: Sequence[str]) -> nn.Module:
    """Return a copy of a network some of whose normalization layers are BatchNorm, of the same weights.

    In evaluation such a layer is local: it uses the running statistics that it holds, which have to be set
    before the network is of use.

    Parameters
    ----------
    module : torch.nn.Module
        Any network but TorchScript; it is not changed.
    paths : sequence of str
        Layers to replace, among those that `convertible` gives.

    Raises
    ------
    NetworkError
        As `renormalize`.

    Examples
    --------
    >>> copy = freeze(nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4)), ["1"])
    >>> type(copy[1]).__name__, copy[1].affine
    ('BatchNorm2d', False)
    """
    return _replaced(module, paths, _as_batch_norm)


def _replaced(
    module: nn.Module, paths: Sequence[str], made: Callable[[Any, nn.Module], nn.Module]
) -> nn.Module:
    """Return a copy of a network in which other layers of the same weights are in place of some."""
    known = convertible(module)
    unknown = [path for path in paths if path not in known]
    if unknown:
        raise NetworkError(
            f"There is no normalization layer {', '.join(unknown)} to replace; there are "
            f"{', '.join(known) or 'none'}."
        )
    return _copy_with(module, paths, made)


def as_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy of a network with BatchNorm in place of batch renormalization, for programs without it.

    In evaluation it is the same to the bit; names and values of weights and statistics are the same, too.

    Parameters
    ----------
    module : torch.nn.Module
        Any network but TorchScript; it is not changed.
    """
    paths = [path for path, layer in module.named_modules() if isinstance(layer, BatchRenorm)]
    return _copy_with(module, paths, _as_batch_norm)


def _copy_with(
    module: nn.Module, paths: Sequence[str], made: Callable[[Any, nn.Module], nn.Module]
) -> nn.Module:
    copy = deepcopy(module)
    for path in paths:
        former = copy.get_submodule(path)
        layer = _with_weights_of(former, made(former, module))
        if not path:
            return layer
        parent, _, attribute = path.rpartition(".")
        setattr(copy.get_submodule(parent), attribute, layer)
    return copy


def _as_batch_renorm(layer: Any, network: nn.Module) -> nn.Module:
    return BatchRenorm(_channels_of(layer), _ndim_of(layer, network), eps=float(layer.eps))


def _as_batch_norm(layer: Any, network: nn.Module) -> nn.Module:
    kind = BATCH_NORMS[_ndim_of(layer, network)]
    affine = layer.weight is not None
    return kind(_channels_of(layer), eps=float(layer.eps), momentum=MOMENTUM, affine=affine)


def _channels_of(layer: Any) -> int:
    return int(layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features)


def _with_weights_of(layer: nn.Module, made: nn.Module) -> nn.Module:
    """Return a new layer with the weights and statistics of the former, as far as that has some."""
    like = next(iter(layer.state_dict().values()), None)
    if like is not None:
        made = made.to(like.device)
    # Where a layer has weights or statistics, they go by the same names.
    made.load_state_dict(layer.state_dict(), strict=False)
    fixed = any(True for _ in layer.parameters()) and not any(
        each.requires_grad for each in layer.parameters()
    )
    return made.train(layer.training).requires_grad_(not fixed)


def _ndim_of(layer: nn.Module, network: nn.Module) -> int:
    """Return the spatial axes that a layer works on, by its class or by the network's convolutions."""
    if isinstance(layer, BatchRenorm):
        return layer.ndim
    for known in (BATCH_NORMS, INSTANCE_NORMS):
        for ndim, kind in known.items():
            if isinstance(layer, kind):
                return ndim
    counted = Counter(
        len(each.kernel_size) for each in network.modules() if isinstance(each, _ConvNd)
    ).most_common(1)
    if not counted:
        raise NetworkError(
            f"A {type(layer).__name__} layer does not say how many axes it works on, and the network has no "
            "convolution that does. Convert a network of convolutions."
        )
    return counted[0][0]


def renorm_layers(module: nn.Module) -> Iterator[BatchRenorm]:
    """Return all batch renormalization layers of a network, in its own order."""
    return (layer for layer in module.modules() if isinstance(layer, BatchRenorm))


def freeze_statistics(module: nn.Module) -> None:
    """Freeze the running statistics of all batch renormalization layers of a network, in training, too."""
    for layer in renorm_layers(module):
        layer.momentum = 0.0


def set_limits(module: nn.Module, r_max: float, d_max: float) -> None:
    """Let all batch renormalization layers of a network correct up to these limits."""
    for layer in renorm_layers(module):
        layer.r_max, layer.d_max = r_max, d_max
