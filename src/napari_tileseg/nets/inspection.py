"""What is in a network: its normalization layers, and whether tiles can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from napari_tileseg._types import Halo
from napari_tileseg._words import by_axis, few
from napari_tileseg.nets.formats.pytorch.torchscript import scripted_calls
from napari_tileseg.nets.spec import NORM_NAMES, Geometry
from napari_tileseg.tiling.rounding import round_up

#: Names of layers to kinds; the first that a layer's name contains counts.
_KINDS = (
    ("BatchRenorm", "batch_renorm"),
    ("InstanceNorm", "instance"),
    ("GroupNorm", "group"),
    ("LayerNorm", "layer"),
    ("RMSNorm", "layer"),
    ("BatchNorm", "batch"),
)
#: What those are called that use statistics of their input over space, where that is not what all of them do.
_OVER_SPACE = {"batch": "BatchNorm without running statistics", "layer": "LayerNorm over space"}
#: Operations that make of all voxels, or of all tokens, one value or one weight.
_MIXING = (
    *("mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "softmax"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "amax"),
    *("scaled_dot_product_attention", "_native_multi_head_attention", "linalg_vector_norm"),
)
_SHOWN = 3
#: Least context, in voxels, where a network sees its whole input and no halo is right.
_LEAST_HALO = 16


@dataclass(frozen=True, slots=True)
class NormLayer:
    """A normalization layer.

    Parameters
    ----------
    path : str
        Its path in the network, as in ``encoders.0.0.1``.
    kind : str
        As in `napari_tileseg.nets.spec.NetworkSpec`.
    sees_tile : bool
        Whether, in prediction, it uses statistics of its input over space.
    """

    path: str
    kind: str
    sees_tile: bool


@dataclass(frozen=True, slots=True)
class Seams:
    """Whether a tiled prediction can equal the whole image's, why, and which layers stand in the way.

    `cause` is what stands in the way in a few words, such as ``10 InstanceNorm layers``.
    """

    seam_free: bool
    reason: str
    layers: tuple[str, ...] = ()
    cause: str = ""


def class_names(module: nn.Module) -> tuple[str, ...]:
    """Return names of a layer's class and of those that it derives from; TorchScript has the first only."""
    original = getattr(module, "original_name", None)
    return (original,) if isinstance(original, str) else tuple(base.__name__ for base in type(module).__mro__)


def norm_layers(module: nn.Module) -> Iterator[NormLayer]:
    """Yield all normalization layers of a network, TorchScript included, in its own order."""
    for path, layer in module.named_modules():
        kind = _kind(layer)
        if kind:
            yield NormLayer(path or "the network itself", kind, _sees_tile(layer, kind))


def count_norms(module: nn.Module) -> dict[str, int]:
    """Return the number of normalization layers of each kind that there is."""
    return dict(Counter(layer.kind for layer in norm_layers(module)))


def _kind(layer: nn.Module) -> str | None:
    names = class_names(layer)
    for part, kind in _KINDS:
        if any(part in name for name in names):
            return "instance_tracked" if kind == "instance" and _tracks(layer) else kind
    leaf = next(layer.children(), None) is None
    return "other" if leaf and "norm" in names[0].lower() else None


def _tracks(layer: nn.Module) -> bool:
    return any(name == "running_mean" for name, _ in layer.named_buffers(recurse=False))


def _sees_tile(layer: nn.Module, kind: str) -> bool:
    if kind == "batch":
        return not _tracks(layer)
    if kind == "layer":
        # Over channels alone a LayerNorm treats each voxel or token by itself.
        return len(tuple(getattr(layer, "normalized_shape", (0,)))) > 1
    return kind in {"instance", "group"}


def judge_seams(module: nn.Module, geometry: Geometry, found: tuple[str, ...] | None = None) -> Seams:
    """Say whether a tiled prediction can equal the whole image's, and why.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    geometry : Geometry
        What was measured of it.
    found : tuple of str, optional
        Paths of the layers that were seen to depend on the whole tile; by default they are recognised
        by their kind, as far as they are called.
    """
    if geometry.random:
        return Seams(
            False,
            "It gives another answer each time for the same image, by dropout that is always on or noise, so "
            "that neighbouring tiles cannot agree.",
            cause="another answer each time",
        )
    if geometry.read.fixed:
        return Seams(
            False,
            f"It takes one size of image only ({by_axis(geometry.read.minimum)} voxels), so that there is no "
            "prediction of the whole image that tiles could equal.",
            (*_culprits(module), *mixing_layers(module)),
            "one size of image only",
        )
    if geometry.halo is None:
        return _unbounded(module, found)
    if not geometry.shift_equivariant:
        return _position_dependent(module)
    return Seams(
        True,
        f"Every output depends on a bounded surrounding ({_context(geometry.halo)}), so that tiles read with "
        "that much context equal the whole image.",
    )


def _culprits(module: nn.Module) -> tuple[str, ...]:
    return tuple(layer.path for layer in norm_layers(module) if layer.sees_tile)


