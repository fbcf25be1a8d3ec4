"""Running a network, only to learn its geometry."""

from __future__ import annotations

import torch

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.nets.resting import copied

#: How TorchScript begins its words; what went wrong stands in their last line.
_TORCHSCRIPT = "The following operation failed"


class Runner:
    """A private copy of a network, in eval mode, fed with noise.

    Parameters
    ----------
    module : torch.nn.Module
        The network, TorchScript included. It is copied, and never changed.
    channels : int
        Channels that it takes.

    Attributes
    ----------
    resized : dict of tuple to tuple
        Spatial shapes to which it has answered with another, and that.
    refusal : str
        Its error message for the last input that it refused.
    """

    def __init__(self, module: torch.nn.Module, channels: int) -> None:
        self.module = copied(module).eval()
        self.channels = channels
        self.resized: dict[Shape, Shape] = {}
        self.refusal = ""
        weights = [*self.module.parameters(), *self.module.buffers()]
        floats = [weight for weight in weights if weight.is_floating_point()]
        self.dtype = floats[0].dtype if floats else torch.float32
        self.device = floats[0].device if floats else torch.device("cpu")

    @property
    def weights(self) -> int:
        """Numbers in its parameters."""
        return sum(weight.numel() for weight in self.module.parameters())

    def noise(self, shape: Shape) -> torch.Tensor:
        """Return normal noise ``(1, channels, *shape)``; the same at every call."""
        generator = torch.Generator().manual_seed(20251101)
        values = torch.randn((1, self.channels, *shape), generator=generator, dtype=torch.float64)
        return values.to(self.device, self.dtype)

    def run(self, values: torch.Tensor) -> torch.Tensor:
        """Return the output of the network, which may write to its input."""
        with torch.inference_mode():
            return only_tensor(self.module(values.clone()))

    def in_double(self, shape: Shape) -> Runner:
        """Runner in float64, if the network then still takes `shape`; some TorchScript does not."""
        precise = Runner(self.module, self.channels)
        precise.module.double()
        precise.dtype = torch.float64
        return precise if precise.size_of_output(shape) == shape else self

    def size_of_output(self, shape: Shape) -> Shape | None:
        """Return the spatial shape of the output for an input of `shape`; None where the network refuses it.

        Raises
        ------
        NetworkError
            If the output is not one tensor of (batch, classes, *space).
        """
        values = self.noise(shape)
        try:
            output = self.run(values)
        except NetworkError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a network's own code runs into is its refusal
            self.refusal = _words(error)
            return None
        if output.dim() != values.dim() or len(output) != 1:
            raise NetworkError(
                "The network should give (batch, classes, *space); for an input of "
                f"{by_axis(values.shape)} it gives {by_axis(output.shape)}. Wrap it so that "
                "its output has an "
                "axis of channels, also where there is one, and the input's other axes."
            )
        size = tuple(output.shape[2:])
        if size != shape:
            self.resized[shape] = size
        return size


def check_finite(values: torch.Tensor) -> None:
    """Raise `NetworkError` where a network gives something other than numbers."""
    if not bool(values.isfinite().all()):
        raise NetworkError(
            "The network should give finite values for plain noise; it gives NaN or infinity. Its "
            "weights or running statistics are broken: check the file, or train again."
        )


def check_numbers(module: torch.nn.Module, shape: Shape, channels: int) -> None:
    """Raise `NetworkError` where a network at rest gives something other than numbers for noise."""
    generator = torch.Generator().manual_seed(20251101)
    with torch.inference_mode():
        check_finite(only_tensor(module(torch.randn((1, channels, *shape), generator=generator))))


def _words(error: Exception) -> str:
    """Return what a network says of an input, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines and lines[0].startswith(_TORCHSCRIPT) else reason_of(error)
