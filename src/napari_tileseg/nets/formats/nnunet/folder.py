"""A trained folder of nnU-Net v2: its folds as one network, with all that plans and labels say of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from torch import Tensor, nn

from napari_tileseg._words import by_axis, few
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.candidate import Candidate, Given, Mirroring
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.nnunet.checkpoints import (
    Checkpoint,
    is_checkpoint,
    load_weights,
    read_checkpoint,
)
from napari_tileseg.nets.formats.nnunet.dataset import Dataset, read_dataset
from napari_tileseg.nets.formats.nnunet.intensities import normalization_of
from napari_tileseg.nets.formats.nnunet.plans import Configuration, read_configuration, with_batch_norm
from napari_tileseg.nets.formats.outside import stated_in
from napari_tileseg.nets.formats.packages.package import ITSELF, Package
from napari_tileseg.nets.weights import build_with_weights, check_stored, compare, weights_wanted

PLANS, DATASET = "plans.json", "dataset.json"
#: Bytes of each of the two.
_LARGEST = 2**24
#: Checkpoints of a fold, the one that nnU-Net itself takes first.
_KINDS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth")
_IN_FOLD = re.compile(r"(?:(?P<root>.*)/)?fold_(?P<fold>\d{1,3}|all)/(?P<kind>[^/]+)")
_FOLD = re.compile(r"fold_(?:\d{1,3}|all)")
#: The name that nnU-Net gives a trained folder.
_FOLDER = re.compile(r"[^/]*__[^/]*__(?P<configuration>[^/]*?)(?:\.zip)?")
#: Readers of images whose voxels have no size.
_UNSIZED = ("NaturalImage2DIO",)
#: Fields of a description that the user may say of a package, in place of what it says itself.
_CHANGEABLE = ("name", "classes", "activation", "input_normalization", "voxel_size", "resampling")
_NAMED = 3
#: Folds that are averaged; nnU-Net trains five.
_MOST_FOLDS = 20


@dataclass(frozen=True, slots=True)
class _Trained:
    """Where a trained network lies in a package.

    Parameters
    ----------
    root : str
        Folder of plans.json and dataset.json, with its ``/``; "" for that of the package.
    checkpoints : tuple of str
        Members, one a fold.
    left : tuple of str
        Folds without the checkpoint that the others have.
    """

    root: str
    checkpoints: tuple[str, ...]
    left: tuple[str, ...] = ()

    def member(self, name: str) -> str:
        """Return the name in the package of a file beside the folds."""
        return f"{self.root}{name}"


def recognises(package: Package) -> bool:
    """Return whether a package is a trained folder of nnU-Net, its zip file, or one of its checkpoints."""
    if is_checkpoint(package):
        return True
    return any(True for _ in _roots(package.names)) or _lone(package.names) is not None


def read(package: Package, given: Given) -> Candidate:
    """Return the folds of a trained folder as one network.

    Raises
    ------
    NetworkError
        If files are missing or do not belong together, it is part of a cascade, or was built by code that
        does not come with nnU-Net.
    """
    trained = _find(package)
    stated = _stated(package, trained)
    folds = [read_checkpoint(package, member, stated) for member in trained.checkpoints]
    _check_alike(folds, package)
    plans, dataset = (_json(package, trained, name, folds[0]) for name in (PLANS, DATASET))
    labels = read_dataset(dataset)
    configuration = read_configuration(plans, folds[0].configuration, len(labels.channels))
    member = _member(configuration, labels, folds[0])
    for fold in folds:
        _check_weights(package, fold, member)
    description = replace(
        _whole(member, configuration, folds),
        name=_name(plans, configuration, package),
        notes=tuple(_notes(configuration, labels, folds, trained)),
    )
    description, outside = _completed(description, given)
    mirroring = _mirroring(description, folds)
    if mirroring is not None and mirroring.used:
        description = replace(description, notes=(*description.notes, mirroring.note))
    sources = [name for name in (PLANS, DATASET) if package.has(trained.member(name))]
    used = tuple(trained.member(name) for name in sources) if trained.checkpoints != (ITSELF,) else ()
    return Candidate(
        kind=str(description.architecture),
        description=description,
        build=lambda: _build(package, description, folds),
        members=(*used, *trained.checkpoints),
        outside=outside,
        mirroring=mirroring,
    )


def _roots(names: Sequence[str]) -> Iterator[tuple[str, list[re.Match[str]]]]:
    """Yield folders that hold plans and folds, with the checkpoints of these."""
    found: dict[str, list[re.Match[str]]] = {}
    for name in names:
        match = _IN_FOLD.fullmatch(name)
        if match is not None and match["kind"] in _KINDS:
            found.setdefault(f"{match['root']}/" if match["root"] else "", []).append(match)
    for root, matches in found.items():
        if {f"{root}{PLANS}", f"{root}{DATASET}"} <= {*names}:
            yield root, matches


def _lone(names: Sequence[str]) -> str | None:
    """Return the one checkpoint that lies in the package itself; None where there is none."""
    return next((kind for kind in _KINDS if kind in names), None)


def _find(package: Package) -> _Trained:
    if package.file is not None and is_checkpoint(package):
        return _Trained("", (ITSELF,))
    roots = list(_roots(package.names))
    if len(roots) > 1:
        named = few([root or "." for root, _ in roots], _NAMED)
        raise NetworkError(
            f"{package.path} holds {len(roots)} trained networks of nnU-Net ({named}). Open the folder of "
            "one."
        )
    if not roots:
        return _Trained("", (str(_lone(package.names)),))
    root, matches = roots[0]
    # nnU-Net itself leaves out the fold of all cases where there are others.
    numbered = [match for match in matches if match["fold"] != "all"] or matches
    kind = next(kind for kind in _KINDS if any(match["kind"] == kind for match in numbered))
    taken = sorted(
        (match for match in numbered if match["kind"] == kind), key=lambda match: match["fold"].zfill(3)
    )
    if len(taken) > _MOST_FOLDS:
        raise NetworkError(
            f"{package.path} has {len(taken)} folds; {_MOST_FOLDS} are opened at most. Move the others away."
        )
    left = {match["fold"] for match in matches} - {match["fold"] for match in taken}
    return _Trained(root, tuple(match[0] for match in taken), tuple(sorted(left)))


def _stated(package: Package, trained: _Trained) -> str | None:
    """Return the configuration that the name of the trained folder says; None where it says none."""
    folder = PurePosixPath(*package.path.absolute().parts, trained.root)
    if trained.checkpoints == (ITSELF,):
        folder = folder.parent
    if _FOLD.fullmatch(folder.name):
        folder = folder.parent
    named = _FOLDER.fullmatch(folder.name)
    return named and named["configuration"]


def _json(package: Package, trained: _Trained, name: str, fold: Checkpoint) -> Any:
    """Return what a JSON file of the folder holds; of a checkpoint alone, what it holds of that file."""
    member = trained.member(name)
    if trained.checkpoints != (ITSELF,) and package.has(member):
        with answering(
            NetworkError, f"{member} should be JSON, as nnU-Net writes it", "Copy the folder again."
        ):
            return json.loads(package.read(member, _LARGEST))
    inside = fold.plans if name == PLANS else fold.dataset
    if inside is None:
        raise NetworkError(
            f"{package.path} is a checkpoint of nnU-Net without its {name}. Open the trained folder that it "
            "belongs to."
        )
    return inside


def _check_alike(folds: Sequence[Checkpoint], package: Package) -> None:
    for key in ("configuration", "trainer", "mirrored"):
        values = {str(getattr(fold, key)) for fold in folds}
        if len(values) > 1:
            raise NetworkError(
                f"The folds in {package.path} were trained with different values of {key} "
                f"({few(sorted(value[:40] for value in values), _NAMED)}). Open one of them alone."
            )


def _member(said: Configuration, labels: Dataset, fold: Checkpoint) -> Description:
    """Return the description of a single fold."""
    arguments = with_batch_norm(said.arguments) if fold.batch_norm else said.arguments
    return Description(
        architecture=said.architecture,
        arguments={
            **arguments,
            "in_channels": len(labels.channels),
            "out_channels": len(labels.classes),
        },
        classes=labels.classes,
        channel_names=labels.channels,
        activation=labels.activation,
    )


def _check_weights(package: Package, fold: Checkpoint, member: Description) -> None:
    """Raise `NetworkError` unless the weights of a fold are those of its network; none is read."""
    content = package.content(fold.member)
    source = str(content.path)
    wanted = weights_wanted(member, len(fold.weights), content.size, source)
    compare(wanted, fold.weights, f"{source}, read as {member.architecture}")
    check_stored(fold.weights, content.size, source)


def _whole(member: Description, said: Configuration, folds: Sequence[Checkpoint]) -> Description:
    """Return the description of all folds together."""
    mirrored = folds[0].mirrored
    if any(axis >= said.ndim for axis in mirrored):
        raise NetworkError(
            f"A checkpoint of nnU-Net mirrors along axis {max(mirrored)} of a network with {said.ndim} axes, "
            "counted from 0. Put the plans beside the folds that belong to them."
        )
    order = _order(said)
    normalization, _ = normalization_of(said)
    whole = replace(
        member,
        input_normalization=normalization,
        voxel_size=_voxel_size(said, order),
        resampling=said.resampling,
    )
    return _with_copies(whole, len(folds), mirrored, order)


def _with_copies(
    member: Description, folds: int, mirrored: Sequence[int], order: Sequence[int] | None
) -> Description:
    if folds == 1 and not mirrored and order is None:
        return member
    said: dict[str, Any] = {"architecture": member.architecture, "arguments": dict(member.arguments)}
    said |= {"members": folds, "mirrored": list(mirrored)}
    if order is not None:
        said["order"] = list(order)
    return replace(member, architecture="ensemble", arguments=said)


def _without_copies(whole: Description) -> Description:
    """Return the description of the same networks without mirrored copies."""
    if whole.architecture != "ensemble":
        return whole
    said = whole.arguments
    member = replace(whole, architecture=said["architecture"], arguments=said["arguments"])
    return _with_copies(member, said["members"], (), said.get("order"))


def _order(said: Configuration) -> tuple[int, ...] | None:
    """Return the order of axes for an ensemble; None where the network's are those of images here."""
    order = said.order
    if said.ndim == 2 and order[0] == 0:
        # Planes are taken along z anyway.
        order = tuple(axis - 1 for axis in order[1:])
    return None if order == tuple(range(len(order))) else order


