"""A network's specification: its description and its measured geometry, checked together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from napari_tileseg._types import Halo, Shape
from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets import geometry, inspection
from napari_tileseg.nets.activation import usual_activation
from napari_tileseg.nets.architectures import ensembles, registry
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.identity import sha256_of_layers
from napari_tileseg.nets.intensities import check_steps
from napari_tileseg.nets.listed.network import ListedNetwork
from napari_tileseg.nets.outputs import only_tensor
from napari_tileseg.nets.spec import Activation, Geometry, InputNormalization, NetworkSpec


def specify(module: nn.Module, description: Description, key: str | None, path: Path) -> NetworkSpec:
    """Measure a network and join that with its description.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, float32, on the CPU.
    description : Description
        Its description; for TorchScript with axes and channels in.
    key : str, optional
        Hash of all that decides what the module computes; measurements are cached under it, and not without.
    path : Path
        Its file, for its name and for messages.

    Raises
    ------
    NetworkError
        If the description contradicts itself or the network, or the network cannot be measured.
    """
    if description.architecture == "ensemble":
        return _specify_ensemble(module, description, key, path)
    if isinstance(module, ListedNetwork) and module.sizes.most:
        return _bounded(_specify_beyond(module, description, key, path), module.sizes.most, path)
    return _specify(module, description, key, path)


def _specify_beyond(
    module: ListedNetwork, description: Description, key: str | None, path: Path
) -> NetworkSpec:
    with module.beyond_its_range():
        return _specify(module, description, key, path)


def _bounded(spec: NetworkSpec, most: Shape, path: Path) -> NetworkSpec:
    """Return what is known of a network, with the largest image that it takes."""
    read = replace(spec.geometry.read, maximum=most)
    found = replace(spec, geometry=replace(spec.geometry, read=read))
    sizes = found.padded_sizes
    if any(low > high for low, high in zip(sizes.minimum, sizes.maximum or (), strict=True)):
        raise NetworkError(
            f"{path} takes images of up to {by_axis(most)} voxels, and tiles would start at "
            f"{by_axis(sizes.minimum)} in multiples of {by_axis(sizes.step)}. Export it for larger images."
        )
    return found


def _specify(module: nn.Module, description: Description, key: str | None, path: Path) -> NetworkSpec:
    layers = None if key is None else sha256_of_layers(module)
    if description.architecture is None:
        ndim, in_channels = len(description.axes or ""), description.in_channels or 0
    else:
        inputs = registry.signature(description.architecture, description.arguments)
        ndim, in_channels = inputs.ndim, inputs.in_channels
    found = geometry.cached_measurement(module, key, ndim, in_channels, description.read_shape, layers=layers)
    if description.architecture is None:
        out_channels = _count_outputs(module, in_channels, found.geometry)
    else:
        out_channels = inputs.out_channels
    check_description(description, registry.Signature(ndim, in_channels, out_channels), path)
    return _spec(module, description, found, key, (in_channels, out_channels), path)


def _specify_ensemble(
    module: nn.Module, description: Description, key: str | None, path: Path
) -> NetworkSpec:
    """Measure one of the networks of an ensemble, which have the same layers, and infer the rest from it."""
    found = registry.signature("ensemble", description.arguments)
    check_description(description, found, path)
    networks = ensembles.networks_in(module)
    alone = replace(
        description,
        architecture=description.arguments["architecture"],
        arguments=description.arguments["arguments"],
        axes=None,
        voxel_size=None,
        read_shape=_own_shape(description),
        halo=None,
    )
    spec = specify(next(iter(networks.values())), alone, key, path)
    in_use = replace(spec.geometry, halo=spec.default_halo, receptive_field=(1,) * spec.ndim)
    halo = ensembles.geometry_in(module, in_use).halo
    assert halo is not None  # the one in use is a number
    reason, cause = _of_each(spec, len(networks))
    several = len(networks) > 1 or description.arguments.get("mirrored")
    return replace(
        spec,
        architecture="ensemble" if several else spec.architecture,
        axes=axes_of(found.ndim),
        norm_counts=inspection.count_norms(module),
        geometry=ensembles.geometry_in(module, spec.geometry),
        default_halo=halo,
        voxel_size=description.voxel_size,
        reason=reason,
        seam_cause=cause,
        seam_layers=tuple(
            f"{network}.{layer}".lstrip(".") for network in networks for layer in spec.seam_layers
        ),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def _own_shape(description: Description) -> Shape | None:
    """Return a shape that the networks of an ensemble are known to accept, in the order of their own axes."""
    shape, order = description.read_shape, description.arguments.get("order")
    if shape is None or order is None:
        return shape
    return tuple(shape[axis] for axis in order) if len(order) == len(shape) else None


def _of_each(spec: NetworkSpec, count: int) -> tuple[str, str]:
    """Return the reason and the cause of one network's verdict as those of several that have its layers."""
    if count == 1 or spec.seam_free:
        return spec.reason, spec.seam_cause
    reason = f"{spec.reason[:1].lower()}{spec.reason[1:]}"
    return f"In each of its {count} networks, {reason}", f"{spec.seam_cause}, in each of {count} networks"


def _count_outputs(module: nn.Module, in_channels: int, measured: Geometry) -> int:
    with torch.inference_mode():
        return int(only_tensor(module(torch.zeros(1, in_channels, *measured.read.minimum))).shape[1])


