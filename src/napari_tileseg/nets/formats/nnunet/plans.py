"""What the plans of nnU-Net say of one configuration: architecture, intensities, spacing and axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.nnunet.values import Values
from napari_tileseg.nets.resampling import DEGREES, Resampling

#: Classes that plans name, by the names of ours; nothing is imported by a name of theirs.
_ARCHITECTURES = {"PlainConvUNet": "plain_conv_unet", "ResidualEncoderUNet": "residual_encoder_unet"}
_FAMILY, _TORCH = "dynamic_network_architectures.", "torch.nn."
_NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}
_NONLINEARITIES = {
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "ELU": "elu",
    "GELU": "gelu",
    "SiLU": "silu",
}
#: What PyTorch does where plans say nothing.
_SLOPE, _EPS = 0.01, 1e-5
#: Arguments that are taken, and those that decide nothing here.
_TAKEN = frozenset(
    (
        *("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "conv_bias"),
        *("n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder", "stem_channels"),
        *("norm_op", "norm_op_kwargs", "nonlin", "nonlin_kwargs"),
        *("dropout_op", "dropout_op_kwargs", "deep_supervision"),
    )
)
#: The function of nnU-Net that resamples by splines.
_SPLINES = "resample_data_or_seg_to_shape"
_NAMED, _DEEPEST = 5, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration of the plans.

    Parameters
    ----------
    name : str
        Such as ``3d_fullres``.
    architecture : str
        Registered name.
    arguments : mapping
        Its arguments, without channels in and out.
    schemes : tuple of str
        Class of the normalization of each channel.
    masked : tuple of bool
        Whether its statistics are those of the voxels that are not zero.
    intensities : tuple of mapping
        Statistics of each channel over the training set.
    spacing : tuple of float
        Distance of voxels along each of the network's axes, in the unit of the training images.
    order : tuple of int
        Which axis of a volume each of the transposed ones is.
    reader : str
        Class that read the training images.
    dropout : bool
        Whether it was trained with dropout, which prediction leaves out.
    resampling : Resampling, optional
        How images are brought to the spacing; None where that is not known here.
    resampled_otherwise : str
        What is not known of that, or of the way back, as part of a sentence; "" for nothing.
    """

    name: str
    architecture: str
    arguments: Mapping[str, Any]
    schemes: tuple[str, ...]
    masked: tuple[bool, ...]
    intensities: tuple[Values | None, ...]
    spacing: tuple[float, ...]
    order: tuple[int, ...]
    reader: str
    dropout: bool
    resampling: Resampling | None
    resampled_otherwise: str

    @property
    def ndim(self) -> int:
        """Axes of the network."""
        return len(self.spacing)


def read_configuration(plans: Any, name: str, channels: int) -> Configuration:
    """Return a configuration of the plans.

    Parameters
    ----------
    plans : object
        What plans.json holds; untrusted.
    name : str
        The configuration that is in force.
    channels : int
        Channels of the images.

    Raises
    ------
    NetworkError
        If there is none, it is part of a cascade, or names what is not known here.
    """
    whole = Values.of(plans, "plans.json")
    said = _inherited(whole.inside("configurations"), name)
    if said.has("previous_stage"):
        raise NetworkError(
            f"The configuration {name} of nnU-Net is the second stage of a cascade, which also takes the "
            f"labels of {said.held['previous_stage']!s:.40}; cascades are not opened. Train or take "
            "3d_fullres or 3d_lowres alone."
        )
    spacing = said.numbers("spacing")
    if len(spacing) not in {2, 3} or min(spacing) <= 0:
        raise NetworkError(f"A spacing of nnU-Net has 2 or 3 numbers above 0; {name} has {spacing}.")
    order = whole.whole("transpose_forward") if whole.has("transpose_forward") else (0, 1, 2)
    if sorted(order) != [0, 1, 2]:
        raise NetworkError(f"transpose_forward in plans.json of nnU-Net orders 3 axes; got {order}.")
    architecture, arguments, dropout = _architecture(said, len(spacing))
    resampling, otherwise = _resampling(said)
    return Configuration(
        name=name,
        architecture=architecture,
        arguments=arguments,
        schemes=_for_each(said.texts("normalization_schemes"), channels, "normalization_schemes"),
        masked=_for_each(said.flags("use_mask_for_norm"), channels, "use_mask_for_norm"),
        intensities=_intensities(whole, channels),
        spacing=spacing,
        order=order,
        reader=str(whole.held.get("image_reader_writer", "")),
        dropout=dropout,
        resampling=resampling,
        resampled_otherwise=otherwise,
    )


