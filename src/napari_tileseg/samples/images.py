"""Synthetic images with known labels, made so that statistics differ from tile to tile.

Nuclei or cells are ellipsoids painted in micrometers, blurred by an anisotropic point spread function, lit
unevenly and detected with the noise of a photomultiplier. Much of the image is empty, and a bright band
crosses it. The defaults of `nuclei_volume` follow confocal stacks of mouse embryos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_tileseg._types import Shape
from napari_tileseg._words import as_typed
from napari_tileseg.errors import SettingsError

_Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A synthetic image and what is in it.

    Parameters
    ----------
    image : ndarray of uint16
        Detected intensities.
    labels : ndarray of uint16
        Object of each voxel, numbered from 1 without gaps; 0 is background.
    voxel_size : tuple of float
        Size along each axis, in micrometers.
    name : str
        What to call it.
    """

    image: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint16]
    voxel_size: tuple[float, ...]
    name: str


@dataclass(frozen=True, slots=True)
class _Look:
    """What the objects and the microscope are like; lengths in micrometers, light in photons per voxel."""

    name: str
    voxel_size: tuple[float, ...]
    blur: tuple[float, ...]
    stretch: tuple[float, ...]
    radius: tuple[float, float]
    light: tuple[float, float]
    crowding: float
    background: float = 0.6
    gain: float = 16.0
    offset: float = 95.0


@dataclass(frozen=True, slots=True, eq=False)
class _Ellipsoid:
    """One object: place and radius in micrometers, shape matrix, brightness, and waves of its texture."""

    centre: _Floats
    radius: float
    shape: _Floats
    light: float
    waves: _Floats


_NUCLEI = _Look(
    name="nuclei",
    voxel_size=(1.75, 0.8, 0.8),
    blur=(1.5, 0.6, 0.6),
    stretch=(1.5, 1.0, 1.0),
    radius=(4.5, 9.5),
    light=(8.0, 24.0),
    crowding=0.14,
)
_CELLS = _Look(
    name="cells",
    voxel_size=(0.65, 0.65),
    blur=(0.7, 0.5),
    stretch=(1.0, 1.0),
    radius=(5.0, 12.0),
    light=(10.0, 40.0),
    crowding=0.4,
)


def nuclei_volume(shape: Sequence[int] = (64, 256, 256), seed: int = 0) -> Sample:
    """Return fluorescent nuclei in a volume, some touching, as in a confocal stack of an embryo.

    Parameters
    ----------
    shape : sequence of int
        Voxels along z, y and x.
    seed : int
        Same seed, same sample; also draws how bright and how crowded it is.

    Returns
    -------
    Sample
        With voxels of 1.75 x 0.8 x 0.8 micrometers.

    Raises
    ------
    SettingsError
        If `shape` is not three positive lengths, or `seed` is negative.

    Examples
    --------
    >>> sample = nuclei_volume((16, 64, 64))
    >>> sample.image.shape, sample.image.dtype
    ((16, 64, 64), dtype('uint16'))
    """
    return _synthesize(_NUCLEI, tuple(shape), seed)


def cells_image(shape: Sequence[int] = (1024, 1024), seed: int = 0) -> Sample:
    """Return stained cells in a flat image, some touching.

    Parameters
    ----------
    shape : sequence of int
        Pixels along y and x.
    seed : int
        Same seed, same sample; also draws how bright and how crowded it is.

    Returns
    -------
    Sample
        With pixels of 0.65 x 0.65 micrometers.

    Raises
    ------
    SettingsError
        If `shape` is not two positive lengths, or `seed` is negative.
    """
    return _synthesize(_CELLS, tuple(shape), seed)


def _synthesize(look: _Look, shape: Shape, seed: int) -> Sample:
    axes = len(look.voxel_size)
    if len(shape) != axes or min(shape) < 1 or seed < 0:
        raise SettingsError(
            f"A sample of {look.name} needs {axes} positive lengths and a seed of 0 or more; "
            f"got shape {as_typed(shape)}, seed {seed}."
        )
    rng = np.random.default_rng(seed)
    emission, labels = _paint(look, shape, _place(look, shape, rng))
    light = _blur(look, emission)
    _illuminate(look, light, rng)
    return Sample(_detect(look, light, rng), labels, look.voxel_size, look.name)


def _place(look: _Look, shape: Shape, rng: np.random.Generator) -> list[_Ellipsoid]:
    """Return objects that overlap little, about half of them touching another, in a third of the volume."""
    extent = np.array(shape) * look.voxel_size
    each = pi * np.mean(look.radius) ** 2 * (4 / 3 * np.mean(look.radius) if len(shape) > 2 else 1)
    crowding = look.crowding * rng.uniform(0.5, 1.5) / prod(look.stretch)
    count = max(2, round(float(crowding * extent.prod() / each)))
    light = rng.uniform(*look.light)
    inhabited = _inhabited(extent, count, rng)
    placed: list[_Ellipsoid] = []
    centres = np.empty((count, len(shape)))
    radii = np.empty(count)
    for centre in inhabited:
        radius = rng.uniform(*look.radius)
        if placed and rng.random() < 0.5:
            centre = _beside(placed[int(rng.integers(len(placed)))], radius, look, rng)
        apart = np.linalg.norm((centres[: len(placed)] - centre) / look.stretch, axis=1)
        if np.all(apart > 0.8 * (radii[: len(placed)] + radius)):
            centres[len(placed)], radii[len(placed)] = centre, radius
            placed.append(_shape(centre, radius, light, look, rng))
    return placed


