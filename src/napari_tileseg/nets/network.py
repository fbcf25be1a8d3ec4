"""An opened network, how to open one from a file, and how to save one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_tileseg.errors import NetworkError, StoreError, UntrustedNetworkError
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats.candidate import Candidate, Given, Mirroring
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.formats.packages.package import Package, open_package
from napari_tileseg.nets.formats.pytorch import torchscript
from napari_tileseg.nets.identity import sha256_of
from napari_tileseg.nets.reference import NetworkReference
from napari_tileseg.nets.resting import at_rest, copied
from napari_tileseg.nets.self_test.cached import cached_self_test
from napari_tileseg.nets.spec import Activation, InputNormalization, NetworkSpec
from napari_tileseg.nets.specification import specify
from napari_tileseg.nets.trust_list import is_trusted, trust
from napari_tileseg.settings import NetworkSettings

_SAMPLE = "sample:"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An opened network. It pickles as its reference and is opened again from the file, if it has one.

    Parameters
    ----------
    spec : NetworkSpec
        What is known of it.
    module : torch.nn.Module
        In evaluation mode, float32, on the CPU, without gradients; from ``(batch, in_channels, *space)`` to
        ``(batch, out_channels, *space)`` before the activation. Not to be changed: copy it first.
    sha256 : str
        Hash of the file's bytes, or of the members of a package that decide what is computed. A bare state
        dict is the same network only with the same ``reference.architecture``.
    reference : NetworkReference
        How to open it again.
    description : Description
        Its description, so that it can be saved as another one.
    mirroring : Mirroring, optional
        Mirrored copies that its package asks to average over; None where it asks for none.
    """

    spec: NetworkSpec
    module: nn.Module
    sha256: str
    reference: NetworkReference
    description: Description = field(default_factory=Description)
    mirroring: Mirroring | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.reference.path:
            raise NetworkError(
                f"{self.spec.name} is only in memory, and its layers may be code that another process does "
                "not have: it can be used in this process only. Save it, and open the file."
            )
        return open_network, (self.reference,)


