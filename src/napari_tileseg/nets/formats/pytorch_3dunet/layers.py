"""What names and shapes of weights show of a network of pytorch-3dunet, and what they do not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError

#: What all names of its weights but the last have in common.
MARK = "basic_module."
_FIRST = "encoders.0.basic_module."
_WIDENED = f"{_FIRST}conv1.conv.weight"
#: Levels that are counted, groups that are tried, and those that are listed.
_MOST_LEVELS, _MOST_GROUPS, _LISTED = 16, 512, 8
_DEPTH = 4
_NONLINEARITIES = "rle"
_NORMS = {"groupnorm": "g", "batchnorm": "b"}


@dataclass(frozen=True, slots=True)
class Layers:
    """A network as far as its weights show it.

    Parameters
    ----------
    residual, gated : bool
        Whether its blocks are residual, and whether weights for channels and voxels follow them.
    in_channels, out_channels : int
        Channels in and out.
    features : tuple of int
        Of each level, from the finest.
    kernel : tuple of int
        Voxels of a convolution along each axis.
    transposed : bool
        Whether it is up-sampled by transposed convolutions.
    norm : {"g", "b", ""}
        Letter of its normalization.
    normalized : tuple of tuple of int
        Of each normalization: its channels, and those in and out of its convolution.
    """

    residual: bool
    gated: bool
    in_channels: int
    out_channels: int
    features: tuple[int, ...]
    kernel: tuple[int, ...]
    transposed: bool
    norm: str
    normalized: tuple[tuple[int, int, int], ...]

    @property
    def thin(self) -> bool:
        """Whether its convolutions are those of volumes, of one voxel along z."""
        return len(self.kernel) == 3 and self.kernel[0] == 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of pytorch-3dunet that it can be of, the likeliest first."""
        family = f"{'Residual' if self.residual else ''}UNet{'SE' if self.gated else ''}"
        if self.thin:
            return f"{family}2D", f"{family}3D"
        return (f"{family}{len(self.kernel)}D",)

    def orders(self) -> tuple[str, ...]:
        """Return the orders of layers that fit the weights."""
        if not self.norm:
            return tuple(f"c{each}" for each in _NONLINEARITIES)
        before = all(channels == first for channels, first, _ in self.normalized)
        after = all(channels == last for channels, _, last in self.normalized)
        return (
            *(f"{self.norm}c{each}" for each in _NONLINEARITIES if before),
            *(f"c{self.norm}{each}" for each in _NONLINEARITIES if after),
            *(f"c{each}{self.norm}" for each in _NONLINEARITIES if after),
        )

    def groups(self) -> tuple[int, ...]:
        """Return the numbers of groups that fit the weights; none where there is no GroupNorm."""
        sizes = {channels for channels, _, _ in self.normalized}
        if self.norm != "g" or not sizes:
            return ()
        counts = range(1, min(max(sizes), _MOST_GROUPS) + 1)
        return tuple(n for n in counts if all(size < n or size % n == 0 for size in sizes))

    def question(self, source: str) -> str:
        """Return what is to be stated, as a message: what fits, and how to say which it is.

        Parameters
        ----------
        source : str
            The checkpoint.
        """
        groups = self.groups()
        missing = "in which order its layers are" + (" and how many groups GroupNorm has" if groups else "")
        fitting = f"the orders {', '.join(self.orders())} fit alike"
        if groups:
            rest = len(groups) - _LISTED
            more = f" and {rest} more" if rest > 0 else ""
            fitting += f", and so do {', '.join(map(str, groups[:_LISTED]))}{more} groups"
        if self.out_channels > 1:
            fitting += ", and a final activation of sigmoid or softmax"
        return (
            f"{source} holds the weights of a {self.class_names[0]} of pytorch-3dunet, which do not say "
            f"{missing}: {fitting}. Put the config_train.yml that it was trained by beside it, or state in "
            f"the setting architecture what it was trained with, in place of each ?: {self._example()}"
        )

    def _example(self) -> str:
        channels = {"in_channels": self.in_channels, "out_channels": self.out_channels}
        kernel = self.kernel[1:] if self.thin else self.kernel
        order: dict[str, Any] = {"layer_order": "?", **({"num_groups": "?"} if self.groups() else {})}
        final = {"final_activation": "sigmoid" if self.out_channels == 1 else "?"}
        odd = {"kernel": list(kernel)} if {*kernel} != {3} else {}
        gated = {"squeeze_excitation": True} if self.gated else {}
        deconv = {"upsampling": "deconv"} if self.transposed and not self.residual else {}
        rest = {**odd, **gated, **deconv}
        arguments = {
            "ndim": len(kernel),
            **channels,
            "features": list(self.features),
            **order,
            **final,
            **rest,
        }
        name = "residual_unet" if self.residual else "double_conv_unet"
        return json.dumps({"architecture": name, "arguments": arguments})


