"""Trained folders of nnU-Net: what is recognised, what arrives of what they say, and what is refused."""

import json
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.packages.package import open_package
from napari_tileseg.nets.intensities import Clip, Linear, Percentiles, ZeroMean
from napari_tileseg.nets.network import open_network
from napari_tileseg.nets.resampling import Resampling
from napari_tileseg.settings import NetworkSettings

from .folders import checkpoint, dataset, network, plans, under_all_names, write_folder, zipped

FINAL = "checkpoint_final.pth"


def opened(path: Path, **given: Any) -> tuple[Candidate, nn.Module]:
    """Return what a package says, and its network in evaluation mode."""
    with open_package(path) as package:
        candidate = formats.candidate_of(package, Given(**given))
        return candidate, candidate.build().eval()


def read(path: Path, **given: Any) -> Candidate:
    with open_package(path) as package:
        return formats.candidate_of(package, Given(**given))


def refused(path: Path) -> str:
    with pytest.raises(NetworkError) as caught:
        opened(path)
    return str(caught.value)


def trained(folder: Path, folds: int = 1, configuration: str = "3d_fullres", **more: Any) -> Path:
    ndim = 2 if configuration == "2d" else 3
    said = {
        f"fold_{fold}/{FINAL}": checkpoint(network(fold, ndim), configuration, fold) for fold in range(folds)
    }
    return write_folder(folder, said, **more)


