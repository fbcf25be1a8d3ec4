import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_tileseg.nets.intensities.quantiles import RankSearch, from_key, quantile_ranks, to_keys

TYPES = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
finite = npst.arrays(
    st.sampled_from(TYPES),
    st.integers(1, 60),
    elements={"allow_nan": False, "allow_infinity": False},
)


def _search(blocks: list[np.ndarray], ranks: list[int]) -> list[float]:
    search = RankSearch(blocks[0].dtype)
    passes = search.passes
    for number in range(passes):
        if number:
            search.next_pass()
        for block in blocks:
            search.add(block)
        if number:
            search.narrow()
        else:
            search.choose(ranks)
    return [search.value(rank) for rank in ranks]


@given(finite)
def test_keys_keep_the_order_and_can_be_turned_back(values: np.ndarray) -> None:
    ordered = np.sort(values)
    assert (np.diff(to_keys(ordered).astype(object)) >= 0).all()
    assert [from_key(int(key), values.dtype) for key in to_keys(values)] == [float(v) for v in values]


@given(finite, st.integers(1, 5), st.data())
def test_ranks_are_those_of_the_sorted_values_however_they_are_cut(
    values: np.ndarray, parts: int, data: st.DataObject
) -> None:
    ranks = data.draw(st.lists(st.integers(0, values.size - 1), min_size=1, max_size=4))
    found = _search(np.array_split(values, parts), ranks)
    assert found == [float(np.sort(values)[rank]) for rank in ranks]


@given(
    npst.arrays(st.sampled_from(["u1", "i2", "u2", "i4"]), st.integers(1, 200)), st.floats(0, 100, width=32)
)
def test_percentiles_equal_numpys(values: np.ndarray, percent: float) -> None:
    lower, upper, share = quantile_ranks(values.size, percent)
    below, above = _search([values], [lower, upper])
    # As doubles, which hold all of these: NumPy takes differences in the type of the values, which overflow.
    expected = np.percentile(values.astype(np.float64), percent)
    assert below + (above - below) * share == pytest.approx(expected, rel=1e-12, abs=1e-9)
