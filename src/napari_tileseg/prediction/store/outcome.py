"""How tiles were actually computed, and why that differs from the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_tileseg.engine import Engine
from napari_tileseg.prediction.plan.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How tiles were computed.

    Parameters
    ----------
    engine : {"regions", "plain"}
        As in `napari_tileseg.engine.Route`.
    exact : bool
        Whether the result equals the network on the whole padded image.
    dtype : str
        Number format of the computation.
    fallbacks : tuple of str
        What deviated from the plan, each in a sentence with the reason.
    """

    engine: str
    exact: bool
    dtype: str
    fallbacks: tuple[str, ...] = ()

    @classmethod
    def planned(cls, plan: Plan) -> Outcome:
        """Return the outcome if all goes as planned."""
        engine = "plain" if plan.tiles.regions is None else "regions"
        return cls(engine=engine, exact=plan.tiles.exact, dtype=plan.dtype)

    @classmethod
    def recorded(cls, about: Mapping[str, Any]) -> Outcome:
        """Read the outcome that a store has recorded.

        Raises
        ------
        KeyError, TypeError
            If the store is damaged, or of a version that recorded less.
        """
        return cls(
            engine=str(about["engine"]),
            exact=bool(about["exact"]),
            dtype=str(about["dtype"]),
            fallbacks=tuple(about["fallbacks"]),
        )

    def after(self, plan: Plan, engine: Engine, notes: Iterable[str]) -> Outcome:
        """Return the outcome after notes of an engine."""
        new = tuple(note for note in notes if note not in self.fallbacks)
        whole = engine.route.kind == "plain" and self.engine == "regions"
        return replace(
            self,
            engine="plain" if whole else self.engine,
            exact=plan.tiles.exact_if_whole if whole else self.exact,
            dtype=engine.dtype,
            fallbacks=(*self.fallbacks, *new),
        )

    def joined(self, later: Outcome, plan: Plan) -> Outcome:
        """Join the outcome of a run with that of a later one that resumed it: what holds for both."""
        new = tuple(each for each in later.fallbacks if each not in self.fallbacks)
        return Outcome(
            engine="plain" if "plain" in {self.engine, later.engine} else "regions",
            exact=self.exact and later.exact,
            dtype=self.dtype if self.dtype == later.dtype else plan.dtype,
            fallbacks=(*self.fallbacks, *new),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as `recorded` takes them."""
        return {
            "engine": self.engine,
            "exact": self.exact,
            "dtype": self.dtype,
            "fallbacks": list(self.fallbacks),
        }
