"""Ensembles: the mean of several networks, of mirrored copies, and of axes in another order."""

from itertools import product
from typing import Any

import pytest
import torch

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.architectures.ensembles import runs_in

FLAT = {"ndim": 2, "features": (4, 8), "strides": (1, 2)}
DEEP = {"ndim": 3, "features": (2, 4), "strides": (1, (1, 2, 2))}


def built(**said: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return registry.build("ensemble", **({"architecture": "plain_conv_unet"} | said)).double().eval()


def run(module: torch.nn.Module, values: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(values)


def networks(module: torch.nn.Module) -> list[torch.nn.Module]:
    return [each for each in module.modules() if type(each).__name__ == "DynamicUNet"]


def test_members_are_averaged_as_logits() -> None:
    module = built(arguments=FLAT, members=3)
    image = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    alone = torch.stack([run(each, image) for each in networks(module)])
    assert len(alone) == 3
    torch.testing.assert_close(run(module, image), alone.mean(0))


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_all_mirrored_copies_are_averaged(axes: tuple[int, ...]) -> None:
    module = built(arguments=DEEP, mirrored=axes)
    (network,) = networks(module)
    image = torch.randn(1, 1, 4, 8, 6, dtype=torch.float64)
    found = []
    for flips in product((False, True), repeat=len(axes)):
        turned = [axis + 2 for axis, flip in zip(axes, flips, strict=True) if flip]
        found.append(run(network, image.flip(turned)).flip(turned))
    torch.testing.assert_close(run(module, image), torch.stack(found).mean(0))


@pytest.mark.parametrize(
    ("said", "runs"), [({}, 1), ({"members": 3}, 3), ({"members": 2, "mirrored": (0, 1)}, 8)]
)
def test_runs_are_those_of_all_networks_and_copies(said: dict[str, Any], runs: int) -> None:
    assert runs_in(built(arguments=FLAT, order=(1, 0), **said)) == runs


def test_axes_in_another_order_are_those_of_the_image_again() -> None:
    module = built(arguments=DEEP, order=(2, 0, 1))
    (network,) = networks(module)
    image = torch.randn(1, 1, 8, 6, 4, dtype=torch.float64)
    first = run(network, image.permute(0, 1, 4, 2, 3))
    # What lies at (x, z, y) for the network lies at (z, y, x) in the image.
    torch.testing.assert_close(run(module, image), first.permute(0, 1, 3, 4, 2))


def test_axes_that_run_the_other_way_are_flipped_there_and_back() -> None:
    module = built(arguments=DEEP, order=(2, 0, 1), flipped=(0, 2))
    (network,) = networks(module)
    image = torch.randn(1, 1, 8, 6, 4, dtype=torch.float64)
    own = run(network, image.permute(0, 1, 4, 2, 3).flip([2, 4])).flip([2, 4])
    torch.testing.assert_close(run(module, image), own.permute(0, 1, 3, 4, 2))
    with pytest.raises(NetworkError, match="Axes to flip are numbers of 3 axes, from 0 on; got 3"):
        built(arguments=DEEP, flipped=(3,))


def test_a_network_of_two_axes_takes_planes_along_any_of_three() -> None:
    module = built(arguments=FLAT, order=(2, 0, 1))
    (network,) = networks(module)
    image = torch.randn(2, 1, 8, 6, 4, dtype=torch.float64)
    planes = torch.stack([run(network, image[..., x]) for x in range(4)], dim=-1)
    torch.testing.assert_close(run(module, image), planes)
    assert registry.signature(
        "ensemble", {"architecture": "plain_conv_unet", "arguments": FLAT, "order": (2, 0, 1)}
    ) == registry.Signature(3, 1, 2)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"architecture": "ensemble", "arguments": {}}, "not of ensembles"),
        ({"architecture": "os.system", "arguments": {}}, "no architecture"),
        ({"arguments": FLAT, "members": 0}, "1 to 32 networks"),
        ({"arguments": FLAT, "members": 999}, "1 to 32 networks"),
        ({"arguments": FLAT, "mirrored": (2,)}, "from 0 on; got 2"),
        ({"arguments": FLAT, "mirrored": (0, 0)}, "from 0 on; got 0,0"),
        ({"arguments": FLAT, "order": (0, 0)}, "each axis of the input once"),
        ({"arguments": DEEP, "order": (0, 1)}, "each axis of the input once"),
    ],
)
def test_what_is_no_ensemble_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        built(**said)