def _resampling(said: Values) -> tuple[Resampling | None, str]:
    """Return how images are brought to the spacing, and what is not known of that."""
    there = _by_splines(said, "data")
    if there is None:
        named = str(said.held.get("resampling_fn_data"))[:60]
        return (
            None,
            f"brings images there by {named}, which is not known here: they are interpolated linearly",
        )
    if _by_splines(said, "probabilities") != replace(there, order=1):
        return there, "brings results back another way than linearly, as is done here"
    return there, ""


def _by_splines(said: Values, what: str) -> Resampling | None:
    """Return the splines by which images ("data") or outputs ("probabilities") are resampled, if they are."""
    key = f"resampling_fn_{what}"
    if said.held.get(key) != _SPLINES or not said.has(f"{key}_kwargs"):
        return None
    given = said.inside(f"{key}_kwargs")
    order, along = (given.held.get(name, usual) for name, usual in (("order", 3), ("order_z", 0)))
    apart = given.held.get("force_separate_z", False)
    others = {*given.held} - {"is_seg", "order", "order_z", "force_separate_z"}
    if others or order not in DEGREES or along not in DEGREES or given.held.get("is_seg"):
        return None
    return Resampling(order=order, coarse_order=along, coarse_apart=apart)


def with_batch_norm(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a network that was trained with batch normalization, whatever its plans say."""
    return {**arguments, "norm": "batch", "eps": _EPS}


def _inherited(configurations: Values, name: str) -> Values:
    """Return a configuration, completed by those that it inherits from."""
    found: dict[str, Any] = {}
    asked = name
    for _ in range(_DEEPEST):
        if asked not in configurations.held:
            known = few(sorted(configurations.held), _NAMED)
            raise NetworkError(
                f"plans.json of nnU-Net has no configuration {asked[:60]!r}, which the checkpoint was "
                f"trained with; it has {known or 'none'}. Put the plans beside the folds that belong to them."
            )
        said = configurations.inside(asked)
        found = {**said.held, **found}
        if not said.has("inherits_from"):
            return Values.of(found, f"the configuration {name} in plans.json")
        asked = said.text("inherits_from")
    raise NetworkError(f"The configuration {name} in plans.json of nnU-Net inherits from itself.")


def _for_each(found: tuple[Any, ...], channels: int, what: str) -> tuple[Any, ...]:
    if len(found) != channels:
        raise NetworkError(
            f"{what} in plans.json of nnU-Net should have an entry for each of {channels} channels of "
            f"dataset.json; it has {len(found)}. Put the files together that belong together."
        )
    return found


def _intensities(whole: Values, channels: int) -> tuple[Values | None, ...]:
    """Return statistics of each channel, by either name that versions give them."""
    for key in ("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"):
        if whole.has(key):
            found = whole.inside(key)
            return tuple(
                found.inside(str(each)) if found.has(str(each)) else None for each in range(channels)
            )
    return (None,) * channels


def _architecture(said: Values, ndim: int) -> tuple[str, dict[str, Any], bool]:
    """Return registered name, arguments, and whether there is dropout."""
    if not said.has("architecture"):
        return _of_first_version(said, ndim)
    block = said.inside("architecture")
    named, given = block.text("network_class_name"), block.inside("arch_kwargs")
    architecture = _known(named, _FAMILY, _ARCHITECTURES, "network")
    unknown = [key for key in given.held if key not in _TAKEN and not _is_idle(given, key)]
    if unknown:
        raise NetworkError(
            f"The network of nnU-Net's plans is built with {few([each[:60] for each in unknown], _NAMED)}, "
            "which is not known here. Only U-Nets as nnU-Net plans them are opened."
        )
    residual = architecture == "residual_encoder_unet"
    stages = given.held.get("n_stages")
    if not isinstance(stages, int) or not 2 <= stages <= len(given.whole("features_per_stage")) <= stages:
        raise NetworkError(
            f"n_stages in plans.json of nnU-Net should be the number of features_per_stage, 2 at least; got "
            f"{str(stages)[:20]}."
        )
    _of_axes(_class(given, "conv_op", {"Conv": "conv"})[1], ndim)
    arguments: dict[str, Any] = {
        "ndim": ndim,
        "features": list(given.whole("features_per_stage", stages)),
        "kernels": given.held.get("kernel_sizes"),
        "strides": given.held.get("strides"),
        "blocks": given.held.get("n_blocks_per_stage" if residual else "n_conv_per_stage"),
        "decoder_blocks": given.held.get("n_conv_per_stage_decoder"),
        "bias": given.flag("conv_bias", False),
        **_norm(given, ndim),
        **_nonlinearity(given),
    }
    if residual and given.has("stem_channels"):
        arguments["stem"] = given.held["stem_channels"]
    return architecture, arguments, given.has("dropout_op")


def _is_idle(given: Values, key: str) -> bool:
    """Return whether an argument has the value by which nothing changes."""
    value = given.held[key]
    return value in (None, False) or (key == "block" and str(value).endswith(".BasicBlockD"))


def _norm(given: Values, ndim: int) -> dict[str, Any]:
    if not given.has("norm_op"):
        return {"norm": "identity"}
    kind, axes = _class(given, "norm_op", _NORMS)
    _of_axes(axes, ndim)
    said = given.inside("norm_op_kwargs") if given.has("norm_op_kwargs") else Values({}, given.source)
    if not said.flag("affine", kind == "batch"):
        raise NetworkError(
            "The normalization layers of nnU-Net's plans have no weights (affine is false), which is not "
            "known here. Only U-Nets as nnU-Net plans them are opened."
        )
    tracked = said.flag("track_running_stats", kind == "batch")
    if kind == "batch" and not tracked:
        raise NetworkError(
            "The batch normalization of nnU-Net's plans has no running statistics, which is not known here."
        )
    return {
        "norm": "instance_tracked" if kind == "instance" and tracked else kind,
        "eps": said.number("eps", _EPS),
    }


def _nonlinearity(given: Values) -> dict[str, Any]:
    if not given.has("nonlin"):
        raise NetworkError("nonlin in plans.json of nnU-Net should name a nonlinearity; there is none.")
    found = _known(given.text("nonlin"), _TORCH, _NONLINEARITIES, "nonlinearity")
    said = given.inside("nonlin_kwargs") if given.has("nonlin_kwargs") else Values({}, given.source)
    others = [key for key in said.held if key not in {"inplace", "negative_slope"}]
    if others:
        raise NetworkError(
            f"nonlin_kwargs in plans.json of nnU-Net has {few([each[:60] for each in others], _NAMED)}, "
            "which is not known here."
        )
    return {"nonlinearity": found, "slope": said.number("negative_slope", _SLOPE)}


def _of_first_version(said: Values, ndim: int) -> tuple[str, dict[str, Any], bool]:
    """Return the architecture of plans from before they had a block for it."""
    named = said.text("UNet_class_name")
    architecture = _known(_FAMILY + named, _FAMILY, _ARCHITECTURES, "network")
    first, most = said.number("UNet_base_num_features"), said.number("unet_max_num_features")
    blocks = said.whole("n_conv_per_stage_encoder")
    arguments = {
        "ndim": ndim,
        "features": [int(min(first * 2**stage, most)) for stage in range(len(blocks))],
        "kernels": said.held.get("conv_kernel_sizes"),
        "strides": said.held.get("pool_op_kernel_sizes"),
        "blocks": list(blocks),
        "decoder_blocks": list(said.whole("n_conv_per_stage_decoder")),
    }
    return architecture, arguments, False


def _class(given: Values, key: str, known: Mapping[str, str]) -> tuple[str, str]:
    """Return what a class of PyTorch with the axes in its name is called here, and those axes."""
    named = given.text(key)
    axes = named[-2:] if named.endswith(("1d", "2d", "3d")) else ""
    return _known(named.removesuffix(axes), _TORCH, known, key), axes


def _of_axes(axes: str, ndim: int) -> None:
    if axes != f"{ndim}d":
        raise NetworkError(
            f"The layers of nnU-Net's plans are of {axes[:2]!r}, its spacing of {ndim} axes. Copy the "
            "trained folder again."
        )


def _known(named: str, family: str, known: Mapping[str, str], what: str) -> str:
    """Return our name of a class that is named by its module, if it is on the list."""
    found = known.get(named.rpartition(".")[2])
    if found is None or not named.startswith(family):
        raise NetworkError(
            f"The plans of nnU-Net name {named[:80]!r} as {what}; {few(sorted(known), 9)} are known here. "
            "Only U-Nets as nnU-Net plans them are opened."
        )
    return found