def _voxel_size(said: Configuration, order: Sequence[int] | None) -> tuple[float, ...] | None:
    """Return the spacing along the axes of images here, where each of them has one."""
    order = order or range(said.ndim)
    if said.reader in _UNSIZED or len(order) != said.ndim:
        return None
    return tuple(said.spacing[order.index(axis)] for axis in range(said.ndim))


def _name(plans: Any, said: Configuration, package: Package) -> str:
    named = plans.get("dataset_name") if isinstance(plans, Mapping) else None
    return f"{named[:80]} {said.name}" if isinstance(named, str) and named else package.path.stem


def _notes(
    said: Configuration, labels: Dataset, folds: Sequence[Checkpoint], trained: _Trained
) -> Iterator[str]:
    """Yield what no value says."""
    yield from normalization_of(said)[1]
    size = by_axis(f"{each:g}" for each in said.spacing)
    if said.reader in _UNSIZED:
        yield "It was trained on images without a voxel size."
    elif said.ndim == 2 and said.order[0] != 0:
        yield f"It was trained at {size} within planes along {'zyx'[said.order[0]]}; bring the image there."
    else:
        yield f"Its plans give a spacing of {size} without a unit, which is taken as micrometers."
        if said.resampling is not None:
            yield f"The setting resample brings images there {said.resampling.words}, as nnU-Net does."
        if said.resampled_otherwise:
            yield f"Its plans say that nnU-Net {said.resampled_otherwise}."
    yield (
        "nnU-Net cuts images to the box of what is not zero, and everything outside becomes background; here "
        "the whole image is predicted."
    )
    if len(folds) > 1:
        numbers = ", ".join(fold.fold for fold in folds)
        yield f"The outputs of folds {numbers} are averaged before the {labels.activation}."
    if trained.left:
        yield f"Not used: fold {', '.join(trained.left)}."
    if labels.activation == "sigmoid":
        yield (
            "Its regions overlap: of those that hold a voxel, nnU-Net takes the last in its own order as "
            "label."
        )
    if said.dropout:
        yield "It was trained with dropout, which is left out here, in fine-tuning too."


