"""How images were brought to the voxel size at which a network was trained, where that was not linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_tileseg.errors import NetworkError

#: Degrees of splines: the nearest voxel, linear, cubic.
DEGREES = (0, 1, 3)
#: Voxels that are longer along one axis by more than this are coarse along it.
ANISOTROPIC = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """Splines through the prepared intensities, as nnU-Net brings images to another voxel size.

    Parameters
    ----------
    order : {3, 1, 0}
        Degree of the splines.
    coarse_order : {0, 1, 3}
        Degree along an axis that is coarse, after the planes across it.
    coarse_apart : bool, optional
        Whether the axis of the largest voxels is coarse; where they are more than three times as long as the
        smallest by default.

    Raises
    ------
    NetworkError
        If a value is of another kind.
    """

    order: int = 3
    coarse_order: int = 0
    coarse_apart: bool | None = None

    def __post_init__(self) -> None:
        for degree in (self.order, self.coarse_order):
            if type(degree) is not int or degree not in DEGREES:
                raise NetworkError(
                    f"A network's resampling has the degrees {', '.join(map(str, DEGREES))}; got "
                    f"{str(degree)[:20]}."
                )
        if not isinstance(self.coarse_apart, (bool, type(None))):
            raise NetworkError(
                "A network's resampling says of coarse_apart true, false or null; got "
                f"{str(self.coarse_apart)[:20]}."
            )

    def coarse_axis(self, before: Sequence[float], after: Sequence[float]) -> int | None:
        """Return the axis that is interpolated by itself; None where there is none.

        Parameters
        ----------
        before, after : sequence of float
            Voxel size along each axis of space before and after, in one unit.

        Examples
        --------
        >>> Resampling().coarse_axis((4, 1, 1), (2, 1, 1)), Resampling().coarse_axis((2, 1, 1), (1, 1, 1))
        (0, None)
        """
        if self.coarse_apart is None:
            coarse = next((each for each in (before, after) if max(each) / min(each) > ANISOTROPIC), None)
        else:
            coarse = before if self.coarse_apart else None
        if coarse is None:
            return None
        # By the same quotient as there: two axes of one size are none that is coarse.
        longest = [axis for axis, size in enumerate(coarse) if max(coarse) / size == 1]
        return longest[0] if len(longest) == 1 else None

    @property
    def words(self) -> str:
        """What is done, as part of a sentence."""
        names = {0: "by the nearest voxel", 1: "linearly", 3: "by cubic splines"}
        if self.coarse_apart is False or self.coarse_order == self.order:
            return names[self.order]
        return f"{names[self.order]}, along a coarse axis {names[self.coarse_order]}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)
