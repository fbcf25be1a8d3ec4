"""Checkpoints of pytorch-3dunet: a file with its configuration beside it, or a folder or zip file of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from napari_tileseg._yaml import parse_yaml, read_yaml
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.outside import completed, described_outside, stated_in
from napari_tileseg.nets.formats.packages.content import Content
from napari_tileseg.nets.formats.packages.package import ITSELF, Package
from napari_tileseg.nets.formats.pytorch import pickled
from napari_tileseg.nets.formats.pytorch.state_dicts import Reader, described_weights
from napari_tileseg.nets.formats.pytorch_3dunet import zoo
from napari_tileseg.nets.formats.pytorch_3dunet.config import description_of, stated_beside
from napari_tileseg.nets.formats.pytorch_3dunet.layers import MARK, Layers, layers_of, weights_in
from napari_tileseg.nets.formats.pytorch_3dunet.preparation import assumed_preparation

#: Names of configurations and of checkpoints, the usual ones first.
CONFIGS = ("config_train.yml", "config_train.yaml")
CHECKPOINTS = ("best_checkpoint.pytorch", "last_checkpoint.pytorch")
_ENDINGS = (".pytorch", ".pt", ".pth")
_ARCHITECTURES = ("double_conv_unet", "residual_unet")
#: Bytes of a configuration, and of the zoo's records.
_LARGEST = 2**17
_MARKS = (rb"^model:", rb"^ +name: *['\"]?(Residual)?UNet")
#: Reads a file of a name as YAML; None where there is none.
_Reading = Callable[[str], Any]


def recognises(package: Package) -> bool:
    """Return whether a file is a checkpoint with the names of pytorch-3dunet, or a folder holds one."""
    if package.file is not None and pickled.is_one(package.file):
        return pickled.mentions(package.file, MARK.encode())
    if package.chosen:
        head = package.content().head
        named = PurePosixPath(package.chosen).suffix in {".yaml", ".yml"}
        return (
            named and all(re.search(each, head, re.MULTILINE) for each in _MARKS) and bool(_weights(package))
        )
    return bool(_weights(package))


def read(package: Package, given: Given) -> Candidate:
    """Return the network of a checkpoint.

    Raises
    ------
    NetworkError
        If it is broken; if neither its configuration nor the user states the order of its layers and the
        number of groups; or if what is stated does not fit it.
    """
    if package.file is not None and pickled.is_one(package.file):
        return _of_file(package, given)
    return _of_folder(package, given)


def _weights(package: Package) -> str | None:
    """Return the name of the checkpoint in a package, or beside a chosen configuration."""
    if package.chosen:
        return next((name for name in CHECKPOINTS if package.has(name)), None)
    usual = next((name for name in CHECKPOINTS if name in package.names), None)
    if usual is not None or not any(name in package.names for name in CONFIGS):
        return usual
    others = [name for name in package.names if "/" not in name and name.endswith(_ENDINGS)]
    return others[0] if len(others) == 1 else None


def _of_file(package: Package, given: Given) -> Candidate:
    """Return the network of a chosen checkpoint; what lies beside it counts as stated outside of it."""
    content = package.content()
    stated = described_outside(content, given.architecture)

    def reading(name: str) -> Any:
        """Read a file beside it."""
        path = content.path.with_name(name)
        if not path.is_file():
            return None
        with answering(
            NetworkError, f"{path} should be a configuration in YAML", "Mend it, or move it away."
        ):
            return read_yaml(path)

    description, reader = _described(content, stated, CONFIGS, reading)
    description = _named(description, content.path)
    return replace(described_weights(package, ITSELF, description, reader), outside=description.to_json())


def _of_folder(package: Package, given: Given) -> Candidate:
    """Return the network of a folder or zip file."""
    name, used = _weights(package), []
    assert name is not None  # or it would not have been recognised

    def reading(about: str) -> Any:
        """Read a member, which then counts for the hash."""
        if not package.has(about):
            return None
        path = package.content(about, _LARGEST).path
        used.append(about)
        with answering(NetworkError, f"{path} should be a configuration in YAML", "Mend it."):
            return parse_yaml(package.read(about, _LARGEST))

    stated = stated_in(given.architecture)
    configs = (package.chosen,) if package.chosen else CONFIGS
    description, reader = _described(package.content(name), stated, configs, reading)
    if package.chosen:
        description = _named(description, package.content(name).path)
    candidate = described_weights(package, name, description, reader)
    rest = [each for each in CHECKPOINTS if each != name and package.has(each)]
    notes = tuple(f"{each} is there as well; {name} was opened." for each in rest)
    return replace(
        candidate,
        members=(*used, *candidate.members),
        outside=stated.to_json() if stated else None,
        notes=(*candidate.notes, *notes),
    )


def _described(
    content: Content, stated: Description | None, configs: tuple[str, ...], reading: _Reading
) -> tuple[Description, Reader]:
    """Return what is stated of a checkpoint, and how its weights are read.

    Parameters
    ----------
    content : Content
        The checkpoint.
    stated : Description, optional
        By the user.
    configs : tuple of str
        Names that its configuration may have.
    reading : callable
        Reads such a file.
    """
    if stated is not None and stated.architecture not in {None, *_ARCHITECTURES}:
        # The user knows better.
        return stated, pickled.READER
    source = str(content.path)
    weights = weights_in(pickled.structure(content)[0])
    if weights is None:
        raise NetworkError(
            f"{source} should hold the weights of a network of pytorch-3dunet; it holds others. Take the "
            "checkpoint that its training wrote."
        )
    layers = layers_of(weights, source)
    read_configs = ((name, reading(name)) for name in configs)
    about, config = next(
        ((name, each) for name, each in read_configs if each is not None), (configs[0], None)
    )
    description = _of_both(stated, config, layers, about, content)
    if description is None:
        raise NetworkError(layers.question(source))
    if description.input_normalization is None:
        intensities, note = assumed_preparation(layers.in_channels)
        description = replace(description, input_normalization=intensities, notes=(*description.notes, note))
    ndim = description.arguments.get("ndim", len(layers.kernel))
    if description.voxel_size is None and type(ndim) is int and ndim > 0:
        folder = content.path.parent.name.removesuffix(".zip")
        found = (zoo.voxel_size_of(reading(name), folder, content.path.name, ndim) for name in zoo.NAMES)
        description = replace(description, voxel_size=next((each for each in found if each), None))
    return description, _of_planes(ndim)


def _of_both(
    stated: Description | None, config: Any, layers: Layers, about: str, content: Content
) -> Description | None:
    """Return what a user and a configuration state together."""
    if stated is not None and stated.architecture is not None:
        rest = None if config is None else stated_beside(config, layers.in_channels, about)
        return stated if rest is None else completed(stated, rest)
    found = None if config is None else description_of(config, layers, about, content.path.name)
    if found is None or stated is None:
        return found
    return completed(replace(stated, architecture=found.architecture, arguments=found.arguments), found)


def _named(description: Description, path: Path) -> Description:
    """Return a description with a name: all checkpoints are called alike, and their folders are not."""
    if description.name is not None or path.name not in CHECKPOINTS or not path.parent.name:
        return description
    return replace(description, name=path.parent.name)


def _of_planes(ndim: object) -> Reader:
    """Return what reads weights for so many axes: convolutions of one voxel along z may become flat ones."""
    if ndim != 2:
        return pickled.READER

    def structure(content: Content) -> tuple[Any, None]:
        """Return what a file holds, flat."""
        held, _ = pickled.structure(content)
        return _flat(held), None

    return Reader(structure, lambda content, data: _flat(pickled.load(content, data)))


def _flat(held: Any) -> Any:
    """Return the same mappings with kernels of one voxel along z without that axis."""
    if isinstance(held, Mapping):
        return {key: _flat(each) for key, each in held.items()}
    thin = isinstance(held, Tensor) and held.dim() == 5 and held.shape[2] == 1
    return held[:, :, 0] if thin else held
