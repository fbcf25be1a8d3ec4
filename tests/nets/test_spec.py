"""A network's geometry over all axes of an image."""

import pytest

from napari_tileseg.nets.spec import Geometry, NetworkSpec
from napari_tileseg.tiling.read_shape import ReadShape

CHOSEN = ((8, 8), (4, 8))


def spec_of(halo):
    return NetworkSpec(
        name="little",
        architecture="unet",
        axes="yx",
        in_channels=1,
        out_channels=1,
        classes=("one",),
        activation="none",
        norm_counts={},
        geometry=Geometry(
            stride=(4, 2), read=ReadShape(minimum=(8, 8), step=(8, 8)), halo=halo, receptive_field=None
        ),
        default_halo=halo or CHOSEN,
        seam_free=halo is not None,
        reason="",
        parameters=0,
    )


@pytest.mark.parametrize("measured", [None, ((3, 5), (2, 2))])
@pytest.mark.parametrize("lead", [0, 1, 2])
def test_axes_before_the_networks_own_need_no_context(measured, lead):
    lattice = spec_of(measured).lattice(2 + lead)
    assert lattice.default_halo == ((0, 0),) * lead + (measured or CHOSEN)
    assert lattice.halo == (measured and lattice.default_halo)
    assert (lattice.stride, lattice.minimum) == ((1,) * lead + (8, 8), (1,) * lead + (8, 8))
    assert lattice.lead == lead