def run(module: nn.Module, values: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module(values)


def mean_of_copies(networks: list[nn.Module], values: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Mean of logits of all networks over all mirrored copies, one by one."""
    found = []
    for each, flips in product(networks, product((False, True), repeat=len(axes))):
        turned = [axis + 2 for axis, flip in zip(axes, flips, strict=True) if flip]
        found.append(run(each, values.flip(turned)).flip(turned))
    return torch.stack(found).mean(0)


IMAGE = torch.randn(1, 2, 4, 8, 12, generator=torch.Generator().manual_seed(3))


def test_folds_and_mirrored_copies_are_averaged_as_logits(tmp_path: Path) -> None:
    candidate, module = opened(trained(tmp_path / "net", 2))
    expected = mean_of_copies([network(0, 3), network(1, 3)], IMAGE, (0, 1, 2))
    torch.testing.assert_close(run(module, IMAGE), expected, rtol=1e-4, atol=1e-5)
    said = candidate.description
    assert (said.classes, said.activation) == (("background", "a", "b"), "softmax")
    assert said.name == "Dataset001_Small 3d_fullres"
    assert any("folds 0, 1 are averaged before the softmax" in note for note in said.notes)
    assert said.channel_names == ("CT", "membrane")
    assert any("8 mirrored copies" in note and "takes 16 runs" in note for note in said.notes)


def test_mirroring_can_be_left_out_and_stays_so_in_the_reference(tmp_path: Path) -> None:
    folder = trained(tmp_path / "net")
    candidate, module = opened(folder, mirroring=False)
    torch.testing.assert_close(run(module, IMAGE), run(network(0, 3), IMAGE))
    assert candidate.description.architecture == "plain_conv_unet"
    assert not any("mirrored" in note for note in candidate.description.notes)
    again, same = opened(folder, architecture=candidate.outside)
    torch.testing.assert_close(run(same, IMAGE), run(module, IMAGE))
    assert again.outside == candidate.outside


def test_a_residual_encoder_is_built(tmp_path: Path) -> None:
    module = network(0, 3, residual=True)
    said = plans(residual=True)
    folder = write_folder(tmp_path, {f"fold_0/{FINAL}": checkpoint(module, "3d_fullres", 0)}, said)
    candidate, built = opened(folder, mirroring=False)
    assert candidate.description.architecture == "residual_encoder_unet"
    torch.testing.assert_close(run(built, IMAGE), run(module, IMAGE))


def test_axes_that_the_plans_transpose_are_those_of_the_image_again(tmp_path: Path) -> None:
    folder = trained(tmp_path, said=plans(order=(2, 0, 1)))
    candidate, module = opened(folder, mirroring=False)
    image = torch.randn(1, 2, 8, 12, 4)
    alone = run(network(0, 3), image.permute(0, 1, 4, 2, 3))
    torch.testing.assert_close(run(module, image), alone.permute(0, 1, 3, 4, 2))
    # The plans' 3 x 1 x 0.5 are those of x, z and y.
    assert candidate.description.voxel_size == (1.0, 0.5, 3.0)


@pytest.mark.parametrize(("order", "along"), [((0, 1, 2), 0), ((2, 0, 1), 2), ((1, 0, 2), 1)])
def test_two_axes_take_planes_along_the_axis_of_the_plans(
    tmp_path: Path, order: tuple[int, ...], along: int
) -> None:
    folder = trained(tmp_path, 1, "2d", said=plans(order=order))
    candidate, module = opened(folder, mirroring=False)
    alone = network(0, 2)
    volume = torch.randn(1, 2, 8, 8, 8)
    planes = torch.stack([run(alone, plane) for plane in volume.unbind(along + 2)], dim=along + 2)
    if along:
        torch.testing.assert_close(run(module, volume), planes)
    else:
        # Along z, planes are what the program predicts with a network of two axes anyway.
        torch.testing.assert_close(run(module, volume[:, :, 3]), planes[:, :, 3])
    assert candidate.description.voxel_size == (None if along else (1.0, 0.5))


def test_regions_are_probabilities_of_their_own_and_ignored_labels_are_none(tmp_path: Path) -> None:
    module = network(0, 3, classes=2)
    content = {f"fold_0/{FINAL}": checkpoint(module, "3d_fullres", 0)}
    labels = dataset(background=0, whole=[1, 2], core=[2], ignore=3) | {"regions_class_order": [1, 2]}
    said = read(write_folder(tmp_path / "regions", content, labels=labels)).description
    assert (said.classes, said.activation) == (("whole", "core"), "sigmoid")
    labels = dataset(background=0, ignore=2, a=1)
    said = read(write_folder(tmp_path / "labels", content, labels=labels)).description
    assert (said.classes, said.activation) == (("background", "a"), "softmax")


def test_intensities_are_steps_for_each_channel(tmp_path: Path) -> None:
    steps = read(trained(tmp_path)).description.input_normalization.steps
    assert steps == (
        ZeroMean(eps=1e-8, floor=True, over="box", channels=(1,)),
        Clip(low=10.0, high=220.0, channels=(0,)),
        Linear(gain=1 / 40, offset=-2.5, channels=(0,)),
    )


@pytest.mark.parametrize(
    ("scheme", "masked", "step"),
    [
        ("ZScoreNormalization", True, ZeroMean(eps=1e-8, floor=True, over="mask")),
        ("ZScoreNormalization", False, ZeroMean(eps=1e-8, floor=True, over="box")),
        ("RescaleTo01Normalization", False, Percentiles(eps=1e-8, floor=True, over="box")),
    ],
)
def test_one_scheme_for_all_channels_is_one_step(
    tmp_path: Path, scheme: str, masked: bool, step: Any
) -> None:
    said = plans()
    said["configurations"]["3d_fullres"] |= {
        "normalization_schemes": [scheme] * 2,
        "use_mask_for_norm": [masked] * 2,
    }
    assert read(trained(tmp_path, said=said)).description.input_normalization.steps == (step,)


def test_bytes_and_no_normalization_are_simple_kinds(tmp_path: Path) -> None:
    for scheme, kind in (("RGBTo01Normalization", "range"), ("NoNormalization", "none")):
        said = plans()
        said["configurations"]["3d_fullres"]["normalization_schemes"] = [scheme] * 2
        found = read(trained(tmp_path / kind, said=said)).description.input_normalization
        assert (found.kind, found.high if kind == "range" else 255) == (kind, 255)


def test_images_are_resampled_as_the_plans_say(tmp_path: Path) -> None:
    description = read(trained(tmp_path)).description
    assert description.resampling == Resampling(order=3, coarse_order=0, coarse_apart=None)
    assert any("by cubic splines, along a coarse axis by the nearest voxel" in n for n in description.notes)
    assert any("outside becomes background; here the whole image" in note for note in description.notes)
    linear = read(tmp_path, architecture='{"resampling": {"order": 1, "coarse_order": 1}}').description
    assert linear.resampling == Resampling(order=1, coarse_order=1)


@pytest.mark.parametrize(
    ("entries", "found", "note"),
    [
        (
            {"resampling_fn_data": "resample_torch_fornnunet"},
            None,
            "by resample_torch_fornnunet, which is not",
        ),
        ({"resampling_fn_data_kwargs": {"order": 2}}, None, "interpolated linearly"),
        (
            {"resampling_fn_data_kwargs": {"order": 3, "order_z": 1, "force_separate_z": True}},
            Resampling(order=3, coarse_order=1, coarse_apart=True),
            "results back another way",
        ),
    ],
)
def test_other_ways_to_resample_are_notes(
    tmp_path: Path, entries: dict[str, Any], found: Resampling | None, note: str
) -> None:
    said = plans()
    said["configurations"]["3d_fullres"] |= entries
    description = read(trained(tmp_path, said=said)).description
    assert description.resampling == found
    assert any(note in each for each in description.notes)


def test_a_scheme_of_its_own_is_named_and_not_guessed(tmp_path: Path) -> None:
    said = plans()
    said["configurations"]["3d_fullres"]["normalization_schemes"] = ["MyNorm", "ZScoreNormalization"]
    description = read(trained(tmp_path, said=said)).description
    assert description.input_normalization is None
    assert any("prepare intensities by MyNorm" in note for note in description.notes)


def test_the_folder_its_zip_and_folders_above_give_the_same_network(tmp_path: Path) -> None:
    folder = trained(tmp_path / "Dataset001_Small" / "nnUNetTrainer__nnUNetPlans__3d_fullres", 2)
    _, module = opened(folder)
    for path in (zipped(folder, tmp_path / "net.zip"), folder.parent):
        candidate, other = opened(path)
        torch.testing.assert_close(run(other, IMAGE), run(module, IMAGE))
        assert candidate.description.voxel_size == (3.0, 1.0, 0.5)


def test_a_checkpoint_alone_holds_all_that_is_needed(tmp_path: Path) -> None:
    folder = trained(tmp_path / "net", 2)
    candidate, module = opened(folder / "fold_1" / FINAL, mirroring=False)
    torch.testing.assert_close(run(module, IMAGE), run(network(1, 3), IMAGE))
    assert candidate.description.classes == ("background", "a", "b")
    (tmp_path / "lone").mkdir()
    (folder / "fold_0" / FINAL).rename(tmp_path / "lone" / FINAL)
    _, module = opened(tmp_path / "lone", mirroring=False)
    torch.testing.assert_close(run(module, IMAGE), run(network(0, 3), IMAGE))


def test_a_fold_and_what_was_moved_are_opened_by_whatever_is_chosen(tmp_path: Path) -> None:
    folder = trained(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", 2)
    moved = write_folder(tmp_path / "moved", {})
    (moved / FINAL).write_bytes((folder / "fold_1" / FINAL).read_bytes())
    inside = tmp_path / "inside.zip"
    with zipfile.ZipFile(inside, "w") as archive:
        archive.write(folder / "fold_1" / FINAL, f"fold_1/{FINAL}")
    for chosen in (folder / "fold_1", folder / "fold_1" / FINAL, moved, moved / FINAL, inside):
        candidate, module = opened(chosen, mirroring=False)
        torch.testing.assert_close(run(module, IMAGE), run(network(1, 3), IMAGE))
        assert candidate.description.voxel_size == (3.0, 1.0, 0.5)


def test_what_does_not_hold_enough_says_what_to_choose(tmp_path: Path) -> None:
    said = checkpoint(network(0, 3), "3d_fullres", 0)
    said["init_args"] = {}
    folder = write_folder(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", {f"fold_0/{FINAL}": said})
    for chosen in (folder / "fold_0", folder / "fold_0" / FINAL):
        assert "without its plans.json. Open the trained folder that it belongs to" in refused(chosen)
    for chosen in (folder / "plans.json", folder / "dataset.json"):
        assert "Open the whole trained folder" in refused(chosen)
    (folder / "fold_0" / FINAL).rename(folder / "mine.pth")
    assert "or one checkpoint by its file" in refused(folder)
    (folder / "plans.json").unlink()
    (folder / "mine.pth").rename(folder / "fold_0" / FINAL)
    assert "plans.json and dataset.json, and a" in refused(folder)


def test_final_checkpoints_are_preferred_and_what_is_left_is_named(tmp_path: Path) -> None:
    said = {
        f"fold_0/{FINAL}": checkpoint(network(0, 3), "3d_fullres", 0),
        "fold_0/checkpoint_best.pth": checkpoint(network(5, 3), "3d_fullres", 0),
        "fold_1/checkpoint_best.pth": checkpoint(network(6, 3), "3d_fullres", 1),
        f"fold_all/{FINAL}": checkpoint(network(7, 3), "3d_fullres", "all"),
    }
    candidate, module = opened(write_folder(tmp_path, said), mirroring=False)
    torch.testing.assert_close(run(module, IMAGE), run(network(0, 3), IMAGE))
    assert "Not used: fold 1, all." in candidate.description.notes


def test_the_configuration_is_that_of_the_checkpoint_or_of_the_folders_name(tmp_path: Path) -> None:
    said = checkpoint(network(0, 3), "3d_lowres", 0)
    assert read(write_folder(tmp_path / "a", {f"fold_0/{FINAL}": said})).description.voxel_size == (3, 2, 1)
    said["init_args"] = {}
    folder = write_folder(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_lowres", {f"fold_0/{FINAL}": said})
    assert read(folder).description.voxel_size == (3, 2, 1)
    assert "does not say which configuration" in refused(
        write_folder(tmp_path / "b", {f"fold_0/{FINAL}": said})
    )


def test_plans_of_the_first_version_are_understood(tmp_path: Path) -> None:
    said = plans()
    configuration = said["configurations"]["3d_fullres"]
    kwargs = configuration.pop("architecture")["arch_kwargs"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 2,
        "unet_max_num_features": 3,
        "n_conv_per_stage_encoder": kwargs["n_conv_per_stage"],
        "n_conv_per_stage_decoder": kwargs["n_conv_per_stage_decoder"],
        "conv_kernel_sizes": kwargs["kernel_sizes"],
        "pool_op_kernel_sizes": kwargs["strides"],
        "num_pool_per_axis": [0, 1, 1],
    }
    _, module = opened(trained(tmp_path, said=said), mirroring=False)
    torch.testing.assert_close(run(module, IMAGE), run(network(0, 3), IMAGE))


def test_what_the_user_says_of_a_folder_counts(tmp_path: Path) -> None:
    given = json.dumps({"voxel_size": [2, 1, 1], "name": "mine"})
    candidate = read(trained(tmp_path), architecture=given)
    assert (candidate.description.voxel_size, candidate.description.name) == ((2, 1, 1), "mine")
    assert json.loads(candidate.outside or "")["voxel_size"] == [2, 1, 1]


def edited(said: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    """Return plans with one entry of the configuration 3d_fullres changed."""
    part = said["configurations"]["3d_fullres"]
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return said


KWARGS = ("architecture", "arch_kwargs")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("architecture", "network_class_name"), "os.system", "name 'os.system' as network"),
        (("architecture", "network_class_name"), "mine.PlainConvUNet", "name 'mine.PlainConvUNet'"),
        ((*KWARGS, "conv_op"), "subprocess.Popen", "as conv_op"),
        ((*KWARGS, "norm_op"), "torch.nn.GroupNorm3d", "as norm_op"),
        ((*KWARGS, "nonlin"), "torch.load", "as nonlinearity"),
        ((*KWARGS, "conv_op"), "torch.nn.Conv2d", "layers of nnU-Net's plans are of '2d'"),
        ((*KWARGS, "norm_op_kwargs"), {"affine": False}, "no weights"),
        ((*KWARGS, "nonlin_first"), True, "built with nonlin_first"),
        ((*KWARGS, "features_per_stage"), [2, 2**40], "whole numbers"),
        ((*KWARGS, "features_per_stage"), [2, 60_000], "weights of another shape|asks for more weights"),
        ((*KWARGS, "n_conv_per_stage"), [1, 60_000], "asks for more layers"),
        ((*KWARGS, "n_stages"), 900, "n_stages"),
        ((*KWARGS, "strides"), [[1, 1, 1], [1, 2**30, 2]], "numbers up to|1 to 16 voxels"),
        (("spacing",), [3.0, float("inf"), 1.0], "should be numbers"),
        (("spacing",), [0.0, 1.0, 1.0], "numbers above 0"),
        (("normalization_schemes",), ["ZScoreNormalization"], "an entry for each of 2 channels"),
        (("inherits_from",), "3d_fullres", "inherits from itself"),
        (("previous_stage",), "3d_lowres", "second stage of a cascade"),
    ],
)
def test_plans_that_are_not_understood_are_refused(
    tmp_path: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    import re

    assert re.search(message, refused(trained(tmp_path, said=edited(plans(), *path, value=value))))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trainer_name": "nnUNetTrainerMine"}, "trained by the class 'nnUNetTrainerMine'"),
        ({"trainer_name": "nnUNet_Primus_M_Trainer"}, "trained by the class"),
        ({"trainer_name": None}, "trained by the class 'None'"),
        ({"network_weights": [1]}, "weights under 'network_weights'"),
        ({"inference_allowed_mirroring_axes": (0, 7)}, "axes of its mirroring"),
        ({"inference_allowed_mirroring_axes": "zyx"}, "axes of its mirroring"),
        ({"logging": Path("a")}, "would run code"),
        ({"logging": np.zeros(3)}, "would run code"),
    ],
)
def test_checkpoints_that_are_not_understood_are_refused(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    said = checkpoint(network(0, 3), "3d_fullres", 0, **changed)
    assert message in refused(write_folder(tmp_path, {f"fold_0/{FINAL}": said}))


def test_trainers_that_come_with_nnunet_are_taken(tmp_path: Path) -> None:
    for trainer in (
        "nnUNetTrainer_250epochs_NoMirroring",
        "nnUNetTrainerDA5",
        "nnUNetTrainerDiceCELoss_noSmooth",
    ):
        said = checkpoint(network(0, 3), "3d_fullres", 0, trainer_name=trainer)
        read(write_folder(tmp_path / trainer, {f"fold_0/{FINAL}": said}))


def test_the_trainer_with_batch_normalization_replaces_that_of_the_plans(tmp_path: Path) -> None:
    torch.manual_seed(0)
    from napari_tileseg.nets.architectures import registry

    from .folders import arguments

    module = registry.build("plain_conv_unet", **arguments(3), norm="batch").eval()
    said = checkpoint(module, "3d_fullres", 0, trainer_name="nnUNetTrainerBN")
    _, built = opened(write_folder(tmp_path, {f"fold_0/{FINAL}": said}), mirroring=False)
    torch.testing.assert_close(run(built, IMAGE), run(module, IMAGE))


def test_folds_that_differ_and_cascades_are_refused(tmp_path: Path) -> None:
    said = {
        f"fold_0/{FINAL}": checkpoint(network(0, 3), "3d_fullres", 0),
        f"fold_1/{FINAL}": checkpoint(network(1, 3), "3d_lowres", 1),
    }
    assert "different values of configuration" in refused(write_folder(tmp_path / "a", said))
    said = {f"fold_0/{FINAL}": checkpoint(network(0, 3), "3d_cascade_fullres", 0)}
    assert "second stage of a cascade" in refused(write_folder(tmp_path / "b", said))


def test_two_values_for_one_weight_are_refused(tmp_path: Path) -> None:
    said = checkpoint(network(0, 3), "3d_fullres", 0)
    name = "decoder.encoder.stages.0.0.convs.0.conv.weight"
    said["network_weights"][name] = said["network_weights"][name] + 1
    assert "two weights where nnU-Net has one" in refused(write_folder(tmp_path, {f"fold_0/{FINAL}": said}))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    state = network(0, 3, classes=4).state_dict()
    said = checkpoint(network(0, 3), "3d_fullres", 0, network_weights=under_all_names(state))
    assert "weights of another shape" in refused(write_folder(tmp_path, {f"fold_0/{FINAL}": said}))


def test_several_trained_folders_are_named(tmp_path: Path) -> None:
    for name in ("a__b__2d", "a__b__3d_fullres"):
        trained(tmp_path / name)
    assert "2 trained networks of nnU-Net (a__b__2d/, a__b__3d_fullres/)" in refused(tmp_path)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_text_that_is_no_json_is_refused(tmp_path: Path, name: str) -> None:
    folder = trained(tmp_path)
    for text in ("{", "[" * 100_000, '"a"', "[1]", '{"a": ' + "9" * 5000 + "}"):
        (folder / name).write_text(text)
        assert "nnU-Net" in refused(folder)


def test_it_is_opened_measured_and_described_as_one_network(tmp_path: Path) -> None:
    opened_network = open_network(trained(tmp_path / "net", 2, "2d"))
    spec = opened_network.spec
    assert (spec.axes, spec.in_channels, spec.out_channels) == ("yx", 2, 3)
    assert (spec.geometry.stride, spec.seam_free) == ((2, 2), False)
    assert spec.norm_counts == {"instance": 10}
    assert len(spec.seam_layers) == 10
    image = IMAGE[:, :, 0]
    expected = mean_of_copies([network(0, 2), network(1, 2)], image, (0, 1))
    torch.testing.assert_close(run(opened_network.module, image), expected, rtol=1e-4, atol=1e-5)
    without = open_network(tmp_path / "net", NetworkSettings(mirroring=False))
    again = open_network(without.reference)
    torch.testing.assert_close(run(again.module, image), run(without.module, image))
    assert again.reference == without.reference != opened_network.reference
