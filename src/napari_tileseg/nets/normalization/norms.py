"""Normalization layers by name, and batch renormalization for any number of axes."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    steps of the optimizer. Statistics are kept as mean and unbiased *variance* without `eps`, under the names
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
