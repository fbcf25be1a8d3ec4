"""The network that a bundle names: a class on a list of ours, and its arguments, as an architecture here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.monai_bundle.config import Config, expressions_in

#: Classes of MONAI by our names for them; it has some under two names.
ARCHITECTURES = {
    "BasicUNet": "basic_unet",
    "BasicUnet": "basic_unet",
    "Basicunet": "basic_unet",
    "BasicUNetPlusPlus": "basic_unet_plus_plus",
    "BasicUnetPlusPlus": "basic_unet_plus_plus",
    "UNet": "monai_unet",
    "Unet": "monai_unet",
    "DynUNet": "dynunet",
    "DynUnet": "dynunet",
    "Dynunet": "dynunet",
    "SegResNet": "segresnet",
    "SegResNetDS": "segresnet_ds",
    "AttentionUnet": "attention_unet",
    "UNETR": "monai_unetr",
    "SwinUNETR": "swin_unetr",
    "FlexibleUNet": "flexible_unet",
    "FlexUNet": "flexible_unet",
    "HighResNet": "highresnet",
    "RegUNet": "regunet",
    "VNet": "vnet",
}
_NAMES = {ours: theirs for theirs, ours in reversed(ARCHITECTURES.items())}
_TARGET = re.compile(r"(?:monai\.networks\.nets\.(?:[a-z_]+\.)?)?(?P<name>\w+)")
#: Arguments that play no part once the weights are there: what was fetched at first, memory while training,
#: and sizes that earlier versions only checked.
_IDLE = {
    "flexible_unet": ("pretrained",),
    "swin_unetr": ("img_size", "use_checkpoint"),
}
#: Keys of a component that are none of its arguments.
_KEYS = ("_target_", "_disabled_", "_desc_", "_requires_", "_mode_")
#: Where a network is defined, the usual name first.
_DEFINED = ("network_def", "network", "net")
_SHOWN = 80


class NotBuiltError(NetworkError):
    """A bundle's network is not one that is built here; its TorchScript may be opened instead."""


def network_of(config: Config) -> tuple[str, dict[str, Any]]:
    """Return the architecture of ours that a configuration names, and its arguments.

    Raises
    ------
    NotBuiltError
        If it is code, or a class that is not on the list; the key and what it holds are named.
    NetworkError
        If it stands for more values than any configuration holds.
    """
    key, said = _definition(config)
    found = next(expressions_in(said), None)
    if found is not None:
        raise NotBuiltError(f"in its network, {found.words}")
    if said.get("_disabled_") not in (None, False) or said.get("_mode_", "default") != "default":
        raise NotBuiltError(f"{key} is disabled, or no instance of a class")
    target = said["_target_"]
    named = _TARGET.fullmatch(target) if isinstance(target, str) and len(target) <= _SHOWN else None
    architecture = ARCHITECTURES.get(named["name"]) if named else None
    if architecture is None:
        own = " from its own scripts" if str(target).startswith("scripts.") else ""
        raise NotBuiltError(
            f"{key} is {str(target)[:_SHOWN]!r}{own}, which is not built here: that is done for "
            f"{', '.join(sorted(_NAMES.values()))}"
        )
    arguments = {key: each for key, each in said.items() if key not in _KEYS}
    _check_parts(arguments, key)
    idle = _IDLE.get(architecture, ())
    chosen = {name: each for name, each in arguments.items() if name not in idle}
    return architecture, {name: _as_monai(name, each) for name, each in chosen.items()}


def _definition(config: Config) -> tuple[str, Mapping[str, Any]]:
    """Return the first key that defines a network, and what it stands for."""
    for key in _DEFINED:
        if not config.has(key):
            continue
        said = config.value(key)
        if isinstance(said, Mapping) and "_target_" in said:
            return key, said
        if key == _DEFINED[0]:
            code = next(expressions_in(said), None)
            raise NotBuiltError(code.words if code else f"{key} names no class")
    raise NotBuiltError(f"it has no {_DEFINED[0]} that names a class")


def _check_parts(value: Any, key: str) -> None:
    """Raise `NotBuiltError` where an argument is built by a class of its own."""
    if isinstance(value, Mapping) and "_target_" in value:
        raise NotBuiltError(f"a part of {key} is built by {str(value['_target_'])[:_SHOWN]!r}")
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check_parts(each, key)


def _as_monai(name: str, value: Any) -> Any:
    """Return an argument as MONAI means it: a norm's name alone is its own layer of that name, not ours."""
    return [value, {}] if name in {"norm", "norm_name"} and isinstance(value, str) else value
