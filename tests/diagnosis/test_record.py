"""What a project keeps of a diagnosis reads as what was found."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis import diagnose
from napari_tileseg.diagnosis.record import as_record, from_record
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import Box

SMALL = PredictSettings(device="cpu", core=(32, 32))
#: What `Diagnosis.as_dict` has not: projects of earlier versions hold these names.
BESIDE = {"grid", "histogram", "worst_of_class", "largest_of_class", "worst"}


@pytest.fixture(params=["batch", "instance", "labelled"])
def found(request, make_network, picture):
    """Diagnose networks that agree and that do not, without labels and with them."""
    labelled = request.param == "labelled"
    network = make_network("batch" if labelled else request.param)
    voxels = picture.read(Box.of_shape(picture.shape))[0]
    labels = (voxels > 1).astype(np.int32) if labelled else None
    return drain(diagnose(picture, network, SMALL, DiagnoseSettings(shift=16, sample=2), labels))


def written(diagnosis):
    return json.loads(json.dumps(as_record(diagnosis), allow_nan=False))


def test_what_is_read_says_the_same_as_what_was_found(found):
    values = written(found)
    assert set(values) == {*found.as_dict(), *BESIDE}
    read = from_record(values)
    assert written(read) == values
    assert (read.seam_free, read.max_abs_difference) == (found.seam_free, found.max_abs_difference)
    assert read.dice == found.dice
    assert read.mismatch.classes == found.mismatch.classes
    assert [place.point for place in read.mismatch.worst] == [place.point for place in found.mismatch.worst]


def test_where_the_pairs_agree_and_those_of_the_audit_do_not_both_are_remembered(found):
    apart = replace(found.audit, seam_free=False, largest_difference=0.75)
    read = from_record(written(replace(found, audit=apart)))
    assert not read.seam_free
    assert read.max_abs_difference == max(0.75, found.mismatch.max_abs_difference)
    assert read.mismatch.seam_free == found.mismatch.seam_free
