#!/usr/bin/env bash
# ome-zarr 0.21.0: `ome_zarr.writer.write_image` writes OME-Zarr 0.5, `OMEZarrMultiscale.to_ome_zarr` of the same release
# writes 0.6, in which `axes` are gone. Expected: one default. A reader that knows 0.5 alone opens half of its files.
source "$(dirname "$0")/_environment.sh" ome-zarr==0.21.0 zarr==3.4.2
"$python" - <<'PY'
import json
from pathlib import Path

import numpy
from ome_zarr import OMEZarrImage, OMEZarrMultiscale
from ome_zarr.writer import write_image

voxels = numpy.zeros((4, 64, 64), "u2")
write_image(voxels, "function.zarr", axes="zyx")
OMEZarrMultiscale(OMEZarrImage(voxels, axes="zyx"), scale_factors=[2]).to_ome_zarr("class.zarr")
seen = {}
for name in ("function", "class"):
    ome = json.loads(Path(f"{name}.zarr/zarr.json").read_text())["attributes"]["ome"]
    first = ome["multiscales"][0]
    kinds = [each["type"] for each in first["datasets"][0]["coordinateTransformations"]]
    seen[name] = ome["version"], "axes" in first, kinds
    print(f"{name}: version {ome['version']}, has axes: {'axes' in first}, a level has {kinds}")
assert seen["function"] == ("0.5", True, ["scale", "translation"])
assert seen["class"][:2] == ("0.6", False)
PY