def weights_in(held: Any, depth: int = _DEPTH) -> dict[str, Tensor] | None:
    """Return the weights of a network of pytorch-3dunet in what a file holds, by their names in it.

    Parameters
    ----------
    held : object
        What was loaded; tensors need no memory.
    depth : int
        Mappings in mappings that are looked into.
    """
    if not isinstance(held, Mapping):
        return None
    tensors = {
        name: each for name, each in held.items() if isinstance(name, str) and isinstance(each, Tensor)
    }
    first = next((name for name in tensors if _FIRST in name), None)
    if first is not None:
        prefix = first[: first.index(_FIRST)]
        return {name.removeprefix(prefix): each for name, each in tensors.items()}
    inner = (weights_in(each, depth - 1) for each in held.values()) if depth else ()
    return next((each for each in inner if each is not None), None)


def layers_of(weights: Mapping[str, Tensor], source: str) -> Layers:
    """Return what weights show of their network.

    Parameters
    ----------
    weights : mapping
        Names and shapes.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If they are those of another network.
    """
    if _WIDENED in weights:
        raise NetworkError(
            f"{source} holds a residual network of an older pytorch-3dunet, whose blocks begin with "
            "a convolution and all its layers; those of version 1.9 are opened. Write it as TorchScript "
            "with the version that it was trained with, and open that."
        )
    residual = f"{_FIRST}conv3.conv.weight" in weights
    last = "conv3" if residual else "SingleConv2"
    shapes = {name: tuple(each.shape) for name, each in weights.items()}
    levels = [shapes.get(f"encoders.{level}.{MARK}{last}.conv.weight") for level in range(_MOST_LEVELS)]
    known = [shape for shape in levels if shape is not None and len(shape) in {4, 5}]
    begin = _shape(shapes, _begin_of(shapes, residual), source)
    end = _shape(shapes, "final_conv.weight", source)
    if len(known) < 2 or len({len(each) for each in (*known, begin, end)}) > 1:
        raise _unknown(source)
    return Layers(
        residual=residual,
        gated=any(".se_module." in name for name in shapes),
        in_channels=begin[1],
        out_channels=end[0],
        features=tuple(shape[0] for shape in known),
        kernel=known[0][2:],
        transposed=any(".conv_transposed." in name for name in shapes),
        norm=next((letter for name, letter in _NORMS.items() if any(f".{name}." in n for n in shapes)), ""),
        normalized=tuple(_normalized(shapes)),
    )


def _begin_of(shapes: Mapping[str, Any], residual: bool) -> str:
    """Return the name of the first convolution of the image."""
    if not residual:
        return f"{_FIRST}SingleConv1.conv.weight"
    widened = f"{_FIRST}conv1.weight"
    return widened if widened in shapes else f"{_FIRST}conv2.conv.weight"


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, source: str) -> tuple[int, ...]:
    found = shapes.get(name, ())
    if len(found) not in {4, 5}:
        raise _unknown(source)
    return found


def _unknown(source: str) -> NetworkError:
    return NetworkError(
        f"{source} has names of weights as pytorch-3dunet gives them, and is no network of it that is known "
        f"here ({few(['UNet3D', 'UNet2D', 'ResidualUNet3D', 'ResidualUNetSE3D'], 4)}). Write it as "
        "TorchScript, and open that."
    )


def _normalized(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[int, int, int]]:
    """Yield the channels of each normalization, and those in and out of the convolution beside it."""
    for name, shape in shapes.items():
        found = re.fullmatch(rf"(.*)\.({'|'.join(_NORMS)})\.weight", name)
        beside = shapes.get(f"{found[1]}.conv.weight", ()) if found else ()
        if len(shape) == 1 and len(beside) > 1:
            yield shape[0], beside[1], beside[0]
