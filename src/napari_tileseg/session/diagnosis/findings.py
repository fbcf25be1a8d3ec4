"""What a project stores of its diagnoses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_tileseg._types import Shape
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.workflows.differences import Profile

if TYPE_CHECKING:
    from napari_tileseg.diagnosis import Diagnosis
    from napari_tileseg.prediction import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Which prediction something was found of.

    Parameters
    ----------
    image : str
        Its name.
    shape : tuple of int
        Voxels of the grid that was tiled.
    fingerprint : str
        Of the image's voxels; empty where it was not known.
    network, network_sha256 : str
        Name and hash of the network.
    settings : tuple of (str, str)
        Name and value, as text, of each setting that the result depends on; core and halo as they came out.
    """

    image: str
    shape: Shape
    fingerprint: str
    network: str
    network_sha256: str
    settings: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, plan: Plan, reference: ImageReference | None) -> Subject:
        """Return what is recorded of a plan."""
        image, network, grid = plan.tiles.image, plan.network, plan.grid
        chosen = {
            each.name: getattr(plan.settings, each.name) for each in knobs(PredictSettings) if each.identity
        }
        chosen |= {"core": grid.core, "halo": grid.halo, "box": (grid.box.start, grid.box.stop)}
        return cls(
            image=image.name,
            shape=image.shape,
            fingerprint="" if reference is None else reference.fingerprint,
            network=network.spec.name,
            network_sha256=network.sha256,
            settings=tuple((name, str(value)) for name, value in chosen.items()),
        )

    def changes(self, now: Subject) -> tuple[str, ...]:
        """Return what has changed since, in a word each."""
        known = self.fingerprint and now.fingerprint
        other = self.fingerprint != now.fingerprint if known else self.image != now.image
        if other or self.shape != now.shape:
            return ("image", *(("network",) if self.network_sha256 != now.network_sha256 else ()))
        then = dict(self.settings)
        settings = (name for name, value in now.settings if name in then and then[name] != value)
        return (*(("network",) if self.network_sha256 != now.network_sha256 else ()), *settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A diagnosis in the folder where it is stored. Two are equal if they are the same one.

    Parameters
    ----------
    folder : Path
        Where it is stored.
    when : str
        Local time, to the second, as ISO 8601 writes it.
    look_at : str
        ``view``, ``sample`` or ``everything``.
    subject : Subject
        The prediction.
    diagnosis : Diagnosis
        What was found; read from the folder it holds what `from_record` gives.
    profiles : tuple of Profile or None
        For each of the worst places both predictions along a line through it.
    """

    folder: Path
    when: str
    look_at: str
    subject: Subject
    diagnosis: Diagnosis = field(compare=False)
    profiles: tuple[Profile | None, ...] = field(compare=False)

    @property
    def heatmap(self) -> Path:
        """Array ``(classes, *grid)`` of the absolute differences, NaN where nothing was compared."""
        return self.folder / "pairs.zarr"
