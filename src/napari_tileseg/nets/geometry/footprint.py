"""How far the windows of a network can look, recorded from the operations that it runs.

Probes see where a change arrives. A layer whose taps lie further apart than a probed image is long lets
nothing arrive, and looks as if it were not there. Its arguments say how far it looks: this module follows
them from the image to the last feature map, TorchScript's operations as well as those of Python code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_tileseg._types import Shape
from napari_tileseg.nets.geometry.runner import Runner

#: Image voxels before, and after, and between two voxels of a feature map, along one axis.
_Look: TypeAlias = tuple[Fraction, Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the windows of a network make of space; zeros and ones where nothing of it is known.

    Parameters
    ----------
    reach : tuple of int
        Along each axis, voxels to one side that an output can look at through windows, or some more.
    stride : tuple of int
        Along each axis, least common multiple of the voxels between two positions of a feature map.
    """

    reach: Shape
    stride: Shape


def footprint(runner: Runner, shape: Shape) -> Footprint:
    """Follow the windows of a network while it runs once.

    Parameters
    ----------
    runner : Runner
        The network.
    shape : tuple of int
        A spatial shape that it accepts.
    """
    recorder = _Recorder(len(shape))
    values = runner.noise(shape)
    recorder.start(values)
    try:
        with torch.no_grad(), recorder:
            output = runner.module(values)
    except Exception:  # noqa: BLE001 - it runs by itself; whatever does not suit the recording is not recorded
        return Footprint((0,) * len(shape), (1,) * len(shape))
    return recorder.footprint(output)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps, for each tensor that comes of the image, how far its voxels look."""

    def __init__(self, ndim: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._looks: dict[int, tuple[_Look, ...]] = {}
        # A number stands for a tensor only as long as that lives.
        self._held: list[torch.Tensor] = []
        self._strides = [1] * ndim

    def start(self, image: torch.Tensor) -> None:
        nothing = Fraction(0)
        self._note(image, ((nothing, nothing, Fraction(1)),) * len(self._strides))

    def footprint(self, output: Any) -> Footprint:
        known = self._of(tree_leaves(output))
        reach = tuple(ceil(max(before, after, Fraction(0))) for before, after, _ in known or ())
        return Footprint(reach or (0,) * len(self._strides), tuple(self._strides))

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        looks = self._of(tree_leaves((args, kwargs)))
        if looks is not None:
            named = {each.name: value for each, value in zip(func._schema.arguments, args, strict=False)}
            results = [each for each in tree_leaves(outputs) if isinstance(each, torch.Tensor)]
            looks = self._through(str(func), named | kwargs, results, looks)
            for each in results:
                self._note(each, looks)
        return outputs

    def _note(self, tensor: torch.Tensor, looks: tuple[_Look, ...]) -> None:
        self._looks[id(tensor)] = looks
        self._held.append(tensor)

    def _of(self, leaves: Iterable[Any]) -> tuple[_Look, ...] | None:
        """Return the widest look of some tensors, and the widest distance; None if none is of the image."""
        known = [self._looks[id(each)] for each in leaves if id(each) in self._looks]
        return tuple(_widest(axis) for axis in zip(*known, strict=True)) if known else None

    def _through(
        self, name: str, call: dict[str, Any], results: Sequence[torch.Tensor], looks: tuple[_Look, ...]
    ) -> tuple[_Look, ...]:
        source = next((value for value in call.values() if isinstance(value, torch.Tensor)), None)
        if source is None or not results:
            return looks
        windows = _windows(name, call, source, results[0])
        # Operations of fewer axes treat those before as samples; those of more have axes of their own before.
        taken = windows[max(0, len(windows) - len(looks)) :]
        untouched = looks[: len(looks) - len(taken)]
        through = tuple(step(look) for step, look in zip(taken, looks[len(untouched) :], strict=True))
        for axis, (_, _, apart) in enumerate((*untouched, *through)):
            if apart.denominator == 1:
                self._strides[axis] = lcm(self._strides[axis], int(apart))
        return (*untouched, *through)


def _widest(looks: Sequence[_Look]) -> _Look:
    before, after, apart = (max(each) for each in zip(*looks, strict=True))
    return before, after, apart


@dataclass(frozen=True, slots=True)
class _Window:
    """A window of an operation along one axis, as it looks from the voxels of its result.

    Parameters
    ----------
    before, after : Fraction
        Voxels of the source.
    step : Fraction
        Voxels of the source between two of the result.
    """

    before: Fraction
    after: Fraction
    step: Fraction

    def __call__(self, look: _Look) -> _Look:
        before, after, apart = look
        return before + self.before * apart, after + self.after * apart, apart * self.step


def _windows(
    name: str, call: dict[str, Any], source: torch.Tensor, result: torch.Tensor
) -> tuple[_Window, ...]:
    if name.startswith(("aten.convolution", "aten._convolution")):
        return _of_convolution(call)
    if name.startswith(("aten.max_pool", "aten.avg_pool", "aten.im2col")):
        return _of_pooling(call, source.dim() - 2)
    if name.startswith(("aten.constant_pad", "aten.reflection_pad", "aten.replication_pad")):
        pads = call.get("pad") or call["padding"]
        return tuple(_looking(1, 1, before) for before in pads[-2::-2])
    if name.startswith(("aten.upsample", "aten._upsample")):
        return _of_resizing(source, result, aside=0 if "nearest" in name else 2 if "cubic" in name else 1)
    return ()


def _of_convolution(call: dict[str, Any]) -> tuple[_Window, ...]:
    size = tuple(call["weight"].shape[2:])
    axes = zip(size, call["stride"], call["padding"], call["dilation"], strict=True)
    if not call["transposed"]:
        return tuple(_looking(taps, step, pad, apart) for taps, step, pad, apart in axes)
    return tuple(
        _Window(Fraction((taps - 1) * apart - pad, step), Fraction(pad, step), Fraction(1, step))
        for taps, step, pad, apart in axes
    )


def _looking(taps: int, step: int, pad: int, apart: int = 1) -> _Window:
    return _Window(Fraction(pad), Fraction((taps - 1) * apart - pad), Fraction(step))


def _of_pooling(call: dict[str, Any], ndim: int) -> tuple[_Window, ...]:
    size = _spread(call["kernel_size"], ndim)
    step, pad = _spread(call.get("stride") or size, ndim), _spread(call.get("padding") or 0, ndim)
    apart = _spread(call.get("dilation") or 1, ndim) if "dilation" in call else (1,) * ndim
    return tuple(_looking(*each) for each in zip(size, step, pad, apart, strict=True))


def _spread(value: Any, ndim: int) -> Shape:
    """Return one number for each axis, as torch spreads them."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * ndim if len(values) == 1 else values


def _of_resizing(source: torch.Tensor, result: torch.Tensor, aside: int) -> tuple[_Window, ...]:
    """Return resizing by whole factors; what is a little larger or smaller is stretched, and stays."""
    factors = (Fraction(a, b) for a, b in zip(source.shape[2:], result.shape[2:], strict=True))
    steps = (Fraction(1, round(1 / each)) if each < 1 else Fraction(round(each)) for each in factors)
    return tuple(_Window(Fraction(aside), Fraction(aside), step) for step in steps)
