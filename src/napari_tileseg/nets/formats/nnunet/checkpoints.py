"""Checkpoints of nnU-Net: what they say of themselves, and their weights under one name each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch import pickled

#: Trainers that come with nnU-Net and build the network that the plans describe: how long, with which loss,
#: optimizer and augmentation they train plays no part here.
_TRAINER = re.compile(
    r"nnUNetTrainer(Benchmark|CELoss|DiceLoss|DiceCELoss|DiceTopK10Loss|Topk10Loss|LS01|NoDA|"
    r"NoDeepSupervision|_?NoMirroring|_onlyMirror01|(Vanilla)?Ada[mn](\d+en\d+)?|CosAnneal|_warmup|"
    r"_?DA5|Segord0|ord0|_DASegOrd0|_noDummy2DDA|_noSmooth|_noDataLoading|_probabilisticOversampling|"
    r"_\d+epochs?|_\d+ep|_\d{3})*"
)
#: The one that replaces instance by batch normalization.
BATCH_NORM = "nnUNetTrainerBN"
#: Names of one weight: the encoder is a part of the decoder too, and each layer one of a list.
_SHARED = (
    (re.compile(r"(^|\.)decoder\.encoder\."), r"\1encoder."),
    (re.compile(r"\.all_modules\.0\."), ".conv."),
    (re.compile(r"\.all_modules\.\d+\."), ".norm."),
)
_WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")
_WEIGHTS, _MARKS = "network_weights", (b"network_weights", b"trainer_name", b"init_args")
_NAMED = 3
#: Bytes of a pickle in which those are looked for, and letters of a trainer's name.
_LARGEST, _LONGEST = 2**21, 100


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint, of which the weights have names and shapes alone.

    Parameters
    ----------
    member : str
        Its name in the package.
    weights : mapping
        Tensors without memory, under one name each.
    configuration : str
        Configuration of the plans that it was trained with.
    fold : str
        Number of the fold, or "all".
    trainer : str
        Class that trained it.
    mirrored : tuple of int
        The network's axes along which it may be mirrored.
    plans, dataset : object
        What it holds of plans.json and dataset.json; None if nothing.
    """

    member: str
    weights: Mapping[str, Tensor]
    configuration: str
    fold: str
    trainer: str
    mirrored: tuple[int, ...]
    plans: Any
    dataset: Any

    @property
    def batch_norm(self) -> bool:
        """Whether the trainer replaced the normalization of the plans."""
        return self.trainer == BATCH_NORM


def is_checkpoint(package: Package) -> bool:
    """Return whether the chosen file is a checkpoint of nnU-Net, by the names in its pickle."""
    content = package.file
    if content is None or not content.is_zip or not pickled.is_one(content):
        return False
    try:
        names = pickled.pickle_of(content, _LARGEST)
    except Exception:  # noqa: BLE001 - whatever damaged bytes raise: it is no checkpoint of nnU-Net then
        return False
    return all(mark in names for mark in _MARKS)


def read_checkpoint(package: Package, member: str, stated: str | None = None) -> Checkpoint:
    """Return what a checkpoint says.

    Parameters
    ----------
    package : Package
        Where it lies.
    member : str
        Its name there.
    stated : str, optional
        The configuration by the name of its folder, for a checkpoint that does not say.

    Raises
    ------
    NetworkError
        If it is broken, would run code, is none of nnU-Net, or was made by a trainer that is not known.
    """
    content = package.content(member)
    source = str(content.path)
    held, _ = pickled.READER.structure(content)
    said = held if isinstance(held, Mapping) else {}
    weights, began = said.get(_WEIGHTS), said.get("init_args")
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise NetworkError(
            f"{source} should be a checkpoint of nnU-Net v2, with weights under {_WEIGHTS!r}; it holds "
            f"{few([str(name)[:40] for name in said], _NAMED) or 'nothing of that kind'}. Take the one that "
            "nnU-Net wrote."
        )
    began = began if isinstance(began, Mapping) else {}
    trainer = said.get("trainer_name")
    _check_trainer(trainer, source)
    configuration = began.get("configuration", stated)
    if not isinstance(configuration, str):
        raise NetworkError(
            f"{source} does not say which configuration of nnU-Net it was trained with, nor does the name "
            "of its folder. Open the trained folder, named as nnU-Net does: "
            "nnUNetTrainer__nnUNetPlans__3d_fullres."
        )
    return Checkpoint(
        member=member,
        weights=_single(weights, source),
        configuration=configuration,
        fold=str(began.get("fold", "?"))[:20],
        trainer=str(trainer),
        mirrored=_axes(said.get("inference_allowed_mirroring_axes"), source),
        plans=began.get("plans"),
        dataset=began.get("dataset_json"),
    )


def load_weights(package: Package, member: str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that `read_checkpoint` has read, under one name each.

    Raises
    ------
    NetworkError
        If the bytes have changed, or a weight has different values under its names.
    """
    content = package.content(member)
    held = pickled.READER.load(content, package.read(member))
    return _single(held[_WEIGHTS], str(content.path), values=True)


def _single(weights: Mapping[str, Tensor], source: str, *, values: bool = False) -> dict[str, Tensor]:
    """Return weights under one name each; what is under others has to be the same."""
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        own = _WRAPPED.sub("", name)
        for pattern, replacement in _SHARED:
            own = pattern.sub(replacement, own)
        first = found.setdefault(own, weight)
        if first is not weight and not _same(first, weight, values):
            raise NetworkError(
                f"{source} holds two weights where nnU-Net has one: {own[:80]} and {name[:80]}. Take the "
                "checkpoint as nnU-Net wrote it."
            )
    return found


def _same(first: Tensor, second: Tensor, values: bool) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if not values or first.data_ptr() == second.data_ptr():
        return True
    return torch.equal(first, second)


def _check_trainer(trainer: Any, source: str) -> None:
    if (
        isinstance(trainer, str)
        and len(trainer) < _LONGEST
        and (_TRAINER.fullmatch(trainer) or trainer == BATCH_NORM)
    ):
        return
    raise NetworkError(
        f"{source} was trained by the class {str(trainer)[:60]!r}, which does not come with nnU-Net or "
        "builds a network of its own: what it computes stands in its code, which is not run. Take a "
        "network of nnUNetTrainer."
    )


def _axes(value: Any, source: str) -> tuple[int, ...]:
    if value is None:
        return ()
    axes = tuple(value) if isinstance(value, (list, tuple)) and len(value) <= 3 else (None,)
    if not all(type(axis) is int and 0 <= axis <= 2 for axis in axes) or len(set(axes)) != len(axes):
        raise NetworkError(
            f"{source} should name the axes of its mirroring by numbers from 0 on; it has {str(value)[:60]}."
        )
    return axes
