"""Statistics of parts that are drawn over an image: how sure they are, in plain values and in a sentence."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch

from napari_tileseg._progress import Progress
from napari_tileseg._types import Shape
from napari_tileseg.engine.image_sweep import probabilities
from napari_tileseg.engine.passes.parts import Parts
from napari_tileseg.engine.passes.placed_network import PlacedNetwork
from napari_tileseg.engine.passes.sampling import Aim, Sampled, Sampler
from napari_tileseg.engine.regions.program.sweep import Read
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a sample beside its numbers.

    Parameters
    ----------
    parts, of : int
        Parts that were drawn, and parts that the image has. They are the same where the whole image was
        taken instead, because the sample would have been too large.
    errors : mapping of int to float
        By the number of a feature map, the standard error as in `Sampled`.
    difference : float
        Expected difference of the output, as in `Sampled`.
    """

    parts: int
    of: int
    errors: Mapping[int, float] = field(default_factory=dict)
    difference: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sample:
        """Build from what `as_dict` returned.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            If it is something else.
        """
        return cls(
            parts=int(values["parts"]),
            of=int(values["of"]),
            errors={int(number): float(error) for number, error in values["errors"].items()},
            difference=float(values["difference"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**asdict(self), "errors": {str(number): error for number, error in self.errors.items()}}

    @property
    def whole(self) -> bool:
        """Whether the statistics are those of the whole image after all."""
        return self.parts == self.of

    @property
    def words(self) -> str:
        """One or two sentences."""
        if self.whole:
            return (
                "Statistics are those of the whole image: parts of it would have been too many for a sample."
            )
        return (
            f"Statistics are those of {self.parts} of {self.of} parts of the image, with standard errors of "
            f"at most {max(self.errors.values(), default=0.0):.1%} of a layer's spread. Results are "
            f"expected to differ from those with the whole image's by {self.difference:.2g} at the 99.9th "
            "percentile, as measured on parts that were not drawn."
        )


def parts_of(spec: NetworkSpec, shape: Shape) -> Parts:
    """Return the parts of a padded image that a network's statistics are sampled from."""
    sizes = spec.padded_sizes
    return Parts.of_image(shape, sizes.step, sizes.minimum, spec.default_halo)


def work_of_sample(spec: NetworkSpec, network: PlacedNetwork, shape: Shape) -> tuple[float, float] | None:
    """Return the least and the most work of sampling, relative to a pass over the image; no voxel is read.

    Parameters
    ----------
    spec, network, shape
        As `sample` takes them.

    Returns
    -------
    tuple of float or None
        None where the statistics of the whole image are to be taken instead.
    """

    def unread(part: Box) -> torch.Tensor:
        raise AssertionError(f"{part} should not be read")

    return Sampler(network, parts_of(spec, shape), unread, 0, lambda output: output.numpy()).bounds


def sample(
    spec: NetworkSpec,
    network: PlacedNetwork,
    shape: Shape,
    settings: PredictSettings,
    memory: int,
    read: Read,
) -> Generator[Progress, None, tuple[Sample, Sampled | None]]:
    """Sample the statistics of an image.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of the network as it was opened.
    network : PlacedNetwork
        The same as operations.
    shape : tuple of int
        Shape of the padded image, on the network's axes.
    settings : PredictSettings
        How sure they are to be.
    memory : int
        Bytes that feature maps may take.
    read : callable
        Reads the padded image.

    Yields
    ------
    Progress
        How far it is.

    Returns
    -------
    tuple of Sample and Sampled or None
        None where the statistics of the whole image are to be taken instead.

    Raises
    ------
    ImageError
        If a number is not finite.
    """
    parts = parts_of(spec, shape)
    activate = partial(probabilities, activation=spec.activation)
    sampler = Sampler(network, parts, read, memory, activate)
    sampled = yield from sampler.gather(Aim(settings.sample_error, settings.sample_seed))
    if sampled is None:
        return Sample(len(parts), len(parts)), None
    return Sample(sampled.parts, sampled.of, sampled.errors, sampled.difference), sampled
