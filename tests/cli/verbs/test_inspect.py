"""``tileseg inspect`` and ``tileseg networks`` tell what a network is."""

import hashlib
import json

import numpy as np
import torch

from napari_tileseg.nets import Description, save_network
from napari_tileseg.nets.architectures.registry import build

KEYS = {
    *("name", "architecture", "sha256", "parameters", "ndim", "in_channels", "out_channels", "classes"),
    *("normalization", "stride", "halo", "receptive_field", "seam_free", "reason"),
    *(
        "axes",
        "activation",
        "input_normalization",
        "default_halo",
        "read",
        "voxel_size",
        "resampling",
        "channel_names",
        "seam_layers",
        "seam_cause",
        "engine",
        "notes",
        "self_test",
    ),
}


def test_json_tells_what_was_saved_and_what_is_measured(tileseg, small):
    path = small / "network.safetensors"
    code, report = tileseg.json("inspect", path)
    assert code == 0
    assert report.keys() == KEYS
    told = {
        "name": "network",
        "architecture": "unet",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "ndim": 3,
        "axes": "zyx",
        "in_channels": 1,
        "channel_names": [],
        "out_channels": 2,
        "classes": ["nucleus", "boundary"],
        "stride": [2, 2, 2],
        "normalization": {"batch": 6},
        "voxel_size": [2.0, 1.0, 1.0],
        "seam_free": True,
        "seam_layers": [],
        "engine": {"path": "regions", "reason": ""},
    }
    assert {key: report[key] for key in told} == told
    assert report["halo"] == report["default_halo"]
    assert all(len(sides) == 2 and min(sides) > 0 for sides in report["halo"])


def test_what_came_of_a_packages_own_test_is_told(tileseg, tmp_path):
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "channels": [2, 4], "strides": [2]}
    torch.manual_seed(0)
    module = build("monai_unet", **arguments).eval()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    x = torch.randn(1, 1, 32, 32)
    np.save(tmp_path / "in.npy", x.numpy())
    np.save(tmp_path / "out.npy", module(x).detach().numpy())
    axes = {"axes": "bcyx", "shape": [1, 1, 32, 32]}
    architecture = {"architecture": "monai.networks.nets.UNet", "kwargs": arguments}
    said = {
        "format_version": "0.4.10",
        "type": "model",
        "inputs": [{"name": "raw", **axes}],
        "outputs": [{"name": "out", **axes, "postprocessing": [{"name": "sigmoid"}]}],
        "test_inputs": ["in.npy"],
        "test_outputs": ["out.npy"],
        "weights": {"pytorch_state_dict": {"source": "weights.pt", **architecture}},
    }
    (tmp_path / "rdf.yaml").write_text(json.dumps(said))
    code, report = tileseg.json("inspect", tmp_path)
    assert code == 0
    assert (report["architecture"], report["self_test"]["reproduces"]) == ("monai_unet", False)
    assert report["self_test"]["likely"] == "without its sigmoid"
    answer = tileseg("inspect", tmp_path / "rdf.yaml")
    assert "without its sigmoid it is reproduced" in answer.stdout


def test_what_has_no_rule_is_named(tileseg, tmp_path):
    arguments = {"ndim": 2, "features": (2, 2), "norm": "instance"}
    path = save_network(
        build("unet", **arguments),
        tmp_path / "a.safetensors",
        Description(architecture="unet", arguments=arguments),
    )
    code, report = tileseg.json("inspect", path)
    assert code == 0
    assert report["engine"]["path"] == "plain"
    assert "instance_norm" in report["engine"]["reason"]
    assert "computed whole, core and halo, because its instance_norm" in tileseg("inspect", path).stdout


def test_the_card_says_the_same_to_a_person(tileseg, small):
    result = tileseg("inspect", small / "network.safetensors")
    assert result.exit_code == 0
    for words in ("unet", "nucleus, boundary", "6 batch", "stride 2 x 2 x 2", "2 x 1 x 1 um", "seam-free"):
        assert words in result.stdout
    assert result.stderr == ""


def test_the_shipped_networks_are_listed_and_each_can_be_inspected(tileseg):
    code, report = tileseg.json("networks")
    assert code == 0
    assert len(report["networks"]) >= 4
    for each in report["networks"]:
        assert each.keys() == {"reference", "title", "description", "path", "sha256"}
        code, inspected = tileseg.json("inspect", each["reference"])
        assert code == 0
        assert inspected["sha256"] == each["sha256"]
        assert each["reference"] in tileseg("networks").stdout
