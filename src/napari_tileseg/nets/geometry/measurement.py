"""A network's geometry: derived from its operations where they are known, else measured by probes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from napari_tileseg._types import Halo, Shape
from napari_tileseg.nets.geometry.derivation import confirms, derive, geometry_of
from napari_tileseg.nets.geometry.probing import probe
from napari_tileseg.nets.geometry.proof import repeats
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import example, find_read_shape
from napari_tileseg.nets.spec import Geometry

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was found out of a network's geometry.

    Parameters
    ----------
    geometry : Geometry
        What there is to say of every network.
    derived : bool
        Whether it follows from the network's operations alone, and so holds for any weights.
    local_halo : tuple of (int, int), optional
        Context that a core needs by what is local in the network, whatever looks at all of space besides;
        None where that is not known.
    global_layers : tuple of str, optional
        Paths of the layers that look at all of space, in the network's own order; empty for the network
        itself. None where that is not known.
    """

    geometry: Geometry
    derived: bool
    local_halo: Halo | None = None
    global_layers: tuple[str, ...] | None = None


def measure(
    module: torch.nn.Module, ndim: int, in_channels: int, read_shape: Shape | None = None
) -> Measurement:
    """Find out a network's geometry; nothing is taken from its type or a table.

    Read shapes are found by trying. Then the network is run once, and from the operations that it runs and
    the rules that they have follow stride, halo and receptive field. A few more runs check these. Where an
    operation has no rule, or a check fails, the network is probed instead, which takes many more runs.

    The network itself is not changed: a copy is run, in eval mode.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``(batch, in_channels, *space)`` and gives ``(batch, classes, *space)`` of the same
        spatial shape. TorchScript is welcome.
    ndim : int
        Spatial axes.
    in_channels : int
        Channels that it takes.
    read_shape : tuple of int, optional
        A spatial shape that it is known to accept, tried first.

    Returns
    -------
    Measurement
        A derived halo is right for all weights, so that with zeros for weights less would be enough.

    Raises
    ------
    NetworkError
        If no shape is accepted, the output has another shape than the input, is not one tensor, or is not
        finite for finite input.
    """
    runner = Runner(module, in_channels)
    read, thin = find_read_shape(runner, ndim, read_shape)
    reach = derive(runner, read)
    if reach is not None:
        geometry = geometry_of(reach, read)
        if confirms(runner, geometry, reach.halo, thin):
            paths = (
                None if isinstance(module, torch.jit.ScriptModule) else _in_order(module, reach.global_layers)
            )
            return Measurement(geometry=geometry, derived=True, local_halo=reach.halo, global_layers=paths)
        _LOG.info("What follows from the operations of a network is not what it shows: it is probed.")
    if repeats(runner, example(read)):
        return Measurement(geometry=probe(runner, read, thin), derived=False)
    geometry = Geometry(
        stride=read.step, read=read, halo=None, receptive_field=None, shift_equivariant=False, random=True
    )
    return Measurement(geometry=geometry, derived=False)


def _in_order(module: torch.nn.Module, layers: tuple[str, ...]) -> tuple[str, ...] | None:
    """Order paths as the network has them; None for TorchScript, which does not show what runs."""
    if isinstance(module, torch.jit.ScriptModule):
        return None
    return tuple(path for path, _ in module.named_modules() if path in layers)
