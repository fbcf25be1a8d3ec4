"""A prediction as one line for the shell, to be run elsewhere or again."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings, knobs

if TYPE_CHECKING:
    from napari_tileseg.nets.reference import NetworkReference


def predict_command(
    image: str | PathLike[str],
    network: NetworkReference,
    out: str | PathLike[str],
    image_settings: ImageSettings | None = None,
    settings: PredictSettings | None = None,
) -> str:
    """Return the shell line that makes the same prediction.

    Parameters
    ----------
    image : str or path
        Path of the image.
    network : NetworkReference
        The network's file, its architecture where the file does not name it, and the user's trust.
    out : str or path
        OME-Zarr to write.
    image_settings, settings : optional
        What was chosen; only what differs from the defaults is written.

    Returns
    -------
    str
        Quoted for a POSIX shell.

    Examples
    --------
    >>> from napari_tileseg.nets import NetworkReference
    >>> network = NetworkReference("sample:nuclei_3d_batch", sha256="")
    >>> settings = PredictSettings(core=(32, 64, 64), resample=True)
    >>> predict_command("my embryo.tif", network, "out.ome.zarr", settings=settings)
    "tileseg predict 'my embryo.tif' sample:nuclei_3d_batch -o out.ome.zarr --core=32,64,64 --resample"
    """
    words = ["tileseg", "predict", fspath(image), network.path, "-o", fspath(out)]
    stated = NetworkSettings(architecture=network.architecture, trust_sha256=network.trust_sha256)
    chosen = (image_settings or ImageSettings(), stated, settings or PredictSettings())
    return shlex.join([*words, *(flag for each in chosen for flag in flags(each))])


def freeze_command(
    image: str | PathLike[str],
    network: NetworkReference,
    out: str | PathLike[str],
    image_settings: ImageSettings,
    settings: PredictSettings,
    *,
    names: Collection[str],
) -> str:
    """Return the shell line that makes a network which holds statistics of an image.

    Parameters
    ----------
    image, network, image_settings, settings
        As `predict_command` takes them.
    out : str or path
        Network file to write.
    names : collection of str
        Settings of a prediction that this command takes, too.
    """
    words = ["tileseg", "convert", network.path, "--norm", "frozen", "--calibrate", fspath(image)]
    stated = NetworkSettings(architecture=network.architecture, trust_sha256=network.trust_sha256)
    chosen = [*flags(image_settings), *flags(stated), *flags(settings, names)]
    return shlex.join([*words, "-o", fspath(out), *chosen])


def flags(settings: Any, names: Collection[str] | None = None) -> list[str]:
    """Return the command-line flags of the settings that differ from their defaults.

    Parameters
    ----------
    settings : ImageSettings, NetworkSettings or PredictSettings
        What was chosen.
    names : collection of str, optional
        Settings to write; all by default.

    Returns
    -------
    list of str
        Such as ``["--core=32,64,64", "--resample"]``.
    """
    written = []
    for knob in knobs(type(settings)):
        value = getattr(settings, knob.name)
        if value == knob.default or (names is not None and knob.name not in names):
            continue
        if knob.kind == "flag":
            written.append(knob.flag if value else knob.flag.replace("--", "--no-", 1))
        else:
            # One word with "=", so that a value that starts with "-" is not taken for a flag.
            written.append(f"{knob.flag}={knob.format(value)}")
    return written
