"""Scoring what training starts from, and what it has come to, on the same voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.train.material import Material
from napari_tileseg.train.recipe import Recipe
from napari_tileseg.train.validation import Validation

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: Voxels to predict at most: it is done twice in a run, so that more may be looked at than in validations.
_VOXELS = 2**22


def open_scoring(material: Material, network: Network, recipe: Recipe) -> Validation:
    """What is held out, or what is learned from where nothing is.

    Parameters
    ----------
    material : Material
        Images and labels.
    network : Network
        Says which context is read.
    recipe : Recipe
        Its seed chooses the parts that are looked at, where there are more.
    """
    looked_at = material.held_out or material.training
    return Validation(
        material.sources(looked_at),
        [each.targets for each in looked_at],
        network,
        recipe.patch,
        voxels=_VOXELS,
        seed=recipe.seed,
    )
