"""The weights of a training that can be asked for: the newest, the best, and the last that are safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from torch import Tensor, nn

from napari_tileseg.nets.network import network_in_memory
from napari_tileseg.nets.norm_layers import set_limits
from napari_tileseg.training.steps.schedule import Limits
from napari_tileseg.training.validation import Score

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network

#: The newest weights, those of the best validation score, or the last that are known to be good.
Which: TypeAlias = Literal["now", "best", "last"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Weights after a step.

    Parameters
    ----------
    step : int
        Steps taken before.
    weights : mapping of str to Tensor
        On the CPU, statistics included.
    limits : Limits
        What batch renormalization may correct there.
    score : Score, optional
        On what is held out.
    """

    step: int
    weights: Mapping[str, Tensor]
    limits: Limits
    score: Score | None = None

    @classmethod
    def of(cls, module: nn.Module, step: int, limits: Limits) -> Snapshot:
        """Copy a module's weights and statistics to the CPU."""
        weights = {name: values.detach().cpu().clone() for name, values in module.state_dict().items()}
        return cls(step, weights, limits)

    def as_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        plain = {"step": self.step, "limits": asdict(self.limits)}
        return {**plain, "score": self.score and asdict(self.score), "weights": dict(self.weights)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot that `as_dict` was called on."""
        stored = values["score"]
        score = stored and Score(stored["loss"], tuple(stored["dice"]))
        return cls(values["step"], values["weights"], Limits(**values["limits"]), score)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a file of these weights records of them."""
        return {"step": self.step, "limits": asdict(self.limits)}

    def network(self, network: Network) -> Network:
        """Return a copy of a network with these weights, in evaluation mode.

        Parameters
        ----------
        network : Network
            With the layers that the weights are of; it is not changed.
        """
        module = deepcopy(network.module)
        module.load_state_dict(self.weights)
        description = network.description
        if self.limits.phase != "none":
            description = replace(description, r_max=self.limits.r_max, d_max=self.limits.d_max)
            set_limits(module, self.limits.r_max, self.limits.d_max)
        return network_in_memory(module, description, network.spec)


class Weights:
    """Chooses among the weights of a training.

    Parameters
    ----------
    take : callable
        Copies the newest weights.
    best : Snapshot, optional
        Those of the best score before.

    Attributes
    ----------
    best : Snapshot or None
        Those of the best validation score so far, in all runs; None where nothing is held out.
    last : Snapshot
        Those of the last checkpoint, be that only in memory, or of the end.
    """

    def __init__(self, take: Callable[[], Snapshot], best: Snapshot | None = None) -> None:
        self._take = take
        self.best = best
        self.last = take()

    @property
    def best_score(self) -> Score | None:
        """The best validation score so far, in all runs; None where nothing is held out."""
        return None if self.best is None else self.best.score

    def rescue_last(self) -> None:
        """Make the newest weights the last ones, as far as they can still be had."""
        self.last = self._newest()

    def update_last(self) -> None:
        """Make the newest weights the last ones."""
        self.last = self._take()

    def offer(self, score: Score) -> bool:
        """Make the newest weights the best ones if their score is better; return whether it is."""
        better = score.better_than(self.best_score)
        if better:
            self.best = replace(self._take(), score=score)
        return better

    def choose(self, which: Which) -> Snapshot:
        """Return the weights that are asked for.

        Parameters
        ----------
        which : {"now", "best", "last"}
            The newest weights, those of the best validation score (the newest where nothing is held out or
            nothing is validated yet), or the last ones.
        """
        if which == "last":
            return self.last
        return self.best if which == "best" and self.best else self._newest()

    def resolve(self, which: Which) -> tuple[Literal["best", "last"], int]:
        """Return which weights `choose` gives, and after which step they were.

        They are the last ones, whatever is asked for, where no score decides which are the best.
        """
        best = which == "best" and self.best is not None
        return "best" if best else "last", self.choose(which).step

    def _newest(self) -> Snapshot:
        # A device that has failed does not give its weights any more.
        with suppress(RuntimeError):
            return self._take()
        return self.last
