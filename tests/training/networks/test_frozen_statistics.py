"""Networks whose layers hold statistics of images: the same output, in a file, without gathering."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg._progress import drain
from napari_tileseg.errors import NetworkError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets import Description, network_in_memory, open_module, open_network, save_described
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.prediction import lay_plan, predict
from napari_tileseg.prediction.plan.plan import find_way
from napari_tileseg.settings import PredictSettings
from napari_tileseg.training import Trained, freeze_network, open_training

#: Several tiles, and intensities as they are.
HOW = {"core": (16, 32), "normalize": "none", "device": "cpu"}
REGION = ((8, 72), (12, 90))
RANDOM = np.random.default_rng(0)
#: Brighter below, so that tiles differ from each other and from the whole.
VOXELS = (RANDOM.random((84, 96)) + np.linspace(0, 3, 84)[:, None]).astype(np.float32)
IMAGE = Image(VOXELS, "yx", name="gradient")
NETWORKS = {
    "instance": ("unet", {"ndim": 2, "features": (4, 6), "norm": "instance"}),
    "group": ("unet", {"ndim": 2, "features": (4, 6), "norm": "group"}),
    "plain": ("plain_conv_unet", {"ndim": 2, "features": (4, 6), "strides": (1, 2)}),
    "residual": (
        "residual_encoder_unet",
        {"ndim": 2, "features": (4, 6), "strides": (1, 2), "blocks": (1, 2)},
    ),
    "gcr": ("double_conv_unet", {"ndim": 2, "features": (4, 8), "num_groups": 2}),
    "torch_em": ("torch_em_unet", {"ndim": 2, "out_channels": 2, "depth": 2, "initial_features": 4}),
    "monai": (
        "monai_unet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "channels": (4, 8), "strides": (2,)},
    ),
    # Its layers lie in it under several paths.
    "dynunet": (
        "dynunet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": (3, 3, 3),
            "strides": (1, 2, 2),
            "upsample_kernel_size": (2, 2),
            "filters": (4, 4, 4),
        },
    ),
    "folds": (
        "ensemble",
        {
            "architecture": "plain_conv_unet",
            "arguments": {"ndim": 2, "features": (4, 6), "strides": (1, 2)},
            "members": 2,
        },
    ),
}


def network_of(kind):
    architecture, arguments = NETWORKS[kind]
    torch.manual_seed(0)
    module = build(architecture, **arguments)
    for layer in module.modules():
        for name in ("weight", "bias"):
            if isinstance(getattr(layer, name, None), nn.Parameter) and layer.weight.ndim == 1:
                nn.init.uniform_(getattr(layer, name), 0.5, 1.5)
    said = Description(architecture=architecture, arguments=arguments, activation="softmax", name=kind)
    return network_in_memory(module, said)


def plan_of(image, network, **how):
    settings = PredictSettings(**{**HOW, "statistics": "region", **how})
    return lay_plan(image, network, settings, find_way(network, settings))


def probabilities(image, network, **how):
    return np.asarray(predict(image, network, PredictSettings(**{**HOW, **how})))


@pytest.mark.parametrize("how", [{"statistics": "whole"}, {"region": REGION}], ids=["whole", "region"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_frozen_network_gives_what_fixed_statistics_give_of_any_part(kind, how, tmp_path) -> None:
    network = network_of(kind)
    frozen = drain(freeze_network([plan_of(IMAGE, network, **how)]))
    opened = open_network(save_described(frozen.module, frozen.description, tmp_path / "a.safetensors"))
    expected = probabilities(IMAGE, network, **{"statistics": "region", **how})
    assert opened.spec.seam_free
    assert set(opened.spec.norm_counts) == {"batch"}
    np.testing.assert_allclose(probabilities(IMAGE, opened), expected, rtol=0, atol=1e-5)
    # Other cores, and each tile with its own statistics.
    np.testing.assert_allclose(probabilities(IMAGE, opened, core=(84, 96)), expected, rtol=0, atol=1e-5)
    with pytest.warns(UserWarning, match="Tiles will show"):
        by_tile = probabilities(IMAGE, network, statistics="tile")
    assert np.abs(by_tile - expected).max() > 1e-3


def test_the_layers_hold_what_a_plain_pass_meets_and_keep_the_rest() -> None:
    network = network_of("group")
    frozen = drain(freeze_network([plan_of(IMAGE, network, dtype="float64")]))
    seen = {}
    for path, layer in network.module.named_modules():
        if isinstance(layer, nn.GroupNorm):
            layer.register_forward_pre_hook(lambda _, inputs, path=path: seen.update({path: inputs[0]}))
    double = copy.deepcopy(network.module).double()
    with torch.inference_mode():
        double(torch.from_numpy(VOXELS).double()[None, None])
    assert tuple(seen) == frozen.description.frozen
    for path, values in seen.items():
        former, layer = network.module.get_submodule(path), frozen.module.get_submodule(path)
        assert type(layer) is nn.BatchNorm2d
        apart = values.reshape(former.num_groups, -1)
        each = former.num_channels // former.num_groups
        mean, variance = apart.mean(1), apart.var(1, correction=0)
        torch.testing.assert_close(layer.running_mean, mean.repeat_interleave(each).float())
        torch.testing.assert_close(layer.running_var, variance.repeat_interleave(each).float())
        assert layer.eps == former.eps
        torch.testing.assert_close(layer.weight, former.weight)
        torch.testing.assert_close(layer.bias, former.bias)


def test_batch_norm_without_statistics_is_frozen_and_eps_and_missing_weights_stay() -> None:
    norm = ["batch", {"track_running_stats": False, "affine": False, "eps": 0.3}]
    arguments = {**NETWORKS["monai"][1], "norm": norm}
    network = network_in_memory(
        build("monai_unet", **arguments), Description(architecture="monai_unet", arguments=arguments)
    )
    frozen = drain(freeze_network([plan_of(IMAGE, network)]))
    layers = [each for each in frozen.module.modules() if isinstance(each, nn.BatchNorm2d)]
    assert {(each.eps, each.affine, each.track_running_stats) for each in layers} == {(0.3, False, True)}
    expected = probabilities(IMAGE, network, statistics="region")
    np.testing.assert_allclose(probabilities(IMAGE, frozen), expected, rtol=0, atol=1e-5)


def test_several_images_count_as_one_each_voxel_once() -> None:
    network = network_of("instance")
    other = Image(np.ascontiguousarray(VOXELS[::-1, ::-1] ** 2), "yx", name="other")
    frozen = drain(freeze_network([plan_of(each, network) for each in (IMAGE, other)]))
    # BatchNorm over a batch of both images takes the moments of all their voxels.
    both = copy.deepcopy(network.module).double()
    for path, layer in list(both.named_modules()):
        if isinstance(layer, nn.InstanceNorm2d):
            parent, _, name = path.rpartition(".")
            of_batch = nn.BatchNorm2d(layer.num_features, track_running_stats=False).double()
            of_batch.load_state_dict(layer.state_dict())
            setattr(both.get_submodule(parent), name, of_batch)
    with torch.inference_mode():
        values = torch.from_numpy(np.stack([IMAGE.data, other.data])).double()[:, None]
        expected = both(values).softmax(1).numpy()
    for image, wanted in zip((IMAGE, other), expected, strict=True):
        np.testing.assert_allclose(probabilities(image, frozen), wanted, rtol=0, atol=1e-5)
    alone = drain(freeze_network([plan_of(IMAGE, network)]))
    assert np.abs(probabilities(IMAGE, alone) - expected[0]).max() > 1e-3


def test_the_description_says_which_images_and_regions_and_what_it_comes_from() -> None:
    network = network_of("instance")
    plan = plan_of(replace(IMAGE, voxel_size=(0.5, 0.25), uri="/data/a.tif"), network, region=REGION)
    about = drain(freeze_network([plan, plan_of(IMAGE, network)])).description.provenance
    assert about["parent_sha256"] == network.sha256
    assert about["statistics_of"] == [
        {"image": "/data/a.tif", "region": [[8, 72], [12, 90]], "voxel_size": [0.5, 0.25]},
        {"image": "gradient", "region": [[0, 84], [0, 96]], "voxel_size": [1.0, 1.0]},
    ]


class Squeezed(nn.Module):
    """Weighs channels by their means."""

    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


def refused(network, **how):
    with pytest.raises((NetworkError, SettingsError)) as caught:
        drain(freeze_network([plan_of(IMAGE, network, **how)]))
    return str(caught.value)


def test_what_no_batch_norm_can_hold_is_refused_by_name_with_the_setting_that_does_it() -> None:
    gated = {"ndim": 2, "features": (4, 8), "num_groups": 2, "squeeze_excitation": True}
    said = refused(
        network_in_memory(
            build("residual_unet", **gated), Description(architecture="residual_unet", arguments=gated)
        )
    )
    assert "computes more over all of space" in said
    assert "the setting statistics" in said
    code = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4), Squeezed())
    assert "known by its graph first, with by_graph" in refused(open_module(code, axes="yx", in_channels=1))
    norm = nn.InstanceNorm2d(1)
    twice = open_module(nn.Sequential(norm, nn.Conv2d(1, 1, 3, padding=1), norm), axes="yx", in_channels=1)
    named = replace(twice, description=replace(twice.description, architecture="unet"))
    assert "runs layers more than once" in refused(named)
    assert "one of region, whole, sample" in refused(network_of("instance"), statistics="tile")
    with pytest.raises(SettingsError, match="sampled of several images"):
        drain(freeze_network([plan_of(IMAGE, network_of("instance"), statistics="sample")] * 2))


def test_a_network_without_such_layers_is_refused(make_network) -> None:
    assert "no layer to freeze: its normalization is batch_renorm" in refused(make_network())


@pytest.mark.parametrize("norm", ["batch_renorm", "keep"])
def test_a_frozen_network_learns_on(norm, plan, make_network, data, quick, tmp_path) -> None:
    start = make_network("instance")
    how = replace(plan.settings, statistics="region")
    frozen = drain(freeze_network([lay_plan(plan.image, start, how, find_way(start, how))]))
    trainer = open_training(data, frozen, quick(norm=norm), tmp_path / "run")
    assert isinstance(drain(trainer.run()), Trained)
    learned = open_network(trainer.save("last", tmp_path / "b.safetensors"))
    trainer.close()
    assert learned.spec.seam_free
    assert set(learned.spec.norm_counts) == {"batch_renorm" if norm == "batch_renorm" else "batch"}
    assert bool(learned.description.frozen) == (norm == "keep")
