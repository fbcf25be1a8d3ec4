"""Checkpoints of pytorch-3dunet, fine-tuned: they become seam-free, and open again in another process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import nn

import napari_tileseg as ts
from napari_tileseg.cli import main
from napari_tileseg.nets.architectures import registry

MODEL = {
    "in_channels": 1,
    "out_channels": 1,
    "f_maps": 4,
    "num_levels": 2,
    "layer_order": "gcr",
    "num_groups": 2,
    "final_sigmoid": True,
}
FAMILIES = {"UNet3D": "double_conv_unet", "ResidualUNet3D": "residual_unet"}
#: Opens a network, predicts an image in small tiles and as a whole, and says how far they are apart.
AGAIN = """
import json, sys
import numpy as np
import torch
import napari_tileseg as ts
image, path = ts.open_image(sys.argv[1]), sys.argv[2]
network = ts.open_network(path)
core = tuple(map(int, sys.argv[3].split(",")))
how = [ts.PredictSettings(device="cpu", core=each) for each in (None, core)]
whole, tiles = (np.asarray(ts.predict(image, network, each)) for each in how)
found = ts.drain(ts.diagnose(image, network, how[1]))
print(json.dumps({
    "seam_free": network.spec.seam_free,
    "norms": dict(network.spec.norm_counts),
    "activation": network.spec.activation,
    "arguments": dict(network.description.arguments),
    "apart": float(np.abs(whole - tiles).max()),
    "range": [float(whole.min()), float(whole.max())],
    "diagnosis": found.seam_free,
    "logit": float(network.module(torch.ones(1, 1, 8, 8, 8)).mean()),
}))
"""


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A volume with bright balls, and strokes on balls and between them."""
    folder = tmp_path_factory.mktemp("painted")
    places = np.indices((16, 32, 32)) % 16 - 8
    inside = (places**2).sum(0) < 30
    noise = np.random.default_rng(0).normal(100, 10, inside.shape)
    strokes = np.zeros(inside.shape, np.uint8)
    strokes[8, 8::16, 6:11] = strokes[8, 8::16, 22:27] = 1
    strokes[::8, 15:18, 2:30] = 2
    np.save(folder / "image.npy", (noise + 80 * inside).astype("u2"))
    np.save(folder / "strokes.npy", strokes)
    return folder / "image.npy", folder / "strokes.npy"


def checkpoint(folder: Path, name: str) -> Path:
    """Write a checkpoint as the package's trainer does, with its configuration beside."""
    torch.manual_seed(0)
    arguments = {"features": (4, 8), "num_groups": 2, "final_activation": "sigmoid"}
    module = registry.build(FAMILIES[name], in_channels=1, out_channels=1, **arguments)
    for weight in module.parameters():
        nn.init.normal_(weight, 0.03, 0.3)
    folder.mkdir()
    path = folder / "best_checkpoint.pytorch"
    torch.save({"model_state_dict": module.state_dict(), "best_eval_score": np.float64(0.5)}, path)
    raw = [{"name": "Standardize"}, {"name": "ToTensor", "expand_dims": True}]
    config = {
        "model": {"name": name, **MODEL},
        "loaders": {"global_normalization": True, "val": {"transformer": {"raw": raw}}},
    }
    (folder / "config_train.yml").write_text(yaml.safe_dump(config))
    return path


def again(image: Path, network: Path, core: str) -> dict[str, Any]:
    """What another process finds of a network."""
    command = [sys.executable, "-c", AGAIN, str(image), str(network), core]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def check(found: dict[str, Any], before: nn.Module, norms: int) -> None:
    """Hold what was found of a tuned network against what is wanted of it."""
    assert found["norms"] == {"batch_renorm": norms}
    assert found["activation"] == "sigmoid"
    assert "final_activation" not in found["arguments"]
    assert 0 <= found["range"][0] < found["range"][1] <= 1
    assert found["apart"] < 1e-5
    assert found["seam_free"]
    assert found["diagnosis"]
    with torch.inference_mode():
        assert 0 <= before(torch.ones(1, 1, 8, 8, 8)).mean() <= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_twenty_steps_make_a_checkpoint_seam_free(
    tmp_path: Path, painted: tuple[Path, Path], name: str
) -> None:
    path, out = checkpoint(tmp_path / "net", name), tmp_path / "tuned.safetensors"
    opened = ts.open_network(path)
    assert not opened.spec.seam_free
    assert opened.spec.activation == "none"
    settings = ("--steps", "20", "--patch", "16,16,16", "--validate-every", "10", "--device", "cpu")
    command = ["finetune", *painted, path, "-o", out, *settings, "--labels-kind", "strokes", "--json"]
    ended = CliRunner().invoke(main, [str(each) for each in command])
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    norms = opened.spec.norm_counts["group"]
    assert (report["normalization_before"], report["normalization"]) == (
        {"group": norms},
        {"batch_renorm": norms},
    )
    check(again(painted[0], out, "8,16,16"), opened.module, norms)
