"""What is said of a network's layers and seams, against networks whose answer is known."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_tileseg.nets import Description, inspection, open_network, save_network
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.norm_layers import NORMS, make_norm
from napari_tileseg.nets.spec import Geometry, NetworkSpec
from napari_tileseg.tiling.read_shape import ReadShape

LAYERS = {
    "batch": nn.BatchNorm2d(4),
    "instance": nn.InstanceNorm2d(4),
    "instance_tracked": nn.InstanceNorm2d(4, track_running_stats=True),
    "group": nn.GroupNorm(2, 4),
    "batch_renorm": make_norm("batch_renorm", 4, 2),
    "layer": nn.LayerNorm(4),
    "other": nn.LocalResponseNorm(2),
}


def spec_of(tmp_path: Path, architecture: str = "unet", **arguments: Any) -> NetworkSpec:
    torch.manual_seed(0)
    module = registry.build(architecture, **arguments)
    save_network(
        module, tmp_path / "a.safetensors", Description(architecture=architecture, arguments=arguments)
    )
    return open_network(tmp_path / "a.safetensors").spec


def geometry(**changes: Any) -> Geometry:
    known: dict[str, Any] = {
        "stride": (4, 4),
        "read": ReadShape(minimum=(8, 8), step=(4, 4)),
        "halo": ((6, 6), (6, 7)),
        "receptive_field": (13, 14),
    }
    return Geometry(**{**known, **changes})


def test_layers_are_counted_by_kind() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(*LAYERS.values()), nn.BatchNorm2d(4))
    assert inspection.count_norms(network) == {**dict.fromkeys(LAYERS, 1), "batch": 2}


def test_torchscript_is_counted_like_its_origin() -> None:
    kinds = [kind for kind in LAYERS if kind not in {"batch_renorm", "layer"}]
    network = nn.Sequential(*(LAYERS[kind] for kind in kinds), nn.LayerNorm((5, 5))).eval()
    script = torch.jit.script(network)
    assert list(inspection.norm_layers(script)) == list(inspection.norm_layers(network))
    plain = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    trace = torch.jit.trace(plain, torch.zeros(1, 4, 5, 5))
    assert inspection.count_norms(trace) == {"batch": 1}


@pytest.mark.parametrize(
    "layer", [*LAYERS.values(), nn.BatchNorm2d(4, track_running_stats=False), nn.LayerNorm((4, 4))]
)
def test_layers_that_see_the_tile_are_those_whose_output_changes_far_away(layer: nn.Module) -> None:
    network = nn.Sequential(layer).eval()
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    channels_last = isinstance(layer, nn.LayerNorm) and layer.normalized_shape == (4,)
    far = x.clone()
    far[..., 3, 3] += 10
    with torch.inference_mode():
        here, there = network(x), network(far)
    changed = not torch.equal(here[..., 0, :], there[..., 0, :])
    (found,) = inspection.norm_layers(network)
    assert (found.path, found.sees_tile) == ("0", changed)
    assert not channels_last or not changed


@pytest.mark.parametrize("norm", NORMS)
def test_seams_are_predicted_for_each_normalization(norm: str, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, ndim=2, features=(4, 8), norm=norm)
    unbounded = norm in {"instance", "group"}
    assert spec.seam_free is not unbounded
    assert (spec.geometry.halo is None) is unbounded
    if unbounded:
        word = {"instance": "InstanceNorm", "group": "GroupNorm"}[norm]
        assert f"6 {word} layers (encoders.0.0.1, encoders.0.1.1, encoders.1.0.1 and 3 more)" in spec.reason
        assert "without those layers" in spec.reason
        assert len(spec.seam_layers) == 6
    else:
        assert spec.seam_layers == ()
        assert "equal the whole image" in spec.reason
    assert spec.default_halo == spec_of(tmp_path, ndim=2, features=(4, 8), norm="identity").geometry.halo


def test_the_papers_unet_needs_22_voxels(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, ndim=2, features=(4, 4, 4))
    assert spec.geometry.stride == (4, 4)
    assert spec.default_halo == ((22, 22), (22, 22))
    assert "22 x 22 voxels to each side" in spec.reason


def test_a_unetr_takes_one_size_and_says_so(tmp_path: Path, small: dict[str, Any]) -> None:
    arguments, _ = small["unetr"]
    spec = spec_of(tmp_path, "unetr", **{**arguments, "image_size": (64, 64)})
    assert not spec.seam_free
    assert "one size of image only (64 x 64 voxels)" in spec.reason
    assert "a choice, not measured" in spec.reason
    assert "layers.0.self_attn" in spec.seam_layers
    assert spec.norm_counts["layer"] == 7
    assert all(0 < before < 16 for before, _ in spec.default_halo)


def test_averages_over_the_tile_are_named() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sigmoid())
    )
    seams = inspection.judge_seams(network, geometry(halo=None, receptive_field=None))
    assert (seams.seam_free, seams.layers) == (False, ("1.0",))
    assert "average over the tile (1.0)" in seams.reason


def test_padding_from_the_opposite_border_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))
    seams = inspection.judge_seams(network, geometry(shift_equivariant=False))
    assert seams.layers == ("1",)
    assert seams.reason.startswith("Padding with voxels from the opposite border (1)")


def test_position_dependent_up_sampling_is_named() -> None:
    network = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
    seams = inspection.judge_seams(network, geometry(shift_equivariant=False))
    assert (seams.seam_free, seams.layers) == (False, ("1",))
    assert seams.reason.startswith("Linear up-sampling with aligned corners (1)")
    unknown = inspection.judge_seams(nn.Sequential(nn.MaxPool2d(2)), geometry(shift_equivariant=False))
    assert (unknown.seam_free, unknown.layers) == (False, ())


def test_a_bounded_network_tells_its_context_per_side() -> None:
    seams = inspection.judge_seams(nn.Conv2d(1, 1, 3), geometry())
    assert seams.seam_free
    assert "(6 before and 6 after x 6 before and 7 after voxels)" in seams.reason


def test_a_chosen_halo_lies_on_the_stride() -> None:
    assert inspection.chosen_halo(geometry(stride=(1, 5))) == ((16, 16), (20, 20))
    fixed = ReadShape(minimum=(128, 64), step=(128, 64), fixed=True)
    assert inspection.chosen_halo(geometry(read=fixed)) == ((16, 16), (8, 8))


def test_statistics_are_taken_out_of_a_copy() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.BatchNorm2d(4))
    frozen = inspection.without_tile_statistics(network)
    assert frozen is not None
    assert [type(layer) for layer in frozen] == [nn.Conv2d, nn.Identity, nn.BatchNorm2d]
    assert isinstance(network[1], nn.InstanceNorm2d)
    assert inspection.without_tile_statistics(nn.Sequential(nn.BatchNorm2d(4))) is None
    assert inspection.without_tile_statistics(torch.jit.script(network)) is None
