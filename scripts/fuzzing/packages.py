"""Networks that other tools wrote, as files, folders and zip files, opened as the program opens them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hostile.bundles import bundle_config, bundle_files
from hostile.files import Place, saved
from hostile.nnunet import trained_files
from hostile.packages import described, zipped

from fuzzing.kinds import Kind
from fuzzing.onnx_files import onnx_network
from napari_tileseg.errors import DeviceError, NetworkError
from napari_tileseg.nets import open_network
from napari_tileseg.nets.architectures.registry import build

#: Members of a package by their names.
Files = Mapping[str, bytes]
_ONNX = {"onnx": {"source": "weights.onnx"}}


def _beside() -> Files:
    network, numbers = onnx_network("a.onnx.data")
    return {"a.onnx": network, "a.onnx.data": numbers}


def _exported() -> Files:
    import torch
    from torch import nn
    from torch.export import Dim

    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    network = nn.Sequential(*layers, nn.ConvTranspose2d(3, 2, 2, stride=2)).eval()
    sizes = {axis: 2 * Dim(name, min=4, max=512) for axis, name in ((2, "rows"), (3, "columns"))}
    program = torch.export.export(network, (torch.zeros(1, 1, 16, 24),), dynamic_shapes=(sizes,))
    file = io.BytesIO()
    torch.export.save(program, file)
    return {"a.pt2": file.getvalue()}


def _of_pytorch_3dunet() -> Files:
    import torch

    stated = {"in_channels": 1, "out_channels": 1, "layer_order": "gcr", "num_groups": 2}
    torch.manual_seed(0)
    network = build("double_conv_unet", **stated, ndim=2, features=(4, 8), final_activation="sigmoid")
    checkpoint = {
        "num_epochs": 3,
        "model_state_dict": network.state_dict(),
        "best_eval_score": np.float64(0.25),
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 2e-4}]},
    }
    config = {
        "model": {"name": "UNet2D", **stated, "f_maps": 4, "num_levels": 2, "final_sigmoid": True},
        "loaders": {
            "train": {
                "slice_builder": {"name": "FilterSliceBuilder", "patch_shape": [1, 80, 80]},
                "transformer": {
                    "raw": [{"name": "Standardize", "eps": 1e-6}, {"name": "Normalize", "min_value": 0}],
                    "label": [{"name": "StandardLabelToBoundary"}],
                },
            }
        },
    }
    zoo = {"cells": {"resolution": [1.0, 0.15, 0.15], "model_url": "https://example.org/a.pytorch"}}
    return {
        "cells/best_checkpoint.pytorch": saved(checkpoint),
        # JSON is YAML too, and is damaged in its structure.
        "cells/config_train.yml": json.dumps(config).encode(),
        "cells/models_zoo.yaml": json.dumps(zoo).encode(),
    }


def _array(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _answered(answer: bytes | None = None) -> Files:
    """Return the members of a package with weights, and a test that they have to pass."""
    network, _ = onnx_network()
    image = np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype("f4")
    return {"weights.onnx": network, "in.npy": _array(image), "out.npy": answer or _array(image)}


_STEPS = [{"name": "zero_mean_unit_variance", "kwargs": {"axes": "yx", "mode": "per_sample", "eps": 1e-6}}]
_IN_04 = {"min": [1, 1, 8, 8], "step": [0, 0, 4, 4]}
_OUT_04 = {"reference_tensor": "raw", "scale": [1.0, 0.0, 1.0, 1.0], "offset": [0.0, 1.0, 0.0, 0.0]}
_VERSION_04 = {
    "format_version": "0.4.9",
    "inputs": [{"name": "raw", "axes": "bcyx", "shape": _IN_04, "preprocessing": _STEPS}],
    "outputs": [{"name": "out", "axes": "bcyx", "shape": _OUT_04, "halo": [0, 0, 4, 4]}],
    "test_inputs": ["in.npy"],
    "test_outputs": ["out.npy"],
}


def _bioimageio(entries: Mapping[str, Any]) -> Files:
    return {"rdf.yaml": described(_ONNX, **entries), **_answered()}


def _bundle() -> Files:
    before = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": "@spacing"},
        {
            "_target_": "ScaleIntensityRanged",
            "keys": "image",
            "a_min": 0,
            "a_max": 200,
            "b_min": 0,
            "b_max": 1,
        },
    ]
    after = {
        "_target_": "Compose",
        "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}],
    }
    return bundle_files(bundle_config(before=before, spacing=[1.0, 0.5], postprocessing=after))


def _nnunet() -> Files:
    return trained_files()


def _write(files: Callable[[], Files], folder: Path) -> None:
    for name, data in files().items():
        path = folder / "net" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _pack(files: Callable[[], Files], folder: Path) -> None:
    zipped(Place(folder, folder / "mark", folder), dict(files()))


def _open(name: str, folder: Path) -> None:
    open_network(folder / name)


def _kind(name: str, files: Callable[[], Files], opened: str, *damaged: str, share: int = 2) -> Kind:
    """Return a kind; of one whose name ends in "zip" all files are packed into one."""
    packed = name.endswith("zip")
    return Kind(
        name=name,
        make=partial(_pack if packed else _write, files),
        damaged=tuple(each if packed else f"net/{each}" for each in damaged),
        read=partial(_open, opened if packed else f"net/{opened}"),
        answers=(NetworkError, DeviceError),
        share=share,
    )


_CHECKPOINT, _MEMBERS = "best_checkpoint.pytorch", ("plans.json", "dataset.json", "fold_0/*.pth")
_OF_05, _OF_04 = partial(_bioimageio, {}), partial(_bioimageio, _VERSION_04)
_CONFIGS = ("configs/metadata.json", "configs/inference.json")
_STATED, _TESTS = ("rdf.yaml", "weights.onnx"), ("in.npy", "out.npy")
PACKAGES = (
    _kind("onnx", lambda: {"a.onnx": onnx_network()[0]}, "a.onnx", "a.onnx"),
    _kind("onnx, data beside", _beside, "a.onnx", "a.onnx", "a.onnx.data"),
    _kind(
        "exported program",
        _exported,
        "a.pt2",
        *("a.pt2!models/model.json", "a.pt2!data/*/*.json", "a.pt2!data/weights/*", "a.pt2"),
    ),
    _kind("monai bundle", _bundle, "", *_CONFIGS, "models/model.pt", "models/model.pt!*data.pkl"),
    _kind("monai bundle, zip", _bundle, "a.zip", "a.zip", *(f"a.zip!{each}" for each in _CONFIGS), share=1),
    _kind("nnu-net", _nnunet, "", *_MEMBERS, "fold_0/*.pth!*data.pkl", share=3),
    _kind("nnu-net, zip", _nnunet, "a.zip", "a.zip", *(f"a.zip!{each}" for each in _MEMBERS)),
    _kind(
        "pytorch-3dunet",
        _of_pytorch_3dunet,
        f"cells/{_CHECKPOINT}",
        *("cells/config_train.yml", f"cells/{_CHECKPOINT}"),
        *(f"cells/{_CHECKPOINT}!*data.pkl", "cells/models_zoo.yaml"),
        share=3,
    ),
    _kind("bioimage.io 0.4", _OF_04, "", *_STATED),
    _kind("bioimage.io 0.4, zip", _OF_04, "a.zip", "a.zip", *(f"a.zip!{each}" for each in _STATED)),
    _kind("bioimage.io 0.5", _OF_05, "", *_STATED),
    _kind("bioimage.io 0.5, zip", _OF_05, "a.zip", "a.zip", *(f"a.zip!{each}" for each in _STATED)),
    _kind("test tensors", _OF_05, "rdf.yaml", *_TESTS),
    _kind("test tensors, zip", _OF_05, "a.zip", *(f"a.zip!{each}" for each in _TESTS), share=1),
)
