#!/usr/bin/env bash
# tifffile 2026.4.11 with zarr 3.4.2, which its requirements (zarr >= 3.1.5) allow: opening `aszarr()` of any file fails with
# "zarr 3.4.2 < 3 is not supported". With tifffile 2026.6.1 the same works. Expected: a bound above, or that it works.
for pair in "2026.4.11 fails" "2026.6.1 works"; do
    read -r version expected <<<"$pair"
    (
        source "$(dirname "$0")/_environment.sh" "tifffile==$version" zarr==3.4.2 numpy
        "$python" - "$expected" <<'PY'
import sys

import numpy, tifffile, zarr

tifffile.imwrite("plain.tif", numpy.arange(64 * 64, dtype="u2").reshape(64, 64), tile=(16, 16))
try:
    with tifffile.TiffFile("plain.tif") as file:
        total = int(zarr.open(file.series[0].aszarr(), mode="r")[:].sum())
    seen = "works"
except Exception as error:
    total, seen = f"{type(error).__name__}: {error}", "fails"
print(f"tifffile {tifffile.__version__}, zarr {zarr.__version__}: {seen} ({total})")
assert seen == sys.argv[1]
PY
    )
done
