"""Convolution by either library: the same numbers, whatever the shape, the format and the memory's order."""

import pytest
import torch
from torch import Tensor

from napari_tileseg.graphs.operations.convolve import convolve


def convolved(value: Tensor, weight: Tensor, bias: Tensor | None, **how: object) -> tuple[Tensor, Tensor]:
    ndim = value.ndim - 2
    said = {"stride": (1,) * ndim, "padding": (1,) * ndim, "dilation": (1,) * ndim, "groups": 1} | how
    nothing = (0,) * ndim
    expected = torch.convolution(
        value.double(),
        weight.double(),
        None if bias is None else bias.double(),
        said["stride"],
        said["padding"],
        said["dilation"],
        False,
        nothing,
        said["groups"],
    )
    return convolve(value, weight, bias, **said), expected  # type: ignore[arg-type]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    ("shape", "kernel", "how"),
    [
        ((1, 32, 3, 40, 40), (32, 32, 3, 3, 3), {}),
        ((1, 32, 3, 40, 40), (16, 32, 1, 1, 1), {"padding": (0, 0, 0)}),
        ((2, 8, 4, 30, 31), (8, 8, 3, 3, 3), {"stride": (1, 2, 2)}),
        ((1, 8, 6, 30, 31), (8, 8, 1, 3, 3), {"dilation": (1, 2, 3)}),
        ((1, 16, 3, 33, 34), (32, 4, 3, 3, 3), {"groups": 4}),
        ((1, 2, 3, 4, 5), (2, 2, 3, 3, 3), {}),
        ((1, 16, 30, 30), (16, 16, 3, 3), {}),
        ((1, 16, 30), (16, 16, 3), {}),
    ],
)
def test_it_is_a_convolution(shape, kernel, how, biased, last) -> None:
    torch.manual_seed(0)
    value, weight = torch.randn(shape), torch.randn(kernel)
    if last and len(shape) == 5:
        value = value.contiguous(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        found, expected = convolved(value, weight, torch.randn(kernel[0]) if biased else None, **how)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_formats_are_as_torch_has_them(dtype) -> None:
    torch.manual_seed(0)
    value, weight = (torch.randn(s, dtype=dtype) for s in ((1, 32, 3, 40, 40), (32, 32, 3, 3, 3)))
    found, _ = convolved(value, weight, None)
    ones = (1, 1, 1)
    expected = torch.convolution(value, weight, None, ones, ones, ones, False, (0, 0, 0), 1)
    assert torch.equal(found, expected)


def test_thin_slabs_go_to_onednn_and_the_smallest_do_not() -> None:
    """What torch itself would compute in its own, slow way."""
    weight = torch.randn(32, 32, 3, 3, 3)
    ones = (1, 1, 1)
    for width, expected in ((40, "aten::mkldnn_convolution"), (3, "aten::slow_conv3d_forward")):
        value = torch.randn(1, 32, 3, width, width)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            convolve(value, weight, None, ones, ones, ones, 1)
        called = {each.key for each in profile.key_averages()}
        assert called & {"aten::mkldnn_convolution", "aten::slow_conv3d_forward"} == {expected}
