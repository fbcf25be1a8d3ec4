#!/usr/bin/env bash
# torch 2.13 exports a network that makes coordinates along an axis of any length by torch.linspace without a
# complaint, and the exported program has the number of coordinates of the example as a constant: for images of
# another size it stops, though the size was declared to be free. torch.arange over the same length stays free.
source "$(dirname "$0")/_environment.sh" "torch==2.13.0" "numpy==2.4.6"
"$python" - <<'PYTHON'
import torch
from torch import nn
from torch.export import Dim, export


class ByLinspace(nn.Module):
    def forward(self, x):
        return x + torch.linspace(0, 1, x.shape[-1])


class ByArange(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[-1]) / (x.shape[-1] - 1)


def lengths(module, dim):
    """Export for any length, and try the program on lengths other than the example's."""
    try:
        program = export(module, (torch.zeros(1, 10),), dynamic_shapes=({1: dim},), strict=False).module()
    except Exception as error:
        return f"export refuses: {type(error).__name__}"
    found = {}
    for length in (10, 13):
        try:
            found[length] = tuple(program(torch.zeros(1, length)).shape)
        except Exception as error:
            found[length] = type(error).__name__
    return found


print("torch", torch.__version__)
found = {
    (module.__name__, name): lengths(module(), dim)
    for module in (ByLinspace, ByArange)
    for name, dim in (("AUTO", Dim.AUTO), ("DYNAMIC", Dim.DYNAMIC))
}
for key, each in found.items():
    print(*key, each)
assert found["ByArange", "AUTO"] == {10: (1, 10), 13: (1, 13)}
assert found["ByLinspace", "AUTO"][13] != (1, 13)
PYTHON
