"""What labels mean, and how a network is trained on them."""

from __future__ import annotations

from dataclasses import dataclass

from napari_tileseg._types import Shape
from napari_tileseg.settings.declaring import LARGEST_SEED, Settings, knob


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings(Settings):
    """What the values of labels mean."""

    labels_kind: str | None = knob(
        "choice",
        None,
        "What the labels hold: strokes (one value for each class, 0 is not labelled), classes (one value for "
        "each class, 0 is background), or instances (one number for each object, 0 is background).",
        choices=("strokes", "classes", "instances"),
    )
    map: tuple[tuple[int, str], ...] | None = knob(
        "map",
        None,
        "Which value is which class, such as 127=myelin,255=axon; by default 1, 2, ... in the network's "
        "order, and the next one for background.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(Settings):
    """How a network is trained."""

    steps: int | None = knob(
        "int", None, "Steps of the optimizer; derived from minutes by default.", minimum=1
    )
    minutes: float | None = knob(
        "float",
        None,
        "Time from the start to the decision; turned into steps by their speed.",
        unit="min",
        minimum=0.05,
        maximum=1e6,
    )
    norm: str = knob(
        "choice",
        "batch_renorm",
        "What the network's normalization layers become before training: batch_renorm, or what they are.",
        choices=("batch_renorm", "keep"),
    )
    train: str = knob(
        "choice",
        "everything",
        "Which weights learn; the others stay as they are.",
        choices=("everything", "decoder_and_norms", "norms", "last_layer"),
    )
    learning_rate: float | None = knob(
        "float",
        None,
        "Of Adam; by default 0.001 from scratch and 0.0001 for fine-tuning.",
        minimum=1e-8,
        maximum=1,
    )
    remember: float = knob(
        "float",
        3.0,
        "Weight of the loss that keeps predictions on unpainted voxels close to the original network's, "
        "relative to the loss on the strokes; 0 disables it.",
        minimum=0,
        maximum=1000,
    )
    patch: Shape | None = knob(
        "ints",
        None,
        "Voxels of a patch along each axis, multiples of the network's stride; derived by default.",
        unit="voxels",
        minimum=1,
    )
    batch: int = knob("int", 1, "Patches that go through the network at once.", minimum=1)
    accumulate: int | None = knob(
        "int",
        None,
        "Batches whose gradients make one step; by default 8 from scratch and 2 for fine-tuning.",
        minimum=1,
    )
    first_phase: int | None = knob(
        "int",
        None,
        "Steps with plain batch statistics, before the ramp. By default from scratch until the loss has "
        "stopped falling, 40 % of the run at most; a trained network, whose statistics are good or have been "
        "measured, starts at the final limits.",
        minimum=0,
    )
    r_max: float = knob(
        "float",
        3.0,
        "Final limit of batch renormalization's correction of the deviation.",
        minimum=1,
        maximum=1e6,
    )
    d_max: float = knob(
        "float", 5.0, "Final limit of batch renormalization's correction of the mean.", minimum=0, maximum=1e6
    )
    held_out: float = knob(
        "float",
        0.2,
        "Fraction of the strokes, or of the volumes, held out for validation.",
        minimum=0,
        maximum=0.9,
    )
    validate_every: int = knob("int", 20, "Steps between two validations.", minimum=1, identity=False)
    checkpoint_every: float = knob(
        "float", 20.0, "Seconds between two checkpoints.", unit="s", minimum=0, maximum=1e9, identity=False
    )
    augment: bool = knob(
        "flag", True, "Flip patches, turn them where voxels are as long as wide, and vary intensities."
    )
    dtype: str = knob(
        "choice",
        "float32",
        "Number format of convolutions in training; statistics and weights stay in float32.",
        choices=("float32", "bfloat16", "float16"),
    )
    device: str = knob("text", "auto", "Where to compute: auto, cpu, mps, cuda or cuda:1.", identity=False)
    seed: int = knob("int", 0, "Of patches, augmentation and fresh weights.", minimum=0, maximum=LARGEST_SEED)
