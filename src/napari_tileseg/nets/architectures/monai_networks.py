"""MONAI's segmentation networks, with our normalizations by name and one output tensor each.

Importing this module imports MONAI, which is slow: the registry does so only when one of them is asked
for. Arguments are MONAI's. ``norm`` (``norm_name`` works too where MONAI says so) is one of our names, or
MONAI's own pair of a name and arguments, such as ``["instance", {"affine": False}]``; left out, the network
is as MONAI builds it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from monai.networks.layers.factories import Norm
from monai.networks.nets.attentionunet import AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.flexible_unet import FlexibleUNet
from monai.networks.nets.highresnet import HighResNet
from monai.networks.nets.regunet import RegUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.segresnet_ds import SegResNetDS
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from monai.networks.nets.unetr import UNETR
from monai.networks.nets.vnet import VNet
from torch import Tensor, nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.norm_layers import NORMS, make_norm


def _register(name: str) -> None:
    def factory(ndim: int) -> Callable[[int], nn.Module]:
        # MONAI passes the channels only to a parameter that is really called num_features.
        def layer(num_features: int) -> nn.Module:
            return make_norm(name, num_features, ndim)

        return layer

    Norm.add_factory_callable(f"tileseg_{name}", factory, f"{name} normalization of napari-tileseg")


for _name in NORMS:
    _register(_name)


class _LastOfUNetPlusPlus(BasicUNetPlusPlus):
    """Its deepest output, which is its last; the weights have MONAI's names."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = super().forward(x)
        return outputs[-1]


class _FirstOfDynUNet(DynUNet):
    """Its full output; deep supervision stacks the coarser ones behind it in training."""

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return output[:, 0] if self.training and self.deep_supervision else output


class _FirstOfSegResNetDS(SegResNetDS):
    """Its full output; deep supervision lists the coarser ones behind it in training."""

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        first: Tensor = output[0] if isinstance(output, list) else output  # type: ignore[assignment]
        return first


CLASSES: dict[str, type[nn.Module]] = {
    "basic_unet": BasicUNet,
    "basic_unet_plus_plus": _LastOfUNetPlusPlus,
    "monai_unet": UNet,
    "dynunet": _FirstOfDynUNet,
    "segresnet": SegResNet,
    "attention_unet": AttentionUnet,
    "monai_unetr": UNETR,
    "swin_unetr": SwinUNETR,
    "segresnet_ds": _FirstOfSegResNetDS,
    "flexible_unet": FlexibleUNet,
    "highresnet": HighResNet,
    "regunet": RegUNet,
    "vnet": VNet,
}
#: Arguments that are not taken: MONAI's deprecated spellings of a norm, weights that it would fetch, code to
#: run first, and an activation that would be inside.
_NOT_TAKEN = {
    "segresnet": ("norm_name", "num_groups"),
    "flexible_unet": ("pretrained",),
    "segresnet_ds": ("preprocess",),
    "regunet": ("out_activation",),
}
_SAYS_NORM_NAME = {"dynunet", "monai_unetr", "swin_unetr"}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the arguments that a network takes, `norm` included where its normalization can be chosen."""
    taken = dict(inspect.signature(CLASSES[name]).parameters)
    if name in _SAYS_NORM_NAME:
        taken["norm"] = taken["norm_name"].replace(name="norm")
    for argument in _NOT_TAKEN.get(name, ()):
        del taken[argument]
    return taken


def build(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a MONAI network from MONAI's arguments and a normalization by name."""
    keywords = dict(arguments)
    spelling = "norm_name" if name in _SAYS_NORM_NAME else "norm"
    if spelling == "norm_name" and {"norm", "norm_name"} <= keywords.keys():
        raise NetworkError(f"{name} takes norm or norm_name, which are the same; got both.")
    norm = keywords.pop("norm", keywords.pop("norm_name", None))
    if norm is not None:
        keywords[spelling] = _monai_norm(norm)
    return CLASSES[name](**keywords)


def _monai_norm(norm: Any) -> Any:
    """Return what MONAI takes for one of our names, or its own pair as it is."""
    if not isinstance(norm, str):
        return norm
    if norm not in NORMS:
        raise NetworkError(
            f"Normalization is one of {', '.join(NORMS)}, or MONAI's pair of a name and arguments; "
            f"got {norm!r}."
        )
    return f"tileseg_{norm}"