def _unbounded(module: nn.Module, found: tuple[str, ...] | None) -> Seams:
    norms = list(norm_layers(module))
    guilty = [layer for layer in norms if layer.sees_tile]
    if found is not None:
        guilty = [layer for layer in guilty if layer.path in found]
    elif isinstance(module, torch.jit.ScriptModule):
        called = scripted_calls(module)
        guilty = [layer for layer in guilty if layer.path in called]
    paths = {layer.path for layer in norms}
    others = tuple(path for path in (mixing_layers(module) if found is None else found) if path not in paths)
    if guilty:
        return _by_statistics(guilty, others)
    if others:
        return Seams(
            False,
            "Every output depends on the whole tile, through attention or an average over the tile "
            f"({few(others, _SHOWN)}): no amount of context makes neighbours agree.",
            others,
            f"{_layers_words(len(others))} that see the whole tile",
        )
    return Seams(
        False,
        "Every output depends on the whole tile, or on more of it than could be tried: no amount of context "
        "that is known makes neighbours agree.",
        cause="it sees the whole tile",
    )


def count_guilty(layers: Iterable[NormLayer]) -> str:
    """Count layers that use statistics over space by kind, such as ``2 InstanceNorm and 1 GroupNorm``."""
    counts = Counter(_OVER_SPACE.get(layer.kind, NORM_NAMES[layer.kind]) for layer in layers)
    return " and ".join(f"{count} {name}" for name, count in counts.items())


def _by_statistics(guilty: list[NormLayer], others: tuple[str, ...]) -> Seams:
    """Blame normalization layers, and perhaps others with them."""
    what = count_guilty(guilty)
    paths = tuple(layer.path for layer in guilty)
    layers = "layer" if len(paths) == 1 else "layers"
    beside = f" and {_layers_words(len(others))} that see the whole tile" if others else ""
    more = f" The whole tile is also seen by {few(others, _SHOWN)}." if others else ""
    return Seams(
        False,
        f"{what} {layers} ({few(paths, _SHOWN)}) use the mean and spread of the tile that they are given, so "
        f"that every output depends on the whole tile and neighbours disagree.{more}",
        (*paths, *others),
        f"{what} {layers}{beside}",
    )


def _layers_words(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'}"


def mixing_layers(module: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers that mix all voxels: attention, and averages over the whole tile.

    Of TorchScript, whose layers cannot be run by themselves, those count whose own code does so.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return tuple(path for path, graph in scripted_calls(module).items() if path and _code_mixes(graph))
    return tuple(path for path, layer in module.named_modules() if path and _mixes_all(layer))


def _code_mixes(graph: str) -> bool:
    """Return whether a layer of TorchScript calls such an operation itself."""
    # Functions of torch.nn that are scripted are constants with a name.
    return any(f"aten::{name}(" in graph or f'[name="{name}"]' in graph for name in _MIXING)


def _mixes_all(layer: nn.Module) -> bool:
    name = class_names(layer)[0]
    return ("Adaptive" in name and "Pool" in name) or name.endswith(("Attention", "SABlock", "SELayer"))


def _position_dependent(module: nn.Module) -> Seams:
    aligned = tuple(path for path, layer in module.named_modules() if path and _aligns_corners(layer))
    around = tuple(path for path, layer in module.named_modules() if path and _wraps_around(layer))
    if aligned:
        short = "up-sampling with aligned corners"
        cause = f"Linear up-sampling with aligned corners ({few(aligned, _SHOWN)})"
    elif around:
        short = "padding from the opposite border"
        cause = f"Padding with voxels from the opposite border ({few(around, _SHOWN)})"
    else:
        short = "it depends on the position"
        cause = "Something in it, such as up-sampling with aligned corners, learned positions or its padding,"
    return Seams(
        False,
        f"{cause} makes the output depend on where in the image a voxel lies, so that a tile differs from "
        "the whole image at any amount of context.",
        aligned or around,
        short,
    )


def _aligns_corners(layer: nn.Module) -> bool:
    return "Upsample" in class_names(layer) and bool(getattr(layer, "align_corners", False))


def _wraps_around(layer: nn.Module) -> bool:
    return getattr(layer, "padding_mode", None) == "circular" or "CircularPad" in class_names(layer)[0]


def without_tile_statistics(module: nn.Module) -> nn.Module | None:
    """Return a copy in which layers that use the tile's statistics do nothing, if there are any."""
    paths = [path for path in _culprits(module) if path in dict(module.named_modules())]
    if not paths or hasattr(module, "original_name"):
        return None
    copy = deepcopy(module)
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(copy.get_submodule(parent), name, nn.Identity())
    return copy


def chosen_halo(geometry: Geometry) -> Halo:
    """Return the context where no halo is right: at least 16 voxels, or an eighth of a fixed size."""
    if geometry.read.fixed:
        pairs = zip(geometry.read.minimum, geometry.stride, strict=True)
        sizes = [size // 8 // stride * stride for size, stride in pairs]
    else:
        sizes = [round_up(_LEAST_HALO, stride) for stride in geometry.stride]
    return tuple((size, size) for size in sizes)


def _context(halo: Halo) -> str:
    if all(before == after for before, after in halo):
        return f"{by_axis(tuple(before for before, _ in halo))} voxels to each side"
    return " x ".join(f"{before} before and {after} after" for before, after in halo) + " voxels"
