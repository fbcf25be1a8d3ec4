"""A sample as an OME-Zarr 0.5 image with labels inside, or as two OME-TIFF files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tifffile
import zarr

from napari_tileseg._drafts import drafted, is_vacant
from napari_tileseg._types import Array
from napari_tileseg.errors import StoreError
from napari_tileseg.images.omezarr_metadata import (
    axis_entry,
    dataset_entry,
    image_attributes,
    labels_attributes,
)
from napari_tileseg.samples import Sample
from napari_tileseg.samples.strokes import strokes_on


def write_sample(sample: Sample, out: Path) -> Path:
    """Write a sample's image and labels.

    Parameters
    ----------
    sample : Sample
        Image and labels.
    out : Path
        Where the image goes: a TIFF if its suffix says so, an OME-Zarr otherwise.

    Returns
    -------
    Path
        Where the labels are.

    Raises
    ------
    StoreError
        If something is there already, or it cannot be written.
    """
    with _writing(out):
        if out.suffix.lower() in {".tif", ".tiff"}:
            return _write_tiffs(sample, out)
        return _write_zarr(sample, out)


def write_strokes(sample: Sample, out: Path) -> None:
    """Write a few painted lines on a sample, as TIFF.

    Raises
    ------
    StoreError
        If something is there already, or it cannot be written.
    """
    with _writing(out), _replacing(out) as part:
        _write_tiff(part, strokes_on(sample), sample)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"The sample could not be written to {out}: {error.strerror or error}. Nothing was left there; "
            "choose a folder that you may write to, with space left."
        ) from error


def _write_tiffs(sample: Sample, out: Path) -> Path:
    labels = out.with_name(f"{out.stem}_labels{out.suffix}")
    with _replacing(out) as image_part, _replacing(labels) as labels_part:
        _write_tiff(image_part, sample.image, sample)
        _write_tiff(labels_part, sample.labels, sample)
    return labels


def _write_tiff(path: Path, voxels: Array, sample: Sample) -> None:
    about: dict[str, Any] = {"axes": _axes(sample).upper()}
    for axis, size in zip(_axes(sample).upper(), sample.voxel_size, strict=True):
        about |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(path, voxels, ome=True, metadata=about, photometric="minisblack")


def _write_zarr(sample: Sample, out: Path) -> Path:
    with _replacing(out) as part:
        _write_image(part, sample.image, sample)
        zarr.create_group(part / "labels", attributes={"ome": labels_attributes([sample.name])})
        source = {"image-label": {"source": {"image": "../../"}}}
        _write_image(part / "labels" / sample.name, sample.labels, sample, **source)
    return out / "labels" / sample.name


def _write_image(path: Path, voxels: Array, sample: Sample, **about: Any) -> None:
    axes = [axis_entry(name, "micrometer") for name in _axes(sample)]
    ome = image_attributes(sample.name, axes, [dataset_entry("0", sample.voxel_size)], **about)
    group = zarr.create_group(path, attributes={"ome": ome})
    chunks = tuple(min(n, 128) for n in voxels.shape)
    group.create_array("0", data=voxels, chunks=chunks, dimension_names=list(_axes(sample)))


def _axes(sample: Sample) -> str:
    return "zyx"[-sample.image.ndim :]


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Draft files as `drafted` does, but replace nothing that exists."""
    with drafted(out) as draft:
        if not is_vacant(out):
            raise StoreError(
                f"{out} holds something already, and is left as it is. Choose a path that is new."
            )
        yield draft
