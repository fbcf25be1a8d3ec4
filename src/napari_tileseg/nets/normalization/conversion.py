"""Any network with batch renormalization in place of its normalization layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.normalization.norms import BATCH_NORMS, INSTANCE_NORMS, BatchRenorm


def convertible(module: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers that `renormalize` replaces, in order; "" is the network itself.

    These are BatchNorm, InstanceNorm (with and without running statistics) and GroupNorm layers of PyTorch.
    """
    kinds = (_BatchNorm, _InstanceNorm, nn.GroupNorm)
    return tuple(path for path, layer in module.named_modules() if isinstance(layer, kinds))


def renormalize(module: nn.Module, paths: Sequence[str] | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a copy of a network whose normalization layers are batch renormalization, weights kept.

    A layer without weights gets them, as 1 and 0, so that it can learn. Running statistics are kept
    where there are any; elsewhere they are those of a fresh layer, and have to be measured before the
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
    known = convertible(module)
    chosen = known if paths is None else tuple(paths)
    unknown = [path for path in chosen if path not in known]
    if unknown:
        raise NetworkError(
            f"There is no normalization layer {', '.join(unknown)} to replace; there are "
            f"{', '.join(known) or 'none'}."
        )
    copy = deepcopy(module)
    for path in chosen:
        layer = _as_batch_renorm(copy.get_submodule(path), module)
        if not path:
            return layer, chosen
        parent, _, attribute = path.rpartition(".")
        setattr(copy.get_submodule(parent), attribute, layer)
    return copy, chosen


def _as_batch_renorm(layer: Any, network: nn.Module) -> BatchRenorm:
    channels = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
    renormalized = BatchRenorm(int(channels), _ndim_of(layer, network), eps=float(layer.eps))
    like = next(iter(layer.state_dict().values()), None)
    if like is not None:
        renormalized = renormalized.to(like.device)
    # Where a layer has weights or statistics, they go by the same names.
    renormalized.load_state_dict(layer.state_dict(), strict=False)
    frozen = any(True for _ in layer.parameters()) and not any(
        each.requires_grad for each in layer.parameters()
    )
    return renormalized.train(layer.training).requires_grad_(not frozen)


def _ndim_of(layer: nn.Module, network: nn.Module) -> int:
    """Return the spatial axes that a layer works on, by its class or by the network's convolutions."""
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


def keep_statistics(module: nn.Module) -> None:
    """Let all batch renormalization layers of a network keep their running statistics in training."""
    for layer in renorm_layers(module):
        layer.momentum = 0.0


def set_limits(module: nn.Module, r_max: float, d_max: float) -> None:
    """Let all batch renormalization layers of a network correct up to these limits."""
    for layer in renorm_layers(module):
        layer.r_max, layer.d_max = r_max, d_max
