"""Weights as trainers write them: under their keys, behind prefixes, beside others; and what is said."""

import io
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from napari_tileseg.cli import main
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import open_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.formats.unwrapping import find_weights
from napari_tileseg.settings import NetworkSettings

State = dict[str, Tensor]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(first=nn.Conv2d(1, 3, 3), norm=nn.BatchNorm2d(3), last=nn.Conv2d(3, 2, 1))
    )


STATE: State = network().state_dict()
WANTED = {name: torch.empty(tensor.shape, device="meta") for name, tensor in STATE.items()}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}


def behind(prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in STATE.items()}


def other(width: int = 5) -> State:
    return nn.Linear(width, width).state_dict()


WRAPPED: dict[str, tuple[Any, str]] = {
    "bare": (STATE, ""),
    "state_dict": ({"state_dict": STATE, "epoch": 3}, "under 'state_dict'"),
    "model_state_dict": ({"model_state_dict": STATE, "optimizer_state": OPTIMIZER}, "'model_state_dict'"),
    "model_state": ({"iteration": 9, "model_state": STATE, "optimizer_state": OPTIMIZER}, "'model_state'"),
    "model": ({"model": STATE, "optimizer": OPTIMIZER}, "'model'"),
    "net": ({"net": STATE}, "'net'"),
    "network_weights": ({"network_weights": STATE, "logging": {"loss": [0.5]}}, "'network_weights'"),
    "weights": ({"weights": STATE}, "'weights'"),
    "a key of one's own": ({"unet": STATE, "note": "best"}, "under 'unet'"),
    "deep": ({"checkpoint": {"model": {"state_dict": STATE}}}, "'checkpoint'/'model'/'state_dict'"),
    "beside a discriminator": ({"generator": STATE, "discriminator": other()}, "under 'generator'"),
    "with an average": ({"model": STATE, "ema": STATE}, "under 'model'"),
    "with an average, deep": (
        {"ema": {"state_dict": STATE}, "model": {"state_dict": STATE}},
        "under 'model'/'state_dict'",
    ),
    "Lightning": (
        {"state_dict": behind("model."), "pytorch-lightning_version": "2.4", "callbacks": {}},
        "under 'state_dict' and behind 'model.'",
    ),
    "Lightning with a loss": (
        {"state_dict": {**behind("net."), "criterion.weight": torch.ones(2)}},
        "behind 'net.'. Beside the weights, .* criterion.weight",
    ),
    "a loss beside bare weights": ({**STATE, "dice_loss.weight": torch.ones(2)}, "aside: dice_loss.weight"),
    "a loss behind the same prefix": (
        {**behind("model."), "model.loss_fn.weight": torch.ones(2), "teacher.a": torch.ones(1)},
        "Beside the weights, .* model.loss_fn.weight, teacher.a",
    ),
    "several devices": (behind("module."), "behind 'module.'"),
    "network": (behind("network."), "behind 'network.'"),
    "one after the other": (
        {"state_dict": behind("module.model.net.")},
        "under 'state_dict' and behind 'module.model.net.'",
    ),
    "again and again": (behind("model.model.model."), "behind 'model.model.model.'"),
    "compiled": (behind("_orig_mod."), "behind '_orig_mod.' of torch.compile"),
    "compiled, then distributed": (behind("module._orig_mod."), "behind 'module.' and behind '_orig_mod.'"),
    "compiled in parts": (
        {name.replace("first.", "first._orig_mod."): tensor for name, tensor in STATE.items()},
        "behind '_orig_mod.' of torch.compile",
    ),
    "a prefix of one's own": (behind("segmenter.backbone."), "behind 'segmenter.backbone.'"),
    "without counts": ({n: t for n, t in STATE.items() if "num_batches" not in n}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), WRAPPED.values(), ids=WRAPPED)
def test_weights_are_found_and_what_was_taken_off_is_said(content: Any, said: str) -> None:
    found = find_weights(content, WANTED, "a.pt")
    taken = found.take(content)
    assert all(torch.equal(taken[name], STATE[name]) for name in STATE if "num_batches" not in name)
    assert set(taken) <= set(STATE)
    notes = " ".join(found.notes())
    assert re.search(said, notes), notes
    assert bool(notes) is bool(said)


AMBIGUOUS: dict[str, Any] = {
    "two keys": {"student": STATE, "teacher": STATE},
    "two prefixes": {**behind("student."), **behind("teacher.")},
    "two usual prefixes": {"state_dict": {**behind("model."), **behind("net.")}},
}


@pytest.mark.parametrize("content", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_two_networks_that_fit_alike_are_not_guessed(content: Any) -> None:
    with pytest.raises(NetworkError, match=r"several sets of weights that fit: .*; .*torch\.save"):
        find_weights(content, WANTED, "a.pt")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"epoch": 3, "optimizer": OPTIMIZER}, r"'epoch' \(int\), 'optimizer' \(a mapping\)"),
        ({**STATE, "epoch": 3}, r"tensors alone; got 'epoch' \(int\)"),
        ({}, "got an empty dict"),
        ([STATE], "got list"),
        (torch.zeros(3), "got Tensor"),
        ({0: torch.zeros(2)}, "tensors alone"),
    ],
)
def test_what_holds_no_weights_says_what_it_holds(content: Any, got: str) -> None:
    with pytest.raises(NetworkError, match=got):
        find_weights(content, WANTED, "a.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state | {"first.again.weight": torch.zeros(3)},
        lambda state: state | {"last.weight": torch.zeros(4, 3, 1, 1)},
        lambda state: {name: tensor for name, tensor in state.items() if name != "last.bias"},
    ],
    ids=["a layer more", "another shape", "a weight less"],
)
def test_weights_that_do_not_fit_are_not_made_to(change: Callable[[State], State]) -> None:
    content = {"state_dict": {f"model.{name}": tensor for name, tensor in change(dict(STATE)).items()}}
    found = find_weights(content, WANTED, "a.pt")
    assert found.aside == ()
    taken = found.take(content)
    assert set(taken) == set(change(dict(STATE)))


ARGUMENTS = {"ndim": 2, "features": [2, 3], "norm": "batch", "blocks": 1}


@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
def test_a_checkpoint_opens_and_inspect_says_what_was_taken_off(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(1)
    module = registry.build("unet", **ARGUMENTS)
    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    state["loss.weight"] = torch.ones(2)
    path = tmp_path / f"last.{ending}"
    if ending == "ckpt":
        file = io.BytesIO()
        torch.save({"state_dict": state, "epoch": 7}, file)
        path.write_bytes(file.getvalue())
    else:
        safetensors.torch.save_file(state, path)
    architecture = json.dumps({"architecture": "unet", "arguments": ARGUMENTS})
    opened = open_network(path, NetworkSettings(architecture=architecture))
    assert torch.equal(opened.module.output.weight, module.output.weight)
    assert any("behind 'model.'" in note for note in opened.spec.notes)
    result = CliRunner().invoke(main, ["inspect", str(path), "--architecture", architecture])
    assert result.exit_code == 0
    assert "behind 'model.'" in " ".join(result.output.split())
    assert "set aside: loss.weight" in " ".join(result.output.split())
