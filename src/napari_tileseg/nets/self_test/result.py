"""What came of a package's own test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Difference, relative to the largest value, up to which an output counts as reproduced.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestResult:
    """What came of running a package's test input.

    Parameters
    ----------
    difference : float, optional
        Largest difference from the stated output; None where it was not run.
    largest : float, optional
        Largest value of the stated output.
    likely : str, optional
        Where it differs: what reproduces the output, such as "without its activation".
    problem : str, optional
        Where it was not run: why, as part of a sentence.
    """

    difference: float | None = None
    largest: float | None = None
    likely: str | None = None
    problem: str | None = None

    @property
    def reproduces(self) -> bool:
        """Whether the stated output came out."""
        return self.difference is not None and is_small(self.difference, self.largest or 0.0)

    @property
    def words(self) -> str:
        """What came of it, as a sentence without its subject and its full stop.

        Examples
        --------
        >>> SelfTestResult(difference=1.7e-6, largest=1.0).words
        'reproduces its test output to 1.7e-06'
        >>> SelfTestResult(difference=0.46, largest=1.0, likely="without its activation").words
        'differs from its test output by 0.46, of 1 at most; without its activation it is reproduced'
        """
        if self.difference is None:
            return f"its test was not run: {self.problem}"
        if self.reproduces:
            return f"reproduces its test output to {self.difference:.2g}"
        differs = f"differs from its test output by {self.difference:.2g}, of {self.largest:.2g} at most"
        if self.likely is None:
            return f"{differs}; no other preparation of intensities or activation reproduces it"
        return f"{differs}; {self.likely} it is reproduced"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "reproduces": self.reproduces,
            "difference": self.difference,
            "largest": self.largest,
            "likely": self.likely,
            "problem": self.problem,
        }


def is_small(difference: float, largest: float) -> bool:
    """Return whether a difference counts as none, for outputs up to `largest`."""
    return difference <= TOLERANCE * max(largest, 1e-6)
