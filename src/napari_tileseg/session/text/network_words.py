"""What a network, a plan and a run are, in words for a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg._types import Halo
from napari_tileseg._words import few
from napari_tileseg.engine import Route, judged_by_engine
from napari_tileseg.nets.spec import NORM_NAMES, NetworkSpec
from napari_tileseg.session.text.panel_words import panel_words

if TYPE_CHECKING:
    from napari_tileseg.nets import Network
    from napari_tileseg.nets.formats.candidate import Mirroring

#: Stands for a number that is not known.
NO_NUMBER = "\N{EN DASH}"
#: Layers that are named.
_NAMED = 3
_ARCHITECTURES = {
    "unet": "U-Net",
    "unetr": "UNETR",
    "plain_conv_unet": "U-Net of strided convolutions",
    "residual_encoder_unet": "U-Net with a residual encoder",
    "torch_em_unet": "U-Net of torch_em",
    "double_conv_unet": "U-Net of double convolutions",
    "residual_unet": "U-Net of residual blocks",
    "basic_unet": "BasicUNet of MONAI",
    "basic_unet_plus_plus": "BasicUNetPlusPlus of MONAI",
    "monai_unet": "UNet of MONAI",
    "dynunet": "DynUNet of MONAI",
    "segresnet": "SegResNet of MONAI",
    "attention_unet": "AttentionUnet of MONAI",
    "monai_unetr": "UNETR of MONAI",
    "swin_unetr": "SwinUNETR of MONAI",
    "ensemble": "Mean of networks",
    "graph": "Network known by its graph",
    "torchscript": "TorchScript network",
    "exported program": "Exported PyTorch program",
    "ONNX": "ONNX network",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWords:
    """A network in plain words.

    Parameters
    ----------
    what : str
        What it is: architecture, channels, classes, size, normalization.
    needs : str
        What it needs: stride, halo, voxel size.
    seam_free : bool
        Whether a tiled prediction can equal the whole image's.
    verdict : str
        The same as a short sentence.
    why : str
        The reason, with the layers' names where there are any.
    notes : str
        What nothing states about it and was assumed, a line each.
    test : str
        What came of its package's own test; "" where it has none.
    test_passed : bool
        Whether it reproduces the stated output.
    mirroring : str
        What averaging over mirrored copies of the image costs; "" where its package does not ask for it.
    mirrored : bool
        Whether that is done.
    """

    what: str
    needs: str
    seam_free: bool
    verdict: str
    why: str
    notes: str = ""
    test: str = ""
    test_passed: bool = True
    mirroring: str = ""
    mirrored: bool = False


def describe_network(
    spec: NetworkSpec, route: Route | None = None, network: Network | None = None
) -> NetworkWords:
    """Describe what a network is and needs, and whether its tiles can show, as they are computed.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of it.
    route : Route, optional
        How its tiles are computed; None where that is not known yet.
    network : Network, optional
        The network itself, for what its package asks for beside.
    """
    mirroring = None if network is None else network.mirroring
    spec = judged_by_engine(spec, route)
    classes = ", ".join(spec.classes)
    named = f" ({', '.join(spec.channel_names)})" if spec.channel_names else ""
    norms = " and ".join(NORM_NAMES.get(kind, kind) for kind, count in spec.norm_counts.items() if count)
    architecture = _architecture_words(spec, network)
    what = (
        f"{architecture} {spec.ndim}D, {spec.in_channels}{named} \N{RIGHTWARDS ARROW} {spec.out_channels} "
        f"({classes}), {count_words(spec.parameters)} parameters, {norms or 'no normalization layers'}"
    )
    cause = f": {spec.seam_cause}" if spec.seam_cause else ""
    # Of a network of one size the reason names no layers; all others do.
    unnamed = spec.geometry.read.fixed and spec.seam_layers
    layers = f" Layers: {few(spec.seam_layers, _NAMED)}." if unnamed else ""
    # The panel has a box to tick for what this note says.
    known = mirroring.note if mirroring else None
    return NetworkWords(
        what=what,
        needs=_needs(spec),
        seam_free=spec.seam_free,
        verdict="can be seam-free" if spec.seam_free else f"not seam-free by itself{cause}",
        why=f"{spec.reason}{layers}",
        notes="\n".join(panel_words(note) for note in spec.notes if note != known),
        test="" if spec.self_test is None else f"{_sentence(spec.self_test.words)}.",
        test_passed=spec.self_test is None or spec.self_test.reproduces,
        mirroring=_mirroring_words(mirroring) if mirroring else "",
        mirrored=mirroring is not None and mirroring.used,
    )


def _architecture_words(spec: NetworkSpec, network: Network | None) -> str:
    """Return what a network is called; of several that are averaged, what each of them is."""
    if spec.architecture != "ensemble" or network is None:
        return _ARCHITECTURES.get(spec.architecture, spec.architecture)
    said = network.description.arguments
    name, count = said["architecture"], said.get("members", 1)
    words = _ARCHITECTURES.get(name, name)
    return words if count == 1 else f"{count} {words.replace('U-Net', 'U-Nets', 1)}, averaged,"


def _mirroring_words(mirroring: Mirroring) -> str:
    runs = f"{mirroring.runs} run{'' if mirroring.runs == 1 else 's'} a voxel"
    if mirroring.used:
        return f"mean of {mirroring.copies} mirrored copies, as nnU-Net has it: {runs}"
    return f"{runs}; nnU-Net takes the mean of {mirroring.copies} mirrored copies"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _needs(spec: NetworkSpec) -> str:
    unbounded = spec.geometry.halo is None
    halo = f"{'unbounded, in use ' if unbounded else ''}{halo_words(spec.default_halo)}"
    parts = [f"stride {axes_words(spec.geometry.stride)}", f"halo {halo}"]
    if spec.voxel_size:
        size = " \N{MULTIPLICATION SIGN} ".join(f"{s:.3g}" for s in spec.voxel_size)
        parts.append(f"trained at {size} \N{MICRO SIGN}m")
    if spec.geometry.read.fixed:
        parts.append(f"reads of {axes_words(spec.geometry.read.minimum)} only")
    return ", ".join(parts)


def axes_words(values: Sequence[int]) -> str:
    """Return one number where all axes agree, else one for each, such as ``1 x 4 x 4``."""
    if len(set(values)) == 1:
        return str(values[0])
    return " \N{MULTIPLICATION SIGN} ".join(str(v) for v in values)


def halo_words(halo: Halo) -> str:
    """Return a halo in the shortest form, such as ``22`` or ``18:14 x 18:14``."""
    if len({n for pair in halo for n in pair}) == 1:
        return str(halo[0][0])
    return " \N{MULTIPLICATION SIGN} ".join(str(a) if a == b else f"{a}:{b}" for a, b in halo)


def count_words(count: int) -> str:
    """Return a count with at most three digits, such as ``90 k``."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def tiles_words(count: int) -> str:
    """Return a number of tiles, such as ``1 tile`` or ``16 tiles``."""
    return f"{count} tile{'' if count == 1 else 's'}"