def _mirroring(description: Description, folds: Sequence[Checkpoint]) -> Mirroring | None:
    """Return the mirrored copies that checkpoints ask for, and whether they are made."""
    if not folds[0].mirrored:
        return None
    used = description.architecture == "ensemble" and bool(description.arguments.get("mirrored"))
    return Mirroring(copies=2 ** len(folds[0].mirrored), networks=len(folds), used=used)


def _completed(description: Description, given: Given) -> tuple[Description, str | None]:
    """Return a description with what the user says, and that as JSON for the network's reference."""
    said = stated_in(given.architecture) or Description()
    if said.architecture not in {None, description.architecture}:
        raise NetworkError(
            f"The folder of nnU-Net says that its architecture is {description.architecture}; the setting "
            f"architecture says {said.architecture}. Leave it out there."
        )
    changed = {key: getattr(said, key) for key in _CHANGEABLE if getattr(said, key) is not None}
    mirrored = given.mirroring and said.arguments.get("mirrored") != []
    arguments: dict[str, Any] = {} if mirrored else {"mirrored": []}
    if arguments:
        description = _without_copies(description)
    outside = Description(**changed, arguments=arguments) if changed or arguments else None
    return replace(description, **changed), outside.to_json() if outside else None


def _build(package: Package, description: Description, folds: Sequence[Checkpoint]) -> nn.Module:
    """Return the network with the weights of all folds."""
    source = str(package.path)
    tensors = sum(len(fold.weights) for fold in folds)
    size = sum(package.content(fold.member).size for fold in folds)
    wanted = weights_wanted(description, tensors, size, source)
    state: dict[str, Tensor] = {}
    for fold, prefix in zip(folds, _prefixes(wanted, folds[0].weights), strict=True):
        weights = load_weights(package, fold.member)
        state |= {f"{prefix}{name}": weight for name, weight in weights.items()}
    return build_with_weights(description, state, source)


def _prefixes(wanted: Mapping[str, Tensor], member: Mapping[str, Tensor]) -> list[str]:
    """Return what stands before the names of each fold's weights in an ensemble."""
    anchor = max(member, key=len)
    return [name.removesuffix(anchor) for name in wanted if name.endswith(anchor)]
