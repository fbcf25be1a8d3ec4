"""Files of networks: recognised by content, opened without running code, refused with words that help."""

import hashlib
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from napari_tileseg.errors import NetworkError, StoreError, UntrustedNetworkError
from napari_tileseg.nets import Description, open_network, save_network, trust
from napari_tileseg.nets.architectures import registry
from napari_tileseg.settings import NetworkSettings

SAID = {
    "architecture": "unet",
    "arguments": {"ndim": 2, "features": [2, 4], "norm": "batch"},
    "classes": ["inside", "edge"],
    "activation": "sigmoid",
}


def unet() -> nn.Module:
    torch.manual_seed(2)
    module = registry.build("unet", **SAID["arguments"])
    module.train()(torch.randn(2, 1, 8, 8))
    return module.eval()


def with_json(path: Path, said: dict[str, Any] = SAID) -> Path:
    path.with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")
    return path


class Bomb:
    """Pickles as a call that would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.weights"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"model": state, "epoch": 3},
        lambda state: OrderedDict((f"module.{key}", value) for key, value in state.items()),
        lambda state: {"state_dict": {f"module._orig_mod.{key}": v for key, v in state.items()}},
    ],
)
def test_state_dicts_are_opened_with_a_description_beside_them(
    tmp_path: Path, old: bool, name: str, wrap: Any
) -> None:
    module, path = unet(), with_json(tmp_path / name)
    torch.save(wrap(module.state_dict()), path, _use_new_zipfile_serialization=not old)
    opened = open_network(path)
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(opened.module(x), module(x))
    assert (opened.spec.classes, opened.spec.activation) == (("inside", "edge"), "sigmoid")
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_description_may_come_as_a_setting_and_travels_along(tmp_path: Path) -> None:
    module, path = unet(), tmp_path / "a.safetensors"
    safetensors.torch.save_file(module.state_dict(), path)
    text, elsewhere = json.dumps(SAID), tmp_path / "elsewhere.json"
    elsewhere.write_text(text, encoding="utf-8")
    opened = [open_network(path, NetworkSettings(architecture=given)) for given in (text, str(elsewhere))]
    elsewhere.unlink()
    again = [pickle.loads(pickle.dumps(each)) for each in opened]
    assert {each.spec.classes for each in (*opened, *again)} == {("inside", "edge")}


def test_batches_need_not_be_counted(tmp_path: Path) -> None:
    state = {key: value for key, value in unet().state_dict().items() if "num_batches" not in key}
    torch.save(state, with_json(tmp_path / "a.pt"))
    assert open_network(tmp_path / "a.pt").spec.norm_counts == {"batch": 6}


def test_real_weights_of_monai_load_strictly(data_dir: Path) -> None:
    arguments = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 3,
        "channels": [8, 16, 32, 64],
        "strides": [2, 2, 2],
        "num_res_units": 2,
        "norm": "batch",
        "dropout": 0.3,
    }
    said = {"architecture": "monai_unet", "arguments": arguments, "classes": ["background", "white", "grey"]}
    path = data_dir / "networks" / "ivadomed_mouse_sc_monai_unet2d" / "best_metric_model.pth"
    opened = open_network(path, NetworkSettings(architecture=json.dumps(said)))
    assert opened.spec.norm_counts == {"batch": 13}
    assert opened.spec.geometry.stride == (8, 8)
    assert opened.spec.seam_free
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    assert all(torch.equal(value, theirs[key]) for key, value in opened.module.state_dict().items())


def test_a_real_file_of_the_old_format_is_read_and_a_wrong_architecture_named(data_dir: Path) -> None:
    path = data_dir / "networks" / "unet2d_nuclei_broad" / "unet2d_weights.torch"
    said = {"architecture": "unet", "arguments": {"ndim": 2, "out_channels": 1, "norm": "identity"}}
    with pytest.raises(NetworkError, match=r"weights missing: encoders\S+ .* and \d+ more.*too many"):
        open_network(path, NetworkSettings(architecture=json.dumps(said)))


def test_weights_without_a_description_ask_for_one(tmp_path: Path) -> None:
    torch.save(unet().state_dict(), tmp_path / "a.pt")
    with pytest.raises(NetworkError, match=r"which network they belong to.*a\.json.*\"architecture\": "):
        open_network(tmp_path / "a.pt")
    with_json(tmp_path / "a.pt", {"classes": ["one"]})
    with pytest.raises(NetworkError, match="should name an architecture: one of unet, unetr"):
        open_network(tmp_path / "a.pt")


@pytest.mark.parametrize("given", ["{broken", "no/such/file.json", '{"architecture": "resnet"}'])
def test_broken_descriptions_are_errors(tmp_path: Path, given: str) -> None:
    torch.save(unet().state_dict(), tmp_path / "a.pt")
    with pytest.raises(NetworkError, match=r"is not JSON|cannot be read|no architecture 'resnet'"):
        open_network(tmp_path / "a.pt", NetworkSettings(architecture=given))


def test_mismatches_are_named_with_both_shapes(tmp_path: Path) -> None:
    path = with_json(tmp_path / "a.pt", {**SAID, "arguments": {**SAID["arguments"], "features": [2, 5]}})
    torch.save(unet().state_dict(), path)
    shapes = r"encoders\.1\.0\.0\.weight \(expected 5 x 2 x 3 x 3, got 4 x 2 x 3 x 3\)"
    with pytest.raises(NetworkError, match=rf"weights of another shape: {shapes}.* and \d+ more"):
        open_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["output.bias"].fill_(float("nan")), "NaN or infinite: output.bias"),
        (
            lambda state: state.update({"output.bias": torch.zeros(2, dtype=torch.cfloat)}),
            "plain real numbers",
        ),
        (
            lambda state: state.update({"output.bias": [1.0, 2.0]}),
            r"tensors alone; got 'output.bias' \(list\)",
        ),
        (lambda state: state.clear(), "got an empty"),
    ],
)
def test_weights_that_cannot_be_right_are_errors(tmp_path: Path, change: Any, message: str) -> None:
    state = dict(unet().state_dict())
    change(state)
    torch.save(state, with_json(tmp_path / "a.pt"))
    with pytest.raises(NetworkError, match=message):
        open_network(tmp_path / "a.pt")


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, old: bool) -> None:
    path, trace = with_json(tmp_path / "a.pt"), tmp_path / "trace"
    torch.save({"state_dict": Bomb(trace)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(NetworkError, match=r"would run code, so it was not opened.*state_dict"):
        open_network(path)
    path.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(NetworkError, match=r"state dict that opens safely"):
        open_network(path)
    assert not trace.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(unet(), with_json(tmp_path / "a.pt"))
    with pytest.raises(
        NetworkError, match=r"napari_tileseg\.nets\.architectures\.unet\.UNet.*would run code"
    ):
        open_network(tmp_path / "a.pt")


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], with_json(tmp_path / "a.pt"))
    with pytest.raises(NetworkError, match=r"should hold a state dict.*got list"):
        open_network(tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(NetworkError, match=r"state dict that opens safely|'a' \(int\)"):
        open_network(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["own", "zip", "old", "torchscript"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_errors(tmp_path: Path, kind: str, part: float) -> None:
    whole, path = tmp_path / "whole.safetensors", with_json(tmp_path / "a.pt")
    module = unet()
    if kind == "own":
        save_network(module, whole, Description(architecture="unet", arguments=SAID["arguments"]))
    elif kind == "torchscript":
        torch.jit.script(module).save(str(whole))
    else:
        torch.save(module.state_dict(), whole, _use_new_zipfile_serialization=kind == "zip")
    data = whole.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(NetworkError, match=r"Copy it again|or copy it again"):
        open_network(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is no network", "is a text; expected"),
        (b"\x01\x00\xfe\xff no network", "is something else; expected"),
        (b"\x89HDF\r\n\x1a\n rest", "HDF5"),
        (b"II*\x00 rest", "TIFF image"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all", "not a complete safetensors"),
        (b"\xff" * 8 + b"{", "not a complete safetensors"),
    ],
)
def test_other_files_are_errors(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(NetworkError, match=message):
        open_network(tmp_path / "a.safetensors")


def test_files_of_other_programs_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(3))
    with pytest.raises(NetworkError, match="a NumPy archive"):
        open_network(tmp_path / "a.npz")
    with pytest.raises(NetworkError, match="is a folder"):
        open_network(tmp_path)
    with pytest.raises(NetworkError, match="there is no such file"):
        open_network(tmp_path / "none.pt")


def scripted(path: Path, module: nn.Module | None = None) -> str:
    torch.jit.script(module or unet()).save(str(path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_torchscript_needs_trust_in_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    sha256 = scripted(path)
    for settings in (NetworkSettings(), NetworkSettings(trust_sha256="0" * 64)):
        with pytest.raises(UntrustedNetworkError, match=f"SHA-256, which is {sha256}") as refusal:
            open_network(path, settings)
        assert refusal.value.sha256 == sha256
    opened = open_network(path, NetworkSettings(trust_sha256=sha256.upper()))
    assert pickle.loads(pickle.dumps(opened)).sha256 == sha256


def test_trust_is_remembered(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "a.pt"
    sha256 = scripted(path)
    trust(sha256)
    trust(sha256.upper())
    opened = open_network(path)
    assert opened.spec.architecture == "torchscript"
    assert (home / "trusted_networks.txt").read_text(encoding="ascii") == f"{sha256}\n"
    scripted(path, registry.build("unet", ndim=2, features=(2, 4), norm="identity"))
    with pytest.raises(UntrustedNetworkError):
        open_network(path)
    with pytest.raises(NetworkError, match="64 hexadecimal digits; got 'abc'"):
        trust("abc")


def test_trust_stated_when_opening_is_remembered_but_not_that_of_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.pt"
    opened = open_network(path, NetworkSettings(trust_sha256=scripted(path).upper()))
    assert open_network(path).sha256 == opened.sha256
    with pytest.raises(UntrustedNetworkError):
        open_network(path, NetworkSettings(trust_sha256="0" * 64))
    # A reference may come with somebody else's project folder, or from another process.
    monkeypatch.setenv("TILESEG_HOME", str(tmp_path / "other"))
    pickle.loads(pickle.dumps(opened))
    with pytest.raises(UntrustedNetworkError):
        open_network(path)


def test_trust_that_cannot_be_kept_says_so_and_holds_for_the_call(tmp_path: Path, home: Path) -> None:
    home.write_text("a file where a folder should be", encoding="ascii")
    with pytest.raises(StoreError, match="TILESEG_HOME"):
        trust("0" * 64)
    path = tmp_path / "a.pt"
    sha256 = scripted(path)
    assert open_network(path, NetworkSettings(trust_sha256=sha256)).sha256 == sha256
    with pytest.raises(UntrustedNetworkError):
        open_network(path)


def test_torchscript_is_measured_like_its_origin(tmp_path: Path) -> None:
    module, path = unet(), tmp_path / "a.pt"
    sha256 = scripted(path, module)
    save_network(
        module, tmp_path / "b.safetensors", Description(architecture="unet", arguments=SAID["arguments"])
    )
    opened = open_network(path, NetworkSettings(trust_sha256=sha256))
    origin = open_network(tmp_path / "b.safetensors")
    assert opened.spec.geometry == origin.spec.geometry
    assert opened.spec.norm_counts == origin.spec.norm_counts == {"batch": 6}
    assert (opened.spec.axes, opened.spec.in_channels, opened.spec.out_channels) == ("yx", 1, 2)
    assert opened.spec.activation == "none"
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(opened.module(x), module(x))


class Pointwise(nn.Module):
    """Takes any number of axes and channels, and so does not show what it takes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Twice(nn.Module):
    """Gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner(x), self.inner(x)


def test_what_torchscript_does_not_show_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    sha256 = scripted(path, Pointwise())
    with pytest.raises(NetworkError, match=r"does not show how many axes.*\"in_channels\": 1"):
        open_network(path, NetworkSettings(trust_sha256=sha256))
    with_json(
        path,
        {
            "architecture": "torchscript",
            "axes": "zyx",
            "in_channels": 2,
            "classes": ["one", "two"],
            "activation": "softmax",
        },
    )
    opened = open_network(path, NetworkSettings(trust_sha256=sha256))
    assert (opened.spec.axes, opened.spec.classes) == ("zyx", ("one", "two"))
    with_json(path, {"ndim": 2, "in_channels": 2, "classes": ["one"]})
    with pytest.raises(NetworkError, match=r"2 output channels.*names 1 classes"):
        open_network(path, NetworkSettings(trust_sha256=sha256))


def test_torchscript_of_two_outputs_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    sha256 = scripted(path, Twice())
    with pytest.raises(NetworkError, match="should give one tensor"):
        open_network(path, NetworkSettings(trust_sha256=sha256))
