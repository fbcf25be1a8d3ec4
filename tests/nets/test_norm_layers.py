"""Batch renormalization against BatchNorm, finite differences and its own formula; norms by name."""

import pickle
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import norm_layers
from napari_tileseg.nets.norm_layers import BatchRenorm

PLAIN = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def batch(ndim: int, count: int = 3, channels: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, *(5, 4, 3)[:ndim])
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64) + 7


def trained(ndim: int, **attributes: float) -> BatchRenorm:
    """A layer with statistics and weights of its own, far from those of a fresh one."""
    layer = BatchRenorm(4, ndim).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.5, -2.0, 1.0]))
        layer.bias.copy_(torch.tensor([0.1, -1.0, 0.0, 3.0]))
        layer.running_mean.copy_(torch.tensor([6.0, 7.5, 20.0, -1.0]))
        layer.running_var.copy_(torch.tensor([8.0, 1.0, 900.0, 0.01]))
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


@pytest.mark.parametrize("ndim", [1, 2, 3])
@given(count=st.integers(1, 4), affine=st.booleans(), seed=st.integers(0, 99))
def test_equals_batch_norm_until_the_schedule_starts(ndim: int, count: int, affine: bool, seed: int) -> None:
    ours = BatchRenorm(4, ndim, affine=affine).double()
    plain = PLAIN[ndim](4, momentum=norm_layers.MOMENTUM, affine=affine).double()
    for step in range(3):
        x = batch(ndim, count, seed=seed + step)
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-12, atol=1e-12)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_evaluation_is_batch_norm_to_the_bit(ndim: int, affine: bool) -> None:
    layer, x = trained(ndim).eval(), batch(ndim)
    if not affine:
        layer.weight = layer.bias = None
    plain = PLAIN[ndim](4, affine=affine).double().eval()
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize(("r_max", "d_max"), [(1.0, 0.0), (1.5, 0.5), (3.0, 5.0)])
def test_follows_the_formula(r_max: float, d_max: float) -> None:
    layer, x = trained(3, r_max=r_max, d_max=d_max), batch(3)
    before = deepcopy(layer)
    columns = x.transpose(0, 1).flatten(1)
    mean, sigma = columns.mean(1), (columns.var(1, correction=0) + layer.eps).sqrt()
    running = (before.running_var + layer.eps).sqrt()
    r = (sigma / running).clamp(1 / r_max, r_max)
    d = ((mean - before.running_mean) / running).clamp(-d_max, d_max)
    expected = ((columns - mean[:, None]) / sigma[:, None]) * r[:, None] + d[:, None]
    expected = expected * before.weight[:, None] + before.bias[:, None]
    torch.testing.assert_close(layer(x).transpose(0, 1).flatten(1), expected)
    torch.testing.assert_close(
        layer.running_var, 0.99 * before.running_var + 0.01 * columns.var(1, correction=1)
    )
    torch.testing.assert_close(layer.running_mean, 0.99 * before.running_mean + 0.01 * mean)


def test_within_its_bounds_training_equals_evaluation() -> None:
    layer, x = BatchRenorm(4, 2).double(), batch(2)
    layer.r_max, layer.d_max = 1e6, 1e6
    evaluated = deepcopy(layer).eval()(x)
    torch.testing.assert_close(layer(x), evaluated)


def test_gradients_take_the_corrections_as_constants() -> None:
    # Channels whose corrections are clipped: there, finite differences see constants too.
    layer, x = BatchRenorm(4, 2).double(), batch(2, count=2).requires_grad_()
    layer.r_max, layer.d_max = 1.2, 0.3
    layer.running_var.fill_(1e-2)
    layer.running_mean.fill_(-50.0)
    layer.momentum = 1e-9

    def run(values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(deepcopy(layer), {"weight": weight, "bias": bias}, (values,))

    weight = torch.tensor([0.5, 1.5, -2.0, 1.0], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, weight, bias))


def test_gradients_with_running_statistics_are_those_of_finite_differences() -> None:
    layer, x = trained(2).eval(), batch(2, count=2).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))


