"""How an image is predicted."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg._types import Halo, Ranges, Shape
from napari_tileseg.settings.declaring import LARGEST_SEED, Settings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSettings(Settings):
    """How an image is predicted."""

    core: Shape | None = knob(
        "ints",
        None,
        "Voxels that each tile owns along each axis, or one number for all, multiples of the network's "
        "stride; derived by default.",
        unit="voxels",
        minimum=1,
    )
    halo: Halo | None = knob(
        "pairs",
        None,
        "Context read around the core along each axis, before:after, or once for all; measured from the "
        "network by default.",
        unit="voxels",
        minimum=0,
    )
    box: Ranges | None = knob(
        "pairs",
        None,
        "Part of the image to predict, start:stop along each axis; all of it by default.",
        unit="voxels",
        minimum=0,
    )
    normalize: str = knob(
        "choice",
        "network",
        "How intensities are brought to the network's range: as the network states, by quantiles of the "
        "whole image, by given numbers, to zero mean and unit variance, each tile by itself "
        "(makes seams; for comparison), or not at all.",
        choices=("network", "quantiles", "range", "zero_mean", "tile", "none"),
    )
    quantiles: tuple[float, float] = knob(
        "floats", (1.0, 99.8), "Percentiles that become 0 and 1.", unit="%", minimum=0, maximum=100, length=2
    )
    range: tuple[float, float] | None = knob(
        "floats", None, "Intensities that become 0 and 1, where normalize is range.", length=2
    )
    padding: str = knob(
        "choice",
        "reflect",
        "How the image is continued past its far end, up to a multiple of the stride.",
        choices=("reflect", "edge", "zero"),
    )
    nonfinite: str = knob(
        "choice",
        "refuse",
        "What to do with voxels that are NaN or infinite: refuse the image, or take them as zero.",
        choices=("refuse", "zero"),
    )
    statistics: str = knob(
        "choice",
        "auto",
        "Of what layers such as InstanceNorm take mean and spread: of each tile by itself, which makes "
        "seams; of the whole image; of a sample of its parts; of a region, as if that were all there is; or "
        "those of another result. auto is a region where it can be, and else each tile.",
        choices=("auto", "tile", "whole", "sample", "region", "result"),
        added=True,
        before="tile",
    )
    sample_error: float = knob(
        "float",
        0.02,
        "Where statistics are those of a sample: the largest standard error of a layer's mean or spread, "
        "relative to its spread. Parts are drawn until it is reached.",
        minimum=1e-4,
        maximum=1,
        added=True,
    )
    sample_seed: int = knob(
        "int",
        0,
        "Decides which parts are drawn where statistics are those of a sample.",
        minimum=0,
        maximum=LARGEST_SEED,
        added=True,
    )
    intensities: str = knob(
        "choice",
        "auto",
        "Where quantiles, or mean and deviation, of the intensities are measured: in the whole image, or in "
        "the region, or those of another result; auto is where statistics are, if these are of a region or "
        "result.",
        choices=("auto", "image", "region", "result"),
        added=True,
    )
    region: Ranges | None = knob(
        "pairs",
        None,
        "Part of the image that numbers of a region are those of, start:stop along each axis; by default "
        "where there is content.",
        unit="voxels",
        minimum=0,
        added=True,
    )
    result: str | None = knob(
        "text",
        None,
        "Prediction (an OME-Zarr that was made here) with the same network whose numbers are taken, where "
        "statistics or intensities are those of another result.",
        added=True,
    )
    resample: bool = knob(
        "flag",
        False,
        "Bring the image to the voxel size the network was trained at, as in its training; the result has "
        "that voxel size.",
    )
    device: str = knob("text", "auto", "Where to compute: auto, cpu, mps, cuda or cuda:1.", identity=False)
    dtype: str = knob(
        "choice",
        "float32",
        "Number format of the computation.",
        choices=("float32", "bfloat16", "float16", "float64"),
    )
    batch: int | None = knob(
        "int", None, "Tiles computed at once; derived by default.", minimum=1, identity=False
    )
    memory: float | None = knob(
        "float",
        None,
        "Memory that the tensors of a tile may take on the device, from which the core is derived; a quarter "
        "of what is free by default.",
        unit="GB",
        minimum=1e-6,
        maximum=1e6,
        identity=False,
    )
    scratch: float | None = knob(
        "float",
        None,
        "Disk space that gathering statistics of the whole image may take, to compute less; none by default.",
        unit="GB",
        minimum=1e-6,
        maximum=1e6,
        identity=False,
    )
    scratch_folder: str | None = knob(
        "text", None, "Folder for that; the system's for temporary files by default.", identity=False
    )

    @property
    def intensities_of(self) -> str:
        """Where intensities are measured: "image", "region" or "result"."""
        if self.intensities != "auto":
            return self.intensities
        return self.statistics if self.statistics in {"region", "result"} else "image"
