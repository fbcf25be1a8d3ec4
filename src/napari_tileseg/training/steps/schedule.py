"""The schedule of batch renormalization, in steps of the optimizer: functions of what happened so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_tileseg.training.events import Phase

#: Most of a run that the first phase takes, and the part that the ramp takes.
FIRST, RAMP = 0.4, 0.3
#: Part of the smoothed loss that the newest one replaces.
_NEWEST = 0.1
#: A loss has stopped falling when it has not become lower by this part ...
_BETTER = 0.01
#: ... within this many steps, or within this part of the run where that is longer.
_PATIENCE, _PATIENCE_OF_RUN = 30, 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What batch renormalization may correct in a step."""

    phase: Phase
    r_max: float
    d_max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Where the three phases are: batch statistics, the ramp, and the final limits.

    Parameters
    ----------
    start : {"batch", "full", "none"}
        The first phase; "none" where the network has no batch renormalization.
    r_max, d_max : float
        Final limits.
    first_phase : int, optional
        Steps of the first phase; by default until the loss has stopped falling.
    total : int, optional
        Steps of the run; None until minutes are turned into steps. Fixed once the ramp has begun.
    ramp_start : int, optional
        Step at which the ramp began.
    smoothed : float, optional
        Running mean of the loss.
    best : float, optional
        Smallest running mean so far, against which a fall is measured.
    best_step : int
        Where it was.
    """

    start: Phase
    r_max: float
    d_max: float
    first_phase: int | None = None
    total: int | None = None
    ramp_start: int | None = None
    smoothed: float | None = None
    best: float | None = None
    best_step: int = 0

    def limits(self, step: int) -> Limits:
        """Return the limits of the step that follows on `step` steps."""
        if self.start != "batch":
            full = self.start == "full"
            return Limits(self.start, self.r_max if full else 1.0, self.d_max if full else 0.0)
        if self.ramp_start is None or self.total is None:
            return Limits("batch", 1.0, 0.0)
        risen = min(1.0, (step - self.ramp_start + 1) / max(1.0, RAMP * self.total))
        phase: Phase = "full" if risen == 1 else "ramp"
        return Limits(phase, 1 + risen * (self.r_max - 1), risen * self.d_max)

    def after(self, step: int, loss: float) -> Schedule:
        """Return the schedule once `step` steps are taken, the last one with this loss."""
        smoothed = loss if self.smoothed is None else self.smoothed + _NEWEST * (loss - self.smoothed)
        known = replace(self, smoothed=smoothed)
        if self.best is None or smoothed < self.best * (1 - _BETTER):
            known = replace(known, best=smoothed, best_step=step)
        if known.ramp_start is None and known._first_phase_ends(step):
            known = replace(known, ramp_start=step)
        return known

    def _first_phase_ends(self, step: int) -> bool:
        if self.start != "batch" or self.total is None:
            return False
        if step >= int(FIRST * self.total):
            return True
        if self.first_phase is not None:
            return step >= self.first_phase
        return step - self.best_step >= max(_PATIENCE, _PATIENCE_OF_RUN * self.total)