def test_with_converged_statistics_and_no_clipping_training_equals_evaluation() -> None:
    layer, x = BatchRenorm(4, 2).double(), batch(2)
    layer.momentum = 0.5
    for _ in range(60):
        layer(x)
    columns = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(layer.running_var, columns.var(1))
    layer.r_max, layer.d_max = 3.0, 5.0
    torch.testing.assert_close(layer(x), deepcopy(layer).eval()(x), rtol=1e-10, atol=1e-10)
    # The batch is its own statistics, but for Bessel's correction: batch normalization says nearly the same.
    layer.r_max, layer.d_max = 1.0, 0.0
    torch.testing.assert_close(layer(x), deepcopy(layer).eval()(x), rtol=0.02, atol=0.02)


def test_no_gradient_flows_through_the_corrections() -> None:
    layer, x = trained(1, r_max=1e6, d_max=1e6), batch(1).requires_grad_()
    target = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigma = (x.detach().transpose(0, 1).flatten(1).var(1, correction=0) + layer.eps).sqrt()
    r = sigma / (layer.running_var + layer.eps).sqrt()
    (layer(x) * target).sum().backward()
    plain, again = nn.BatchNorm1d(4).double(), batch(1).requires_grad_()
    plain.weight.data.copy_(layer.weight.data * r)
    (plain(again) * target).sum().backward()
    torch.testing.assert_close(x.grad, again.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_statistics_are_float32_under_autocast(dtype: torch.dtype) -> None:
    layer = BatchRenorm(4, 3)
    layer.r_max, layer.d_max = 3.0, 5.0
    x = (1000 * batch(3)).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        y = layer(x)
    y.float().pow(2).sum().backward()
    exact = x.detach().double().transpose(0, 1).flatten(1)
    assert y.dtype == dtype
    assert layer.running_mean.dtype == layer.running_var.dtype == torch.float32
    assert all(value.isfinite().all() for value in (y, x.grad, layer.weight.grad))
    torch.testing.assert_close(layer.running_mean.double(), 0.01 * exact.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.running_var.double(), 0.99 + 0.01 * exact.var(1), rtol=1e-5, atol=1e-6)


def test_pickles_and_copies_with_its_schedule() -> None:
    layer, x = trained(2, r_max=2.0, d_max=1.0), batch(2)
    copies = [deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    expected = layer(x)
    assert all(torch.equal(copy(x), expected) for copy in copies)


def test_is_exported() -> None:
    network, x = nn.Sequential(nn.Conv2d(4, 4, 3), BatchRenorm(4, 2), nn.ReLU()).eval(), batch(2).float()
    network[1].running_mean.fill_(0.3)
    exported = torch.export.export(network, (x,)).module()
    torch.testing.assert_close(exported(x), network(x))


def test_one_value_a_channel_is_an_error() -> None:
    with pytest.raises(ValueError, match="more than one value per channel"):
        BatchRenorm(4, 2)(torch.zeros(1, 4, 1, 1))


def test_other_axes_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 spatial axes; got 5 axes"):
        BatchRenorm(4, 2)(torch.zeros(1, 4, 2, 2, 2))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", norm_layers.NORMS)
def test_makes_each_kind_for_any_axes(name: str, ndim: int) -> None:
    layer = norm_layers.make_norm(name, 12, ndim).double()
    x = batch(ndim, channels=12)
    assert layer(x).shape == x.shape
    assert getattr(layer, "momentum", norm_layers.MOMENTUM) == (
        0.1 if name == "instance" else norm_layers.MOMENTUM
    )


def test_unknown_kinds_and_axes_are_errors() -> None:
    with pytest.raises(NetworkError, match="one of batch, instance, instance_tracked, group, batch_"):
        norm_layers.make_norm("layer", 4, 2)
    with pytest.raises(NetworkError, match="got 4"):
        norm_layers.make_norm("batch", 4, 4)
    with pytest.raises(NetworkError, match="got 0"):
        BatchRenorm(4, 0)
