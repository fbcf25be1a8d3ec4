"""The configuration that a network of pytorch-3dunet was trained by, read as data."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import count, entries, mapping, number
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.pytorch_3dunet.layers import Layers
from napari_tileseg.nets.formats.pytorch_3dunet.preparation import preparation_of


@dataclass(frozen=True, slots=True)
class _Class:
    """A class of the package: what it is here, and the levels that it has where nothing is stated."""

    architecture: str
    ndim: int
    levels: int
    gated: bool = False


_CLASSES = {
    "UNet3D": _Class("double_conv_unet", 3, 4),
    "UNet2D": _Class("double_conv_unet", 2, 4),
    "ResidualUNet3D": _Class("residual_unet", 3, 5),
    "ResidualUNet2D": _Class("residual_unet", 2, 5),
    "ResidualUNetSE3D": _Class("residual_unet", 3, 5, gated=True),
}
_MAPS, _MOST_LEVELS, _DROPOUT = 64, 16, 0.1
#: Interpolations by our names, and what they are called for each number of axes.
_MODES = {"nearest": "nearest", "area": "area", "bilinear": "linear", "trilinear": "linear"}
#: What a network gives by the labels that it learned, where it gives one channel.
_LEARNED = {"StandardLabelToBoundary": "boundary"}


def description_of(config: Any, layers: Layers, source: str, checkpoint: str) -> Description | None:
    """Return what a configuration states of a network; None where order or groups are not stated.

    Parameters
    ----------
    config : object
        What the file holds, untrusted.
    layers : Layers
        What the weights show.
    source, checkpoint : str
        The configuration, and the weights, for messages.

    Raises
    ------
    NetworkError
        If it is none, names a network that is not opened here, or is that of another one.
    """
    model = mapping(mapping(config).get("model"))
    kind = _CLASSES.get(str(model.get("name")))
    if kind is None:
        raise NetworkError(
            f"{source} should configure a network of pytorch-3dunet, one of {', '.join(_CLASSES)}; its model "
            f"is {reprlib.repr(model.get('name'))}. State the network in the setting architecture."
        )
    _check_same(model, kind, layers, source, checkpoint)
    order, groups = model.get("layer_order"), model.get("num_groups")
    if not isinstance(order, str) or ("g" in order and groups is None):
        return None
    flat, arguments = _arguments(model, kind, layers, source)
    rest = stated_beside(config, layers.in_channels, source)
    plane = (
        f"{checkpoint} holds convolutions of one voxel along z: it is opened as a network of planes, each by "
        "itself, as it was trained.",
    )
    return Description(
        architecture=kind.architecture,
        arguments=arguments,
        activation="none",
        classes=rest.classes if layers.out_channels == 1 else None,
        input_normalization=rest.input_normalization,
        notes=(*(plane if flat else ()), *rest.notes),
    )


def stated_beside(config: Any, in_channels: int, source: str) -> Description:
    """Return what a configuration states beside the network itself: intensities, class, patch.

    Parameters
    ----------
    config : object
        What the file holds, untrusted.
    in_channels : int
        Channels of the image.
    source : str
        The configuration, for messages.
    """
    loaders = mapping(mapping(config).get("loaders"))
    intensities, notes = preparation_of(loaders, in_channels, source)
    train = mapping(loaders.get("train"))
    patch = [count(each) for each in entries(mapping(train.get("slice_builder")).get("patch_shape"))]
    labels = (mapping(each).get("name") for each in entries(mapping(train.get("transformer")).get("label")))
    learned = next((_LEARNED[str(each)] for each in labels if str(each) in _LEARNED), None)
    if 0 < len(patch) <= 3 and None not in patch:
        notes = (*notes, f"It was trained on patches of {by_axis(patch)} voxels.")
    return Description(classes=(learned,) if learned else None, input_normalization=intensities, notes=notes)


def _check_same(model: Mapping[str, Any], kind: _Class, layers: Layers, source: str, checkpoint: str) -> None:
    """Raise `NetworkError` where a configuration is that of a network of other weights."""
    maps, levels = model.get("f_maps", _MAPS), model.get("num_levels", kind.levels)
    many = type(levels) is int and 2 <= levels <= _MOST_LEVELS
    if not isinstance(maps, list):
        maps = [maps * 2**level for level in range(levels)] if type(maps) is int and many else [maps]
    name = str(model["name"])
    fits = name in layers.class_names
    stated = (name, model.get("in_channels"), model.get("out_channels"), maps)
    found = (
        name if fits else layers.class_names[0],
        layers.in_channels,
        layers.out_channels,
        [*layers.features],
    )
    if stated != found:
        words = [
            f"a {what} of features {reprlib.repr(features)[1:-1]} with {reprlib.repr(first)} channels in and "
            f"{reprlib.repr(last)} out"
            for what, first, last, features in (stated, found)
        ]
        raise NetworkError(
            f"{source} is the configuration of another network: it states {words[0]}, and {checkpoint} holds "
            f"{words[1]}. Put the config_train.yml that it was trained by beside it."
        )


def _arguments(
    model: Mapping[str, Any], kind: _Class, layers: Layers, source: str
) -> tuple[bool, dict[str, Any]]:
    """Return whether a network of volumes is one of planes, and the arguments of the architecture."""
    pool = _pool(model, layers, source)
    flat = layers.thin and pool[0] == 1
    kernel = layers.kernel[1:] if flat else layers.kernel
    _check_padding(model, layers, source)
    dropout = number(model.get("dropout_prob"))
    segments = model.get("is_segmentation", True) is not False
    final = "sigmoid" if model.get("final_sigmoid", True) is not False else "softmax"
    return flat, {
        "ndim": len(kernel),
        "in_channels": layers.in_channels,
        "out_channels": layers.out_channels,
        "features": list(layers.features),
        "layer_order": model["layer_order"],
        "num_groups": model.get("num_groups"),
        "kernel": list(kernel),
        "pool": list(pool[-len(kernel) :]),
        "dropout": _DROPOUT if dropout is None or layers.residual else dropout,
        "final_activation": final if segments else "none",
        **_upsampling(model, layers, len(kernel), source),
        **({"squeeze_excitation": kind.gated} if layers.residual else _upscale(model)),
    }


def _upscale(model: Mapping[str, Any]) -> dict[str, Any]:
    # Anything but 1 means two there.
    return {"upscale": 1 if model.get("conv_upscale") == 1 else 2}


def _pool(model: Mapping[str, Any], layers: Layers, source: str) -> tuple[int, ...]:
    """Return the windows of pooling, which only some versions of the package take from a configuration."""
    ndim = len(layers.kernel)
    if layers.thin and model["name"] == "UNet2D":
        return (1, 2, 2)
    stated = model.get("pool_kernel_size", 2)
    sizes = tuple(stated) if isinstance(stated, list) else (stated,) * ndim
    if sizes == (2,) * ndim:
        return sizes
    # The size of its kernels is taken by the same versions, and shows in the weights.
    if {*layers.kernel} == {3} or len(sizes) != ndim or not all(count(each) for each in sizes):
        raise NetworkError(
            f"{source} states pool_kernel_size {reprlib.repr(stated)}, which some versions of pytorch-3dunet "
            "take and others ignore; nothing shows which this was. State the network in the setting "
            "architecture, with pool as it was."
        )
    return sizes


def _check_padding(model: Mapping[str, Any], layers: Layers, source: str) -> None:
    """Raise `NetworkError` for convolutions whose output is of another size."""
    whole = [size // 2 for size in layers.kernel]
    stated = model.get("conv_padding", whole)
    along = stated if isinstance(stated, list) else [stated] * len(whole)
    planes = model["name"] == "UNet2D" and stated == 1
    if along != whole and not planes and not layers.residual:
        raise NetworkError(
            f"{source} states conv_padding {reprlib.repr(stated)} for convolutions of "
            f"{by_axis(layers.kernel)} voxels; only those whose output has the size of their input are "
            f"opened, padded by {by_axis(whole)}."
        )


def _upsampling(model: Mapping[str, Any], layers: Layers, ndim: int, source: str) -> dict[str, Any]:
    stated = model.get("upsample", "default")
    if layers.residual and stated in ("default", "deconv"):
        return {"joining": "sum" if stated == "default" else "concatenation"}
    usual = "nearest" if stated == "default" else stated
    if not layers.residual and usual == "deconv":
        return {"upsampling": "deconv"}
    fits = usual in ("nearest", "area") or usual == {2: "bilinear", 3: "trilinear"}[ndim]
    if layers.residual or not isinstance(usual, str) or not fits:
        raise NetworkError(
            f"{source} states upsample {reprlib.repr(stated)}, which a network of this kind cannot be opened "
            "with here. Write it as TorchScript, and open that."
        )
    return {"upsampling": _MODES[usual]}
