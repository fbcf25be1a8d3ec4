import dask.array as da
import numpy as np
import pytest

from napari_tileseg.prediction import labels

VALUES = np.array(
    [
        [0.4, 0.9, 0.1, 0.5, np.nan],
        [0.3, 0.8, 0.2, 0.5, np.nan],
        [0.3, 0.1, 0.7, 0.1, np.nan],
    ]
)


@pytest.mark.parametrize(
    ("activation", "threshold", "expected"),
    [
        ("softmax", 0.5, [1, 1, 3, 1, 0]),
        ("sigmoid", 0.5, [0, 1, 3, 1, 0]),
        ("sigmoid", 0.8, [0, 1, 0, 0, 0]),
    ],
)
def test_the_most_probable_class_wins(activation, threshold, expected):
    whole = labels(VALUES, activation, threshold)
    assert whole.dtype == np.uint8
    assert whole.tolist() == expected
    lazy = labels(da.from_array(VALUES, chunks=(1, 2)), activation, threshold)
    assert lazy.compute().tolist() == expected
