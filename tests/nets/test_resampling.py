"""The rule by which an axis is interpolated by itself, and what a description may say of it."""

import pytest

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import Description
from napari_tileseg.nets.resampling import Resampling


@pytest.mark.parametrize(
    ("before", "after", "axis"),
    [
        ((1, 1, 1), (2, 1, 1), None),
        # Three times as long is not coarse; more is.
        ((3, 1, 1), (1, 1, 1), None),
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 1), (1, 1, 3.1), 2),
        # What is there before decides, if it is coarse at all.
        ((4, 1, 1), (1, 1, 5), 0),
        # Two axes that are equally long are none to take planes across.
        ((1, 5, 5), (1, 1, 1), None),
    ],
)
def test_the_coarse_axis_is_the_longest_by_more_than_three(before, after, axis) -> None:
    assert Resampling().coarse_axis(before, after) == axis


def test_it_can_be_said_whether_there_is_one() -> None:
    assert Resampling(coarse_apart=True).coarse_axis((2, 1, 1), (1, 1, 9)) == 0
    assert Resampling(coarse_apart=False).coarse_axis((9, 1, 1), (1, 1, 1)) is None


def test_a_description_says_it_where_it_is_not_linear() -> None:
    said = Description(architecture="unet", resampling=Resampling(coarse_order=1))
    assert Description.from_json(said.to_json(), "here") == said
    assert "resampling" not in Description(architecture="unet").to_json()


@pytest.mark.parametrize(
    "value",
    ['{"order": 2}', '{"order": true}', '{"coarse_apart": 1}', '{"degree": 3}', '"cubic"', "[3]"],
)
def test_what_is_no_resampling_is_refused(value: str) -> None:
    with pytest.raises(NetworkError, match=r"resampling|wrong kind"):
        Description.from_json(f'{{"resampling": {value}}}', "here")
