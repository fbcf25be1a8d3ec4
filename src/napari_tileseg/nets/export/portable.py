"""A network as other programs take it: probabilities, of layers that all of them know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from napari_tileseg._types import Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.activation import apply_activation
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.listed.by_graph import by_graph
from napari_tileseg.nets.network import Network
from napari_tileseg.nets.norm_layers import as_batch_norms
from napari_tileseg.nets.spec import Activation
from napari_tileseg.tiling.read_shape import ReadShape
from napari_tileseg.tiling.rounding import round_up

#: Largest difference of a probability, and of other values relative to the largest of them.
TOLERANCE = 1e-5
#: Voxels along each axis of the smaller image that a file is tried with, by number of axes.
_TRIED = {1: 64, 2: 48, 3: 24}


class Probabilities(nn.Module):
    """A network and what follows it.

    Parameters
    ----------
    network : torch.nn.Module
        From ``(batch, in_channels, *space)`` to ``(batch, classes, *space)``.
    activation : {"none", "sigmoid", "softmax"}
        What turns its outputs into probabilities.
    """

    def __init__(self, network: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.network, self.activation = network, activation

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, in_channels, *space)`` to probabilities of ``(batch, classes, *space)``."""
        return apply_activation(self.network(image), self.activation)


@dataclass(frozen=True, slots=True)
class Portable:
    """A network that is about to be written for other programs.

    Parameters
    ----------
    network : Network
        The opened network.
    module : Probabilities
        A copy, in evaluation mode, with BatchNorm in place of batch renormalization.
    sizes : ReadShape
        Sizes of images that it takes.
    """

    network: Network
    module: Probabilities
    sizes: ReadShape

    @property
    def description(self) -> Description:
        """What is said of the network beside a file that holds its own code and gives probabilities."""
        network = self.network
        spec = network.spec
        return Description(
            name=spec.name,
            axes=spec.axes,
            in_channels=spec.in_channels,
            classes=spec.classes,
            activation="none",
            input_normalization=spec.input_normalization,
            voxel_size=spec.voxel_size,
            halo=network.description.halo,
            channel_names=spec.channel_names or None,
            resampling=spec.resampling,
            notes=network.description.notes,
            provenance={"exported_from": network.sha256},
        )

    def shapes(self) -> Iterator[Shape]:
        """Yield two sizes of images, or the only one; at the least, layers may be given one voxel."""
        sizes = self.sizes
        if sizes.fixed:
            yield sizes.minimum
            return
        wanted = _TRIED[len(sizes.minimum)]
        # Another size on each axis, so that none is taken to be the same as another.
        for more in (0, 1):
            shape = tuple(
                round_up(max(least, wanted), step) + (axis + more) * step
                for axis, (least, step) in enumerate(zip(sizes.minimum, sizes.step, strict=True))
            )
            yield tuple(min(pair) for pair in zip(shape, sizes.maximum or shape, strict=True))

    def example(self) -> Tensor:
        """Return noise in place of a prepared image."""
        return self._noise(next(self.shapes()))

    def difference(self, run: Callable[[Tensor], Tensor], what: str) -> float:
        """Return by how much what was written is off from the network, on images of two sizes.

        Parameters
        ----------
        run : callable
            Computes probabilities by what was written.
        what : str
            What that is, for messages, such as "An ONNX file of cells".

        Raises
        ------
        NetworkError
            If it gives something else than the network, or takes images of one size only.
        """
        return max(self._off(run, self._noise(shape), what) for shape in self.shapes())

    def _off(self, run: Callable[[Tensor], Tensor], image: Tensor, what: str) -> float:
        try:
            with torch.inference_mode():
                wanted, found = self.module(image.clone()), run(image.clone())
            off = float((wanted - found).abs().max())
        except Exception as error:
            # Whatever the code of another program runs into.
            raise NetworkError(
                f"{what} does not compute an image of {by_axis(image.shape[2:])} as the network does "
                f"({reason_of(error)}). Export it in another format."
            ) from error
        if not off <= TOLERANCE * max(1.0, float(wanted.abs().max())):
            raise NetworkError(
                f"{what} gives something else than the network itself, off by {off:.2g}. Export it in "
                "another format."
            )
        return off

    def _noise(self, shape: Shape) -> Tensor:
        channels = self.network.spec.in_channels
        return torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(0))


def portable(network: Network) -> Portable:
    """Return a network as it is given to other programs.

    Parameters
    ----------
    network : Network
        An opened network, or one in memory; it is not changed.

    Raises
    ------
    NetworkError
        If it is TorchScript that shows no graph.
    """
    if isinstance(network.module, torch.jit.ScriptModule):
        network = by_graph(network)
    module = Probabilities(as_batch_norms(network.module), network.spec.activation)
    return Portable(network, module.eval().requires_grad_(False), network.spec.padded_sizes)


def with_state_dict(network: Network) -> tuple[Network, Description]:
    """Return a network that its weights and a description make, with BatchNorm in place of BatchRenorm.

    Raises
    ------
    NetworkError
        If it shows no graph.
    """
    kept = by_graph(network)
    said = kept.description
    arguments = dict(said.arguments)
    if arguments.get("norm") == "batch_renorm":
        arguments["norm"] = "batch"
    # What was converted holds the statistics of images from now on, as what was frozen does.
    described = replace(
        said,
        arguments=arguments,
        renormalized=(),
        frozen=(*said.renormalized, *said.frozen),
        r_max=None,
        d_max=None,
        provenance={"exported_from": network.sha256},
    )
    return replace(kept, module=as_batch_norms(kept.module), description=described), described
