"""MONAI bundles, as small as they can be, written by hand around MONAI's own classes in random weights."""

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import monai.networks.nets
import numpy as np
import torch
import yaml
from torch import nn

#: Small networks: arguments as bundles have them, and a shape (z, y, x) that they take, each side another.
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "UNet": (
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "channels": [4, 8, 8],
            "strides": [2, 2],
            "num_res_units": 2,
            "norm": "batch",
        },
        (8, 12, 16),
    ),
    "SegResNet": (
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "init_filters": 8,
            "blocks_down": [1, 2],
            "blocks_up": [1],
            "dropout_prob": 0.2,
        },
        (8, 12, 16),
    ),
    "SegResNetDS": (
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "init_filters": 4,
            "blocks_down": [1, 1],
            "dsdepth": 2,
            "norm": "INSTANCE",
        },
        (8, 12, 16),
    ),
    "BasicUNet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [4, 4, 8, 8, 8, 4]},
        (32, 48),
    ),
    "FlexibleUNet": (
        {
            "in_channels": 1,
            "out_channels": 2,
            "backbone": "efficientnet-b0",
            "spatial_dims": 2,
            "pretrained": False,
            "is_pad": False,
            "pre_conv": None,
        },
        (64, 96),
    ),
    "DynUNet": (
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": [3, [3, 3, 1], 3],
            "strides": [1, [2, 2, 1], 2],
            "upsample_kernel_size": [[2, 2, 1], 2],
            "filters": [4, 4, 8],
            "norm_name": "instance",
            "deep_supervision": True,
            "deep_supr_num": 1,
            "res_block": True,
        },
        (4, 8, 12),
    ),
    "SwinUNETR": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "feature_size": 12,
            "num_heads": [1, 2, 3, 4],
            "use_checkpoint": True,
        },
        (64, 96),
    ),
    "AttentionUnet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]},
        (8, 12),
    ),
    "UNETR": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "img_size": [32, 32],
            "feature_size": 4,
            "hidden_size": 12,
            "mlp_dim": 8,
            "num_heads": 3,
        },
        (32, 32),
    ),
    "VNet": ({"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "dropout_dim": 2}, (32, 48)),
    "HighResNet": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "norm_type": "batch",
            "layer_params": [
                {"name": "conv_0", "n_features": 4, "kernel_size": 3},
                {"name": "res_1", "n_features": 8, "kernels": [3, 3], "repeat": 2},
                {"name": "conv_1", "n_features": 8, "kernel_size": 1},
                {"name": "conv_2", "kernel_size": 1},
            ],
        },
        (8, 12),
    ),
    "RegUNet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "num_channel_initial": 4, "depth": 2},
        (8, 12),
    ),
}
RANGE = {"_target_": "ScaleIntensityRanged", "keys": "@image_key", "a_min": -57, "a_max": 164}
LOAD: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "@image_key"},
    {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
]
BEFORE: list[dict[str, Any]] = [
    *LOAD,
    {**RANGE, "b_min": 0, "b_max": 1, "clip": True},
    {"_target_": "EnsureTyped", "keys": "@image_key"},
]
AFTER: list[dict[str, Any]] = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "@image_key"},
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
]


def made(name: str, arguments: dict[str, Any], seed: int = 0) -> nn.Module:
    """Build a class of MONAI with random weights and running statistics, in evaluation mode."""
    torch.manual_seed(seed)
    network: nn.Module = getattr(monai.networks.nets, name)(**arguments)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(layer.bias, 0.5, 0.2)
    return network.eval()


def configuration(network: Any, before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    """Give a configuration of inference, with as many expressions around the network as real ones have."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$list(sorted(glob.glob(@bundle_root + '/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": BEFORE if before is None else before},
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]"},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": AFTER if after is None else after},
        "handlers": [{"_target_": "CheckpointLoader", "_disabled_": "$not os.path.exists(@bundle_root)"}],
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
        "run": ["$@evaluator.run()"],
        **more,
    }


def metadata(ndim: int = 3, channels: int = 1, classes: tuple[str, ...] = ("background", "spleen")) -> Any:
    """Give the metadata of a bundle."""
    shape = ["16*n"] * ndim
    tensor = {"type": "image", "spatial_shape": shape, "dtype": "float32"}
    names = {str(number): f"channel {number}" for number in range(channels)}
    return {
        "monai_version": "1.4.0",
        "name": "Spleen CT segmentation",
        "network_data_format": {
            "inputs": {"image": {**tensor, "num_channels": channels, "channel_def": names}},
            "outputs": {
                "pred": {
                    **tensor,
                    "num_channels": len(classes),
                    "channel_def": {str(number): each for number, each in enumerate(classes)},
                }
            },
        },
    }


def write_bundle(folder: Path, config: Any, said: Any, weights: Any = None, *, as_yaml: bool = False) -> Path:
    """Write a bundle, its weights as `torch.save` writes them; without any where these are None."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(said), encoding="utf-8")
    text = yaml.safe_dump(config, sort_keys=False) if as_yaml else json.dumps(config)
    name = "inference.yaml" if as_yaml else "inference.json"
    (folder / "configs" / name).write_text(text, encoding="utf-8")
    if weights is not None:
        (folder / "models").mkdir()
        torch.save(weights, folder / "models" / "model.pt")
    return folder


def small_bundle(folder: Path, name: str = "UNet", **changed: Any) -> Path:
    """Write a bundle of one of `NETWORKS`; `changed` are parts of its configuration, `said` its metadata."""
    arguments, shape = copy.deepcopy(NETWORKS[name])
    said = changed.pop("said", None) or metadata(len(shape))
    network = changed.pop("network", {"_target_": name, **arguments})
    weights = changed.pop("weights", made(name, arguments).state_dict())
    as_yaml = changed.pop("as_yaml", False)
    return write_bundle(folder, configuration(network, **changed), said, weights, as_yaml=as_yaml)


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    """Pack a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                archive.write(each, f"{inside}{each.relative_to(folder).as_posix()}")
    return path


def turned(values: Any) -> Any:
    """Bring ``(..., z, y, x)`` into the order of MONAI's loader, and back: the first two axes stay."""
    axes = (0, 1, *range(values.ndim - 1, 1, -1))
    return values.permute(axes) if isinstance(values, torch.Tensor) else np.transpose(values, axes)
