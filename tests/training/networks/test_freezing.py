"""Which weights learn, in networks of several kinds."""

import pytest
import torch
from torch import nn

from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.training.networks.freezing import choose_weights, run_order, set_training

SHAPE = (32, 32)


def chosen(module: nn.Module, choice: str) -> set[str]:
    choose_weights(module, choice, run_order(module, SHAPE, 1))
    return {name for name, weight in module.named_parameters() if weight.requires_grad}


def unet(norm: str = "batch_renorm", **how) -> nn.Module:
    return build("unet", ndim=2, features=(2, 4, 4), blocks=1, norm=norm, **how)


def test_everything_and_nothing_but_the_last_layer() -> None:
    assert chosen(unet(), "everything") == set(dict(unet().named_parameters()))
    assert chosen(unet(), "last_layer") == {"output.weight", "output.bias"}


@pytest.mark.parametrize("upsampling", ["transposed", "linear"])
def test_the_decoder_begins_where_resolution_rises(upsampling) -> None:
    names = chosen(unet(upsampling=upsampling), "decoder_and_norms")
    convolutions = {name.split(".")[0] for name in names if not name.startswith("encoders")}
    assert convolutions == {"upsamplers", "decoders", "output"}
    encoders = {name for name in names if name.startswith("encoders")}
    assert encoders == {f"encoders.{n}.0.1.{what}" for n in range(3) for what in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "arguments", "decoder", "encoder"),
    [
        ("basic_unet", {"spatial_dims": 2, "features": (4,) * 6}, "upcat_1.", "conv_0."),
        (
            "unetr",
            {"image_size": SHAPE, "patch": 4, "hidden": 12, "heads": 3, "layers": 3, "mlp": 8, "features": 4},
            "decoders.",
            "layers.",
        ),
        ("segresnet", {"spatial_dims": 2, "blocks_down": (1, 1), "blocks_up": (1,)}, "up_layers.", "down_"),
    ],
)
def test_decoders_of_other_architectures_are_found(name, arguments, decoder, encoder) -> None:
    module = build(name, **arguments)
    order = run_order(module, SHAPE, 1)
    layers, norms = choose_weights(module, "decoder_and_norms", order)
    convolutions = [each.path for each in order if each.path not in norms]
    assert all((path in layers) for path in convolutions if path.startswith(decoder))
    assert not any((path in layers) for path in convolutions if path.startswith(encoder))


def test_frozen_norms_keep_their_statistics() -> None:
    module = unet()
    _, norms = choose_weights(module, "last_layer", run_order(module, SHAPE, 1))
    set_training(module, norms)
    before = {name: values.clone() for name, values in module.named_buffers()}
    module(torch.rand(1, 1, *SHAPE))
    assert all(torch.equal(values, before[name]) for name, values in module.named_buffers())
    _, norms = choose_weights(module, "norms", run_order(module, SHAPE, 1))
    set_training(module, norms)
    module(torch.rand(1, 1, *SHAPE))
    moved = [name for name, values in module.named_buffers() if not torch.equal(values, before[name])]
    assert len(moved) == 3 * len(norms)


def test_what_cannot_learn_is_refused() -> None:
    with pytest.raises(NetworkError, match="only norms may"):
        chosen(unet("identity"), "norms")
    with pytest.raises(NetworkError, match="should run on patches"):
        run_order(unet(), (30, 30), 1)


@pytest.mark.parametrize(("norm", "batch", "refused"), [
    ("batch_renorm", 1, True),
    ("instance", 1, True),
    ("instance", 2, True),
    ("batch", 2, False),
    ("group", 1, True),
])  # fmt: skip
def test_statistics_of_one_voxel_are_refused(norm, batch, refused) -> None:
    module = build("unet", ndim=2, features=(2, 4, 8), blocks=1, norm=norm)
    if not refused:
        run_order(module, (4, 4), 1, batch)
        return
    with pytest.raises(SettingsError, match="one voxel at the normalization layer encoders"):
        run_order(module, (4, 4), 1, batch)
