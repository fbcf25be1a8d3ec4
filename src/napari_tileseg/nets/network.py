"""An opened network, how to open one from a file, and how to save one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_tileseg._types import Halo
from napari_tileseg.errors import NetworkError, UntrustedNetworkError
from napari_tileseg.nets import formats, geometry, inspection, registry
from napari_tileseg.nets.formats import pickled, safetensors, torchscript
from napari_tileseg.nets.formats.description import EXAMPLE, Description, axes_of
from napari_tileseg.nets.formats.weights import build_with_weights
from napari_tileseg.nets.spec import Activation, Geometry, InputNormalization, NetworkSpec
from napari_tileseg.nets.trust import is_trusted
from napari_tileseg.settings import NetworkSettings

_SAMPLE = "sample:"


@dataclass(frozen=True, slots=True)
class NetworkReference:
    """All that another process needs to open the same network.

    Parameters
    ----------
    path : str
        Absolute path, or ``sample:NAME``.
    sha256 : str
        Hash of the file's bytes.
    architecture : str, optional
        JSON description, for files that do not describe themselves.
    trust_sha256 : str, optional
        Hash of a TorchScript file that the user trusts. Take it from the user only, never from a file that
        somebody else may have written.
    """

    path: str
    sha256: str
    architecture: str | None = None
    trust_sha256: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An opened network. It pickles as its reference and is opened again from the file.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of it.
    module : torch.nn.Module
        In evaluation mode, float32, on the CPU, without gradients; from ``(batch, in_channels, *space)`` to
        ``(batch, out_channels, *space)`` before the activation. Not to be changed: copy it first.
    sha256 : str
        Hash of the file's bytes. A bare state dict is the same network only with the same
        ``reference.architecture``.
    reference : NetworkReference
        How to open it again.
    """

    spec: NetworkSpec
    module: nn.Module
    sha256: str
    reference: NetworkReference

    def __reduce__(self) -> tuple[Any, ...]:
        return open_network, (self.reference,)


def open_network(source: str | Path | NetworkReference, settings: NetworkSettings | None = None) -> Network:
    """Open a network and measure it.

    No code in the file is run, except that of a TorchScript file whose hash the user trusts.

    Parameters
    ----------
    source : str, Path or NetworkReference
        File, ``sample:NAME``, or a network's reference, which must still find the same bytes.
    settings : NetworkSettings, optional
        What the file does not say about itself.

    Returns
    -------
    Network

    Raises
    ------
    NetworkError
        If the file is absent, changed, broken, of an unknown format, or does not fit its description.
    UntrustedNetworkError
        If opening it would run code that nobody trusts.
    """
    settings = settings or NetworkSettings()
    expected = None
    if isinstance(source, NetworkReference):
        expected = source.sha256
        settings = replace(
            settings,
            architecture=source.architecture or settings.architecture,
            trust_sha256=source.trust_sha256 or settings.trust_sha256,
        )
        source = source.path
    place, path = _locate(source)
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected not in {None, sha256}:
        raise NetworkError(
            f"{path} has changed: its SHA-256 was {expected} and now is {sha256}. "
            "Bring the former file back, or open this one as a new network."
        )
    return _open(data, sha256, place, path, settings)


def sample_names() -> tuple[str, ...]:
    """Names of the networks that come with the program, to be opened as ``sample:NAME``."""
    folder = _sample_folder()
    return tuple(sorted(file.stem for file in folder.glob("*.safetensors")))


def _sample_folder() -> Path:
    with as_file(files("napari_tileseg") / "samples" / "networks") as folder:
        return folder


def _locate(source: str | Path) -> tuple[str, Path]:
    """What to call the place in a reference, and the file."""
    if not str(source).startswith(_SAMPLE):
        path = Path(source).expanduser().absolute()
        return str(path), path
    name = str(source).removeprefix(_SAMPLE)
    if name not in sample_names():
        raise NetworkError(
            f"There is no sample network {name!r}; there are {', '.join(sample_names()) or 'none'}."
        )
    return str(source), _sample_folder() / f"{name}.safetensors"


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise NetworkError(f"{path} is a folder; expected the file of a network.")
    try:
        # Read once: what is hashed is what is opened.
        return path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise NetworkError(f"{path} cannot be read: {reason}. Check the path.") from error


