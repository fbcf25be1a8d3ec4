"""Running a network, only to learn its geometry."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError

#: What networks raise when a shape does not suit them; anything else is a fault of the network.
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError)


def only_tensor(output: Any) -> torch.Tensor:
    """The one tensor that a network gives, bare or as the only entry of a list or tuple.

    Raises
    ------
    NetworkError
        If it gives anything else.
    """
    while isinstance(output, (list, tuple)) and len(output) == 1:
        output = output[0]
    if not isinstance(output, torch.Tensor):
        raise NetworkError(
            "The network should give one tensor of (batch, classes, *space); it gives "
            f"{_named(output)}. Wrap it so that it gives its main output alone."
        )
    return output


def _named(output: Any) -> str:
    kind = type(output).__name__
    return f"a {kind} of {len(output)}" if isinstance(output, (list, tuple, dict)) else f"a {kind}"


class Runner:
    """A private copy of a network, in eval mode, fed with noise.

    Parameters
    ----------
    module : torch.nn.Module
        The network, TorchScript included. It is copied, and never changed.
    channels : int
        Channels that it takes.
    """

    def __init__(self, module: torch.nn.Module, channels: int) -> None:
        with torch.no_grad():  # or the copies of TorchScript's weights would be no leaves
            self.module = deepcopy(module).eval()
        self.channels = channels
        weights = [*self.module.parameters(), *self.module.buffers()]
        floats = [weight for weight in weights if weight.is_floating_point()]
        self.dtype = floats[0].dtype if floats else torch.float32
        self.device = floats[0].device if floats else torch.device("cpu")

    def noise(self, shape: Shape) -> torch.Tensor:
        """Normal noise ``(1, channels, *shape)``; the same at every call."""
        generator = torch.Generator().manual_seed(20251101)
        values = torch.randn((1, self.channels, *shape), generator=generator, dtype=torch.float64)
        return values.to(self.device, self.dtype)

    def run(self, values: torch.Tensor) -> torch.Tensor:
        """Output of the network, which may write to its input."""
        with torch.inference_mode():
            return only_tensor(self.module(values.clone()))

    def in_double(self, shape: Shape) -> Runner:
        """Runner in float64, if the network then still takes `shape`; some TorchScript does not."""
        precise = Runner(self.module, self.channels)
        precise.module.double()
        precise.dtype = torch.float64
        return precise if precise.size_of_output(shape) == shape else self

    def size_of_output(self, shape: Shape) -> Shape | None:
        """Spatial shape of the output for an input of `shape`; None where the network refuses it."""
        try:
            output = self.run(self.noise(shape))
        except NetworkError:
            raise
        except REFUSALS:
            return None
        return tuple(output.shape[2:])
