"""Which shapes a network accepts: those that it accepts by chance are not taken for its rule."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.geometry.runner import Runner
from napari_tileseg.nets.geometry.shapes import find_read_shape


class Skip(nn.Module):
    """What is pooled is added to what is not, and where one voxel is left of it, to any number of them."""

    def __init__(self, factor: int, window: int, ceil: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.factor, self.window, self.ceil = factor, window, ceil

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = functional.max_pool2d(y, self.window, self.factor, ceil_mode=self.ceil)
        for axis in (2, 3):
            z = z.repeat_interleave(self.factor if z.shape[axis] > 1 else 1, axis)
        return y + z


class Strided(nn.Module):
    """Strides, and transposed convolutions that give one voxel less than twice as many."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        down = [nn.Conv2d(2, 2, 3, 2, 1) for _ in range(levels)]
        self.between = nn.Sequential(*down, *(nn.ConvTranspose2d(2, 2, 3, 2, 1) for _ in range(levels)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return y + self.between(y)


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("factor", "window"), [(3, 2), (3, 3), (4, 4), (5, 2), (6, 2), (8, 8)])
def test_a_skip_that_broadcasts_over_one_voxel_is_no_rule(factor: int, window: int, ceil: bool) -> None:
    runner = Runner(Skip(factor, window, ceil), 1)
    # By chance these are accepted, and most others are not.
    assert runner.size_of_output((2, 2)) == ((2, 2) if ceil or window == 2 else None)
    read, thin = find_read_shape(runner, 2)
    assert (read.step, read.fixed) == ((factor, factor), False)
    assert all(n > 0 and n % factor == 0 for n in (*read.minimum, *thin))
    for count in range(12):
        shape = tuple(n + count * factor for n in read.minimum)
        assert runner.size_of_output(shape) == shape


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_lengths_that_are_no_multiples_are_refused_with_the_numbers(levels: int) -> None:
    runner = Runner(Strided(levels), 1)
    assert runner.size_of_output((65, 65)) == (65, 65)
    assert runner.size_of_output((64, 64)) is None
    with pytest.raises(
        NetworkError, match=rf"images of 1 \+ n x {2**levels} voxels an axis, .* no multiples"
    ):
        find_read_shape(runner, 2)


@pytest.mark.parametrize("edge", [1, 2, 16])
def test_all_lengths_are_found_where_all_are_accepted(edge: int) -> None:
    read, thin = find_read_shape(Runner(nn.Conv2d(1, 2, 3, padding=1), 1), 2, (edge, edge))
    assert (read.minimum, read.step, thin) == ((1, 1), (1, 1), (1, 1))


def test_one_size_stays_the_one_that_was_stated() -> None:
    class Fixed(nn.Module):
        """Adds what it has learned of each place."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 2, 3, padding=1)
            self.places = nn.Parameter(torch.ones(1, 2, 12, 20))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((self.first(x), self.places), 1)

    read, _ = find_read_shape(Runner(Fixed(), 1), 2, (12, 20))
    assert (read.minimum, read.fixed) == ((12, 20), True)
