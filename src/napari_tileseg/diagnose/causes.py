"""Why tiles disagree and what to do, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_tileseg.diagnose.suspects import Scene, Suspect
from napari_tileseg.nets.spec import NetworkSpec

if TYPE_CHECKING:
    from napari_tileseg.nets.inspection import NormLayer

_WORDS = {
    "batch": "BatchNorm without running statistics",
    "instance": "InstanceNorm",
    "group": "GroupNorm",
    "layer": "LayerNorm over space",
}
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why tiles disagree.

    Parameters
    ----------
    name : str
        ``feature normalization``, ``input normalization``, ``halo``, ``alignment to the stride`` or
        ``the rest``.
    share : float or None
        Part of the mismatch that it makes, 0 to 1, of all causes 1 together; None where nothing was measured.
    layers : tuple of str
        Paths of the layers to blame, the worst first.
    sentence, cure : str
        What is wrong, and what to do.
    difference_without : float or None
        Largest absolute difference of two tiles once it is taken away; None where nothing was measured.
    """

    name: Suspect
    share: float | None
    layers: tuple[str, ...]
    sentence: str
    cure: str
    difference_without: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def feature_words(layers: Sequence[NormLayer]) -> tuple[str, str]:
    """What is wrong with these layers, the worst first, and the cure."""
    counts = Counter(_WORDS.get(layer.kind, layer.kind) for layer in layers)
    what = " and ".join(f"{count} {word}" for word, count in counts.items())
    verb = "layer uses" if len(layers) == 1 else "layers use"
    return (
        f"{what} {verb} the mean and spread of each tile instead of fixed ones: "
        f"{few([layer.path for layer in layers])}.",
        "Replace such layers by BatchRenorm or BatchNorm, whose running statistics are fixed in prediction, "
        "and fine-tune; or keep their statistics fixed at those of many tiles.",
    )


def input_words() -> tuple[str, str]:
    """What tile-wise input normalization does, and the cure."""
    return (
        "The intensities of each tile are normalized by its own quantiles, so that the same voxel enters the "
        "network with another value in each tile.",
        "Normalize by the whole image: set normalize to network or quantiles.",
    )


def halo_words(scene: Scene) -> tuple[str, str]:
    """How much context lacks, and the cure."""
    lead = scene.lattice.lead
    has, needs = scene.cut.halo[lead:], scene.needed_halo[lead:]
    return (
        f"The halo is too small: tiles are cropped by {_pairs(has)} voxels, and the network sees "
        f"{_pairs(needs)} around a core.",
        f"Leave the halo empty, so that the measured one is used, or set it to {_flag(needs)}.",
    )


def alignment_words(scene: Scene) -> tuple[str, str]:
    """How far tiles lie off the stride, and the cure."""
    lead = scene.lattice.lead
    off = ", ".join(map(str, scene.remainders[lead:]))
    stride = ", ".join(map(str, scene.lattice.stride[lead:]))
    return (
        f"Neighbouring tiles start {off} voxels off the network's stride ({stride}) from each other, so that "
        "poolings fall on other voxels.",
        f"Start every tile on a multiple of the stride ({stride}): choose tile and overlap so that their "
        "difference is one, the last tile included.",
    )


def rest_words(spec: NetworkSpec, mixers: Sequence[str]) -> tuple[str, str]:
    """What else makes tiles disagree, and what helps."""
    if mixers:
        return (
            f"Attention or an average over the whole tile ({few(mixers)}) lets every output depend on all of "
            "its tile.",
            "No halo makes such tiles agree: take larger tiles, as far as memory allows, or a network "
            "without such layers.",
        )
    if spec.seam_free:
        return (
            "Something that was not tested makes tiles disagree, such as reduced precision.",
            "Compute in float32 and look again; if it stays, report it with this diagnosis.",
        )
    return spec.reason, "Take larger tiles, as far as memory allows, or a network that can be seam-free."


def few(paths: Sequence[str]) -> str:
    """The first paths, and how many more there are."""
    rest = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _pairs(halo: Sequence[tuple[int, int]]) -> str:
    return " x ".join(str(a) if a == b else f"{a} and {b}" for a, b in halo)


def _flag(halo: Sequence[tuple[int, int]]) -> str:
    return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in halo)
