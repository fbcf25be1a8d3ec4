"""Any network with batch renormalization in place of its normalization layers, and its file."""

import hashlib
import json
import pickle

import pytest
import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import (
    Description,
    network_in_memory,
    open_network,
    renormalize,
    save_described,
    save_network,
)
from napari_tileseg.nets.architectures.registry import build, names, parameters
from napari_tileseg.nets.norm_layers import BatchRenorm, convertible, freeze, set_limits

#: Architectures that keep a normalization layer to convert, whatever it is called in their arguments.
CONVERTIBLE = [name for name in names() if name != "swin_unetr"]


def shake(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for values in module.state_dict().values():
        if values.is_floating_point():
            # Sums of many taps through many layers stay finite.
            taps = values[0].numel() if values.ndim > 1 else 1
            values.copy_((torch.rand(values.shape, generator=generator) + 0.1) / taps)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4, eps=1e-3),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm3d(4, track_running_stats=False),
        nn.InstanceNorm1d(4, affine=True),
        nn.InstanceNorm3d(4),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.GroupNorm(2, 4),
        nn.GroupNorm(2, 4, affine=False),
    ],
)
def test_a_layer_keeps_its_weights_statistics_and_eps(layer: nn.Module) -> None:
    shake(layer)
    ndim = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("d") else 2
    network = nn.Sequential(nn.Conv2d(1, 4, 1), layer).train(False)
    converted, paths = renormalize(network)
    (mine,) = [each for each in converted.modules() if isinstance(each, BatchRenorm)]
    assert paths == ("1",)
    assert (mine.ndim, mine.eps, mine.momentum, mine.training) == (ndim, layer.eps, 0.01, False)
    for name, values in layer.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], values)
    if layer.weight is None:
        assert mine.weight.tolist() == [1, 1, 1, 1]
        assert mine.bias.tolist() == [0, 0, 0, 0]
    assert network[1] is layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm3d(4, eps=1e-3, track_running_stats=False),
        nn.InstanceNorm1d(4, affine=True),
        nn.InstanceNorm3d(4),
        nn.GroupNorm(2, 4),
        nn.GroupNorm(2, 4, eps=0.1, affine=False),
    ],
)
def test_a_frozen_layer_is_batch_norm_of_the_same_weights_and_eps(layer: nn.Module) -> None:
    shake(layer)
    ndim = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("d") else 2
    network = nn.Sequential(nn.Conv2d(1, 4, 1), layer).eval()
    mine = freeze(network, ["1"])[1]
    assert type(mine) is {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[ndim]
    assert (mine.eps, mine.affine, mine.training) == (layer.eps, layer.affine, False)
    assert mine.track_running_stats
    for name, values in layer.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], values)
    assert network[1] is layer
    with pytest.raises(NetworkError, match="no normalization layer 0 to replace; there are 1"):
        freeze(network, ["0"])


def test_batch_norm_becomes_the_same_function() -> None:
    network = build("unet", ndim=2, features=(4, 8), norm="batch").eval()
    shake(network)
    converted, paths = renormalize(network)
    x = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(converted(x), network(x))
    assert len(paths) == 6
    assert convertible(converted) == ()


