"""Tensors of a description: their axes in either version, and how the size of an output follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.formats.bioimageio.values import count, entries, mapping, number

Kind: TypeAlias = Literal["batch", "channel", "space", "other"]
#: Axes in their order here.
SPACE = "zyx"
_KINDS: dict[str, Kind] = {"b": "batch", "c": "channel", **dict.fromkeys(SPACE, "space")}
_MICROMETERS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "angstrom": 1e-4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis of a tensor.

    Parameters
    ----------
    kind : {"batch", "channel", "space", "other"}
        What runs along it.
    letter : str
        One of ``bczyx``, or ``t`` or ``i``.
    size : int, optional
        Its size, or the least one.
    free : bool
        Whether it may have other sizes.
    step, offset : float
        Voxels of the input for each one, and voxels that are added, where the size follows from an input's:
        ``size = input / step + offset``.
    voxel : float, optional
        Voxel size in micrometers.
    halo : int, optional
        The halo that is stated.
    names : tuple of str
        Names of channels.
    """

    kind: Kind
    letter: str
    size: int | None = None
    free: bool = False
    step: float = 1.0
    offset: float = 0.0
    follows: bool = False
    voxel: float | None = None
    halo: int | None = None
    names: tuple[str, ...] = ()


def axes_of(tensor: Mapping[str, Any], source: str, before: Sequence[Mapping[str, Any]] = ()) -> list[Axis]:
    """Return the axes of a tensor, of version 0.4 or 0.5.

    Parameters
    ----------
    tensor : mapping
        Its entry in the description.
    source : str
        The description, for messages.
    before : sequence of mapping
        Entries of the inputs to which sizes may refer.

    Raises
    ------
    NetworkError
        If they make no sense.
    """
    stated = tensor.get("axes")
    found = _of_letters(tensor, stated) if isinstance(stated, str) else _of_list(tensor, before)
    letters = "".join(axis.letter for axis in found)
    if not found or len({*letters}) != len(letters) or not {*letters} <= {*"bctizyx"}:
        raise NetworkError(
            f"{source} should name the axes of {_name(tensor)}, each once, of b, c, z, y and x; got "
            f"{letters[:40] or 'none'}. Mend it, or take another package."
        )
    return found


def _name(tensor: Mapping[str, Any]) -> str:
    return repr(str(tensor.get("id", tensor.get("name", "a tensor")))[:60])


def _of_letters(tensor: Mapping[str, Any], letters: str) -> list[Axis]:
    """Return axes as version 0.4 states them: letters, and sizes in lists."""
    shape = tensor.get("shape")
    sizes, least, steps = (
        entries(shape),
        entries(mapping(shape).get("min")),
        entries(mapping(shape).get("step")),
    )
    scales, offsets = entries(mapping(shape).get("scale")), entries(mapping(shape).get("offset"))
    halo = entries(tensor.get("halo"))

    def of(values: list[Any], at: int) -> Any:
        return values[at] if len(values) == len(letters) else None

    found = []
    for at, letter in enumerate(letters):
        scale, offset = number(of(scales, at)), number(of(offsets, at)) or 0.0
        axis = Axis(
            kind=_KINDS.get(letter, "other"),
            letter=letter,
            size=count(of(sizes, at)) or count(of(least, at)),
            free=bool(count(of(steps, at))),
            halo=count(of(halo, at)),
        )
        if scales and not scale:
            # An axis that the input does not have: its size is a number.
            axis = replace(axis, size=round(2 * offset))
        elif scale:
            axis = replace(axis, step=1 / scale, offset=2 * offset, follows=True)
        found.append(axis)
    return found


