#!/usr/bin/env bash
# MONAI 1.6.1: MedNeXt with norm_type="layer", one of the two that it takes, is built without a
# complaint and then refuses every image: its layer normalization gets the size of the convolution's kernel where
# the channels belong. With norm_type="group" the same image goes through. Expected: that it runs, or an error when
# it is built. PYTHON=python3.11 takes the build of torch without CUDA.
source "$(dirname "$0")/_environment.sh" "torch==2.13.0" "monai==1.6.1" "numpy==2.4.6"
"$python" - <<'PYTHON'
import monai
import torch
from monai.networks.nets import MedNeXt

print("monai", monai.__version__, "torch", torch.__version__)
seen = {}
for norm in ("group", "layer"):
    for size in (32, 64):
        network = MedNeXt(spatial_dims=2, init_filters=8, in_channels=1, out_channels=2, norm_type=norm)
        try:
            seen[norm, size] = tuple(network(torch.zeros(1, 1, size, size)).shape)
        except RuntimeError as error:
            seen[norm, size] = str(error)
        print(norm, size, seen[norm, size])
assert seen["group", 32] == (1, 2, 32, 32)
assert all("normalized_shape=[8, 7, 7]" in seen["layer", size] for size in (32, 64))
PYTHON
