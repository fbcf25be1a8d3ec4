import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tileseg._progress import Progress, drain
from napari_tileseg.diagnosis.causes.audit import audit
from napari_tileseg.diagnosis.causes.audit_pairs import PairRule
from napari_tileseg.diagnosis.causes.causes import inspect
from napari_tileseg.diagnosis.pairs.foreign_tiling import Tiling
from napari_tileseg.engine import WHOLE_TILES
from napari_tileseg.errors import ImageError, SettingsError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.architectures.registry import build
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.network import Network, NetworkReference
from napari_tileseg.nets.specification import specify
from napari_tileseg.prediction import plan_prediction
from napari_tileseg.settings import PredictSettings
from napari_tileseg.tiling import Box, Lattice, TileGrid

HIDDEN = "encoders.1.0.1"


def _unet(norm, hide=None, ndim=2):
    """Two features a level, weights under which far voxels count, statistics that are not the default."""
    torch.manual_seed(3)
    module = build("unet", ndim=ndim, norm=norm, in_channels=1, features=(4, 4, 4), blocks=1)
    if hide:
        parent, _, name = hide.rpartition(".")
        layer = torch.nn.InstanceNorm2d(module.get_submodule(hide).num_features, affine=True)
        setattr(module.get_submodule(parent), name, layer)
    with torch.no_grad():
        for name, values in module.state_dict().items():
            if name.endswith("running_mean"):
                values.copy_(0.2 * torch.randn(values.shape))
            elif name.endswith("running_var"):
                values.copy_(0.2 + 0.2 * torch.rand(values.shape))
            elif values.is_floating_point():
                fan = values[0].numel() if values.ndim > 1 else 1
                scale = (2 / fan) ** 0.5 if values.ndim > 1 else 0.3
                values.copy_(scale * torch.randn(values.shape) + (values.ndim == 1 and "weight" in name))
    return module


def _opened(module, name, folder):
    said = Description(axes="yx", in_channels=1, activation="sigmoid")
    module = module.eval().requires_grad_(False)
    key = hashlib.sha256(f"{module}{module.state_dict()}".encode()).hexdigest()
    spec = specify(module, said, key, folder / f"{name}.safetensors")
    return Network(spec, module, key, NetworkReference(key, key))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    made = {}

    def get(norm, hide=None):
        if (norm, hide) not in made:
            made[norm, hide] = _opened(_unet(norm, hide), f"audit-{norm}-{hide}", folder)
        return made[norm, hide]

    return get


@pytest.fixture(scope="module")
def image():
    """Structure at every scale, and a brightness that changes from place to place."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:200, :232]
    light = 400 + 3 * x + 500 * np.exp(-(((y - 60) / 40) ** 2 + ((x - 150) / 50) ** 2))
    return Image((light * rng.uniform(0.4, 1.6, y.shape)).astype(np.float32), "yx", name="field")


def _audit(network, image, tiling=None, *, pairs=2, **settings):
    plan = drain(
        plan_prediction(image, network, PredictSettings(core=(48, 48), **settings), route=WHOLE_TILES)
    )
    steps = []
    found = drain(audit(plan, tiling=tiling(plan.grid) if tiling else None, pairs=pairs), steps.append)
    assert all(isinstance(step, Progress) for step in steps)
    assert steps[-1].done == steps[-1].total
    return found


def _half_halo(network):
    return tuple((a // 2 // 4 * 4, b // 2 // 4 * 4) for a, b in network.spec.default_halo)


def _off_stride(grid):
    """As MONAI's sliding window with an overlap in per cent: the starts are what they come to be."""
    read, step = grid.read_shape[0], grid.core[0] - 2
    starts = tuple(tuple(range(0, n - read + 1, step)) for n in grid.padded_shape)
    return Tiling(read=(read, read), halo=grid.aligned_halo, starts=starts)


PLANTED = {
    "input normalization": lambda get, norm: (get(norm), {"normalize": "tile"}, None),
    "halo": lambda get, norm: (get(norm), {"halo": _half_halo(get(norm))}, None),
    "alignment to the stride": lambda get, norm: (get(norm), {}, _off_stride),
    "feature normalization": lambda get, _: (get("batch", HIDDEN), {}, None),
}


@pytest.mark.parametrize("norm", ["batch", "batch_renorm"])
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_cause_ranks_first_with_most_of_the_mismatch(planted, norm, network, image):
    chosen, settings, tiling = PLANTED[planted](network, norm)
    found = _audit(chosen, image, tiling, **settings)
    assert found.largest_difference > 1e-3
    assert not found.seam_free
    assert found.causes[0].name == planted
    assert found.causes[0].share >= 0.8
    assert sum(cause.share for cause in found.causes) == pytest.approx(1)
    assert found.cause == found.causes[0].sentence
    assert found.cure.startswith(found.causes[0].cure)
    assert found.causes[0].difference_without < found.largest_difference / 4


def test_a_hidden_layer_is_named_by_its_path(network, image):
    found = _audit(network("batch", HIDDEN), image)
    assert found.causes[0].layers == (HIDDEN,)
    assert HIDDEN in found.cause
    assert "1 InstanceNorm layer uses" in found.cause


def test_two_planted_causes_share_the_mismatch(network, image):
    chosen = network("batch", HIDDEN)
    found = _audit(chosen, image, normalize="tile")
    assert {cause.name for cause in found.causes if cause.share > 0.02} >= {
        "feature normalization",
        "input normalization",
    }


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "identity"])
def test_a_right_prediction_has_no_cause(norm, network, image):
    found = _audit(network(norm), image)
    assert found.seam_free
    assert found.causes == ()
    assert "agree" in found.cause


