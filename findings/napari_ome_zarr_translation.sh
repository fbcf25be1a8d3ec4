#!/usr/bin/env bash
# napari-ome-zarr 0.11.0: the reader gives layers with the scale of an OME-Zarr 0.5 image and without its translation, so
# that an image with an origin lies at 0. Expected: `translate` beside `scale`, as the format's transformations say.
source "$(dirname "$0")/_environment.sh" napari-ome-zarr==0.11.0 napari==0.9.2 zarr==3.4.2
"$python" - <<'PY'
import numpy, zarr
from napari_ome_zarr import napari_get_reader

group = zarr.create_group("image.ome.zarr", zarr_format=3)
group.create_array("0", data=numpy.zeros((16, 16), "u1"))
transformations = [{"type": "scale", "scale": [0.5, 0.5]}, {"type": "translation", "translation": [100.0, 200.0]}]
axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
dataset = {"path": "0", "coordinateTransformations": transformations}
group.attrs["ome"] = {"version": "0.5", "multiscales": [{"name": "image", "axes": axes, "datasets": [dataset]}]}
((_, about, _),) = napari_get_reader("image.ome.zarr")("image.ome.zarr")
print({key: about.get(key) for key in ("scale", "translate")})
assert list(about["scale"]) == [0.5, 0.5]
assert about.get("translate") is None
PY