def _of_list(tensor: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> list[Axis]:
    """Return axes as version 0.5 lists them."""
    return [_listed(mapping(each), before) for each in entries(tensor.get("axes"))]


def _listed(axis: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Axis:
    stated = str(axis.get("type"))
    kinds: dict[str, tuple[Kind, str]] = {
        "batch": ("batch", "b"),
        "channel": ("channel", "c"),
        "space": ("space", str(axis.get("id", "x"))),
        "time": ("other", "t"),
        "index": ("other", "i"),
    }
    kind, letter = kinds.get(stated, ("other", "?"))
    names = entries(axis.get("channel_names"))
    size, reference = axis.get("size"), mapping(axis.get("size"))
    found = Axis(
        kind=kind,
        letter=letter,
        size=count(size) or count(reference.get("min")) or (len(names) or None),
        free=count(reference.get("step")) is not None,
        voxel=_voxel(axis),
        halo=count(axis.get("halo")),
        names=tuple(names) if names and all(isinstance(each, str) and each for each in names) else (),
    )
    if "tensor_id" not in reference:
        return found
    other = _referred(reference, before)
    ours, theirs = number(axis.get("scale", 1.0)), number(other.get("scale", 1.0))
    if not ours or not theirs or not other:
        return found
    # Larger voxels mean fewer of them.
    return replace(found, step=ours / theirs, offset=number(reference.get("offset", 0)) or 0.0, follows=True)


def _referred(reference: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for tensor in before:
        if tensor.get("id") == reference.get("tensor_id"):
            for axis in map(mapping, entries(tensor.get("axes"))):
                usual = "x" if axis.get("type") == "space" else axis.get("type")
                if axis.get("id", usual) == reference.get("axis_id"):
                    return axis
    return {}


def _voxel(axis: Mapping[str, Any]) -> float | None:
    size, unit = number(axis.get("scale")), _MICROMETERS.get(str(axis.get("unit")))
    return size * unit if size and size > 0 and unit else None


def spatial(axes: Sequence[Axis], source: str) -> str:
    """Return the letters of the axes of space, in their order here, those of one voxel left out.

    Raises
    ------
    NetworkError
        If another axis has more than one entry, or there are no axes of space that are known here.
    """
    for axis in axes:
        if axis.kind == "other" and (axis.free or axis.follows or axis.size != 1):
            what = {"t": "time", "i": "index"}.get(axis.letter, axis.letter)
            raise NetworkError(
                f"{source} describes a network with an axis of {what}; axes of batch, channels and space are "
                "expected. Take a network that takes one image at a time."
            )
    wide = {axis.letter for axis in axes if axis.kind == "space" and not _is_single(axis)}
    letters = "".join(letter for letter in SPACE if letter in wide)
    if letters not in {"x", "yx", "zyx"}:
        raise NetworkError(
            f"{source} describes a network of the axes {letters or 'of no space'}; yx or zyx are expected."
        )
    return letters


def _is_single(axis: Axis) -> bool:
    return axis.size == 1 and not axis.free and not axis.follows


def check_same_size(inputs: Sequence[Axis], outputs: Sequence[Axis], source: str) -> None:
    """Raise `NetworkError` unless an output has the size of the input.

    Parameters
    ----------
    inputs, outputs : sequence of Axis
        Axes of both.
    source : str
        The description, for messages.
    """
    letters = spatial(inputs, source)
    before = {axis.letter: axis for axis in inputs}
    after = {axis.letter: axis for axis in outputs}
    missing = [letter for letter in letters if letter not in after]
    more = [a.letter for a in outputs if a.kind != "channel" and a.letter not in before and not _is_single(a)]
    if missing or more:
        raise NetworkError(
            f"{source} describes an output of the axes {''.join(after)} for an input of {''.join(before)}; "
            "an output with the input's axes of space is expected."
        )
    steps, extra = [], []
    for letter in letters:
        given, found = before[letter], after[letter]
        step = found.step
        if not found.follows and given.size and found.size and not (given.free or found.free):
            step = (
                given.size / found.size
                if max(given.size, found.size) % min(given.size, found.size) == 0
                else 1.0
            )
            extra.append(found.size - given.size / step)
        else:
            extra.append(found.offset)
        steps.append(step)
    _refuse_size(steps, extra, source)


def _refuse_size(steps: Sequence[float], extra: Sequence[float], source: str) -> None:
    ending = (
        "outputs of the size of the input are expected. Take a network that ends at the size of its input, "
        "or add that resampling to it."
    )
    if any(step > 1 for step in steps):
        parts = by_axis([f"{step:g}" for step in steps])
        raise NetworkError(f"{source} states an output of 1 voxel for each {parts} of the input; {ending}")
    if any(step < 1 for step in steps):
        parts = by_axis([f"{1 / step:g}" for step in steps])
        raise NetworkError(f"{source} states an output of {parts} voxels for each one of the input; {ending}")
    if any(extra):
        parts = by_axis([f"{abs(each):g}" for each in extra])
        less = "less" if sum(extra) < 0 else "more"
        raise NetworkError(f"{source} states an output of {parts} voxels {less} than the input; {ending}")
