#!/usr/bin/env bash
# tifffile 2026.11.8, zarr 3.4.2: `levels[0].aszarr()` of a pyramidal series opens as a group that holds all levels, while
# `levels[1].aszarr()` opens as an array. Expected: an array for each level. `aszarr(level=0)` gives the finest as an array.
source "$(dirname "$0")/_environment.sh" tifffile==2026.11.8 zarr==3.4.2 numpy
"$python" - <<'PY'
import numpy, tifffile, zarr

finest = numpy.arange(128 * 128, dtype="u2").reshape(128, 128)
with tifffile.TiffWriter("pyramid.tif") as file:
    file.write(finest, subifds=1, tile=(64, 64))
    file.write(finest[::2, ::2], subfiletype=1, tile=(64, 64))
with tifffile.TiffFile("pyramid.tif") as file:
    series = file.series[0]
    stores = {
        "series.aszarr()": series.aszarr(),
        "series.levels[0].aszarr()": series.levels[0].aszarr(),
        "series.levels[1].aszarr()": series.levels[1].aszarr(),
        "series.aszarr(level=0)": series.aszarr(level=0),
    }
    seen = {name: type(zarr.open(store, mode="r")).__name__ for name, store in stores.items()}
for name, kind in seen.items():
    print(f"{name}: {kind}")
assert list(seen.values()) == ["Group", "Group", "Array", "Array"]
PY