def _open(data: bytes, sha256: str, place: str, path: Path, settings: NetworkSettings) -> Network:
    kind = formats.recognise(data, str(path))
    if kind == "torchscript":
        return _open_torchscript(data, sha256, place, path, settings)
    inside = None
    if kind == "safetensors":
        state, inside = safetensors.load(data, str(path))
    else:
        state = pickled.load(data, str(path))
    outside = _described_outside(path, settings) if inside is None else None
    if inside is not None and settings.architecture is not None:
        raise NetworkError(f"{path} describes itself; leave the setting architecture out.")
    description = inside or outside
    if description is None:
        raise NetworkError(
            f"{path} holds weights, but not which network they belong to. Write that into "
            f"{path.with_suffix('.json').name} beside it, or into the setting architecture, like this: {EXAMPLE}"
        )
    module = build_with_weights(description, state, str(path))
    text = outside.to_json() if outside else None
    return _finish(module, description, NetworkReference(place, sha256, text), path)


def _open_torchscript(data: bytes, sha256: str, place: str, path: Path, settings: NetworkSettings) -> Network:
    if (settings.trust_sha256 or "").strip().lower() != sha256 and not is_trusted(sha256):
        raise UntrustedNetworkError(
            f"{path} is a TorchScript file: to open it runs the code in it. If you trust where it comes from, "
            f"say so by its SHA-256, which is {sha256} (--trust-sha256, or the setting trust_sha256).",
            sha256,
        )
    module = torchscript.load(data, str(path))
    outside = _described_outside(path, settings)
    text = outside.to_json() if outside else None
    description = _complete(outside or Description(), module, path)
    return _finish(module, description, NetworkReference(place, sha256, text, sha256), path)


def _complete(said: Description, module: nn.Module, path: Path) -> Description:
    """What nobody said about a TorchScript file's input, from its first convolution."""
    if said.axes and said.in_channels:
        return said
    found = torchscript.first_convolution(module)
    if found is None:
        raise NetworkError(
            f"{path} does not show how many axes and channels it takes. Write that into "
            f"{path.with_suffix('.json').name} beside it, or into the setting architecture, like this: "
            '{"axes": "zyx", "in_channels": 1, "classes": ["foreground"], "activation": "sigmoid"}'
        )
    return replace(said, axes=said.axes or axes_of(found[0]), in_channels=said.in_channels or found[1])


def _described_outside(path: Path, settings: NetworkSettings) -> Description | None:
    """Description in the settings (JSON or the path of a JSON file), or in a file beside the network."""
    given = settings.architecture
    if given is not None and given.lstrip().startswith("{"):
        return Description.from_json(given, "the setting architecture")
    if given is not None:
        return Description.from_json(_read_text(Path(given).expanduser()), given)
    for beside in (path.with_suffix(".json"), path.with_name(f"{path.name}.json")):
        if beside.is_file():
            return Description.from_json(_read_text(beside), str(beside))
    return None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NetworkError(
            f"The description {str(path)!r} cannot be read ({error}). Give JSON, or the path of a JSON file, "
            f"like this: {EXAMPLE}"
        ) from error


def _finish(module: nn.Module, said: Description, reference: NetworkReference, path: Path) -> Network:
    module = module.eval().requires_grad_(False)
    # Weights alone do not say what is computed with them: the description counts too.
    key = hashlib.sha256(f"{reference.sha256} {reference.architecture}".encode()).hexdigest()
    if said.architecture is None:
        ndim, in_channels = len(said.axes or ""), said.in_channels or 0
        measured = geometry.measured(module, key, ndim, in_channels)
        out_channels = _count_outputs(module, in_channels, measured)
    else:
        inputs = registry.signature(said.architecture, said.arguments)
        ndim, in_channels, out_channels = inputs.ndim, inputs.in_channels, inputs.out_channels
        measured = geometry.measured(module, key, ndim, in_channels)
    _check_said(said, ndim, in_channels, out_channels, path)
    spec = _spec(module, said, measured, key, (in_channels, out_channels), path)
    return Network(spec, module, reference.sha256, reference)


def _count_outputs(module: nn.Module, in_channels: int, measured: Geometry) -> int:
    with torch.inference_mode():
        output = module(torch.zeros(1, in_channels, *measured.read.minimum))
    return int(output.shape[1])


def _check_said(said: Description, ndim: int, in_channels: int, out_channels: int, path: Path) -> None:
    """Raise `NetworkError` where the description contradicts itself or the network."""
    if said.classes is not None and len(said.classes) != out_channels:
        raise NetworkError(
            f"{path} has {out_channels} output channels, but {len(said.classes)} classes are named: "
            f"{', '.join(said.classes)}. Name one for each channel."
        )
    if said.voxel_size is not None and len(said.voxel_size) != ndim:
        raise NetworkError(
            f"{path} has {ndim} spatial axes, but its voxel size {said.voxel_size} has {len(said.voxel_size)}."
        )
    if said.axes not in {None, axes_of(ndim)}:
        raise NetworkError(f"{path} has the axes {axes_of(ndim)}, but its description says {said.axes}.")
    if said.in_channels not in {None, in_channels}:
        raise NetworkError(
            f"{path} takes {in_channels} channels, but its description says {said.in_channels}."
        )


