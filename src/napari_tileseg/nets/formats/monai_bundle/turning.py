"""Turning a network to our order of axes by its kernels, where it treats all axes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

#: Architectures that do to one axis what they do to another, but for the numbers in their kernels.
_ALIKE = (
    *("basic_unet", "basic_unet_plus_plus", "monai_unet", "dynunet", "segresnet", "segresnet_ds"),
    *("attention_unet", "flexible_unet", "highresnet", "regunet", "vnet"),
)
#: Arguments with an entry for each level, block or layer; other lists of numbers have one for each axis.
_BY_LEVEL = (
    *("channels", "strides", "features", "filters", "blocks_down", "blocks_up", "decoder_channels"),
    *("encode_kernel_sizes", "extract_levels", "layer_params", "dropout_prob_up"),
)
#: Further ones by architecture.
_ALSO_BY_LEVEL = {"dynunet": ("kernel_size", "upsample_kernel_size")}


def is_turned_by_kernels(architecture: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether a network is another one with its axes in another order by its kernels alone.

    Parameters
    ----------
    architecture : str
        Registered name.
    arguments : mapping
        Its arguments, as a bundle states them.
    """
    by_level = (*_BY_LEVEL, *_ALSO_BY_LEVEL.get(architecture, ()))
    return architecture in _ALIKE and all(
        all(map(_is_even, value)) if key in by_level and isinstance(value, list) else _is_even(value)
        for key, value in arguments.items()
    )


def _is_even(value: Any) -> bool:
    """Return whether a value is the same along all axes: no list of numbers that differ, or of lists."""
    if isinstance(value, Mapping):
        # Layers of their own: kernels by layer, and names.
        return all(not isinstance(each, list) or _are_numbers(each) for each in value.values())
    if not isinstance(value, list) or not value or isinstance(value[0], str):
        return True
    return _are_numbers(value) and len({*value}) == 1


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(each, (int, float)) for each in values)


def turn_kernels(module: nn.Module, order: Sequence[int]) -> nn.Module:
    """Bring the kernels of a network into the order of axes here, and return it.

    Parameters
    ----------
    module : torch.nn.Module
        Of what `is_turned_by_kernels`; it is changed.
    order : sequence of int
        Which axis here each of its own is.
    """
    there = (0, 1, *(2 + list(order).index(axis) for axis in range(len(order))))
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == len(there):
                parameter.data = parameter.data.permute(there).contiguous()
    return module