def test_only_the_named_layers_are_replaced() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    converted, paths = renormalize(network, ["1"])
    assert [type(each).__name__ for each in converted] == ["BatchNorm2d", "BatchRenorm"]
    assert paths == ("1",)
    alone, paths = renormalize(nn.InstanceNorm2d(3))
    assert (type(alone), paths) == (BatchRenorm, ("",))
    with pytest.raises(NetworkError, match="no normalization layer 2 to replace; there are 0, 1"):
        renormalize(network, ["2"])
    with pytest.raises(NetworkError, match="how many axes"):
        renormalize(nn.GroupNorm(2, 4))


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_every_converted_architecture_opens_again_as_itself(name, small, tmp_path) -> None:
    arguments, shape = small[name]
    if "norm" in parameters(name) and name not in {"monai_unet", "dynunet", "torch_em_unet"}:
        arguments = {**arguments, "norm": "group"}
    module, paths = renormalize(build(name, **arguments).eval())
    assert paths
    shake(module)
    set_limits(module, 2.0, 1.5)
    path = save_network(
        module,
        tmp_path / "network.safetensors",
        Description(architecture=name, arguments=arguments, renormalized=paths, r_max=2.0, d_max=1.5),
    )
    opened = open_network(path)
    x = torch.rand(1, 1, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(opened.module(x), module(x))
    layers = [each for each in opened.module.modules() if isinstance(each, BatchRenorm)]
    assert len(layers) == len(paths) == opened.spec.norm_counts["batch_renorm"]
    assert {(each.r_max, each.d_max) for each in layers} == {(2.0, 1.5)}
    assert opened.description.renormalized == paths


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_every_frozen_architecture_opens_again_as_itself(name, small, tmp_path) -> None:
    arguments, shape = small[name]
    if name in {"unet", "unetr"}:
        arguments = {**arguments, "norm": "group"}
    module = build(name, **arguments)
    paths = convertible(module)
    module = freeze(module, paths).eval()
    shake(module)
    said = Description(architecture=name, arguments=arguments, frozen=paths)
    opened = open_network(save_network(module, tmp_path / "network.safetensors", said))
    x = torch.rand(1, 1, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(opened.module(x), module(x))
    assert opened.description.frozen == paths
    assert opened.spec.norm_counts["batch"] == len(paths)


def test_a_description_can_be_saved_again_and_older_files_stay_as_they_are(tmp_path) -> None:
    module = build("unet", ndim=2, features=(4,), norm="batch_renorm").eval()
    arguments = {"ndim": 2, "features": (4,), "norm": "batch_renorm"}
    first = save_network(
        module, tmp_path / "a.safetensors", Description(architecture="unet", arguments=arguments)
    )
    network = open_network(first)
    assert not {"renormalized", "frozen"} & json.loads(network.description.to_json()).keys()
    assert {
        (each.r_max, each.d_max) for each in network.module.modules() if isinstance(each, BatchRenorm)
    } == {(3.0, 5.0)}
    again = save_described(network.module, network.description, tmp_path / "b.safetensors")
    assert hashlib.sha256(again.read_bytes()).hexdigest() == network.sha256


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"renormalized": [3]}, "paths of layers"),
        ({"renormalized": ["nowhere"]}, "no normalization layer nowhere"),
        ({"frozen": ["nowhere"]}, "no normalization layer nowhere"),
        ({"frozen": [""]}, "network's frozen are paths of layers"),
        ({"r_max": 0.5}, "number from 1 on; got 0.5"),
        ({"d_max": True}, "number from 0 on; got True"),
    ],
)
def test_wrong_entries_are_refused(entry, said, tmp_path) -> None:
    module = build("unet", ndim=2, features=(4,), norm="batch")
    with pytest.raises(NetworkError, match=said):
        save_network(
            module,
            tmp_path / "a.safetensors",
            Description(
                architecture="unet", arguments={"ndim": 2, "features": (4,), "norm": "batch"}, **entry
            ),
        )
    assert list(tmp_path.glob("*.safetensors")) == []


def test_a_network_in_memory_is_known_by_its_weights_and_has_no_file(tmp_path) -> None:
    module = build("unet", ndim=2, features=(2, 4), norm="batch")
    arguments = {"ndim": 2, "features": (2, 4), "norm": "batch"}
    saved = open_network(
        save_network(
            module, tmp_path / "a.safetensors", Description(architecture="unet", arguments=arguments)
        )
    )
    one = network_in_memory(module, saved.description)
    assert one.spec == saved.spec
    assert not one.module.training
    with torch.no_grad():
        next(module.parameters()).add_(1)
    assert network_in_memory(module, saved.description, one.spec).sha256 != one.sha256
    with pytest.raises(NetworkError, match="only in memory"):
        pickle.loads(pickle.dumps(one))
