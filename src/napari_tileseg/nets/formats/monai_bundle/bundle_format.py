"""MONAI bundles: a folder, a zip file, or one of the two configurations in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_tileseg._words import few
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.architectures import registry
from napari_tileseg.nets.architectures.orientation import check_axes, oriented
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.formats.monai_bundle.config import Config, read_config
from napari_tileseg.nets.formats.monai_bundle.metadata import Metadata, metadata_of
from napari_tileseg.nets.formats.monai_bundle.networks import NotBuiltError, network_of
from napari_tileseg.nets.formats.monai_bundle.outputs import activation_of, window_of
from napari_tileseg.nets.formats.monai_bundle.preparation import Preparation, preparation_of
from napari_tileseg.nets.formats.monai_bundle.turning import is_turned_by_kernels, turn_kernels
from napari_tileseg.nets.formats.monai_bundle.weights import Weights
from napari_tileseg.nets.formats.outside import stated_in
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.spec import InputNormalization

_METADATA = "configs/metadata.json"
_CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
#: Fields of a description that the user may say of a bundle, in place of what it says itself.
_CHANGEABLE = ("name", "classes", "activation", "input_normalization", "voxel_size", "channel_names")
_NAMED = 3


def recognises(package: Package) -> bool:
    """Return whether a package has the metadata of a bundle, at its top or in one folder of it."""
    return any(True for name in package.names if name == _METADATA or name.endswith(f"/{_METADATA}"))


def read(package: Package, given: Given) -> Candidate:
    """Return the network in a bundle.

    Raises
    ------
    NetworkError
        If it is broken, its parts contradict each other, its weights are not there, or its network or its
        preparation is what there is not here; the part is named.
    """
    root = _root(package)
    names = (f"{root}{_METADATA}", _config_name(package, root))
    metadata, config = metadata_of(read_config(package, names[0])), read_config(package, names[1])
    stated = stated_in(given.architecture) or Description()
    candidate = _Bundle(package, root, metadata, config, stated).candidate()
    said = stated != Description()
    return replace(
        candidate, members=(*names, *candidate.members), outside=stated.to_json() if said else None
    )


def _root(package: Package) -> str:
    """Return the folder of the bundle, with its ``/``; "" for that of the package."""
    roots = [name.removesuffix(_METADATA) for name in package.names if name.endswith(_METADATA)]
    roots = [root for root in roots if not root or root.endswith("/")]
    if len(roots) > 1:
        named = few([root or "." for root in roots], _NAMED)
        raise NetworkError(
            f"{package.path} holds {len(roots)} MONAI bundles ({named}). Open the folder of one."
        )
    return roots[0]


def _config_name(package: Package, root: str) -> str:
    found = next((f"{root}{name}" for name in _CONFIGS if package.has(f"{root}{name}")), None)
    if found is None:
        raise NetworkError(
            f"{package.path} is a MONAI bundle without its {_CONFIGS[0]} (or .yaml), which says what its "
            "network is and is given. Copy the whole bundle again, or open its models/model.ts."
        )
    return found


@dataclass(frozen=True, slots=True)
class _Bundle:
    """A bundle that was read.

    Parameters
    ----------
    package : Package
        What was chosen.
    root : str
        The bundle's folder in it.
    metadata : Metadata
        What its metadata says.
    config : Config
        Its configuration.
    stated : Description
        What the user says.
    """

    package: Package
    root: str
    metadata: Metadata
    config: Config
    stated: Description

    def candidate(self) -> Candidate:
        """Return its network, built here if it can be, else by its TorchScript."""
        weights = Weights(self.package, self.root)
        try:
            architecture, arguments = self._network()
        except NotBuiltError as error:
            return self._scripted(weights, str(error))
        if weights.lacking:
            scripted = weights.scripted(Description(), "")
            if scripted is None:
                raise NetworkError(weights.lacking)
            return self._scripted(weights, "its models/model.pt is not there")
        try:
            found = registry.signature(architecture, arguments)
        except NetworkError as error:
            raise NetworkError(
                f"{self.config.source} defines a network that is not built: {error}"
            ) from error
        self.metadata.check(found.ndim, found.in_channels)
        member = weights.built(Description(architecture=architecture, arguments=arguments))
        before = self._preparation(found.ndim)
        description = replace(
            self._description(before, found.out_channels), read_shape=_only_shape(arguments, before)
        )
        said = {"architecture": architecture, "arguments": dict(arguments)}
        if not is_turned_by_kernels(architecture, arguments):
            return _turned(member, replace(description, **_with_turn(said, before)), before)
        turned = replace(
            before,
            order=tuple(range(found.ndim)),
            flipped=tuple(sorted(before.order[axis] for axis in before.flipped)),
        )
        description = replace(description, **_with_turn(said, turned))
        kernels = replace(member, build=lambda: turn_kernels(member.build(), before.order))
        return _turned(kernels, description, turned)

    def _network(self) -> tuple[str, dict[str, Any]]:
        """Return architecture and arguments; those that the user states count."""
        if self.stated.architecture is not None:
            return self.stated.architecture, dict(self.stated.arguments)
        if unknown := [key for key in self.stated.arguments if key != "flipped"]:
            raise NetworkError(
                f"Of the arguments of a MONAI bundle's network, flipped can be stated; got "
                f"{few([str(each)[:60] for each in unknown], _NAMED)}."
            )
        return network_of(self.config)

    def _scripted(self, weights: Weights, reason: str) -> Candidate:
        """Return the network by its TorchScript, which says nothing of axes and channels."""
        about = f"{self.config.source}: {reason}"
        ndim, in_channels = self.metadata.ndim, self.metadata.in_channels
        candidate = weights.scripted(Description(), about)
        if candidate is None:
            raise NetworkError(
                f"{self.package.path} is a MONAI bundle whose network is not built here ({about}), and "
                "has no models/model.ts. Write that with MONAI, python -m monai.bundle ckpt_export, and open "
                "the bundle again: it then runs once you trust it."
            )
        if ndim is None or in_channels is None:
            raise NetworkError(
                f"{self.metadata.source} should state spatial_shape and num_channels of the input, which a "
                "TorchScript file does not; it does not either. Add them."
            )
        before = self._preparation(ndim)
        out_channels = self.metadata.out_channels or len(self.metadata.classes)
        description = replace(
            self._description(before, out_channels), axes=axes_of(ndim), in_channels=in_channels
        )
        return _turned(candidate, description, before)

    def _preparation(self, ndim: int) -> Preparation:
        """Return what is done before the network; if the user says how to scale, it need not be known."""
        found = preparation_of(self.config, ndim, strict=self.stated.input_normalization is None)
        flipped = self.stated.arguments.get("flipped") if self.stated.architecture is None else None
        if flipped is None:
            return found
        listed = tuple(flipped) if isinstance(flipped, (list, tuple)) else (flipped,)
        check_axes(listed, ndim, "flip")
        return replace(found, flipped=listed)

    def _description(self, before: Preparation, out_channels: int) -> Description:
        """Return what is stated beside the architecture."""
        activation, after = activation_of(self.config)
        classes, differing = self.metadata.classes_for(out_channels)
        steps = before.steps
        description = Description(
            name=self.metadata.name or self.package.path.stem,
            classes=classes,
            channel_names=self.metadata.channel_names or None,
            activation=activation,
            input_normalization=None if steps is None else InputNormalization.of_steps(steps),
            voxel_size=before.voxel_size,
            notes=(*before.notes, *after, *differing, *window_of(self.config)),
        )
        keys = [key for key in _CHANGEABLE if getattr(self.stated, key) is not None]
        return replace(description, **{key: getattr(self.stated, key) for key in keys})


def _turned(candidate: Candidate, description: Description, before: Preparation) -> Candidate:
    """Return a candidate with its description, and axes turned for its network."""
    order, flipped = before.order, before.flipped
    return replace(
        candidate,
        description=description,
        build=lambda: oriented(candidate.build(), len(order), order, flipped),
    )


def _only_shape(arguments: Mapping[str, Any], before: Preparation) -> tuple[int, ...] | None:
    """Return the one shape that a network takes, along axes here, where sides differ: others are tried."""
    size = arguments.get("img_size")
    if not isinstance(size, list) or not all(type(each) is int for each in size):
        return None
    if len(size) != len(before.order) or len({*size}) == 1:
        return None
    return tuple(size[before.order.index(axis)] for axis in range(len(size)))


def _with_turn(said: dict[str, Any], before: Preparation) -> dict[str, Any]:
    """Return architecture and arguments of a network whose axes are turned."""
    turn: dict[str, Any] = {}
    if before.order != tuple(range(len(before.order))):
        turn["order"] = list(before.order)
    if before.flipped:
        turn["flipped"] = list(before.flipped)
    return {"architecture": "ensemble", "arguments": {**said, **turn}} if turn else said
