"""Convolutions of one sample as two halves, against PyTorch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_tileseg.nets.architectures.convolutions import HalvedConvolutions


@given(
    length=st.integers(3, 9),
    kernel=st.sampled_from([1, 3, 5]),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    stride=st.integers(1, 2),
)
def test_values_and_gradients_are_the_same(length, kernel, padding, dilation, stride) -> None:
    if length + 2 * padding <= dilation * (kernel - 1):
        return
    torch.manual_seed(0)
    convolve = nn.Conv3d(2, 3, (kernel, 3, 3), stride, (padding, 1, 1), (dilation, 1, 1))
    values = torch.rand(1, 2, length, 6, 6, requires_grad=True)

    def run() -> list[torch.Tensor]:
        result = convolve(values)
        weights = (convolve.weight, convolve.bias, values)
        return [result, *torch.autograd.grad(result.square().sum(), weights)]

    plain = run()
    with HalvedConvolutions():
        halved = run()
    torch.testing.assert_close(halved, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "how", [{"padding": "same"}, {"groups": 2}, {"padding_mode": "reflect", "padding": 1}]
)
def test_other_convolutions_are_left_alone(how) -> None:
    convolve, values = nn.Conv3d(2, 2, 3, **{"padding": 1, **how}), torch.rand(1, 2, 6, 6, 6)
    with torch.no_grad():
        plain = convolve(values)
        with HalvedConvolutions():
            torch.testing.assert_close(convolve(values), plain)
