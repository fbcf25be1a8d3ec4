"""Runs of a network that compute no convolution, to learn which shapes it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from napari_tileseg._types import Shape


class Hollow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, convolutions and normalizations give tensors of the right shape and any numbers.

    All else is run, and refuses what it refuses. The meta device would do the same; but it computes shapes in
    Python, which takes as long as a small image, and imports a compiler.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and to say so would import the compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        shape: Shape | None = None
        if name in _SHAPES:
            given = {each.name: each.default_value for each in func._schema.arguments}
            named = dict(zip(given, args, strict=False))
            shape = _SHAPES[name](given | named | kwargs)
        return func(*args, **kwargs) if shape is None else args[0].new_empty(shape)


def _convolved(call: dict[str, Any]) -> Shape | None:
    """Return the shape that a convolution gives; None where it has to say so, or refuses, itself."""
    source, weight = call["input"], call["weight"]
    if isinstance(call["padding"], str) or source.dim() != weight.dim():
        return None
    if source.shape[1] != weight.shape[1] * call["groups"]:
        return None
    sizes = tuple(
        (n + 2 * pad - apart * (taps - 1) - 1) // step + 1
        for n, taps, step, pad, apart in _axes(call, ("stride", "padding", "dilation"))
    )
    return (source.shape[0], weight.shape[0], *sizes) if min(sizes) > 0 else None


def _transposed(call: dict[str, Any]) -> Shape | None:
    """As `_convolved`, of a transposed convolution."""
    source, weight = call["input"], call["weight"]
    if source.dim() != weight.dim() or source.shape[1] != weight.shape[0]:
        return None
    sizes = tuple(
        (n - 1) * step - 2 * pad + apart * (taps - 1) + more + 1
        for n, taps, step, pad, apart, more in _axes(
            call, ("stride", "padding", "dilation", "output_padding")
        )
    )
    return (source.shape[0], weight.shape[1] * call["groups"], *sizes) if min(sizes) > 0 else None


def _axes(call: dict[str, Any], names: Sequence[str]) -> Any:
    """Return voxels, taps and the numbers of those names for each axis."""
    ndim = call["input"].dim() - 2
    numbers = ([*call[name]] * ndim if len(call[name]) == 1 else call[name] for name in names)
    return zip(call["input"].shape[2:], call["weight"].shape[2:], *numbers, strict=True)


def _same(call: dict[str, Any]) -> Shape | None:
    source, weight = call["input"], call["weight"]
    fits = weight is None or (source.dim() > 1 and weight.shape == source.shape[1:2])
    return tuple(source.shape) if fits else None


_SHAPES = {
    **{f"conv{n}d": _convolved for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _transposed for n in (1, 2, 3)},
    **dict.fromkeys(("batch_norm", "instance_norm", "group_norm"), _same),
}
