"""Architectures by name: all are there, take normalization by name, and refuse what they do not know."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import inspection, norm_layers
from napari_tileseg.nets.architectures import registry

#: Those whose normalization is that of MONAI, of what is inside, or a letter of the order of layers.
_OTHERS = {
    *("attention_unet", "ensemble", "double_conv_unet", "residual_unet"),
    *("flexible_unet", "highresnet", "regunet", "vnet"),
}
TAKES_NORM = [name for name in registry.names() if name not in _OTHERS]


def run(module: torch.nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        return module.eval()(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize("name", registry.names())
def test_gives_one_tensor_of_the_inputs_size(name: str, small: dict[str, Any]) -> None:
    arguments, shape = small[name]
    module = registry.build(name, **arguments)
    assert run(module, shape).shape == (1, 2, *shape)
    assert registry.signature(name, arguments) == registry.Signature(len(shape), 1, 2)


@pytest.mark.parametrize("norm", norm_layers.NORMS)
@pytest.mark.parametrize("name", TAKES_NORM)
def test_normalization_is_chosen_by_name(name: str, norm: str, small: dict[str, Any]) -> None:
    arguments, shape = small[name]
    module = registry.build(name, **arguments, norm=norm)
    assert run(module, shape).shape == (1, 2, *shape)
    counts = inspection.count_norms(module)
    assert counts.get(norm, 0) > 0 or norm == "identity"
    assert set(counts) <= {norm, "layer"}
    for layer in module.modules():
        assert getattr(layer, "momentum", None) in {None, norm_layers.MOMENTUM} or norm == "instance"


@pytest.mark.parametrize("name", ["basic_unet_plus_plus", "dynunet", "segresnet_ds"])
def test_networks_of_several_outputs_give_the_final_one_in_training(name: str, small: dict[str, Any]) -> None:
    arguments, shape = small[name]
    module = registry.build(name, **arguments, norm="identity").train()
    x = torch.randn(2, 1, *shape)
    torch.testing.assert_close(module(x), module.eval()(x))


def test_monai_norm_name_and_pairs_work_as_in_monai(small: dict[str, Any]) -> None:
    arguments, _ = small["dynunet"]
    ours = registry.build("dynunet", **arguments, norm_name="batch_renorm")
    theirs = registry.build("dynunet", **arguments, norm_name=["instance", {"affine": False}])
    assert set(inspection.count_norms(ours)) == {"batch_renorm"}
    assert not any("norm" in name for name in theirs.state_dict())
    with pytest.raises(NetworkError, match="got both"):
        registry.build("dynunet", **arguments, norm="batch", norm_name="batch")


def test_attention_unet_is_as_monai_builds_it(small: dict[str, Any]) -> None:
    arguments, _ = small["attention_unet"]
    assert set(inspection.count_norms(registry.build("attention_unet", **arguments))) == {"batch", "instance"}
    with pytest.raises(NetworkError, match="no argument 'norm'"):
        registry.build("attention_unet", **arguments, norm="batch")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("basic_unett", {}, "no architecture 'basic_unett'.*Did you mean 'basic_unet'"),
        ("unet", {"depth": 3}, "no argument 'depth'.*features"),
        ("monai_unet", {"spatial_dims": 2}, "also needs in_channels, out_channels, channels, strides"),
        ("unet", {"norm": "layer"}, "Normalization is one of batch"),
        ("segresnet", {"norm": "layer"}, "Normalization is one of batch"),
        ("unet", {"ndim": 4}, "1, 2 or 3 spatial axes; got ndim 4"),
        ("unet", {"features": ()}, "one level"),
        ("unet", {"features": "many"}, "does not take"),
        ("unet", {"upsampling": "cubic"}, "transposed, linear; got 'cubic'"),
        ("unetr", {"patch": 12}, "power of 2"),
        ("unetr", {"image_size": (100, 128, 128)}, "multiples of its patch"),
        ("unetr", {"image_size": (128,) * 4}, "1, 2 or 3 axes"),
        ("unetr", {"hidden": 770}, "multiple of its heads"),
        ("unetr", {"layers": 2}, "needs 4 layers"),
        ("basic_unet", {"spatial_dims": 2, "features": (4, 4)}, "does not take"),
    ],
)
def test_what_does_not_fit_is_an_error(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        registry.build(name, **arguments)


def test_a_signature_needs_whole_numbers() -> None:
    with pytest.raises(NetworkError, match=r"whole numbers.*two channels in"):
        registry.signature("unet", {"in_channels": "two"})


def test_the_papers_networks_have_their_sizes() -> None:
    unet = registry.build("unet")
    assert [m.out_channels for m in unet.modules() if isinstance(m, torch.nn.Conv3d)] == [
        *(32, 32, 64, 64, 128, 128),
        *(64, 64, 32, 32),
        2,
    ]
    kinds = {key: value.default for key, value in registry.parameters("unetr").items()}
    assert (kinds["patch"], kinds["heads"], kinds["hidden"], kinds["layers"]) == (16, 12, 768, 12)


def test_the_unet_gives_a_published_networks_output(data_dir: Any) -> None:
    folder = data_dir / "networks" / "unet2d_nuclei_broad"
    theirs = torch.load(folder / "unet2d_weights.torch", map_location="cpu", weights_only=True)
    module = registry.build(
        "unet", ndim=2, out_channels=1, features=(16, 32, 64, 128), norm="identity", upsampling="linear"
    )
    state = module.state_dict()
    # The same layers under other names, in the order in which both networks list them.
    ours = [
        key
        for part in ("encoders", "decoders", "upsamplers", "output")
        for key in state
        if key.startswith(part)
    ]
    named = ("encoders", "base", "decoders", "upsamplers", "output")
    others = [key for part in named for key in theirs if key.startswith(part)]
    module.load_state_dict(dict(zip(ours, (theirs[key] for key in others), strict=True)))
    raw = torch.from_numpy(np.load(folder / "test_input.npy"))
    # Theirs has one nonlinearity a level.
    for level in (*module.encoders, *module.decoders):
        level[0][2] = torch.nn.Identity()
    x = (raw - raw.mean()) / raw.std(correction=0)
    expected = np.load(folder / "test_output.npy")
    with torch.inference_mode():
        result = torch.sigmoid(module.eval()(x)).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_monai_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from napari_tileseg.nets.architectures import registry; "
        "registry.build('unet', features=(2, 4)); "
        "assert 'monai' not in sys.modules; import napari_tileseg.nets.network; "
        "assert not {'monai', 'napari', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_of_networks_loads_no_torch() -> None:
    code = "import sys, napari_tileseg.nets.spec; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
