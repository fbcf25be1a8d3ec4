"""Sizes of images that an exported program states: one, or ranges with what they are multiples of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any

from napari_tileseg._words import by_axis
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Sizes
from napari_tileseg.tiling.rounding import round_down, round_up

#: A size is a symbol, or a number times a symbol. It is matched, never evaluated.
_SYMBOL = re.compile(r"Symbol\('(\w{1,40})'(?:, \w{1,20}=True){0,4}\)")
_PRODUCT = re.compile(rf"Mul\(Integer\((\d{{1,6}})\), {_SYMBOL.pattern}\)")
#: A condition that a size be a multiple, in any of the ways in which it is written.
_SIZE = r"L\['\w{1,80}'\]\.size\(\)\[(\d)\]"
_MULTIPLES = (
    re.compile(rf"\(?(\d{{1,4}})\*\({_SIZE} // (\d{{1,4}})\)\)? == {_SIZE}"),
    re.compile(rf"{_SIZE} == \(?(\d{{1,4}})\*\({_SIZE} // (\d{{1,4}})\)\)?"),
)
_REMAINDER = re.compile(rf"\(?{_SIZE} % (\d{{1,4}})\)? == 0")
_MOST, _LARGEST = 4096, 2**20


def sizes_of(program: Mapping[str, Any], image: str, source: str) -> tuple[int, Sizes, tuple[str, ...]]:
    """Return the channels and sizes of the image, and sentences on what bounds them.

    Parameters
    ----------
    program : mapping
        The whole of what the file states.
    image : str
        Name of the input.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If the input is no image, or its sizes depend on each other in another way.
    """
    stated = program["graph_module"]["graph"]["tensor_values"][image]["sizes"]
    if not 3 <= len(stated) <= 5 or "as_int" not in stated[1]:
        raise NetworkError(
            f"{source} takes an input of {len(stated)} axes; a batch of channels with 1 to 3 spatial axes "
            "was expected. Export the network with such an input."
        )
    channels, space = int(stated[1]["as_int"]), stated[2:]
    example = tuple(_hint(each) for each in space)
    if not (1 <= channels <= _LARGEST and all(1 <= n <= _LARGEST for n in example)):
        raise NetworkError(
            f"{source} states an input of {by_axis((channels, *example))}, which no image has."
        )
    free = ["as_int" not in each for each in space]
    if not any(free):
        return channels, Sizes(example, fixed=True), ()
    if not all(free):
        raise NetworkError(
            f"{source} was exported with some sizes free and others fixed ({by_axis(example)}); networks "
            "with all of them free, or all fixed, are opened. Export it again."
        )
    return _free(program, channels, space, example)


def _free(
    program: Mapping[str, Any], channels: int, space: Sequence[Mapping[str, Any]], example: tuple[int, ...]
) -> tuple[int, Sizes, tuple[str, ...]]:
    symbols = [_symbol(each["as_expr"]["expr_str"]) for each in space]
    if len({name for _, name in symbols}) < len(symbols):
        raise NetworkError("its sizes depend on each other; export it with a size of its own for each axis")
    multiple = [factor for factor, _ in symbols]
    for axis, factor in _multiples(program.get("guards_code") or ()):
        if 0 <= axis < len(multiple):
            multiple[axis] = min(lcm(multiple[axis], factor), _MOST)
    ranges = [program["range_constraints"].get(name, {}) for _, name in symbols]
    least, most = [], []
    for (factor, _), limits, step in zip(symbols, ranges, multiple, strict=True):
        least.append(round_up(max(1, min(int(limits.get("min_val") or 1), _LARGEST)) * factor, step))
        largest = limits.get("max_val")
        most.append(_LARGEST if largest is None else round_down(min(int(largest) * factor, _LARGEST), step))
    if any(low > high for low, high in zip(least, most, strict=True)):
        raise NetworkError(
            f"it was exported for sizes from {by_axis(least)} to {by_axis(most)} in multiples of "
            f"{by_axis(multiple)}, of which there is none"
        )
    bounded = any(size < round_down(_LARGEST, step) for size, step in zip(most, multiple, strict=True))
    sizes = Sizes(example, least=tuple(least), multiple=tuple(multiple), most=tuple(most) if bounded else ())
    note = f"It was exported for sizes of up to {by_axis(most)} voxels: no tile is larger."
    return channels, sizes, (note,) if bounded else ()


def _hint(stated: Mapping[str, Any]) -> int:
    found = stated["as_int"] if "as_int" in stated else stated["as_expr"]["hint"]["as_int"]
    if type(found) is not int:
        raise NetworkError("its sizes are no numbers")
    return found


def _symbol(text: str) -> tuple[int, str]:
    """Return the factor and the name of a size."""
    if found := _SYMBOL.fullmatch(text):
        return 1, found[1]
    if found := _PRODUCT.fullmatch(text):
        return max(1, int(found[1])), found[2]
    raise NetworkError(f"its sizes are bound to each other ({text[:80]}); export it with free sizes")


def _multiples(guards: Sequence[str]) -> list[tuple[int, int]]:
    """Return the axes of space whose sizes have to be multiples, and of what."""
    found = []
    for guard in map(str, guards[:_MOST]):
        for pattern in _MULTIPLES:
            if match := pattern.fullmatch(guard):
                numbers = [int(each) for each in match.groups()]
                axis, factor = (numbers[1], numbers[0]) if guard[0] != "L" else (numbers[0], numbers[1])
                found.append((axis - 2, factor))
        if match := _REMAINDER.fullmatch(guard):
            found.append((int(match[1]) - 2, int(match[2])))
    return [(axis, factor) for axis, factor in found if factor > 0]
