"""Calls of torch that export cannot follow for images of any size, as others that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Exportable(TorchFunctionMode):
    """While it is entered, calls that export cannot follow become others; in this thread alone."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Make a call, or the one that stands for it."""
        del types
        if func == _DATA:
            return args[0].detach()
        instead: Callable[..., Any] = _linspace if func is torch.linspace else func
        return instead(*args, **(kwargs or {}))


#: What gives a tensor without its history, outside all that is recorded.
_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


def _linspace(start: float, end: float, steps: Any, **kwargs: Any) -> Tensor:
    """Give the same numbers where torch would take their count for a constant."""
    if not isinstance(steps, torch.SymInt):
        return torch.linspace(start, end, steps, **kwargs)
    distances: Any = torch.sym_max(steps - 1, 1)  # type: ignore[no-untyped-call]
    places = torch.arange(0, steps, **{"dtype": torch.get_default_dtype()} | kwargs)  # type: ignore[call-overload]
    numbers: Tensor = places * ((end - start) / distances) + start
    return numbers