def _spec(
    module: nn.Module,
    said: Description,
    measured: Geometry,
    key: str,
    channels: tuple[int, int],
    path: Path,
) -> NetworkSpec:
    seams = inspection.judge_seams(module, measured)
    axes = axes_of(len(measured.stride))
    halo, why = _default_halo(module, measured, key, channels[0])
    return NetworkSpec(
        name=said.name or path.stem,
        architecture=said.architecture or "torchscript",
        axes=axes,
        in_channels=channels[0],
        out_channels=channels[1],
        classes=said.classes or _class_names(channels[1]),
        activation=said.activation or _usual_activation(said, channels[1]),
        input_normalization=said.input_normalization,
        normalization=inspection.count_norms(module),
        geometry=measured,
        default_halo=halo,
        voxel_size=said.voxel_size,
        seam_free=seams.seam_free,
        reason=f"{seams.reason} {why}".strip(),
        seam_layers=seams.layers,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
    )


def _class_names(count: int) -> tuple[str, ...]:
    return ("foreground",) if count == 1 else tuple(f"class {number}" for number in range(1, count + 1))


def _usual_activation(said: Description, out_channels: int) -> Activation:
    """Registered architectures end without one; what a TorchScript file gives is shown as it is."""
    if said.architecture is None:
        return "none"
    return "sigmoid" if out_channels == 1 else "softmax"


def _default_halo(module: nn.Module, measured: Geometry, key: str, in_channels: int) -> tuple[Halo, str]:
    """Context to read, and where it is a choice, why this one."""
    if measured.halo is not None:
        return measured.halo, ""
    frozen = inspection.without_tile_statistics(module)
    if frozen is not None:
        frozen_key = hashlib.sha256(f"{key} without statistics".encode()).hexdigest()
        halo = geometry.measured(frozen, frozen_key, len(measured.stride), in_channels).halo
        if halo is not None:
            return halo, "The halo in use is what its convolutions need, measured without those layers."
    return inspection.chosen_halo(measured), "The halo in use is a choice, not measured."


def save_network(
    module: nn.Module,
    path: str | Path,
    *,
    architecture: str,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    activation: Activation | None = None,
    input_normalization: InputNormalization | None = None,
    voxel_size: Sequence[float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a network in the project's own format: one ``.safetensors`` file that describes itself.

    The file is written whole or not at all, and the same network gives the same bytes.

    Parameters
    ----------
    module : torch.nn.Module
        Built by `napari_tileseg.nets.registry.build`, then trained.
    path : str or Path
        Where to; an existing file is replaced.
    architecture : str
        Its registered name.
    arguments : mapping
        What it was built with; values that JSON holds.
    name : str, optional
        What to call it; the file's name by default.
    classes : sequence of str, optional
        Name of each output channel.
    activation : {"none", "sigmoid", "softmax"}, optional
        By default "sigmoid" for one channel and "softmax" for more.
    input_normalization : InputNormalization, optional
        How intensities are prepared.
    voxel_size : sequence of float, optional
        Voxel size along each spatial axis in micrometers.
    provenance : mapping, optional
        Where it comes from: anything that JSON holds.

    Returns
    -------
    Path
        Absolute path of the file.

    Raises
    ------
    NetworkError
        If the description does not fit the module, so that the file could not be opened again.
    StoreError
        If it cannot be written.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix != ".safetensors":
        raise NetworkError(f"A network is saved as .safetensors; got {path.name!r}.")
    description = Description(
        architecture=architecture,
        arguments=dict(arguments or {}),
        name=name or path.stem,
        classes=None if classes is None else tuple(classes),
        activation=activation,
        input_normalization=input_normalization or InputNormalization(),
        voxel_size=None if voxel_size is None else tuple(voxel_size),
        provenance=dict(provenance or {}),
    )
    # What is not of JSON fails here, before anything is written.
    description = Description.from_json(description.to_json(), str(path))
    state = {key: value.detach().cpu().clone().contiguous() for key, value in module.state_dict().items()}
    build_with_weights(description, state, str(path))
    inputs = registry.signature(architecture, description.arguments)
    _check_said(description, inputs.ndim, inputs.in_channels, inputs.out_channels, path)
    safetensors.save(state, description, path)
    return path
