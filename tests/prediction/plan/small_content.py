"""A picture with content in a small part of it, for tests of regions."""

import numpy as np

SHAPE = (96, 160)
#: Where there is content, and what is suggested for it: whole cells of 8, and as much again as the quarter.
CONTENT = ((40, 64), (80, 120))


def picture() -> np.ndarray:
    random = np.random.default_rng(0)
    values = random.normal(100, 3, SHAPE)
    inside = tuple(slice(*each) for each in CONTENT)
    values[inside] += random.integers(100, 200, values[inside].shape)
    return values.astype(np.float32)
