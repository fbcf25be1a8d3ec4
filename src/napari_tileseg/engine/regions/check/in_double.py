"""Running a network in float64 even where its code asks for float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Functions that make floating numbers in the default format where none is asked for.
_MAKERS = (torch.linspace, torch.zeros, torch.ones, torch.full)


class InDouble(TorchFunctionMode):
    """While it is entered, float32 that is asked for becomes float64; in this thread alone.

    A network compared in float64 would otherwise be off by the rounding of a part of it, which hides whether
    a rule is right.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make a call in float64."""
        del types
        given = {name: _doubled(value) for name, value in (kwargs or {}).items()}
        if func in _MAKERS or (func is torch.arange and any(isinstance(each, float) for each in args)):
            given.setdefault("dtype", torch.float64)
        instead = Tensor.double if func is Tensor.float else func
        return instead(*map(_doubled, args), **given)


def _doubled(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