def open_network(source: str | Path | NetworkReference, settings: NetworkSettings | None = None) -> Network:
    """Open a network and measure it.

    No code in the file is run, except that of a TorchScript file whose hash the user trusts. Trust that the
    settings state is remembered for this user, where it can be.

    Parameters
    ----------
    source : str, Path or NetworkReference
        File, folder or zip file, ``sample:NAME``, or a network's reference, which must still find the same
        bytes.
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
    stated = settings.trust_sha256
    expected = None
    if isinstance(source, NetworkReference):
        expected = source.sha256
        settings = replace(
            settings,
            architecture=source.architecture or settings.architecture,
            trust_sha256=source.trust_sha256 or settings.trust_sha256,
        )
        source = source.path
    network = _open(*_locate(source), expected, settings)
    code = network.reference.trust_sha256
    # What a reference says of trust holds for this call.
    if code is not None and _same_hash(stated, code):
        _remember(code)
    return network


def _same_hash(stated: str | None, sha256: str) -> bool:
    return (stated or "").strip().lower() == sha256


def _remember(sha256: str) -> None:
    try:
        trust(sha256)
    except StoreError:
        # Trust was stated for this call, and holds for it; a cluster may have no folder to store it in.
        return


def sample_names() -> tuple[str, ...]:
    """Return the names of the networks that come with the program, to be opened as ``sample:NAME``."""
    folder = _sample_folder()
    return tuple(sorted(file.stem for file in folder.glob("*.safetensors")))


def _sample_folder() -> Path:
    with as_file(files("napari_tileseg") / "samples" / "networks") as folder:
        return folder


def _locate(source: str | Path) -> tuple[str, Path]:
    """Return the path by which a reference names a network, and its file."""
    if not str(source):
        raise NetworkError("This network is only in memory. Save it, and open the file.")
    if not str(source).startswith(_SAMPLE):
        path = Path(source).expanduser().absolute()
        return str(path), path
    name = str(source).removeprefix(_SAMPLE)
    if name not in sample_names():
        raise NetworkError(
            f"There is no sample network {name!r}; there are {', '.join(sample_names()) or 'none'}."
        )
    return str(source), _sample_folder() / f"{name}.safetensors"


def _open(source: str, path: Path, expected: str | None, settings: NetworkSettings) -> Network:
    stated = settings.trust_sha256

    def trusts(sha256: str) -> bool:
        # A hash that is stated has to be the code's, remembered or not: it may be other code than was meant.
        return is_trusted(sha256) if stated is None else _same_hash(stated, sha256)

    with open_package(path) as package:
        try:
            given = Given(settings.architecture, expected, trusts, settings.mirroring)
            candidate = formats.candidate_of(package, given)
        except NetworkError as error:
            # What has changed is reported as changed, whatever it is now.
            _check_unchanged(package, expected, error)
            raise
        _check_unchanged(package, expected, candidate)
        code, sha256 = candidate.code, package.sha256(candidate.members)
        if code is not None and not trusts(code.sha256):
            raise UntrustedNetworkError(
                f"{code.what}: to open it runs the code in it. If you trust where it comes from, say so by "
                f"its SHA-256, which is {code.sha256} (--trust-sha256, or the setting trust_sha256).",
                code.sha256,
                str(path),
                in_panel=f"{code.what}: to open it runs the code in it, which was not allowed. Choose it "
                "again to be asked.",
            )
        module = candidate.build()
    description = _complete(candidate.description, module, path)
    # Weights alone do not say what is computed with them: the description counts too.
    key = hashlib.sha256(f"{sha256} {candidate.outside}".encode()).hexdigest()
    spec = specify(at_rest(module), description, key, path)
    if description.architecture is None:
        spec = replace(spec, architecture=candidate.kind)
    spec = replace(spec, notes=(*candidate.notes, *spec.notes))
    if candidate.self_test is not None:
        spec = replace(spec, self_test=cached_self_test(candidate.self_test, module, spec, key))
    if candidate.assumed is not None:
        spec = _proven(spec, candidate.assumed, path)
    reference = NetworkReference(source, sha256, candidate.outside, code.sha256 if code else None)
    return Network(spec, module, sha256, reference, description, candidate.mirroring)


def _proven(spec: NetworkSpec, assumed: str, path: Path) -> NetworkSpec:
    """Return the spec of a network for which something was assumed, with a note of it.

    Raises
    ------
    NetworkError
        Unless its own test proves that.
    """
    if spec.self_test is None or not spec.self_test.reproduces:
        came = "it has no test of its own" if spec.self_test is None else spec.self_test.words
        raise NetworkError(
            f"{path} opens here only if {assumed}, which its own test has to prove: {came}. Take a package "
            "with TorchScript weights, or name the architecture in the setting architecture."
        )
    return replace(spec, notes=(*spec.notes, f"Its own test proves that {assumed}."))


def _check_unchanged(package: Package, expected: str | None, found: Candidate | NetworkError) -> None:
    """Raise `NetworkError` if a package is not the one that a reference names, or cannot be that any more."""
    if expected is None:
        return
    if isinstance(found, NetworkError) and package.looked_into:
        raise NetworkError(
            f"{package.path} does not open any more as it did when it was chosen: {found}"
        ) from found
    sha256 = package.sha256(found.members) if isinstance(found, Candidate) else package.digest()
    if sha256 != expected:
        raise NetworkError(
            f"{package.path} has changed since it was chosen: it is another file than the one that was used. "
            "Bring the former file back, or open this one as a new network."
        )


def _complete(description: Description, module: nn.Module, path: Path) -> Description:
    """Complete what nobody stated about the input of a network that holds its own code."""
    if description.architecture is not None or (description.axes and description.in_channels):
        return description
    found = torchscript.first_convolution(module) if isinstance(module, torch.jit.ScriptModule) else None
    if found is None:
        raise NetworkError(
            f"{path} does not show how many axes and channels it takes. Write that into "
            f"{path.with_suffix('.json').name} beside it, or into the setting architecture, like this: "
            '{"axes": "zyx", "in_channels": 1, "classes": ["foreground"], "activation": "sigmoid"}'
        )
    return replace(
        description,
        axes=description.axes or axes_of(found[0]),
        in_channels=description.in_channels or found[1],
    )


def open_module(
    module: nn.Module,
    *,
    axes: str,
    in_channels: int,
    name: str | None = None,
    classes: tuple[str, ...] | None = None,
    activation: Activation | None = None,
    voxel_size: tuple[float, ...] | None = None,
    input_normalization: InputNormalization | None = None,
) -> Network:
    """Open a network that Python code has built, and find out its geometry.

    Parameters
    ----------
    module : torch.nn.Module
        From ``(batch, in_channels, *space)`` to ``(batch, classes, *space)`` of the same spatial shape. It is
        copied, and not changed; the copy is in evaluation mode, float32, on the CPU.
    axes : {"yx", "zyx"}
        Its spatial axes, in the order in which it takes them.
    in_channels : int
        Channels that it takes, at least 1.
    name : str, optional
        What to call it; the name of its class by default.
    classes : tuple of str, optional
        A name for each output channel.
    activation : {"none", "sigmoid", "softmax"}, optional
        What turns its output into probabilities; "none" by default, and where it does so itself.
    voxel_size : tuple of float, optional
        Voxel size along each axis at which it was trained, in micrometers.
    input_normalization : InputNormalization, optional
        How intensities are prepared; by percentiles by default, which is a note of its spec.

    Returns
    -------
    Network
        It can be used in this process only, and says so when it is pickled: nothing tells whether another
        process has the code of its layers.

    Raises
    ------
    NetworkError
        If it cannot be copied or run, gives something else than one tensor of the same spatial shape, or
        does not fit what is stated.

    Examples
    --------
    >>> from torch import nn
    >>> network = open_module(nn.Conv2d(1, 2, 3, padding=1), axes="yx", in_channels=1)
    >>> network.spec.geometry.halo, network.spec.classes
    (((1, 1), (1, 1)), ('class 1', 'class 2'))
    """
    if not isinstance(module, nn.Module):
        raise NetworkError(
            f"A torch.nn.Module was expected; got {type(module).__name__}. Open files with open_network."
        )
    built = type(module).__name__
    description = Description(
        name=name or built,
        axes=axes,
        in_channels=in_channels,
        classes=classes,
        activation=activation,
        voxel_size=voxel_size,
        input_normalization=input_normalization,
    )
    network = network_in_memory(copied(module).cpu().float(), description)
    return replace(network, spec=replace(network.spec, architecture=built))


def network_in_memory(
    module: nn.Module,
    description: Description,
    spec: NetworkSpec | None = None,
    *,
    ancestor: str | None = None,
) -> Network:
    """Return the network that has no file yet.

    Parameters
    ----------
    module : torch.nn.Module
        Of a registered architecture, float32, on the CPU; it is put into evaluation mode, and not
        copied.
    description : Description
        Its description.
    spec : NetworkSpec, optional
        What is known of a network of the same layers; measured by default.
    ancestor : str, optional
        Hash of a network that this one descends from by changing weights and converting layers: what is
        measured of one of its descendants holds for all with the same layers, and is cached.

    Returns
    -------
    Network
        Its `sha256` is that of its code, weights and description. It can be used in this process only.

    Raises
    ------
    NetworkError
        If the description contradicts itself or the network, or the network cannot be measured.
    """
    module = at_rest(module)
    key = sha256_of(module, description.to_json())
    if spec is None:
        layers = None if ancestor is None else _layers_of(ancestor, description)
        spec = specify(module, description, layers, Path(description.name or "network"))
    elif spec.self_test is not None:
        # Other weights give another output.
        spec = replace(spec, self_test=None)
    return Network(spec, module, key, NetworkReference("", key), description)


def _layers_of(ancestor: str, description: Description) -> str | None:
    """Return the hash of a descendant's layers; None where they are those of code that nobody has hashed."""
    if description.architecture is None:
        return None
    layers = replace(description, name=None, classes=None, provenance={}, r_max=None, d_max=None)
    return hashlib.sha256(f"{ancestor} {layers.to_json()}".encode()).hexdigest()
