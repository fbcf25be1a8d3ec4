"""Three-dimensional convolutions of one sample on the CPU, as fast as those of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@final
class HalvedConvolutions(TorchFunctionMode):
    """Within this context, a 3D convolution of one sample is that of its two halves at once.

    For one sample of up to 20480 values without the last axis, PyTorch leaves oneDNN for a convolution by
    unfolding, which takes about four times as long. As two samples (which overlap by what the kernel
    needs) the same sample goes through oneDNN. The result is the same but for rounding, gradients
    included, and the network's code need not know.

    Examples
    --------
    >>> convolve = torch.nn.Conv3d(2, 3, 3, padding=1)
    >>> values = torch.rand(1, 2, 8, 6, 6)
    >>> with HalvedConvolutions():
    ...     halved = convolve(values)
    >>> torch.allclose(halved, convolve(values), atol=1e-5)
    True
    """

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Let all other functions be as they are."""
        del types
        if func is torch.conv3d and len(args) == 7 and not kwargs and _can_halve(*args):
            values, weight, bias, _, padding, dilation, _ = args
            return _halved(values, weight, bias, padding, dilation)
        return func(*args, **(kwargs or {}))


def _can_halve(
    values: Tensor, weight: Tensor, _: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> bool:
    usual = values.device.type == "cpu" and values.dtype == torch.float32 and values.shape[0] == 1
    if not usual or isinstance(padding, str) or groups != 1 or any(step != 1 for step in stride):
        return False
    length = values.shape[2] + 2 * padding[0] - dilation[0] * (weight.shape[2] - 1)
    return values.dim() == 5 and length > 0 and length % 2 == 0


def _halved(values: Tensor, weight: Tensor, bias: Tensor | None, padding: Any, dilation: Any) -> Tensor:
    padded = functional.pad(values, (0, 0, 0, 0, padding[0], padding[0])) if padding[0] else values
    reach = dilation[0] * (weight.shape[2] - 1)
    half = (padded.shape[2] - reach) // 2
    both = torch.cat((padded[:, :, : half + reach], padded[:, :, half:]))
    result = torch.conv3d(both, weight, bias, 1, (0, *padding[1:]), dilation)
    return torch.cat((result[:1], result[1:]), dim=2)
