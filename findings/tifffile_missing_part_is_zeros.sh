#!/usr/bin/env bash
# tifffile 2026.11.8: an OME-TIFF of two files, of which one is gone, reads without an error as an image of full size
# whose planes of the missing file are zeros; a record of the log is all that tells. Expected: an error, or a mask.
source "$(dirname "$0")/_environment.sh" tifffile==2026.11.8 numpy
"$python" - <<'PY'
import logging
from pathlib import Path

import numpy, tifffile

records = []
logging.getLogger("tifffile").addHandler(type("Keep", (logging.Handler,), {"emit": lambda _, r: records.append(r)})())
FIRST, SECOND = (f"urn:uuid:0000000{n}-0000-4000-8000-000000000000" for n in (1, 2))
planes = "".join(
    f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="z{z}.ome.tif">{uuid}</UUID></TiffData>'
    for z, uuid in enumerate((FIRST, SECOND))
)
for z, uuid in enumerate((FIRST, SECOND)):
    xml = (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="4" SizeY="3" SizeZ="2" '
        f'SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(f"z{z}.ome.tif", numpy.full((3, 4), 7, "u1"), description=xml, metadata=None)
whole = tifffile.imread("z0.ome.tif")
assert whole.shape == (2, 3, 4) and (whole == 7).all(), whole
records.clear()
Path("z1.ome.tif").unlink()
part = tifffile.imread("z0.ome.tif")
print("both files there:", whole.shape, "values", numpy.unique(whole))
print("one file gone:   ", part.shape, "values by plane", [numpy.unique(plane).tolist() for plane in part])
print("log:", [record.levelname for record in records])
assert part.shape == (2, 3, 4) and (part[0] == 7).all() and (part[1] == 0).all()
assert records
PY
