"""Trained folders of nnU-Net, as small as they can be, written without nnU-Net."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_tileseg.nets.architectures import registry

MEASURED = {"mean": 100.0, "std": 40.0, "percentile_00_5": 10.0, "percentile_99_5": 220.0}
TORCH = "torch.nn.modules"
#: How nnU-Net brings images, labels and outputs to another spacing.
RESAMPLING = {
    entry: value
    for what, order in (("data", 3), ("seg", 1), ("probabilities", 1))
    for entry, value in (
        (f"resampling_fn_{what}", "resample_data_or_seg_to_shape"),
        (
            f"resampling_fn_{what}_kwargs",
            {"is_seg": what == "seg", "order": order, "order_z": 0, "force_separate_z": None},
        ),
    )
}


def arch_kwargs(ndim: int, *, residual: bool = False) -> dict[str, Any]:
    """Give the arguments of a network of two stages, as plans have them."""
    return {
        "n_stages": 2,
        "features_per_stage": [2, 3],
        "conv_op": f"{TORCH}.conv.Conv{ndim}d",
        "kernel_sizes": [[1, 3, 3][-ndim:], [3, 3, 3][-ndim:]],
        "strides": [[1, 1, 1][-ndim:], [1, 2, 2][-ndim:]],
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 2],
        "n_conv_per_stage_decoder": [2],
        "conv_bias": True,
        "norm_op": f"{TORCH}.instancenorm.InstanceNorm{ndim}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def arguments(ndim: int, *, residual: bool = False, channels: int = 2, classes: int = 3) -> dict[str, Any]:
    """Give the same as arguments of the registered architecture."""
    said = arch_kwargs(ndim, residual=residual)
    return {
        "ndim": ndim,
        "in_channels": channels,
        "out_channels": classes,
        "features": said["features_per_stage"],
        "kernels": said["kernel_sizes"],
        "strides": said["strides"],
        "blocks": [1, 2],
        "decoder_blocks": [2],
    }


def plans(*, residual: bool = False, order: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """Give plans with a configuration of two and one of three axes, and a cascade."""

    def configuration(ndim: int, spacing: list[float]) -> dict[str, Any]:
        family = "dynamic_network_architectures.architectures.unet"
        return {
            "data_identifier": "nnUNetPlans",
            "patch_size": [8, 16, 16][-ndim:],
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "batch_dice": False,
            **RESAMPLING,
            "spacing": spacing,
            "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
            "use_mask_for_norm": [False, False],
            "architecture": {
                "network_class_name": f"{family}.{'ResidualEncoder' if residual else 'PlainConv'}UNet",
                "arch_kwargs": arch_kwargs(ndim, residual=residual),
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        }

    return {
        "dataset_name": "Dataset001_Small",
        "plans_name": "nnUNetPlans",
        "transpose_forward": list(order),
        "transpose_backward": [order.index(axis) for axis in range(3)],
        "label_manager": "LabelManager",
        "image_reader_writer": "SimpleITKIO",
        "foreground_intensity_properties_per_channel": {"0": MEASURED, "1": MEASURED},
        "configurations": {
            "2d": configuration(2, [1.0, 0.5]),
            "3d_fullres": configuration(3, [3.0, 1.0, 0.5]),
            "3d_lowres": {"inherits_from": "3d_fullres", "spacing": [3.0, 2.0, 1.0]},
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
    }


def dataset(**labels: Any) -> dict[str, Any]:
    """Give the channels and labels of a data set."""
    return {
        "channel_names": {"0": "CT", "1": "membrane"},
        "labels": labels or {"background": 0, "a": 1, "b": 2},
        "file_ending": ".nii.gz",
    }


def network(seed: int, ndim: int, **said: Any) -> nn.Module:
    """Return a network with random weights, whose normalization layers have some too."""
    torch.manual_seed(seed)
    name = "residual_encoder_unet" if said.get("residual") else "plain_conv_unet"
    module = registry.build(name, **arguments(ndim, **said)).eval()
    for weight in module.parameters():
        nn.init.normal_(weight, 0.1, 0.4)
    return module


def under_all_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return each weight under the names that nnU-Net saves it by."""
    found = {}
    for name, weight in state.items():
        for each in (name, f"decoder.{name}" if name.startswith("encoder.") else name):
            for place, part in ((0, ".conv."), (1, ".norm.")):
                if part in each:
                    found[each.replace(part, f".all_modules.{place}.")] = weight
            found[each] = weight
    return found


def checkpoint(module: nn.Module, configuration: str, fold: int | str, **changed: Any) -> dict[str, Any]:
    """Give what nnU-Net saves after training: the weights, and NumPy's numbers beside them."""
    ndim = 2 if configuration == "2d" else 3
    return {
        "network_weights": under_all_names(module.state_dict()),
        "optimizer_state": {
            "state": {0: {"momentum_buffer": torch.zeros(3)}},
            "param_groups": [{"lr": 0.01}],
        },
        "grad_scaler_state": None,
        "logging": {"ema_fg_dice": [np.float32(0.1), np.float64(0.2)], "epoch_start_timestamps": [1.5]},
        "_best_ema": np.float32(0.2),
        "current_epoch": 2,
        "init_args": {
            "plans": plans(),
            "configuration": configuration,
            "fold": fold,
            "dataset_json": dataset(),
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(range(ndim)),
        **changed,
    }


def write_folder(folder: Path, checkpoints: dict[str, Any], said: Any = None, labels: Any = None) -> Path:
    """Write a trained folder; names of checkpoints are those of their files, as "
    ""fold_0/checkpoint_final.pth"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans() if said is None else said))
    (folder / "dataset.json").write_text(json.dumps(dataset() if labels is None else labels))
    for name, content in checkpoints.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        torch.save(content, path)
    return folder


def zipped(folder: Path, path: Path) -> Path:
    """Pack a folder as nnU-Net exports one: with the folders above it, and compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                inside = Path("Dataset001_Small") / folder.name / each.relative_to(folder)
                archive.write(each, inside.as_posix())
    return path
