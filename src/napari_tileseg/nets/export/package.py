"""A package of bioimage.io: description, weights as ONNX and TorchScript, test tensors, picture and page."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from napari_tileseg._types import Array, Shape
from napari_tileseg._words import by_axis
from napari_tileseg._yaml import yaml_text
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.export.about import (
    About,
    cited,
    documentation,
    plain_name,
    sentence_on,
    unsaid,
)
from napari_tileseg.nets.export.cover import cover
from napari_tileseg.nets.export.portable import Portable
from napari_tileseg.nets.export.processing import Processing, processing_of
from napari_tileseg.nets.export.programs import (
    IMAGE,
    OPSET,
    PROBABILITIES,
    check_onnx,
    write_onnx,
    write_torchscript,
)
from napari_tileseg.nets.intensities import prepare_array
from napari_tileseg.tiling.rounding import round_up

#: Version of the format that packages are written in, and the name of the file that describes one.
VERSION, DESCRIPTION = "0.5.4", "rdf.yaml"
_ONNX, _SCRIPT = "weights.onnx", "weights.pt"
_TEST_IN, _TEST_OUT = "test_input.npy", "test_output.npy"
_PAGE, _COVER = "README.md", "cover.png"
#: Voxels along each axis of a test image at least, by number of axes, and of all of it at most.
_TESTED, _MOST_VOXELS = {1: 256, 2: 128, 3: 32}, 2**26


def write_package(
    given: Portable, folder: Path, about: About, image: Array | None
) -> tuple[float, list[str]]:
    """Write a package of bioimage.io into an empty folder.

    Parameters
    ----------
    given : Portable
        The network.
    folder : Path
        Where to; it is made.
    about : About
        What a person says of it.
    image : ndarray, optional
        ``(channels, *space)``, as stored: its middle becomes the test image. Blobs in noise by default.

    Returns
    -------
    difference : float
        By how much the weights that were written are off from the network.
    notes : list of str
        A sentence for each thing that the package does not say.

    Raises
    ------
    NetworkError
        If a part of it cannot be written.
    ImageError
        If the image has no intensities to prepare, such as a constant one.
    """
    check_onnx()
    spec = given.network.spec
    processing = processing_of(spec.input_normalization.as_steps, spec.axes, spec.in_channels)
    halo, least = _halo_and_least(given)
    folder.mkdir()
    off = max(write_torchscript(given, folder / _SCRIPT), write_onnx(given, folder / _ONNX))
    raw = _test_image(given, least, image)
    prepared = prepare_array(raw, spec.input_normalization.as_steps, "the test image")
    with torch.inference_mode():
        probabilities = given.module(torch.from_numpy(prepared)[None]).numpy()
    _save(folder / _TEST_IN, (raw if processing.is_complete else prepared)[None])
    _save(folder / _TEST_OUT, probabilities)
    (folder / _COVER).write_bytes(cover(raw, probabilities[0]))
    notes = [*processing.notes, *_notes(given, halo)]
    (folder / _PAGE).write_text(documentation(given.network, about, notes), encoding="utf-8")
    notes += unsaid(given.network)
    described = _described(given, folder, about, processing, halo, least)
    (folder / DESCRIPTION).write_text(yaml_text(described), encoding="utf-8")
    return off, notes


def _halo_and_least(given: Portable) -> tuple[Shape, Shape]:
    """Return the halo, the same on both sides, and the least image, of which more than that is left."""
    sizes, spec = given.sizes, given.network.spec
    halo = tuple(max(sides) for sides in spec.default_halo)
    if sizes.fixed:
        return tuple(min(h, (n - 1) // 2) for h, n in zip(halo, sizes.minimum, strict=True)), sizes.minimum
    least = tuple(
        max(n, round_up(2 * h + step, step))
        for n, h, step in zip(sizes.minimum, halo, sizes.step, strict=True)
    )
    if sizes.maximum is not None:
        least = tuple(min(pair) for pair in zip(least, sizes.maximum, strict=True))
        halo = tuple(min(h, (n - 1) // 2) for h, n in zip(halo, least, strict=True))
    return halo, least


def _notes(given: Portable, halo: Shape) -> list[str]:
    measured = tuple(max(sides) for sides in given.network.spec.default_halo)
    if halo == measured:
        return []
    return [
        f"The images that it takes leave no room for its halo of {by_axis(measured)} voxels: tiles make "
        "seams."
    ]


def _test_image(given: Portable, least: Shape, image: Array | None) -> npt.NDArray[np.float32]:
    """Return raw intensities of a size that the network takes: the middle of an image, or blobs in noise."""
    spec, sizes = given.network.spec, given.sizes
    if image is None:
        shape = _test_shape(given, least)
        random = np.random.default_rng(0)
        noise = random.normal(size=(spec.in_channels, *shape)).astype(np.float32)
        blobs = ndimage.gaussian_filter(noise, (0, *(3,) * len(shape)))
        counts = 400 + 300 * (blobs / blobs.std()).clip(-1, 3) + 20 * noise
        return np.asarray(np.round(counts.clip(0)), dtype=np.float32)
    if image.ndim != spec.ndim + 1 or len(image) != spec.in_channels:
        raise NetworkError(
            f"The test image should have {spec.in_channels} channels and the axes {spec.axes}; got an array "
            f"of {by_axis(image.shape)}."
        )
    shape = sizes.minimum
    if not sizes.fixed:
        most = sizes.maximum or image.shape[1:]
        wanted = _test_shape(given, least)
        shape = tuple(
            min(n, limit, size // step * step)
            for n, limit, size, step in zip(wanted, most, image.shape[1:], sizes.step, strict=True)
        )
    if any(n < low or n > size for n, low, size in zip(shape, least, image.shape[1:], strict=True)):
        raise NetworkError(
            f"The test image has {by_axis(image.shape[1:])} voxels; at least {by_axis(least)} are needed. "
            "Choose a larger one."
        )
    starts = [(size - n) // 2 for size, n in zip(image.shape[1:], shape, strict=True)]
    middle = image[(slice(None), *(slice(a, a + n) for a, n in zip(starts, shape, strict=True)))]
    return np.asarray(middle, dtype=np.float32)


def _test_shape(given: Portable, least: Shape) -> Shape:
    sizes = given.sizes
    if sizes.fixed:
        return sizes.minimum
    wanted = tuple(
        round_up(max(n, _TESTED[len(least)]), step) for n, step in zip(least, sizes.step, strict=True)
    )
    if sizes.maximum is not None:
        wanted = tuple(min(pair) for pair in zip(wanted, sizes.maximum, strict=True))
    return wanted if np.prod(wanted, dtype=float) <= _MOST_VOXELS else least


def _save(path: Path, values: Array) -> None:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(values, dtype=np.float32))
    path.write_bytes(file.getvalue())


def _described(
    given: Portable, folder: Path, about: About, processing: Processing, halo: Shape, least: Shape
) -> dict[str, Any]:
    """Return the description of a package whose other files are there."""
    spec = given.network.spec

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}

    return {
        "format_version": VERSION,
        "type": "model",
        "name": plain_name(spec.name),
        "description": about.description or sentence_on(given.network),
        "authors": [{"name": name} for name in about.authors or ("unknown",)],
        "license": about.license,
        "tags": ["segmentation", {1: "1d", 2: "2d", 3: "3d"}[spec.ndim], "napari-tileseg"],
        "cite": [cited(each) for each in about.citations],
        "covers": [_COVER],
        "documentation": _PAGE,
        "inputs": [
            {
                "id": IMAGE,
                "axes": _axes(given, _input_sizes(given, least), spec.channel_names or _numbered(given)),
                "test_tensor": file(_TEST_IN),
                "data": {"type": "float32"},
                **({"preprocessing": processing.steps} if processing.is_complete else {}),
            }
        ],
        "outputs": [
            {
                "id": PROBABILITIES,
                "axes": _axes(given, _output_sizes(given, halo), spec.classes),
                "test_tensor": file(_TEST_OUT),
                "data": {"type": "float32", **({} if spec.activation == "none" else {"range": [0.0, 1.0]})},
            }
        ],
        "weights": {
            "torchscript": {**file(_SCRIPT), "pytorch_version": torch.__version__.partition("+")[0]},
            "onnx": {**file(_ONNX), "opset_version": OPSET, "parent": "torchscript"},
        },
        "config": {"napari_tileseg": {"exported_from": given.network.sha256}},
    }


def _input_sizes(given: Portable, least: Shape) -> list[dict[str, Any]]:
    if given.sizes.fixed:
        return [{"size": n} for n in least]
    return [{"size": {"min": n, "step": step}} for n, step in zip(least, given.sizes.step, strict=True)]


def _output_sizes(given: Portable, halo: Shape) -> list[dict[str, Any]]:
    axes = given.network.spec.axes
    return [
        {"size": {"tensor_id": IMAGE, "axis_id": axis}, "halo": h} for axis, h in zip(axes, halo, strict=True)
    ]


def _axes(given: Portable, sizes: Sequence[dict[str, Any]], channels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the axes of a tensor; of space with their voxel size, where it is known."""
    spec = given.network.spec
    scales: Sequence[dict[str, Any]] = [{}] * spec.ndim
    if spec.voxel_size:
        # In single precision: readers find the size of the output as n * scale / scale, which is n then.
        scales = [{"unit": "micrometer", "scale": float(np.float32(size))} for size in spec.voxel_size]
    space = [
        {"type": "space", "id": axis, **size, **scale}
        for axis, size, scale in zip(spec.axes, sizes, scales, strict=True)
    ]
    return [{"type": "batch", "size": 1}, {"type": "channel", "channel_names": _names(channels)}, *space]


def _numbered(given: Portable) -> tuple[str, ...]:
    return tuple(f"channel{n}" for n in range(given.network.spec.in_channels))


def _names(names: Sequence[str]) -> list[str]:
    """Return names that the format takes: of letters, numbers and underscores, each once."""
    found: list[str] = []
    for at, name in enumerate(names):
        plain = re.sub(r"\W+", "_", name).strip("_").lower() or f"c{at}"
        plain = f"c_{plain}" if not plain.isidentifier() else plain
        found.append(plain if plain not in found else f"{plain}_{at}")
    return found
