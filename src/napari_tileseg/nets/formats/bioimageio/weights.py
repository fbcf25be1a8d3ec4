"""Which of a package's weights are opened, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.layout import Arranged, is_plain
from napari_tileseg.nets.formats.bioimageio.model import Model
from napari_tileseg.nets.formats.bioimageio.values import mapping
from napari_tileseg.nets.formats.candidate import Candidate, Given
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.formats.onnx import package_format as onnx
from napari_tileseg.nets.formats.packages.package import Package
from napari_tileseg.nets.formats.pytorch import pickled, safetensors, torchscript
from napari_tileseg.nets.formats.pytorch.state_dicts import described_weights

#: Opens a member of a package as weights of one kind: the package, the member, its entry, what is stated.
_Opening: TypeAlias = Callable[[Package, str, Mapping[str, Any], Description], Candidate]
#: Classes of MONAI by our names for them.
_OF_MONAI = {
    "BasicUNet": "basic_unet",
    "BasicUnet": "basic_unet",
    "BasicUNetPlusPlus": "basic_unet_plus_plus",
    "UNet": "monai_unet",
    "Unet": "monai_unet",
    "DynUNet": "dynunet",
    "DynUnet": "dynunet",
    "SegResNet": "segresnet",
    "AttentionUnet": "attention_unet",
    "UNETR": "monai_unetr",
    "SwinUNETR": "swin_unetr",
}
#: Classes of torch_em, and their axes; arguments that ours take, and those that have to be left out.
_OF_TORCH_EM = {"UNet2d": 2, "UNet3d": 3}
_ABSENT = ("postprocessing", "return_side_outputs")
_ARGUMENTS = {
    *("in_channels", "out_channels", "depth", "initial_features", "gain", "norm", "final_activation"),
    *_ABSENT,
}
_WORDS = {
    "keras_hdf5": "Keras",
    "keras_v3": "Keras",
    "tensorflow_saved_model_bundle": "TensorFlow",
    "tensorflow_js": "TensorFlow",
    "pytorch_state_dict": "a state dict of PyTorch",
    "torchscript": "TorchScript",
    "pytorch_script": "TorchScript",
    "onnx": "ONNX",
}


class _MissingError(NetworkError):
    """Weights are not in the package."""


def _script(package: Package, name: str, _: Mapping[str, Any], description: Description) -> Candidate:
    if not torchscript.is_one(package.content(name)):
        raise NetworkError(f"{name} is no TorchScript file")
    return torchscript.described(package, name, description)


def _onnx(package: Package, name: str, _: Mapping[str, Any], description: Description) -> Candidate:
    if not onnx.is_one(package, name):
        raise NetworkError(f"{name} is no ONNX network")
    return onnx.described(package, name, description)


def _state_dict(package: Package, name: str, entry: Mapping[str, Any], description: Description) -> Candidate:
    assumed = None
    if description.architecture is None:
        architecture, arguments, assumed = _architecture(entry)
        description = replace(description, architecture=architecture, arguments=arguments)
    description = replace(description, axes=None, in_channels=None)
    content = package.content(name)
    reader = safetensors.READER if safetensors.is_one(content) else pickled.READER
    return replace(described_weights(package, name, description, reader), assumed=assumed)


def _architecture(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any], str | None]:
    """Return the architecture of ours that a state dict names, its arguments, and what was assumed."""
    stated = entry.get("architecture")
    if isinstance(stated, Mapping):
        where, called = stated.get("import_from") or stated.get("source"), stated.get("callable")
        arguments = mapping(stated.get("kwargs"))
    else:
        where, _, called = str(stated).rpartition("." if ":" not in str(stated) else ":")
        arguments = mapping(entry.get("kwargs"))
    place, known = str(where), _OF_MONAI.get(str(called))
    if known is not None and f"{place}.".startswith("monai.networks.nets."):
        norm = arguments.get("norm")
        # A name alone means MONAI's own layer of that name, not ours.
        chosen = {"norm": [norm, {}]} if isinstance(norm, str) else {}
        return known, {**arguments, **chosen}, None
    ndim = _OF_TORCH_EM.get(str(called))
    if ndim is not None and arguments.keys() <= _ARGUMENTS and not any(map(arguments.get, _ABSENT)):
        chosen = {key: value for key, value in arguments.items() if key not in _ABSENT}
        own = place.startswith("torch_em.")
        assumed = None if own else f"{called} of {place[:120]}, which was not run, is that of torch_em"
        return "torch_em_unet", {"ndim": ndim, **chosen}, assumed
    raise NetworkError(
        f"the state dict is of {str(called)[:60]} in {place[:120]}, whose code is not run here"
    )


#: How each kind of weights is opened, the best first.
_KINDS: dict[str, _Opening] = {
    "torchscript": _script,
    "pytorch_script": _script,
    "onnx": _onnx,
    "pytorch_state_dict": _state_dict,
}


def choose(package: Package, about: str, model: Model, description: Description, given: Given) -> Candidate:
    """Return the network by those of its weights that can be opened, the best first.

    That is TorchScript where its code is trusted, then what runs no code; TorchScript that nobody trusts yet
    is offered where there is nothing else.

    Parameters
    ----------
    package : Package
        What was chosen.
    about : str
        Member with the description.
    model : Model
        What that states.
    description : Description
        The same, completed by the user.
    given : Given
        Trust, and what is expected.

    Raises
    ------
    NetworkError
        If none can be opened; each kind is named with the reason.
    """
    found: list[Candidate] = []
    reasons: list[str] = []
    missing = 0
    for kind, entry in _in_order(model):
        try:
            name = _member(package, entry)
            candidate = _KINDS[kind](package, name, entry, description)
            _check_hash(package, name, entry)
            found.append(_completed(candidate, about, model))
        except _MissingError as error:
            missing += 1
            reasons.append(f"{_WORDS.get(kind, kind)}: {error}")
        except NetworkError as error:
            reasons.append(f"{_WORDS.get(kind, kind)}: {str(error).rstrip('.')}")
    for kind in model.weights.keys() - _KINDS.keys():
        reasons.append(f"{_WORDS.get(kind, kind)[:60]}: not opened here")
    same = [each for each in found if package.sha256(each.members) == given.expected]
    free = [each for each in found if each.code is None or given.trusts(each.code.sha256)]
    if same or free or found:
        return (same or free or found)[0]
    raise NetworkError(
        f"{model.source} is a bioimage.io model without weights that are opened here "
        f"({'; '.join(sorted(reasons)) or 'it names none'}). {_cure(missing, len(reasons))}"
    )


def _cure(missing: int, reasons: int) -> str:
    if 0 < missing == reasons:
        return "Download the whole package as its zip file, and open that."
    return (
        "Take a package with TorchScript or ONNX weights, or name the architecture of its state dict in the "
        "setting architecture."
    )


def _in_order(model: Model) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in _KINDS:
        if kind in model.weights:
            yield kind, model.weights[kind]


def _member(package: Package, entry: Mapping[str, Any]) -> str:
    """Return the member in which weights lie."""
    source = str(entry.get("source"))
    if "://" in source:
        inside = PurePosixPath(source).name
        if inside and package.has(inside):
            return inside
        raise _MissingError(f"the weights are not in the package, only their address ({source[:120]})")
    if not package.has(source):
        raise _MissingError(f"{source[:120]} is missing in the package")
    return str(PurePosixPath(source))


def _check_hash(package: Package, name: str, entry: Mapping[str, Any]) -> None:
    stated = entry.get("sha256")
    if stated is not None and stated != package.digest(name):
        raise NetworkError(f"{name} is not the file that the description is about: its SHA-256 differs")


def _completed(candidate: Candidate, about: str, model: Model) -> Candidate:
    axes, layout, build = model.description.axes or "", model.layout, candidate.build
    candidate = replace(candidate, members=(about, *candidate.members))
    if is_plain(axes, layout):
        return candidate
    # What turns the axes is no part of an architecture, which could not be built again by its name alone.
    description = replace(
        candidate.description,
        architecture=None,
        arguments={},
        axes=axes,
        in_channels=model.description.in_channels,
    )
    return replace(candidate, description=description, build=lambda: Arranged(build(), axes, *layout))
