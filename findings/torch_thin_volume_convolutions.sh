#!/usr/bin/env bash
# torch 2.13 convolves a float32 volume on a processor by oneDNN only where batch x channels x planes x rows is more than
# 20,480, however many columns there are. One plane less, and its own code takes over, which needs many times as long for
# less work. torch.mkldnn_convolution computes the same, in a fraction of the time.
source "$(dirname "$0")/_environment.sh" "torch==2.13.0" "numpy==2.4.6"
"$python" - <<'PYTHON'
import time

import torch
from torch.nn import functional


def seconds(call):
    call()
    found = []
    for _ in range(5):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return min(found)


def measured(planes):
    """Seconds of a convolution of so many planes by either, and by how much they differ."""
    value, weight, bias = torch.randn(1, 32, planes, 192, 192), torch.randn(32, 32, 3, 3, 3), torch.randn(32)
    ones, none = [1, 1, 1], [0, 0, 0]

    def usual():
        return functional.conv3d(value, weight, bias)

    def by_onednn():
        return torch.mkldnn_convolution(value, weight, bias, none, ones, ones, 1)

    with torch.inference_mode():
        first, second = usual(), by_onednn()
        apart = float((first - second).abs().max() / first.abs().max())
        return seconds(usual), seconds(by_onednn), apart


torch.set_num_threads(2)
print("torch", torch.__version__, "oneDNN", torch.backends.mkldnn.is_available())
found = {planes: measured(planes) for planes in (3, 4)}
for planes, (usual, by_onednn, apart) in found.items():
    print(f"{32 * planes * 192} conv3d {usual:.4f} s, oneDNN {by_onednn:.4f} s, apart {apart:.1e}")
assert found[3][0] > 3 * found[3][1] and found[3][0] > found[4][0]
assert found[4][0] < 2 * found[4][1] and found[3][2] < 1e-5
PYTHON
