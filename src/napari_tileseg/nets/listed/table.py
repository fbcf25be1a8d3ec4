"""The table of functions that a network's file may name; there are no others."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from napari_tileseg.errors import NetworkError

#: Functions of ``torch.ops.aten``, all of which compute from what they are given and do nothing else.
_NAMES = """
conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution linear matmul mm bmm
addmm baddbmm scaled_dot_product_attention batch_norm instance_norm group_norm layer_norm
native_group_norm native_layer_norm rms_norm _native_batch_norm_legit_no_training relu relu_ relu6
relu6_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu silu_ mish mish_ hardswish
hardswish_ hardsigmoid hardsigmoid_ hardtanh hardtanh_ prelu _prelu_kernel softplus sigmoid sigmoid_
tanh tanh_ softmax _softmax log_softmax _log_softmax log_sigmoid threshold threshold_ clamp clamp_
clamp_min clamp_min_ clamp_max clamp_max_ glu dropout dropout_ feature_dropout
feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout feature_alpha_dropout_
max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices
avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d
upsample_trilinear3d upsample_bicubic2d pixel_shuffle pixel_unshuffle channel_shuffle cat concat stack
slice select narrow split split_with_sizes chunk unbind index_select pad constant_pad_nd
reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
view reshape _unsafe_view flatten unflatten permute transpose t contiguous unsqueeze squeeze expand
expand_as repeat movedim swapaxes flip roll clone alias detach detach_ lift_fresh_copy to _to_copy
type_as add add_ sub sub_ mul mul_ div div_ rsub pow sqrt rsqrt exp log log1p neg abs square reciprocal
sin cos erf floor ceil round sign minimum maximum fmod remainder where masked_fill eq ne lt le gt ge
logical_and logical_or logical_not mean sum amax amin max min var std var_mean linalg_vector_norm zeros
ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace scalar_tensor
sym_size
"""
_ATEN = frozenset(_NAMES.split())
#: Checks of sizes and types that an export leaves behind; they compute nothing.
CHECKS = frozenset(
    {
        "aten._assert_scalar.default",
        "aten._assert_tensor_metadata.default",
        "aten._assert_async.msg",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
    }
)
#: Whole numbers that a size goes to at most, so that no chain of products grows without end.
_FARTHEST = 2**53
#: Arguments of functions that say where tensors lie, which is where the image lies.
LYING = frozenset({"device", "layout", "pin_memory", "memory_format", "non_blocking"})


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    def of_sizes(a: Any, b: Any) -> Any:
        """Return the result, unless it goes too far."""
        result = function(a, b)
        if isinstance(result, (int, float)) and abs(result) > _FARTHEST:
            raise ValueError(f"a size goes beyond {_FARTHEST}")
        return result

    return of_sizes


#: Arithmetic on sizes, with the arguments ``a`` and ``b``.
_OF_SIZES: Mapping[str, Callable[..., Any]] = {
    "size.add": _bounded(operator.add),
    "size.sub": _bounded(operator.sub),
    "size.mul": _bounded(operator.mul),
    "size.floordiv": _bounded(operator.floordiv),
    "size.truediv": _bounded(operator.truediv),
    "size.mod": _bounded(operator.mod),
    "size.max": _bounded(torch.sym_max),
    "size.min": _bounded(torch.sym_min),
    "size.neg": operator.neg,
    "size.int": torch.sym_int,
    "size.getitem": operator.getitem,
    **{f"size.{name}": getattr(operator, name) for name in ("ge", "le", "gt", "lt", "eq", "ne")},
}


def is_known(function: str) -> bool:
    """Return whether the table has a function of that name."""
    if function in _OF_SIZES:
        return True
    family, _, rest = function.partition(".")
    name, _, overload = rest.partition(".")
    if family != "aten" or name not in _ATEN:
        return False
    packet = getattr(torch.ops.aten, name)
    return overload in packet.overloads() and not any(each.is_out for each in _arguments(packet, overload))


def _arguments(packet: Any, overload: str) -> tuple[Any, ...]:
    return tuple(getattr(packet, overload)._schema.arguments)


@cache
def function_of(function: str) -> Callable[..., Any]:
    """Return the function of a name.

    Raises
    ------
    NetworkError
        If the table has none.
    """
    if not is_known(function):
        raise NetworkError(f"the operation {function[:80]} is not one of those that are carried out here")
    if function in _OF_SIZES:
        return _OF_SIZES[function]
    _, name, overload = function.split(".")
    found: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload)
    return found


@cache
def schema_of(function: str) -> Mapping[str, Any]:
    """Return the parameters of a function of ``torch.ops.aten`` by name; none for arithmetic on sizes."""
    schema = getattr(function_of(function), "_schema", None)
    return {} if schema is None else {each.name: each for each in schema.arguments}