def check_description(description: Description, found: registry.Signature, path: Path) -> None:
    """Raise `NetworkError` where a description contradicts itself or the network."""
    says = (
        f"{path} has {found.out_channels} output channels, {found.in_channels} in and {found.ndim} axes; its"
    )
    classes = description.classes
    if classes is not None and len(classes) != found.out_channels:
        raise NetworkError(
            f"{says} description names {len(classes)} classes ({', '.join(classes)}). "
            "Name one for each output channel."
        )
    names = description.channel_names
    if names is not None and len(names) != found.in_channels:
        raise NetworkError(
            f"{says} description names {len(names)} channels in ({', '.join(names)}). Name each of them."
        )
    if description.voxel_size is not None and len(description.voxel_size) != found.ndim:
        raise NetworkError(
            f"{says} voxel size has {len(description.voxel_size)} numbers. Give one for each axis."
        )
    if description.axes not in {None, axes_of(found.ndim)}:
        raise NetworkError(f"{says} description says {description.axes}. Correct the axes.")
    if description.in_channels not in {None, found.in_channels}:
        raise NetworkError(f"{says} description says in_channels {description.in_channels}. Correct it.")
    if description.input_normalization is not None:
        check_steps(description.input_normalization.steps, found.in_channels)


def _spec(
    module: nn.Module,
    description: Description,
    found: geometry.Measurement,
    key: str | None,
    channels: tuple[int, int],
    path: Path,
) -> NetworkSpec:
    measured = found.geometry
    seams = inspection.judge_seams(module, measured, _global_layers(module, found, channels[0]))
    axes = axes_of(len(measured.stride))
    halo, why = _default_halo(module, found, key, channels[0])
    return NetworkSpec(
        name=description.name or path.stem,
        architecture=description.architecture or "torchscript",
        axes=axes,
        in_channels=channels[0],
        out_channels=channels[1],
        classes=description.classes or _class_names(channels[1]),
        activation=description.activation or _usual_activation(description, channels[1]),
        input_normalization=description.input_normalization or InputNormalization(),
        norm_counts=inspection.count_norms(module),
        geometry=measured,
        default_halo=halo,
        voxel_size=description.voxel_size,
        seam_free=seams.seam_free,
        reason=f"{seams.reason} {why}".strip(),
        seam_layers=seams.layers,
        seam_cause=seams.cause,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        channel_names=description.channel_names or (),
        notes=(*_of_halo(description, measured), *description.notes, *_assumed(description, channels[1])),
        resampling=description.resampling,
    )


def _assumed(description: Description, out_channels: int) -> Iterator[str]:
    """Yield a sentence for each thing that nobody stated, and where to state it."""
    if description.input_normalization is None:
        usual = InputNormalization()
        yield (
            f"Intensities are scaled by percentiles ({usual.low:g} and {usual.high:g}), because nothing says "
            "how the network wants them; the setting normalize can."
        )
    inside = _activation_inside(description)
    if inside != "none" and description.activation not in {None, "none"}:
        yield f"It ends in a {inside} itself; a {description.activation} follows, as its description says."
    if description.activation is None and inside == "none":
        used = _usual_activation(description, out_channels)
        done = "No activation is applied" if used == "none" else f"A {used} is applied to the output"
        yield f"{done}, because nothing says which it should be; its description can, as activation."


def _of_halo(description: Description, measured: Geometry) -> Iterator[str]:
    """Say where a stated halo is less than the measured one, which is used."""
    if description.halo is None or measured.halo is None or len(description.halo) != len(measured.halo):
        return
    needed = tuple(max(sides) for sides in measured.halo)
    if any(has < needs for has, needs in zip(description.halo, needed, strict=True)):
        stated, needs = (by_axis(each) for each in (description.halo, needed))
        yield f"Its description states a halo of {stated} voxels; it needs {needs}, which is used."


def _class_names(count: int) -> tuple[str, ...]:
    return ("foreground",) if count == 1 else tuple(f"class {number}" for number in range(1, count + 1))


def _usual_activation(description: Description, out_channels: int) -> Activation:
    """Return the default activation: none for TorchScript, and where the network ends in one itself."""
    if description.architecture is None or _activation_inside(description) != "none":
        return "none"
    return usual_activation(out_channels)


def _global_layers(
    module: nn.Module, found: geometry.Measurement, in_channels: int
) -> tuple[str, ...] | None:
    """Return the paths of the layers through which outputs depend on the whole tile; None where unknown."""
    measured = found.geometry
    if measured.halo is not None or measured.random:
        return None
    if found.global_layers is None:
        return geometry.mixing_layers(module, measured, in_channels)
    return tuple(path or "the network itself" for path in found.global_layers)


def _activation_inside(description: Description) -> str:
    """Return the activation that a network of a registered architecture ends in itself."""
    if description.architecture is None:
        return "none"
    return registry.final_activation(description.architecture, description.arguments)


def _default_halo(
    module: nn.Module, found: geometry.Measurement, key: str | None, in_channels: int
) -> tuple[Halo, str]:
    """Return the context to read, and where it is a choice, why this one."""
    measured = found.geometry
    if measured.halo is not None:
        return measured.halo, ""
    halo = found.local_halo or _halo_without_statistics(module, measured, key, in_channels)
    if halo is not None:
        return halo, "The halo in use is what its convolutions need, without those layers."
    return inspection.chosen_halo(measured), "The halo in use is a choice, not measured."


def _halo_without_statistics(
    module: nn.Module, measured: Geometry, key: str | None, in_channels: int
) -> Halo | None:
    """Return the halo of a network without the layers that use statistics of the tile, if it has some."""
    frozen = inspection.without_tile_statistics(module)
    if frozen is None:
        return None
    frozen_key = key and hashlib.sha256(f"{key} without statistics".encode()).hexdigest()
    found = geometry.cached_measurement(
        frozen, frozen_key, len(measured.stride), in_channels, measured.read.minimum
    )
    return found.geometry.halo
