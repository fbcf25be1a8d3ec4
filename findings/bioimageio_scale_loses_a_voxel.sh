#!/usr/bin/env bash
# In a model of bioimage.io whose output has the size of its input, and voxels of the same size, that size is computed as
# n * scale / scale in floating point, and cut to a whole number: bioimageio.spec 0.5.12.0 expects 47 voxels out for 48 in, if
# they measure 0.35, 0.7 or 0.95. Sizes in single precision (0.699999988) give 48.
source "$(dirname "$0")/_environment.sh" "bioimageio.spec==0.5.12.0" "pydantic==2.11.10" "numpy==2.4.6"
"$python" -W ignore - <<'PYTHON'
import bioimageio.spec
import numpy as np
from bioimageio.spec.model.v0_5 import (
    AxisId,
    ParameterizedSize,
    SizeReference,
    SpaceInputAxis,
    SpaceOutputAxis,
    TensorId,
)


def voxels_out(scale):
    """Voxels along y that are expected of an output, for the least input."""
    given = SpaceInputAxis(id=AxisId("y"), size=ParameterizedSize(min=48, step=4), scale=scale, unit="micrometer")
    size = SizeReference(tensor_id=TensorId("image"), axis_id=AxisId("y"))
    found = SpaceOutputAxis(id=AxisId("y"), size=size, scale=scale, unit="micrometer")
    return size.get_size(found, given, n=0)


print("bioimageio.spec", bioimageio.spec.__version__)
for scale in (0.5, 0.35, 0.7, 0.95):
    single = float(np.float32(scale))
    print(f"{scale}: {voxels_out(scale)} voxels out for 48; {single}: {voxels_out(single)}")
assert [voxels_out(scale) for scale in (0.5, 0.35, 0.7, 0.95)] == [48, 47, 47, 47]
assert all(voxels_out(float(np.float32(scale))) == 48 for scale in (0.35, 0.7, 0.95))
PYTHON