def _inhabited(extent: _Floats, count: int, rng: np.random.Generator) -> _Floats:
    """Find places where a smooth random field is high, which leaves large parts empty."""
    places = rng.uniform(0, 1, (3 * count, len(extent)))
    field = rng.normal(size=(4,) * len(extent))
    height = ndimage.map_coordinates(field, 3 * places.T, order=3, mode="nearest")
    kept: _Floats = places[height >= np.quantile(height, 2 / 3)] * extent
    return kept[:count]


def _beside(other: _Ellipsoid, radius: float, look: _Look, rng: np.random.Generator) -> _Floats:
    direction = rng.normal(size=len(other.centre))
    direction *= 0.9 * (other.radius + radius) / np.linalg.norm(direction)
    beside: _Floats = other.centre + direction * look.stretch
    return beside


def _shape(centre: _Floats, radius: float, light: float, look: _Look, rng: np.random.Generator) -> _Ellipsoid:
    axes = len(centre)
    turn, _ = np.linalg.qr(rng.normal(size=(axes, axes)))
    half_axes = radius * rng.uniform(0.65, 1.25, axes)
    return _Ellipsoid(
        centre=centre,
        radius=radius,
        shape=(turn / half_axes) @ turn.T / look.stretch,
        light=light * rng.lognormal(0, 0.35),
        waves=rng.uniform(-4, 4, (axes, 3)),
    )


def _paint(
    look: _Look, shape: Shape, ellipsoids: list[_Ellipsoid]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    emission = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.uint16)
    number = 0
    for each in ellipsoids:
        box, inside, glow = _rasterize(look, shape, each)
        free = inside & (labels[box] == 0)
        if free.any():
            number += 1
            labels[box][free] = number
            emission[box][free] = glow[free]
    return emission, labels


def _rasterize(
    look: _Look, shape: Shape, each: _Ellipsoid
) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_], _Floats]:
    """Return the box around an object, which of its voxels are inside, and how they glow."""
    middle = each.centre / look.voxel_size
    reach = 1.3 * each.radius * np.array(look.stretch) / look.voxel_size
    starts = np.clip(np.floor(middle - reach), 0, shape).astype(int)
    stops = np.clip(np.ceil(middle + reach) + 1, 0, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    steps = [
        np.arange(a, b) * size - c
        for a, b, size, c in zip(starts, stops, look.voxel_size, each.centre, strict=True)
    ]
    place = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1) @ each.shape.T
    distance = (place**2).sum(-1)
    texture = 1 + 0.2 * np.cos(place @ each.waves).sum(-1)
    return box, distance <= 1, each.light * texture * (1 - 0.4 * distance)


def _blur(look: _Look, emission: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return light after the point spread function: a sharp kernel, and a wide one that makes haze."""
    size = np.array(look.voxel_size)
    sharp = ndimage.gaussian_filter(emission, np.array(look.blur) / size, truncate=3)
    coarse = tuple(slice(None, None, 4) for _ in size)
    haze = ndimage.gaussian_filter(sharp[coarse], 6 * np.array(look.stretch) / (4 * size), truncate=3)
    zoom = np.array(emission.shape) / haze.shape
    sharp += np.float32(0.1) * ndimage.zoom(haze, zoom, order=1, mode="nearest", grid_mode=True)
    return np.asarray(sharp, np.float32)


def _illuminate(look: _Look, light: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Light the voxels unevenly along every axis, and brighten a band across the last one."""
    light += np.float32(look.background)
    for axis, length in enumerate(light.shape):
        place = np.linspace(0, 1, length)
        lit = 1 - rng.uniform(0.2, 0.5) * (place - rng.uniform(0, 1)) ** 2
        light *= lit.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(light.ndim)])
    start = rng.uniform(0.1, 0.75)
    place = np.linspace(0, 1, light.shape[-1])
    band = np.exp(-(((place - start - 0.07) / 0.07) ** 4)).astype(np.float32)
    light *= 1 + 0.5 * band
    light += np.float32(2.5 * look.background) * band


def _detect(look: _Look, light: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Count photons with a detector whose multiplication and reading add noise."""
    photons = rng.poisson(light).astype(np.float32)
    counts = rng.standard_gamma(photons, dtype=np.float32) * np.float32(look.gain)
    counts += look.offset + rng.standard_normal(light.shape, dtype=np.float32) * np.float32(2)
    stored: npt.NDArray[np.uint16] = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return stored
