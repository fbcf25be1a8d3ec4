"""How differently a network behaves with the statistics of the tile and with its running ones."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from napari_tileseg._progress import Progress, Steps
from napari_tileseg._types import Array
from napari_tileseg.diagnosis.measured import ClassDisparity, Disparity
from napari_tileseg.diagnosis.region_predictor import network_regions, part_of
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.labels.dice import both_empty, hard_dice, soft_dice
from napari_tileseg.nets.norm_layers import BatchRenorm
from napari_tileseg.prediction.plan.plan import Plan
from napari_tileseg.tiling import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Whether the normalization of a network can be switched to batch statistics.

    Parameters
    ----------
    switchable : bool
        Whether it can, or need not.
    layers : tuple of str
        Paths of the layers with running statistics; without any, both modes are the same.
    reason : str
        Why, in one sentence.
    """

    switchable: bool
    layers: tuple[str, ...]
    reason: str


def switch_of(module: nn.Module) -> Switch:
    """Find out whether, and where, a network can be switched to batch statistics.

    Parameters
    ----------
    module : torch.nn.Module
        A network, TorchScript included.
    """
    layers = {path: layer for path, layer in module.named_modules() if _tracks(layer)}
    paths = tuple(path or "the network itself" for path in layers)
    if isinstance(module, torch.jit.ScriptModule):
        # Freezing removes `training` and writes all into one function; tracing keeps the layers' names,
        # but not what they do in training.
        frozen = not hasattr(module, "training")
        if frozen or not all("self.training" in str(layer.code) for layer in layers.values()):
            how = "frozen" if frozen else "traced"
            reason = (
                f"The network cannot be switched to batch statistics: it is {how} TorchScript, which behaves "
                "in one way only. Open its original weights to measure the disparity."
            )
            return Switch(switchable=False, layers=paths, reason=reason)
    if not layers:
        reason = (
            "No normalization layer has running statistics, so that training and prediction behave alike: "
            "the disparity is 0 by construction."
        )
        return Switch(switchable=True, layers=(), reason=reason)
    reason = f"{len(paths)} normalization layer(s) were switched from running to batch statistics."
    return Switch(switchable=True, layers=paths, reason=reason)


def with_batch_statistics(module: nn.Module) -> nn.Module:
    """Copy a network so that its normalization layers use the statistics of their input, as in training.

    Dropout and all else stay as in prediction. No running statistic changes, neither of the network nor,
    but for classes that are not known here and TorchScript, of the copy. Batch renormalization corrects up to
    the limits of its layers, which are those of the end of training where a file states none.

    Parameters
    ----------
    module : torch.nn.Module
        The network; it is not changed.

    Raises
    ------
    NetworkError
        If it cannot be switched.
    """
    switch = switch_of(module)
    if not switch.switchable:
        raise NetworkError(switch.reason)
    copy = deepcopy(module).eval()
    for layer in [layer for layer in copy.modules() if _tracks(layer)]:
        _switch(layer)
    return copy


def _tracks(layer: nn.Module) -> bool:
    return any(name == "running_mean" for name, _ in layer.named_buffers(recurse=False))


def _switch(layer: nn.Module) -> None:
    if isinstance(layer, BatchRenorm):
        layer.train()
        layer.momentum = 0.0
    elif isinstance(layer, _NormBase):
        # Without running statistics PyTorch's layers use those of their input, in evaluation, too.
        layer.running_mean = layer.running_var = layer.num_batches_tracked = None
        layer.track_running_stats = False
    else:
        layer.train()


def measure_disparity(
    plan: Plan, boxes: Sequence[Box], *, threshold: float = 0.5
) -> Generator[Progress, None, Disparity]:
    """Predict tiles with batch statistics and with running ones, and compare.

    Where the network cannot be switched, or need not be, the result comes at once, with the reason.

    Parameters
    ----------
    plan : Plan
        How the image is prepared; only voxels of its box are compared.
    boxes : sequence of Box
        Tiles of the padded image, such as `PairPlan.tiles`.
    threshold : float
        Least probability that belongs to a mask.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    Disparity
        What all tiles show together.

    Raises
    ------
    NetworkError
        If a prediction is NaN or infinite, with its position; and what `network_regions` raises.
    SettingsError
        If no tile holds a voxel of the plan's box.
    """
    switch, names = switch_of(plan.network.module), plan.classes
    if not (switch.switchable and switch.layers):
        return _without_measuring(switch, names)
    parts = [(box, box.clip(plan.grid.box)) for box in boxes if box.meets(plan.grid.box)]
    if not parts:
        raise SettingsError(f"A tile should hold voxels of {plan.grid.box}; none of {len(boxes)} does.")
    running = network_regions(plan)
    batch = network_regions(plan, module=with_batch_statistics(plan.network.module))
    rows, steps = [], Steps("Comparing statistics", len(parts))
    for box, part in parts:
        one, other = (part_of(predict(box), box, part, names) for predict in (running, batch))
        rows.append([_compare(a, b, threshold) for a, b in zip(one, other, strict=True)])
        yield steps.count()
    return _summarize(switch, names, np.array(rows))


def _without_measuring(switch: Switch, names: Sequence[str]) -> Disparity:
    zero = 0.0 if switch.switchable else None
    return Disparity(
        classes=tuple(
            ClassDisparity(
                name=name,
                train_eval_disparity=zero,
                train_eval_disparity_thresholded=zero,
                worst=zero,
            )
            for name in names
        ),
        switchable=switch.switchable,
        reason=switch.reason,
        layers=(),
        max_abs_difference=zero,
        tiles=0,
    )


def _compare(first: Array, second: Array, threshold: float) -> tuple[float, float, bool, float]:
    """Return 1 - Dice of probabilities and masks, whether both masks are empty, and the largest gap."""
    soft = max(0.0, 1 - soft_dice(first, second))
    hard = 1 - hard_dice(first, second, threshold)
    return soft, hard, both_empty(first, second, threshold), float(np.abs(first - second).max())


def _summarize(switch: Switch, names: Sequence[str], rows: npt.NDArray[np.float64]) -> Disparity:
    """Summarize ``(tiles, classes, 4)`` numbers of `_compare`."""
    soft, hard, empty, difference = np.moveaxis(rows, -1, 0)
    return Disparity(
        classes=tuple(
            ClassDisparity(
                name=name,
                train_eval_disparity=float(soft[:, number].mean()),
                train_eval_disparity_thresholded=float(hard[:, number].mean()),
                worst=float(soft[:, number].max()),
                empty_tiles=int(empty[:, number].sum()),
            )
            for number, name in enumerate(names)
        ),
        switchable=True,
        reason=switch.reason,
        layers=switch.layers,
        max_abs_difference=float(difference.max()),
        tiles=len(rows),
    )
