"""An image's voxel size compared with that of the images a network was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.images.units import voxel_size_in_micrometers

if TYPE_CHECKING:
    from napari_tileseg.images.image import Image
    from napari_tileseg.nets.spec import NetworkSpec

#: Ratio of voxel sizes above which things may look unlike those a network was trained on.
VOXEL_SIZE_RATIO = 1.25


def has_other_size(image: Image, spec: NetworkSpec) -> bool:
    """Return whether an image's voxels are larger or smaller than a network's by enough to matter."""
    known = voxel_size_in_micrometers(image)
    if known is None or spec.voxel_size is None:
        return False
    sizes = zip(known[len(known) - spec.ndim :], spec.voxel_size, strict=True)
    return max(max(a / b, b / a) for a, b in sizes) > VOXEL_SIZE_RATIO


def size_warning(image: Image, spec: NetworkSpec) -> str | None:
    """Return a warning where the voxels have another size than the network was trained at; otherwise None."""
    known = voxel_size_in_micrometers(image)
    if known is None or spec.voxel_size is None or not has_other_size(image, spec):
        return None
    size = known[len(known) - spec.ndim :]
    return (
        f"The network was trained at {_micrometers(spec.voxel_size)} and the image has {_micrometers(size)}: "
        "it may miss what it should find. Resample the image with the setting resample, or take another "
        "network."
    )


def size_hint(image: Image, spec: NetworkSpec) -> str:
    """Return the voxel size a network was trained at, in words, where the image's is not known; else ""."""
    if spec.voxel_size is None or voxel_size_in_micrometers(image) is not None:
        return ""
    return (
        f"The network was trained at {_micrometers(spec.voxel_size)}. The voxel size of {image.name} is not "
        "known: where it is another one, the network may miss what it should find."
    )


def _micrometers(size: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in size) + " um"
