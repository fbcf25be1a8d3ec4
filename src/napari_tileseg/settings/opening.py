"""What the files of images and networks do not state."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg._types import Indices
from napari_tileseg.settings.declaring import Settings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings(Settings):
    """Which part of what a file holds is the image, and what the file does not state about it."""

    level: int = knob("int", 0, "Level of a multiscale image, 0 being the finest.", minimum=0)
    axes: str | None = knob(
        "text",
        None,
        "Axes of the array in order, from t, c, z, y, x; taken from the file if that names them.",
    )
    channel: Indices | None = knob(
        "ints",
        None,
        "Channels to feed to the network, in its order; by default those that are called as the network's "
        "are, else all in their order.",
        minimum=0,
    )
    voxel_size: tuple[float, ...] | None = knob(
        "floats",
        None,
        "Voxel size along each spatial axis; taken from the file if that states it.",
        unit="um",
        minimum=1e-9,
        maximum=1e9,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings(Settings):
    """What a network's file does not state about itself."""

    architecture: str | None = knob(
        "text",
        None,
        "JSON (or the path of a JSON file) that describes the network of a bare state dict or TorchScript "
        "file: a registered architecture's name, its arguments, and the spec.",
    )
    trust_sha256: str | None = knob(
        "text", None, "SHA-256 of a TorchScript file that you trust to run its code.", identity=False
    )
    mirroring: bool = knob(
        "flag",
        True,
        "Average the output over mirrored copies of the image, where the network was made for it, as nnU-Net "
        "does by default; without, a volume takes an eighth of the time.",
    )
