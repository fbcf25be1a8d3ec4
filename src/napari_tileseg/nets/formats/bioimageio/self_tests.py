"""The test tensors of a package."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from napari_tileseg._types import Array
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.bioimageio.model import Model
from napari_tileseg.nets.formats.bioimageio.processing import Operation
from napari_tileseg.nets.formats.bioimageio.values import number
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.self_test.running import SelfTest

#: Bytes of a test tensor, and of what stands before its numbers.
_LARGEST, _HEADER = 2**27, 10_000


def self_test_of(package: Package, model: Model) -> SelfTest | None:
    """Return the test of a package; None where it states none, or has none of its files.

    Parameters
    ----------
    package : Package
        What was chosen.
    model : Model
        What its description states.
    """
    names = model.test_tensors()
    if not all(isinstance(name, str) and "://" not in name for name in names):
        return None
    try:
        if not all(package.has(name) for name in names):
            return None
        given, found = (package.read(name, _LARGEST) for name in names)
        axes = model.description.axes or ""
        image = _to_our_axes(_read(given, names[0]), model.layout[0], axes)
        answer = _to_our_axes(_read(found, names[1]), model.layout[1], axes)
        after = _after(model.after)
    except NetworkError as error:
        return SelfTest(problem=str(error).rstrip("."))
    return SelfTest(image=image, answer=answer, sha256=hashlib.sha256(given + found).hexdigest(), after=after)


def _read(data: bytes, name: str) -> Array:
    """Return the array in a file of NumPy, once its header was held against its size."""
    with answering(NetworkError, f"{name} should be an array of NumPy", "Copy the package again."):
        file = io.BytesIO(data)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[np.lib.format.read_magic(file)[0]](file, _HEADER)
        if dtype.kind not in "biuf":
            raise ValueError(f"it holds {dtype}, no real numbers")
        size = dtype.itemsize
        for length in shape:
            size *= int(length)
        if size != len(data) - file.tell():
            raise ValueError(f"it states {by_axis(shape)} numbers, in {len(data)} bytes")
        file.seek(0)
        values: Array = np.load(file, allow_pickle=False)
    return values


def _to_our_axes(values: Array, layout: str, axes: str) -> Array:
    """Return ``(channels, *space)`` of the first image, of an array whose axes have other places."""
    if values.ndim != len(layout):
        raise NetworkError(f"a test tensor has {values.ndim} axes where {layout} are stated")
    letters = layout
    for letter in layout:
        if letter == "b" or letter not in f"c{axes}":
            values = values.take(0, letters.index(letter)) if values.size else values
            letters = letters.replace(letter, "")
    if "c" not in letters:
        values, letters = values[None], f"c{letters}"
    return np.ascontiguousarray(values.transpose([letters.index(letter) for letter in f"c{axes}"]))


def _after(operations: tuple[Operation, ...]) -> Callable[[Array], Array] | None:
    """Return what is done behind the activation; it changes each value by itself.

    Raises
    ------
    NetworkError
        If a step is none that is known.
    """
    if not operations:
        return None
    steps = [_step(each) for each in operations]

    def done(values: Array) -> Array:
        for step in steps:
            values = step(values)
        return values

    return done


def _step(operation: Operation) -> Callable[[Any], Any]:
    said = operation.arguments
    low, high, threshold = (number(said.get(key)) for key in ("min", "max", "threshold"))
    gain, offset = number(said.get("gain", 1.0)), number(said.get("offset", 0.0))
    if operation.name == "binarize" and threshold is not None:
        return lambda values: (values > threshold).astype(np.float64)
    if operation.name == "clip" and (low is not None or high is not None):
        return lambda values: np.clip(values, low, high)
    if operation.name == "scale_linear" and gain is not None and offset is not None:
        return lambda values: values * gain + offset
    if operation.name == "ensure_dtype":
        return lambda values: values
    raise NetworkError(f"its output is processed by {operation.name[:60]}, which is not done here")
