"""Architectures by name: what a file may ask for, and nothing else."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from math import prod
from typing import Any, Protocol

from torch import nn

from napari_tileseg.errors import NetworkError, reason_of
from napari_tileseg.nets.architectures.orientation import axes_of_order

#: Classes of networks, functions that make one, and designs, whose `build` does.
_OURS = {
    "unet": "napari_tileseg.nets.architectures.unet:UNet",
    "unetr": "napari_tileseg.nets.architectures.unetr:UNETR",
    "plain_conv_unet": "napari_tileseg.nets.architectures.dynamic_unet:PlainConvUNet",
    "residual_encoder_unet": "napari_tileseg.nets.architectures.dynamic_unet:ResidualEncoderUNet",
    "torch_em_unet": "napari_tileseg.nets.architectures.torch_em_unet:TorchEmUNet",
    "double_conv_unet": "napari_tileseg.nets.architectures.ordered_unets.designs:DoubleConvUNet",
    "residual_unet": "napari_tileseg.nets.architectures.ordered_unets.designs:ResidualUNet",
    "ensemble": "napari_tileseg.nets.architectures.ensembles:ensemble",
}
#: Architectures that no user names: their arguments are what a program found in another file.
_FOUND = {"graph": "napari_tileseg.nets.architectures.graph:build_graph"}
_MONAI = (
    "basic_unet",
    "basic_unet_plus_plus",
    "monai_unet",
    "dynunet",
    "segresnet",
    "attention_unet",
    "monai_unetr",
    "swin_unetr",
    "segresnet_ds",
    "flexible_unet",
    "highresnet",
    "regunet",
    "vnet",
)
#: Numbers, entries of lists and letters, and lists in lists, that no argument of a network goes beyond.
_LARGEST, _LONGEST, _DEPTH = 2**16, 100, 4
_NAMED = 5
#: Voxels of a patch along each axis where an architecture does not ask, and patches of an image.
_PATCH, _TOKENS = 16, 2**13
#: What constructors are known to raise on arguments that do not fit.
_REFUSALS = (
    TypeError,
    ValueError,
    RuntimeError,
    AssertionError,
    ArithmeticError,
    LookupError,
    AttributeError,
    NotImplementedError,
)


class _Design(Protocol):
    """What a network is told, before there is one."""

    def build(self) -> nn.Module:
        """Return it with fresh weights."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What the arguments of an architecture say about its input and output.

    Parameters
    ----------
    ndim : int
        Spatial axes.
    in_channels, out_channels : int
        Channels in and out.
    """

    ndim: int
    in_channels: int
    out_channels: int


def names() -> tuple[str, ...]:
    """Return the names of all architectures that can be asked for."""
    return (*_OURS, *_MONAI)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the arguments that an architecture takes, by name.

    Raises
    ------
    NetworkError
        If there is no such architecture.
    """
    if name in _OURS or name in _FOUND:
        return dict(inspect.signature(_ours(name)).parameters)
    if name in _MONAI:
        found: dict[str, inspect.Parameter] = _monai().parameters(name)
        return found
    close = get_close_matches(str(name), names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise NetworkError(f"There is no architecture {name!r}; there are {', '.join(names())}.{hint}")


def build(name: str, /, **arguments: Any) -> nn.Module:
    """Build a network with fresh weights from PyTorch's random state.

    Parameters
    ----------
    name : str
        One of `names`.
    **arguments
        What the architecture takes; see `parameters`. Normalization is `norm`, one of
        `napari_tileseg.nets.norm_layers.NORMS`; ``attention_unet``, ``regunet`` and ``vnet`` have what MONAI
        builds into them, ``highresnet`` its `norm_type`, ``flexible_unet`` `norm` in its decoder alone, and
        ``double_conv_unet`` and ``residual_unet`` what their `layer_order` states.

    Returns
    -------
    torch.nn.Module
        From ``(batch, in_channels, *space)`` to ``(batch, out_channels, *space)``, not activated but by
        what `final_activation` returns.

    Raises
    ------
    NetworkError
        If there is no such architecture or argument, or an argument does not fit.
    """
    _check_names(name, arguments)
    try:
        if name in _OURS or name in _FOUND:
            made = _ours(name)(**arguments)
            return made if isinstance(made, nn.Module) else made.build()
        module: nn.Module = _monai().build(name, arguments)
    except NetworkError:
        raise
    except _REFUSALS as error:
        shown = ", ".join(f"{key} {reprlib.repr(value)}" for key, value in arguments.items())
        raise NetworkError(f"Architecture {name!r} does not take {shown}: {reason_of(error)}") from error
    return module


def signature(name: str, arguments: Mapping[str, Any]) -> Signature:
    """Return the axes and channels of an architecture with `arguments`, defaults filled in.

    Raises
    ------
    NetworkError
        If they are not whole numbers, or `build` would not know an argument.
    """
    _check_names(name, arguments)
    values = {key: parameter.default for key, parameter in parameters(name).items()} | dict(arguments)
    if name == "ensemble":
        return _of_ensemble(values)
    if name == "unetr":
        values["ndim"] = len(values["image_size"])
    counts = [values.get("ndim", values.get("spatial_dims")), values["in_channels"], values["out_channels"]]
    if not all(isinstance(count, int) and count > 0 for count in counts):
        raise NetworkError(
            f"Architecture {name!r} needs whole numbers of axes and channels; got {counts[0]} axes, "
            f"{counts[1]} channels in and {counts[2]} out."
        )
    return Signature(*counts)


def final_activation(name: str, arguments: Mapping[str, Any]) -> str:
    """Return the activation that an architecture with `arguments` ends in itself; "none" for most.

    Raises
    ------
    NetworkError
        If there is no such architecture.
    """
    known = parameters(name).get("final_activation")
    found = None if known is None else arguments.get("final_activation", known.default)
    return "none" if found is None else str(found).lower()


def _of_ensemble(values: Mapping[str, Any]) -> Signature:
    """Return the axes and channels of an ensemble, from those of its networks."""
    inner, arguments, order = values["architecture"], values["arguments"], values["order"]
    if inner == "ensemble" or not isinstance(arguments, Mapping):
        raise NetworkError(
            "An ensemble names the architecture of its networks, and their arguments; got "
            f"{reprlib.repr(inner)} and {reprlib.repr(arguments)}."
        )
    found = signature(inner, arguments)
    if order is None:
        return found
    return Signature(axes_of_order(found.ndim, order), found.in_channels, found.out_channels)


def _check_names(name: str, arguments: Mapping[str, Any]) -> None:
    known = parameters(name)
    unknown = [key for key in arguments if key not in known]
    if unknown:
        named = ", ".join(map(reprlib.repr, unknown[:_NAMED]))
        raise NetworkError(f"Architecture {name!r} has no argument {named}; it has {', '.join(known)}.")
    # A graph is held against the table of operations, which has bounds of its own.
    for key, value in arguments.items() if name not in _FOUND else ():
        _check_size(f"{name!r} takes {key}", value, _DEPTH)
    _check_tokens(name, arguments)
    missing = [
        key
        for key, parameter in known.items()
        if parameter.default is parameter.empty and key not in arguments
    ]
    if missing:
        raise NetworkError(
            f"Architecture {name!r} also needs {', '.join(missing)}; got {', '.join(arguments)}."
        )


def _check_tokens(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise `NetworkError` if a transformer looks from each of too many patches at each."""
    size = arguments.get("image_size", arguments.get("img_size"))
    patch = arguments.get("patch", _PATCH)
    if not (isinstance(size, (list, tuple)) and isinstance(patch, int) and patch > 0):
        return
    tokens = prod(max(int(each) // patch, 1) for each in size if isinstance(each, (int, float)))
    if tokens > _TOKENS:
        raise NetworkError(
            f"Architecture {name!r} takes an image of {_TOKENS} patches at most; got {tokens} of {patch} "
            "voxels an axis. Take larger patches, or a smaller image."
        )


def _check_size(what: str, value: Any, depth: int) -> None:
    """Raise `NetworkError` for what no network has, before anything is made of that size."""
    if isinstance(value, (int, float)) and not -_LARGEST <= value <= _LARGEST:
        raise NetworkError(f"Architecture {what} as numbers up to {_LARGEST}; got {reprlib.repr(value)}.")
    if not isinstance(value, (str, list, tuple, dict)):
        return
    if len(value) > _LONGEST or (depth == 0 and not isinstance(value, str)):
        raise NetworkError(
            f"Architecture {what} as lists and words of {_LONGEST} at most, and lists {_DEPTH} deep; "
            f"got {reprlib.repr(value)}."
        )
    for each in () if isinstance(value, str) else value.values() if isinstance(value, dict) else value:
        _check_size(what, each, depth - 1)


def _ours(name: str) -> Callable[..., nn.Module | _Design]:
    module, _, attribute = (_OURS | _FOUND)[name].partition(":")
    found: Callable[..., nn.Module | _Design] = getattr(import_module(module), attribute)
    return found


def _monai() -> Any:
    return import_module("napari_tileseg.nets.architectures.monai_networks")
