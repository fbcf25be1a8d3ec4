"""Networks small enough to be built in a moment, and a private list of trusted files."""

from pathlib import Path
from typing import Any

import pytest

#: Least arguments of each architecture, and a shape that it takes.
SMALL: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "unet": ({"ndim": 2, "features": (4, 8)}, (16, 16)),
    "unetr": (
        {
            "image_size": (16, 16),
            "patch": 4,
            "hidden": 12,
            "heads": 3,
            "layers": 3,
            "mlp": 8,
            "features": 4,
        },
        (16, 16),
    ),
    "plain_conv_unet": ({"ndim": 2, "features": (4, 8), "strides": (1, 2)}, (16, 16)),
    "residual_encoder_unet": (
        {"ndim": 2, "features": (4, 8), "strides": (1, 2), "blocks": (1, 2)},
        (16, 16),
    ),
    "double_conv_unet": ({"ndim": 2, "features": (4, 8), "num_groups": 4}, (16, 16)),
    "residual_unet": ({"ndim": 2, "features": (4, 8), "num_groups": 4}, (16, 16)),
    "ensemble": (
        {
            "architecture": "plain_conv_unet",
            "arguments": {"ndim": 2, "features": (4, 8), "strides": (1, 2)},
            "members": 2,
            "mirrored": (0, 1),
            "order": (1, 0),
        },
        (16, 16),
    ),
    "torch_em_unet": ({"ndim": 2, "out_channels": 2, "depth": 2, "initial_features": 4}, (16, 16)),
    "basic_unet": ({"spatial_dims": 2, "features": (4, 4, 4, 4, 4, 4)}, (32, 32)),
    "basic_unet_plus_plus": (
        {"spatial_dims": 2, "features": (4, 4, 4, 4, 4, 4), "deep_supervision": True},
        (32, 32),
    ),
    "monai_unet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (4, 8), "strides": (2,)},
        (16, 16),
    ),
    "dynunet": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": (3, 3, 3),
            "strides": (1, 2, 2),
            "upsample_kernel_size": (2, 2),
            "filters": (4, 4, 4),
            "deep_supervision": True,
        },
        (16, 16),
    ),
    "segresnet": ({"spatial_dims": 2, "blocks_down": (1, 1), "blocks_up": (1,)}, (16, 16)),
    "attention_unet": (
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (4, 8), "strides": (2,)},
        (16, 16),
    ),
    "monai_unetr": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "img_size": 32,
            "feature_size": 4,
            "hidden_size": 12,
            "mlp_dim": 8,
            "num_heads": 3,
        },
        (32, 32),
    ),
    "swin_unetr": (
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "feature_size": 12,
            "num_heads": (1, 2, 3, 4),
        },
        (64, 64),
    ),
    "segresnet_ds": (
        {"spatial_dims": 2, "init_filters": 4, "blocks_down": (1, 1, 1), "dsdepth": 2},
        (16, 16),
    ),
    "flexible_unet": (
        {
            "in_channels": 1,
            "out_channels": 2,
            "backbone": "resnet10",
            "decoder_channels": (8, 8, 4, 4, 4),
        },
        (64, 64),
    ),
    "highresnet": (
        {
            "spatial_dims": 2,
            "out_channels": 2,
            "layer_params": (
                {"name": "conv_0", "n_features": 4, "kernel_size": 3},
                {"name": "res_1", "n_features": 4, "kernels": (3, 3), "repeat": 1},
                {"name": "conv_1", "n_features": 4, "kernel_size": 1},
                {"name": "conv_2", "kernel_size": 1},
            ),
        },
        (16, 16),
    ),
    "regunet": (
        {"spatial_dims": 2, "in_channels": 1, "num_channel_initial": 4, "depth": 2, "out_channels": 2},
        (16, 16),
    ),
    "vnet": ({"spatial_dims": 2, "out_channels": 2, "dropout_dim": 2}, (32, 32)),
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test its own list of trusted files and its own cache of geometry."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TILESEG_HOME", str(folder))
    return folder


@pytest.fixture
def small() -> dict[str, tuple[dict[str, Any], tuple[int, ...]]]:
    """Give the arguments of small networks and shapes that they take, by architecture."""
    return SMALL
