"""A network whose axes lie in another order than here, in a module that turns them there and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Arranged(nn.Module):
    """A network that is given ``(batch, channels, *space)`` in the order of its own axes.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    axes : str
        Axes of space here, such as ``zyx``.
    given, found : str
        Letters of the axes of its input and of its output; those that are neither batch (``b``), channels
        (``c``) nor in `axes` have one entry.
    """

    def __init__(self, network: nn.Module, axes: str, given: str, found: str) -> None:
        super().__init__()
        self.network = network
        self.axes, self.given, self.found = f"bc{axes}", given, found

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``."""
        if "b" in self.given:
            return self._one(x)
        # A network without an axis of batch takes one image at a time.
        return torch.cat([self._one(each[None]) for each in x])

    def _one(self, x: Tensor) -> Tensor:
        present = [letter for letter in self.given if letter in self.axes]
        left = [letter for letter in self.axes if letter not in self.given]
        x = x.permute([self.axes.index(letter) for letter in (*left, *present)])
        x = x.reshape(x.shape[len(left) :]) if left else x
        for at, letter in enumerate(self.given):
            x = x if letter in self.axes else x.unsqueeze(at)
        output: Tensor = self.network(x)
        return self._back(output)

    def _back(self, output: Tensor) -> Tensor:
        letters = list(self.found)
        for at in reversed([at for at, letter in enumerate(letters) if letter not in self.axes]):
            output = output.squeeze(at)
            del letters[at]
        for letter in self.axes:
            if letter not in letters:
                output = output.unsqueeze(0)
                letters.insert(0, letter)
        return output.permute([letters.index(letter) for letter in self.axes])


def is_plain(axes: str, layout: Sequence[str]) -> bool:
    """Return whether a network takes and gives ``(batch, channels, *space)``.

    Parameters
    ----------
    axes : str
        Axes of space here.
    layout : sequence of str
        Letters of the axes of its input and of its output.
    """
    given, found = layout
    return given == found == f"bc{axes}"
