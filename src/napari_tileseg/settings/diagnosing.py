"""How a prediction is diagnosed."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg.settings.declaring import LARGEST_SEED, Settings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseSettings(Settings):
    """How a prediction is diagnosed."""

    sample: int | None = knob(
        "int",
        None,
        "Pairs of overlapping tiles to compare, drawn at random; as many as the effort allows by default.",
        minimum=1,
    )
    everything: bool = knob(
        "flag", False, "Compare all tiles of the prediction, whatever the effort: it costs two predictions."
    )
    effort: float = knob(
        "float",
        0.28,
        "Voxels that a diagnosis may put through the network, as a part of those that the prediction takes; "
        "three pairs of tiles are always compared.",
        minimum=0.01,
        maximum=100,
    )
    shift: int | None = knob(
        "int",
        None,
        "Compare overlapping tiles at this distance, or less where the image is small; by default the "
        "prediction's own tiles are compared with tiles moved by half a core.",
        unit="voxels",
        minimum=1,
    )
    threshold: float = knob("float", 0.5, "Least probability that belongs to a mask.", minimum=0, maximum=1)
    explain: bool = knob("flag", True, "Find out why tiles disagree, where they do.", identity=False)
    seed: int = knob(
        "int", 0, "Of the random sample: the same seed gives the same pairs.", minimum=0, maximum=LARGEST_SEED
    )
