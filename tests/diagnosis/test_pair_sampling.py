"""A small sample does not call tiles alike that only were the same box: networks that see the whole tile."""

from functools import cache

import numpy as np
import pytest
import torch

from napari_tileseg._progress import drain
from napari_tileseg.diagnosis.diagnosis import diagnose
from napari_tileseg.diagnosis.pairs.grid_pairs import GridPairs, moved_grid
from napari_tileseg.images.image import Image
from napari_tileseg.nets import network_in_memory
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.settings import DiagnoseSettings, PredictSettings
from napari_tileseg.tiling import TileGrid


class _Fixed(torch.nn.Module):
    """Takes reads of 32 x 32 voxels only."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.norm = torch.nn.InstanceNorm2d(2)

    def forward(self, x):
        if tuple(x.shape[-2:]) != (32, 32):
            raise RuntimeError(f"takes 32 x 32, got {tuple(x.shape)}")
        return self.norm(self.first(x))


class _Mean(torch.nn.Module):
    """Takes off the mean of its whole input."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        y = self.first(x)
        return y - y.mean((2, 3), keepdim=True)


class _Attending(torch.nn.Module):
    """Attends to all of its input, at a quarter of the resolution."""

    def __init__(self):
        super().__init__()
        self.down = torch.nn.Conv2d(1, 4, 4, stride=4)
        self.attend = torch.nn.MultiheadAttention(4, 1, batch_first=True)
        self.up = torch.nn.ConvTranspose2d(4, 2, 4, stride=4)

    def forward(self, x):
        y = self.down(x)
        tokens = y.flatten(2).transpose(1, 2)
        return self.up(self.attend(tokens, tokens, tokens)[0].transpose(1, 2).reshape(y.shape))


@cache
def opened(kind):
    torch.manual_seed(0)
    return network_in_memory(kind().eval(), Description(axes="yx", in_channels=1))


def image_of(shape):
    voxels = np.random.default_rng(0).random(shape) * 0.1
    voxels += np.linspace(0, 3, shape[-1]) + np.linspace(0, 5, shape[-2])[:, None]
    return Image(voxels.astype(np.float32), "tyx"[-len(shape) :], name="picture")


@pytest.mark.parametrize("kind", [_Fixed, _Mean, _Attending])
@pytest.mark.parametrize(
    ("shape", "core"),
    [
        ((33, 90), (16, 16)),
        ((90, 90), (16, 16)),
        ((2, 40, 70), (16, 16)),
        ((70, 40), (4, 8)),
        ((9, 200), (8, 8)),
    ],
)
def test_one_pair_shows_that_tiles_disagree(kind, shape, core):
    settings = PredictSettings(device="cpu", core=core, statistics="tile")
    for seed in range(4):
        how = DiagnoseSettings(sample=1, seed=seed, explain=False)
        found = drain(diagnose(image_of(shape), opened(kind), settings, how))
        assert found.mismatch.pairs == 1
        assert not found.seam_free


# The convolution of a mean needs one voxel: its tiles see everything only where that is asked for.
@pytest.mark.parametrize(
    ("kind", "halo"), [(_Fixed, None), (_Mean, ((32, 32), (32, 32))), (_Attending, None)]
)
@pytest.mark.parametrize("shape", [(20, 20), (32, 32), (3, 30, 24)])
def test_where_every_tile_sees_everything_there_is_no_seam(kind, halo, shape):
    settings = PredictSettings(device="cpu", core=(4, 4), halo=halo, statistics="tile")
    found = drain(diagnose(image_of(shape), opened(kind), settings, DiagnoseSettings()))
    assert found.seam_free
    assert "Every tile sees the whole image" in found.audit.cause


def test_a_sample_of_millions_of_pairs_is_quick_in_order_and_without_repeats():
    grid = TileGrid((40_000, 40_000), (8, 8), ((4, 4),) * 2, (4, 4))
    pairs = GridPairs(grid, moved_grid(grid))
    assert len(pairs) > 10**7
    chosen = pairs.sample(50, seed=3)
    assert chosen == pairs.sample(50, seed=3) != pairs.sample(50, seed=4)
    assert len({pair.valid for pair in chosen}) == 50
    assert [pair.valid for pair in chosen] == sorted(pair.valid for pair in chosen)
    assert all(pair.first != pair.second for pair in chosen)
