"""Trained folders of nnU-Net as somebody might make them to harm."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hostile.files import GIB, Call, Hostile, Place, saved, sparse
from hostile.packages import written, zipped

_FINAL, _KIND = "fold_0/checkpoint_final.pth", "2d"
_ARGUMENTS = {"ndim": 2, "in_channels": 1, "out_channels": 2, "features": [2, 3], "strides": [1, 2]}
_DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}}


def _plans(changed: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """Return plans of a small network, with arguments and entries of the configuration changed."""
    layers = {
        "n_stages": 2,
        "features_per_stage": [2, 3],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3], [3, 3]],
        "strides": [[1, 1], [2, 2]],
        "n_conv_per_stage": [2, 2],
        "n_conv_per_stage_decoder": [2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    }
    network = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
    configuration = {
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": {"network_class_name": network, "arch_kwargs": {**layers, **arguments}},
        **(changed or {}),
    }
    return {"transpose_forward": [0, 1, 2], "configurations": {_KIND: configuration}}


def _checkpoint(**changed: Any) -> dict[str, Any]:
    from napari_tileseg.nets.architectures.registry import build

    return {
        "network_weights": dict(build("plain_conv_unet", **_ARGUMENTS).state_dict()),
        "init_args": {"configuration": _KIND, "fold": 0},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
        **changed,
    }


def trained_files(
    plans: Any = None, checkpoint: Any = None, dataset: Any = None, folds: int = 1
) -> dict[str, bytes]:
    """Return the files of a trained folder, small and of two axes by default; texts are taken as they are."""
    texts = {"plans.json": _plans() if plans is None else plans, "dataset.json": dataset or _DATASET}
    data = saved(_checkpoint() if checkpoint is None else checkpoint)
    return {
        **{
            name: (said if isinstance(said, str) else json.dumps(said)).encode()
            for name, said in texts.items()
        },
        **{_FINAL.replace("0", str(number)): data for number in range(folds)},
    }


def _of(plans: Any = None, dataset: Any = None, folds: int = 1, **changed: Any) -> Callable[[Place], Path]:
    return lambda place: written(place, trained_files(plans, _checkpoint(**changed), dataset, folds))


def _calling(key: str) -> Callable[[Place], Path]:
    """Make a checkpoint that calls a function."""
    return lambda place: written(
        place, trained_files(checkpoint=_checkpoint(**{key: Call(Path.touch, place.mark)}))
    )


def _alone(place: Place) -> Path:
    said = _checkpoint(logging=Call(os.system, f"touch '{place.mark}'"))
    return place.file("checkpoint_final.pth", saved(said))


def _trainer(place: Place) -> Path:
    """Make a folder with the code of its trainer."""
    code = f"open({str(place.mark)!r}, 'w').close()\nclass nnUNetTrainerMine: pass\n".encode()
    files = trained_files(checkpoint=_checkpoint(trainer_name="nnUNetTrainerMine"))
    return written(place, {**files, "nnUNetTrainerMine.py": code})


def _spread(place: Place) -> Path:
    """Make weights that stand for far more than the file holds."""
    weights = _checkpoint()["network_weights"]
    weights["encoder.stages.0.0.convs.0.conv.weight"] = torch.zeros(1).as_strided((10**9,), (0,))
    return written(place, trained_files(checkpoint=_checkpoint(network_weights=weights)))


def _elsewhere(name: str, target: Callable[[Place], Path]) -> Callable[[Place], Path]:
    """Make a folder of which one member is a link that leads out of it."""

    def make(place: Place) -> Path:
        folder = written(place, trained_files())
        (folder / name).unlink()
        (folder / name).symlink_to(target(place))
        return folder

    return make


def _other(place: Place) -> Path:
    return place.outside / "kept.txt"


def _replaced(make: Callable[[Path], object], name: str) -> Callable[[Place], Path]:
    def made(place: Place) -> Path:
        folder = written(place, trained_files())
        (folder / name).unlink()
        make(folder / name)
        return folder

    return made


def _growing(place: Place) -> Path:
    """Make a zip file whose checkpoint unpacks to a thousand times its size."""
    return zipped(place, {**trained_files(), _FINAL: saved(_checkpoint(optimizer_state=torch.zeros(2**27)))})


def _network(name: str) -> dict[str, Any]:
    said = _plans()
    said["configurations"][_KIND]["architecture"]["network_class_name"] = name
    return said


#: Each opens in no way, or, where weights are right and more is said than there is, like any other.
NNUNET: dict[str, Hostile] = {f"a trained folder {name}": Hostile("network", make) for name, make in {
    "of a network to import": _of(_network("os.system")),
    "of a network beside it": _of(_network("hostile.PlainConvUNet")),
    "of layers to import": _of(_plans(conv_op="subprocess.Popen")),
    "of a norm to import": _of(_plans(norm_op="builtins.eval2d")),
    "of a nonlinearity to import": _of(_plans(nonlin="torch.load")),
    "of an argument to import": _of(_plans(block="os.system")),
    "with a trainer": _trainer,
    "that calls beside its weights": _calling("logging"),
    "that calls for its weights": _calling("network_weights"),
    "that calls for its configuration": _calling("init_args"),
    "of one checkpoint that calls": _alone,
    "of many features": _of(_plans(features_per_stage=[60_000, 60_000])),
    "of features past all memory": _of(_plans(features_per_stage=[2, 10**30])),
    "of many blocks": _of(_plans(n_conv_per_stage=[60_000, 60_000])),
    "of many stages": _of(_plans(n_stages=10**9, features_per_stage=[1] * 10**5)),
    "of large kernels": _of(_plans(kernel_sizes=[[60_001, 60_001]] * 2)),
    "of large strides": _of(_plans(strides=[[1, 1], [2**15, 2**15]])),
    "of lists in lists": _of("[" * 10**6),
    "of kernels in kernels": _of(_plans(kernel_sizes=json.loads("[" * 500 + "]" * 500))),
    "of a number of 400 digits": _of(_plans({"spacing": [10**400, 1]})),
    "that inherits from itself": _of(_plans({"inherits_from": _KIND})),
    "of many axes to mirror": _of(inference_allowed_mirroring_axes=tuple(range(10**5))),
    "of many labels": _of(dataset={**_DATASET, "labels": {f"a{n}": n for n in range(10**5)}}),
    "of long regions": _of(dataset={**_DATASET, "labels": {"background": 0, "a": [1] * 10**6}}),
    "of many channels": _of(dataset={**_DATASET, "channel_names": {str(n): "a" for n in range(10**5)}}),
    "of a label of 400 digits": _of(dataset={**_DATASET, "labels": {"background": 0, "a": "9" * 5000}}),
    "of a thousand folds": _of(folds=999),
    "of spread weights": _spread,
    "whose weights lie outside": _elsewhere(_FINAL, _other),
    "whose plans lie outside": _elsewhere("plans.json", _other),
    "whose plans are a device": _elsewhere("plans.json", lambda _: Path("/dev/zero")),
    "whose plans are a pipe": _replaced(os.mkfifo, "plans.json"),
    "whose plans are large": _replaced(lambda path: sparse(path, 10 * GIB), "plans.json"),
    "whose weights are large": _replaced(lambda path: sparse(path, 10 * GIB, b"PK\3\4"), _FINAL),
    "in a zip file that climbs": lambda place: zipped(
        place, {**trained_files(), _FINAL: b"", f"../../outside/{_FINAL}": saved(_checkpoint())}),
    "in a zip file that grows": _growing,
}.items()}  # fmt: skip
