"""An opened network, how to open one from a file, and how to save one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from torch import nn

from napari_tileseg.errors import NetworkError, StoreError, UntrustedNetworkError
from napari_tileseg.nets import formats
from napari_tileseg.nets.formats import torchscript
from napari_tileseg.nets.formats.content import Content
from napari_tileseg.nets.formats.description import Description, axes_of
from napari_tileseg.nets.formats.outside import described_outside
from napari_tileseg.nets.identity import sha256_of
from napari_tileseg.nets.reference import NetworkReference
from napari_tileseg.nets.resting import at_rest
from napari_tileseg.nets.spec import NetworkSpec
from napari_tileseg.nets.specification import specify
from napari_tileseg.nets.trust_list import is_trusted, trust
from napari_tileseg.nets.weights import examine
from napari_tileseg.settings import NetworkSettings

_SAMPLE = "sample:"


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
    description : Description
        Its description, so that it can be saved as another one.
    """

    spec: NetworkSpec
    module: nn.Module
    sha256: str
    reference: NetworkReference
    description: Description = field(default_factory=Description)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_network, (self.reference,)


def open_network(source: str | Path | NetworkReference, settings: NetworkSettings | None = None) -> Network:
    """Open a network and measure it.

    No code in the file is run, except that of a TorchScript file whose hash the user trusts. Trust that the
    settings state is remembered for this user, where it can be.

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
    if _same_hash(stated, network.sha256):
        _remember(network.sha256)
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
    with formats.network_file(path) as content:
        try:
            kind = formats.recognise(content)
            # What it costs to open it is known before it is read.
            weights = None if kind == "torchscript" else examine(kind, content, settings.architecture)
        except NetworkError:
            # A file that has changed is reported as changed, whatever it is now.
            _check_unchanged(content, expected)
            raise
        if weights is None:
            return _open_torchscript(content, source, expected, settings)
        # Read once: what is hashed is what is opened.
        data = content.everything()
        sha256 = hashlib.sha256(data).hexdigest()
        _check_unchanged(content, expected, sha256)
        module = weights.build(content, data)
    text = weights.description.to_json() if weights.outside else None
    reference = NetworkReference(source, sha256, text)
    return _finish(module, weights.description, reference, path, weights.found.notes())


def _check_unchanged(content: Content, expected: str | None, sha256: str | None = None) -> None:
    """Raise `NetworkError` if a file is not the one that a reference names."""
    if expected is None:
        return
    sha256 = sha256 or content.sha256()
    if sha256 != expected:
        raise NetworkError(
            f"{content.path} has changed since it was chosen: it is another file than the one that was used. "
            "Bring the former file back, or open this one as a new network."
        )


def _open_torchscript(
    content: Content, source: str, expected: str | None, settings: NetworkSettings
) -> Network:
    path, stated = content.path, settings.trust_sha256
    sha256 = content.sha256()
    _check_unchanged(content, expected, sha256)
    # A hash that is stated has to be this file's, remembered or not: it may be another file than was meant.
    if not (is_trusted(sha256) if stated is None else _same_hash(stated, sha256)):
        raise UntrustedNetworkError(
            f"{path} is a TorchScript file: to open it runs the code in it. If you trust where it comes "
            f"from, say so by its SHA-256, which is {sha256} (--trust-sha256, or the setting trust_sha256).",
            sha256,
            str(path),
        )
    data = content.everything()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise NetworkError(f"{path} is being written. Wait until it is there as a whole, and open it then.")
    outside = described_outside(content, settings.architecture)
    module = torchscript.load(data, str(path))
    text = outside.to_json() if outside else None
    description = _complete(outside or Description(), module, path)
    return _finish(module, description, NetworkReference(source, sha256, text, sha256), path)


def _complete(description: Description, module: nn.Module, path: Path) -> Description:
    """Complete what nobody stated about a TorchScript file's input from its first convolution."""
    # The file holds its own code: an architecture named beside it tells nothing about it.
    description = replace(description, architecture=None, arguments={})
    if description.axes and description.in_channels:
        return description
    found = torchscript.first_convolution(module)
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


def _finish(
    module: nn.Module,
    description: Description,
    reference: NetworkReference,
    path: Path,
    notes: tuple[str, ...] = (),
) -> Network:
    # Weights alone do not say what is computed with them: the description counts too.
    key = hashlib.sha256(f"{reference.sha256} {reference.architecture}".encode()).hexdigest()
    spec = specify(at_rest(module), description, key, path)
    spec = replace(spec, notes=(*notes, *spec.notes))
    return Network(spec, module, reference.sha256, reference, description)


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
    return Network(spec, module, key, NetworkReference("", key), description)


def _layers_of(ancestor: str, description: Description) -> str | None:
    """Return the hash of a descendant's layers; None where they are those of code that nobody has hashed."""
    if description.architecture is None:
        return None
    layers = replace(description, name=None, classes=None, provenance={}, r_max=None, d_max=None)
    return hashlib.sha256(f"{ancestor} {layers.to_json()}".encode()).hexdigest()
