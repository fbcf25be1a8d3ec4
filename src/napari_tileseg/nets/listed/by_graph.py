"""Networks of no registered architecture, as ones that are known by their graph and can be saved so."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_tileseg._files import write_bytes
from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.graphs.capture import export_program
from napari_tileseg.graphs.graph import NoRuleError
from napari_tileseg.nets.architectures.graph import arguments_of_graph
from napari_tileseg.nets.formats.candidate import Given
from napari_tileseg.nets.formats.exported import package_format as exported_program
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.nets.listed.listing import Sizes
from napari_tileseg.nets.listed.network import ListedNetwork
from napari_tileseg.nets.listed.scripted import listed_script
from napari_tileseg.nets.resting import at_rest, copied
from napari_tileseg.nets.weights import build_with_weights

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.tiling.read_shape import ReadShape

#: Largest difference of the graph's output, relative to the largest output.
_TOLERANCE = 1e-4


def by_graph(network: Network) -> Network:
    """Return a network as one whose description says how to build it, by name or by its graph.

    Parameters
    ----------
    network : Network
        An opened network, or one in memory; it is not changed.

    Returns
    -------
    Network
        The network itself where its architecture has a name; otherwise the same with the architecture
        ``graph``, whose arguments are its operations. Its hash and reference stay.

    Raises
    ------
    NetworkError
        If it is code that shows no graph of the operations that are carried out here.
    """
    description = network.description
    if description.architecture is not None:
        return network
    listed = _listed(network)
    said = replace(
        description,
        architecture="graph",
        arguments=arguments_of_graph(listed.listing, network.spec.out_channels),
        activation=network.spec.activation,
    )
    module = build_with_weights(said, listed.state_dict(), network.spec.name)
    return replace(network, module=at_rest(module), description=said)


def _listed(network: Network) -> ListedNetwork:
    """Return the list of operations that a network is, with its weights."""
    module, channels = network.module, network.spec.in_channels
    read, stride = network.spec.geometry.read, network.spec.geometry.stride
    if isinstance(module, ListedNetwork):
        return module
    scripted = isinstance(module, torch.jit.ScriptModule)
    try:
        sizes = Sizes.measured(read, stride)
        found = (
            listed_script(module, channels, sizes) if scripted else _exported(module, channels, sizes, read)
        )
        for shape in _compared(sizes, read):
            _check_equal(module, found, (1, channels, *shape))
    except (NoRuleError, NetworkError) as error:
        raise NetworkError(
            f"{network.spec.name} can be neither converted nor trained, because its code does not show as a "
            f"graph: {str(error).rstrip('.')}. Open the weights that it was made from, as a registered "
            "architecture."
        ) from error
    return found


def _exported(module: nn.Module, channels: int, sizes: Sizes, read: ReadShape) -> ListedNetwork:
    """Return a module's operations, as torch exports them and as they are read from a file."""
    data = io.BytesIO()
    least = replace(read, minimum=sizes.example)
    # A copy: while it is exported its weights are placeholders, and others may use the network.
    program = export_program(copied(module), channels, least)
    try:
        torch.export.save(program, data)
    except Exception as error:
        # Not all that can be exported can be written: operators of other packages are one case.
        raise NetworkError(f"torch cannot write it down ({reason_of(error)})") from error
    with tempfile.TemporaryDirectory(prefix="tileseg-graph-") as folder:
        path = Path(folder) / "network.pt2"
        write_bytes(path, data.getvalue())
        try:
            with open_package(path) as package:
                found = exported_program.read(package, Given()).build()
        except NetworkError as error:
            raise NetworkError(str(error).replace(str(path), "its export")) from error
    assert isinstance(found, ListedNetwork)
    # What it takes was measured; export states less, as it bounds sizes by what its example passed.
    found.listing = replace(found.listing, sizes=sizes)
    found.sizes = sizes
    return found


def _compared(sizes: Sizes, read: ReadShape) -> Iterator[Shape]:
    """Yield two sizes of images, or the only one: not the least, at which layers may be given one voxel."""
    yield sizes.example
    if not sizes.fixed:
        longer = tuple(n + step for n, step in zip(sizes.example, read.step, strict=True))
        yield tuple(min(pair) for pair in zip(longer, read.maximum or longer, strict=True))


def _check_equal(module: nn.Module, found: ListedNetwork, shape: Shape) -> None:
    """Raise `NetworkError` unless a network and its graph give the same on noise in place of an image."""
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            wanted, given = module(image), found.eval()(image)
    except Exception as error:
        # Whatever the network's own code runs into.
        raise NetworkError(f"the two do not take the same image ({reason_of(error)})") from error
    apart = float((wanted - given).abs().max()) / max(1.0, float(wanted.abs().max()))
    if not apart <= _TOLERANCE:
        raise NetworkError(f"it gives something else than the network itself, off by {apart:.2g}")