def test_layers_are_ranked_and_the_audit_leaves_the_network_alone(network, image):
    chosen = network("instance")
    before = {name: values.clone() for name, values in chosen.module.state_dict().items()}
    found = _audit(chosen, image)
    assert found.causes[0].name == "feature normalization"
    assert found.causes[0].share >= 0.8
    assert set(found.causes[0].layers) == set(chosen.spec.seam_layers)
    tested = [layer.gone for layer in found.layers if layer.gone is not None]
    assert len(tested) == 3
    assert tested == sorted(tested, reverse=True)
    assert all(torch.equal(values, before[name]) for name, values in chosen.module.state_dict().items())
    assert not any(module._forward_pre_hooks for module in chosen.module.modules())


class _Attending(torch.nn.Module):
    """Every output sees the mean of its whole tile."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.last = torch.nn.Conv2d(4, 1, 1)

    def forward(self, x):
        y = self.first(x)
        return self.last(y * torch.sigmoid(4 * self.pool(y)))


def test_what_no_candidate_explains_is_the_rest_and_its_layers_are_named(image, tmp_path):
    found = _audit(_opened(_Attending(), "audit-attending", tmp_path), image)
    assert [cause.name for cause in found.causes] == ["the rest"]
    assert found.causes[0].share == 1
    assert found.causes[0].layers == ("pool",)
    assert "pool" in found.cause


def test_of_a_network_of_one_size_attention_and_normalization_are_told_apart(image, tmp_path):
    torch.manual_seed(0)
    arguments = {"hidden": 32, "heads": 2, "layers": 4, "mlp": 32, "features": 4, "in_channels": 1}
    module = build("unetr", image_size=(96, 96), norm="instance", **arguments)
    network = _opened(module, "audit-unetr", tmp_path)
    plan = drain(plan_prediction(image, network, PredictSettings(device="cpu"), route=WHOLE_TILES))
    shares = {cause.name: cause for cause in drain(audit(plan)).causes}
    assert set(shares) == {"feature normalization", "the rest"}
    assert all(cause.share > 0.05 for cause in shares.values())
    assert shares["the rest"].layers == tuple(f"layers.{number}.self_attn" for number in range(4))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning")
def test_of_torchscript_normalization_is_named_without_holding_it(network, image):
    chosen = network("batch", HIDDEN)
    with torch.no_grad():
        scripted = torch.jit.trace(chosen.module, torch.rand(1, 1, 32, 32))
    found = _audit(replace(chosen, module=scripted), image)
    assert found.causes[0].name == "feature normalization"
    assert found.causes[0].layers == (HIDDEN,)


def test_without_an_image_the_network_is_inspected(network):
    good, bad = network("batch"), network("batch", HIDDEN)
    assert inspect(good.spec, good.module).seam_free
    found = inspect(bad.spec, bad.module)
    assert found.causes[0].name == "feature normalization"
    assert found.causes[0].layers == (HIDDEN,)
    assert found.causes[0].share is None
    assert "BatchRenorm" in found.cure


def test_an_image_too_small_for_two_tiles_is_refused_with_the_least_size(network):
    small = Image(np.random.default_rng(0).random((24, 24), np.float32), "yx", name="small")
    plan = drain(plan_prediction(small, network("batch"), route=WHOLE_TILES))
    with pytest.raises(ImageError, match=r"at least this long along one axis: y \d+, x \d+ voxels; it has"):
        list(audit(plan))


@pytest.mark.parametrize("remainder", [0, 2])
def test_pairs_lie_as_neighbours_do_and_compare_what_both_hold_with_their_halo(remainder):
    tiling = Tiling(
        read=(40, 40), halo=((8, 8), (8, 8)), starts=(tuple(range(0, 100, 20 + remainder)), (0, 20, 40))
    )
    lattice = Lattice((4, 4), ((8, 8),) * 2, ((8, 8),) * 2, (4, 4), fixed=False, lead=0)
    rule = PairRule(tiling=tiling, lattice=lattice, padded_shape=(160, 160), axes="yx")
    pairs = rule.choose(8, 0)
    assert {pair.axis for pair in pairs} == {0, 1}
    whole = Box.of_shape((160, 160))
    for pair in pairs:
        moved = [b - a for a, b in zip(pair.first.start, pair.second.start, strict=True)]
        assert moved[pair.axis] % 4 == (remainder if pair.axis == 0 else 0)
        assert moved[1 - pair.axis] == 0
        assert whole.contains(pair.first)
        assert whole.contains(pair.second)
        assert pair.valid.size
        for box in (pair.first, pair.second):
            assert box.contains(pair.valid.grow(((8, 8), (8, 8))).clip(whole))
    assert pairs == rule.choose(8, 0)


def test_the_cut_of_a_grid_has_its_reads():
    grid = TileGrid((50, 30), (16, 32), ((5, 5), (5, 5)), (4, 4))
    tiling = Tiling.of(grid)
    assert {(y, x) for y in tiling.starts[0] for x in tiling.starts[1]} == {tile.read.start for tile in grid}
    assert tiling.read == grid.read_shape
    assert tiling.remainders(0, 4) == (0,)


def test_a_cut_that_makes_no_sense_is_refused():
    with pytest.raises(SettingsError, match="ascending"):
        Tiling(read=(4,), halo=((0, 0),), starts=((4, 0),))
    with pytest.raises(SettingsError, match="one entry for each axis"):
        Tiling(read=(4, 4), halo=((0, 0),), starts=((0,),))
