"""Networks that end in their activation, made to end before it, so that a loss can be computed exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.resting import at_rest
from napari_tileseg.nets.weights import build_with_weights

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network
    from napari_tileseg.nets.spec import Activation


def ending_in_logits(network: Network) -> Network:
    """Return the same network with its activation outside of it; probabilities are the same.

    Parameters
    ----------
    network : Network
        An opened network, or one in memory; it is not changed.

    Returns
    -------
    Network
        The network itself where it does not end in an activation that its architecture names.
    """
    description = network.description
    if description.architecture is None:
        return network
    inside = registry.final_activation(description.architecture, description.arguments)
    if inside == "none" or network.spec.activation != "none":
        return network
    rest = {key: value for key, value in description.arguments.items() if key != "final_activation"}
    activation = cast("Activation", inside)
    without = replace(description, activation=activation, arguments=rest)
    module = build_with_weights(without, network.module.state_dict(), network.spec.name)
    return replace(
        network,
        module=at_rest(module),
        spec=replace(network.spec, activation=activation),
        description=without,
    )
