"""Sizes of images that a list of operations takes, found by trying it on shapes alone."""

from __future__ import annotations

from dataclasses import replace
from math import lcm

from napari_tileseg._types import Shape
from napari_tileseg.errors import NetworkError
from napari_tileseg.nets.listed.listing import Listing, Sizes
from napari_tileseg.nets.listed.trial import shapes_in

#: Largest step between accepted lengths that is looked for.
_LARGEST_STEP = 64


def freed(listing: Listing, source: str) -> Listing:
    """Return a list of operations with the sizes that it takes beside that which its file states.

    A size is taken where the output then has the size of the image. Its example becomes a small one, so that
    trying the network itself takes little.

    Parameters
    ----------
    listing : Listing
        As stated, for one size.
    source : str
        The file, for messages.

    Raises
    ------
    NetworkError
        If the stated size itself cannot be computed.
    """
    base = listing.sizes.example
    if shapes_in(listing, source)[listing.result][2:] != base:
        # Measuring says what an output of another size means.
        return listing
    steps = [_step(listing, axis, source) for axis in range(len(base))]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        return replace(listing, sizes=Sizes(base, fixed=True))
    least = tuple(_least(listing, axis, step, source) for axis, step in enumerate(known))
    tried = (*(tuple(min(n * k, m) for n, m in zip(least, base, strict=True)) for k in (1, 2, 4)), base)
    example = next(shape for shape in tried if shape == base or _accepts(listing, shape, source))
    return replace(listing, sizes=Sizes(example))


def _accepts(listing: Listing, shape: Shape, source: str) -> bool:
    try:
        found = shapes_in(replace(listing, sizes=Sizes(shape)), source)
    except NetworkError:
        return False
    return found[listing.result][2:] == shape


def _with(shape: Shape, axis: int, length: int) -> Shape:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _step(listing: Listing, axis: int, source: str) -> int | None:
    base = listing.sizes.example
    for step in range(1, _LARGEST_STEP + 1):
        longer = (_with(base, axis, base[axis] + k * step) for k in (1, 2))
        if all(_accepts(listing, shape, source) for shape in longer):
            return step if base[axis] % step == 0 else lcm(step, base[axis])
    return None


def _least(listing: Listing, axis: int, step: int, source: str) -> int:
    """Return the least multiple of a step that is taken, other axes as they are."""
    base = listing.sizes.example
    refused, accepted = 0, base[axis] // step
    while accepted - refused > 1:
        tried = (refused + accepted) // 2
        if _accepts(listing, _with(base, axis, tried * step), source):
            accepted = tried
        else:
            refused = tried
    return accepted * step
