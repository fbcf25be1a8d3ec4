"""The description of a model as a whole: read as data, checked, and turned into a description of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from napari_tileseg._yaml import parse_yaml
from napari_tileseg.errors import NetworkError, answering
from napari_tileseg.nets.formats.bioimageio.processing import (
    Operation,
    activation_of,
    left_out,
    operations,
    preparation,
)
from napari_tileseg.nets.formats.bioimageio.tensors import Axis, axes_of, check_same_size, spatial
from napari_tileseg.nets.formats.bioimageio.values import entries, mapping
from napari_tileseg.nets.formats.description import Description
from napari_tileseg.nets.spec import InputNormalization

_VERSION = re.compile(r"0\.(4|5)(\.\d+)*")
#: Names of channels that are nothing but their numbers.
_NUMBERED = re.compile(r"(c|ch|channel|input|raw)?[ _.-]*\d+", re.IGNORECASE)
#: Voxels of a stated size with which a network is tried first.
_MOST_VOXELS = 2**22


@dataclass(frozen=True, slots=True)
class Model:
    """What a description states.

    Parameters
    ----------
    source : str
        The description's file, for messages.
    stated : mapping
        All of it.
    inputs, outputs : sequence of Axis
        Axes of the input and the output, in the package's order.
    description : Description
        The same in our words, the architecture left out.
    after : tuple of Operation
        Steps after the activation, which are not done.
    """

    source: str
    stated: Mapping[str, Any]
    inputs: Sequence[Axis]
    outputs: Sequence[Axis]
    description: Description
    after: tuple[Operation, ...]

    @property
    def weights(self) -> Mapping[str, Mapping[str, Any]]:
        """Entries of weights by their kind."""
        return {str(kind): mapping(each) for kind, each in mapping(self.stated.get("weights")).items()}

    @property
    def layout(self) -> tuple[str, str]:
        """Letters of the axes of input and output, in the package's order."""
        first, last = ("".join(axis.letter for axis in axes) for axes in (self.inputs, self.outputs))
        return first, last

    def test_tensors(self) -> tuple[Any, Any]:
        """Return the stated names of the test input and of its output, None where there is none."""
        if str(self.stated["format_version"]).startswith("0.4"):
            first, last = (entries(self.stated.get(key)) for key in ("test_inputs", "test_outputs"))
            return next(iter(first), None), next(iter(last), None)
        tensors = [mapping(entries(self.stated.get(key))[0]) for key in ("inputs", "outputs")]
        given, found = (mapping(each.get("test_tensor")).get("source") for each in tensors)
        return given, found


def read_model(data: bytes, source: str) -> Model:
    """Return what a description states.

    Parameters
    ----------
    data : bytes
        The file.
    source : str
        Its path, for messages.

    Raises
    ------
    NetworkError
        If it is broken, or describes what there is not here; the part is named.
    """
    with answering(NetworkError, f"{source} should describe a bioimage.io model", "Mend it."):
        stated = parse_yaml(data)
    if not isinstance(stated, Mapping) or stated.get("type", "model") != "model":
        what = str(mapping(stated).get("type", "nothing"))[:40]
        raise NetworkError(f"{source} should describe a bioimage.io model; it describes {what}.")
    version = str(stated.get("format_version"))
    if not _VERSION.fullmatch(version):
        raise NetworkError(
            f"{source} is a bioimage.io model of format {version[:20]}; 0.4 and 0.5 are read. Convert it "
            "with the tools of bioimage.io, or open its weights."
        )
    return model_of(stated, source)


def model_of(stated: Mapping[str, Any], source: str) -> Model:
    """Return what a description states that was read before; as `read_model`."""
    inputs, outputs = ([mapping(each) for each in entries(stated.get(key))] for key in ("inputs", "outputs"))
    for what, tensors in (("input", inputs), ("output", outputs)):
        if len(tensors) != 1:
            listed = ", ".join(str(each.get("id", each.get("name")))[:40] for each in tensors) or "none"
            raise NetworkError(
                f"{source} is a bioimage.io model of {len(tensors)} {what}s ({listed[:200]}); networks of "
                f"one {what} are opened here."
            )
    (first,), (last,) = inputs, outputs
    names = [str(each.get("id", each.get("name"))) for each in (first, last)]
    if names[0] == names[1]:
        raise NetworkError(f"{source} calls both its input and its output {names[0][:60]!r}. Mend it.")
    given, found = axes_of(first, source), axes_of(last, source, inputs)
    check_same_size(given, found, source)
    before = preparation(operations(first.get("preprocessing"), source), given, names[0], source)
    activation, after = activation_of(operations(last.get("postprocessing"), source))
    letters = spatial(given, source)
    classes = next((axis.names for axis in found if axis.kind == "channel"), ())
    description = Description(
        name=str(stated.get("name"))[:200] if stated.get("name") else None,
        axes=letters,
        in_channels=next((axis.size for axis in given if axis.kind == "channel"), 1),
        read_shape=_read_shape(given, letters),
        channel_names=_telling(next((axis.names for axis in given if axis.kind == "channel"), ())),
        classes=classes or None,
        activation=activation,
        input_normalization=InputNormalization.of_steps(before.steps),
        voxel_size=_of_space(given, letters, "voxel"),
        halo=_of_space(found, letters, "halo"),
        notes=(*before.notes, *left_out(after, source)),
    )
    return Model(source, stated, given, found, description, after)


def _telling(names: Sequence[str]) -> tuple[str, ...] | None:
    """Return names of channels, unless they are numbers only: these say nothing that the order does not."""
    return None if all(map(_NUMBERED.fullmatch, names)) else tuple(names)


def _of_space(axes: Sequence[Axis], letters: str, name: str) -> Any:
    """Return a value for each axis of space, in our order; None unless all have one."""
    by_letter = {axis.letter: getattr(axis, name) for axis in axes}
    values = tuple(by_letter[letter] for letter in letters)
    return None if None in values else values


def _read_shape(axes: Sequence[Axis], letters: str) -> tuple[int, ...] | None:
    """Return a stated size of the input, where it would not be found by trying: most take others, too."""
    shape: tuple[int, ...] | None = _of_space(axes, letters, "size")
    if shape is None or any(axis.free for axis in axes) or len({*shape}) == 1:
        return None
    return shape if 0 not in shape and prod(shape) <= _MOST_VOXELS else None
