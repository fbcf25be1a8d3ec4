"""Why tiles disagree and what to do, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_tileseg._words import few
from napari_tileseg.diagnosis.causes.candidates import Scene
from napari_tileseg.diagnosis.result import Audit, Cause
from napari_tileseg.nets.inspection import NormLayer, count_guilty, norm_layers
from napari_tileseg.nets.spec import NetworkSpec

if TYPE_CHECKING:
    from torch import nn

    from napari_tileseg.diagnosis.measured import Mismatch

_SHOWN = 3


def inspect(spec: NetworkSpec, module: nn.Module | None = None) -> Audit:
    """Return the part of an audit that needs no image: what in a network will make tiles disagree.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of the network.
    module : torch.nn.Module, optional
        The network itself, which defines which layers normalize.

    Returns
    -------
    Audit
        Without shares.
    """
    if spec.seam_free:
        cure = "Nothing needs to be done: keep the measured halo and the global normalization of intensities."
        return Audit(causes=(), cause=spec.reason, cure=cure, seam_free=True)
    found = [] if module is None else blamed_norms(spec, module)
    mixers = other_layers(spec, module)
    causes = []
    if found:
        sentence, cure = feature_words(found)
        paths = tuple(layer.path for layer in found)
        causes.append(
            Cause(name="feature normalization", share=None, layers=paths, sentence=sentence, cure=cure)
        )
    if mixers or not found:
        sentence, cure = rest_words(spec, mixers if module is not None else ())
        causes.append(Cause(name="the rest", share=None, layers=mixers, sentence=sentence, cure=cure))
    return Audit(causes=tuple(causes), cause=causes[0].sentence, cure=causes[0].cure, seam_free=False)


def blamed_norms(spec: NetworkSpec, module: nn.Module) -> list[NormLayer]:
    """Return the normalization layers among those that were seen to make seams."""
    return [layer for layer in norm_layers(module) if layer.sees_tile and layer.path in spec.seam_layers]


def other_layers(spec: NetworkSpec, module: nn.Module | None) -> tuple[str, ...]:
    """Return the others among those that were seen to make seams."""
    norms = set() if module is None else {layer.path for layer in norm_layers(module)}
    return tuple(path for path in spec.seam_layers if path not in norms)


def agreement(mismatch: Mismatch, spec: NetworkSpec) -> Audit:
    """Return the result where all tiles that were compared agree, or where there were none to compare.

    Parameters
    ----------
    mismatch : Mismatch
        Of the tiles.
    spec : NetworkSpec
        What is known of the network.
    """
    cure = "Nothing needs to be done."
    if mismatch.pairs:
        pairs = "one pair of tiles" if mismatch.pairs == 1 else f"{mismatch.pairs} pairs of tiles"
        cause = (
            f"Tiles agree: the largest difference in {pairs} is {mismatch.max_abs_difference:.2g}, no more "
            "than rounding."
        )
        if mismatch.pairs < mismatch.total and not spec.seam_free:
            cure = (
                f"Others may not: {spec.reason} Compare everything to be sure that nothing needs to be done."
            )
    else:
        cause = f"{mismatch.compared[0].upper()}{mismatch.compared[1:]}: there can be no seam."
        if not spec.seam_free:
            cure = (
                "Nothing needs to be done here. Where an image needs several tiles they may show: "
                f"{spec.reason} To see by how much, set a smaller core."
            )
    return Audit(causes=(), cause=cause, cure=cure, seam_free=True)


def feature_words(layers: Sequence[NormLayer]) -> tuple[str, str]:
    """Return sentences on what is wrong with these layers, the worst first, and the cure."""
    verb = "layer uses" if len(layers) == 1 else "layers use"
    return (
        f"{count_guilty(layers)} {verb} the mean and spread of each tile instead of fixed ones: "
        f"{few([layer.path for layer in layers], _SHOWN)}.",
        "Take their statistics once for all tiles: predict with statistics of a region, for which nothing "
        "is trained. Or replace them by BatchRenorm, and fine-tune.",
    )


def input_words() -> tuple[str, str]:
    """Return sentences on what tile-wise input normalization does, and the cure."""
    return (
        "The intensities of each tile are normalized by its own quantiles, so that the same voxel enters the "
        "network with another value in each tile.",
        "Normalize by the whole image: set normalize to network or quantiles.",
    )


def halo_words(scene: Scene) -> tuple[str, str]:
    """Return sentences on how much context is missing, and the cure."""
    lead = scene.lattice.lead
    has, needs = scene.tiling.halo[lead:], scene.network.spec.default_halo
    return (
        f"The halo is too small: tiles are cropped by {_pairs(has)} voxels, and the network sees "
        f"{_pairs(needs)} around a core.",
        f"Leave the halo empty, so that the measured one is used, or set it to {_flag(needs)}.",
    )


def alignment_words(scene: Scene) -> tuple[str, str]:
    """Return sentences on how far tiles lie off the stride, and the cure."""
    lead = scene.lattice.lead
    off = ", ".join(map(str, scene.remainders[lead:]))
    stride = ", ".join(map(str, scene.lattice.stride[lead:]))
    return (
        f"Neighbouring tiles start {off} voxels off the network's stride ({stride}) from each other, so that "
        "poolings fall on other voxels.",
        f"Start every tile on a multiple of the stride ({stride}): choose tile and overlap so that their "
        "difference is one, the last tile included.",
    )


def chance_words(apart: float) -> tuple[str, str]:
    """Return sentences on why two predictions of one tile differ, and the cure."""
    return (
        "The network draws random numbers: two predictions of the very same tile differ by up to "
        f"{apart:.2g}.",
        "Turn off what is random in prediction, such as dropout that is always on. No choice of tiles makes "
        "the result repeatable.",
    )


def rest_words(spec: NetworkSpec, mixers: Sequence[str]) -> tuple[str, str]:
    """Return sentences on what else makes tiles disagree, and what helps."""
    if mixers and spec.geometry.halo is None:
        return (
            f"Attention or an average over the whole tile ({few(mixers, _SHOWN)}) lets every output "
            "depend on all of its tile.",
            "No halo makes such tiles agree: take larger tiles, as far as memory allows, or a network "
            "without such layers.",
        )
    if spec.seam_free:
        return (
            "Something that was not tested makes tiles disagree, such as reduced precision.",
            "Compute in float32 and look again; if it stays, report it with this diagnosis.",
        )
    return spec.reason, "Take larger tiles, as far as memory allows, or a network that can be seam-free."


def _pairs(halo: Sequence[tuple[int, int]]) -> str:
    return " x ".join(str(a) if a == b else f"{a} and {b}" for a, b in halo)


def _flag(halo: Sequence[tuple[int, int]]) -> str:
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in halo)
