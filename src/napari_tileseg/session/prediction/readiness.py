"""Whether a prediction can start, and the one sentence that explains why not: derived from the state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_tileseg.errors import TilesegError
from napari_tileseg.session.text.panel_words import panel_words

if TYPE_CHECKING:
    from napari_tileseg.images.image import Image
    from napari_tileseg.nets import Network

_MEASURING = "The intensities of the image are being measured."
_ROUTING = "How to compute the tiles of this network fast is being tried."
_CHOOSE_NETWORK = "Choose a network."


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that decides whether the commands of a viewer can be carried out.

    Parameters
    ----------
    image, network : bool
        Whether one is chosen and open.
    unread : tuple of str
        A sentence on each entry of a form that cannot be read.
    opening_network, opening_image : bool
        Whether one was chosen that is being opened, so that the one in use is not the one that is shown.
    image_problem, plan_problem, reference_problem, measure_problem : exception, optional
        Why what is chosen is no image, why image, network and settings do not fit one another, why the voxels
        cannot be read, and why intensities cannot be prepared.
    known : bool
        Whether the image's reference is known.
    routing : bool
        Whether it is being found out how the network's tiles are computed; intensities are measured then.
    measured : bool
        Whether the numbers for the intensities are there.
    saving : bool
        Whether a result is being copied to where the user saves it.
    """

    image: bool = False
    network: bool = False
    unread: tuple[str, ...] = ()
    opening_network: bool = False
    opening_image: bool = False
    image_problem: BaseException | None = None
    plan_problem: BaseException | None = None
    reference_problem: BaseException | None = None
    measure_problem: BaseException | None = None
    known: bool = False
    routing: bool = False
    measured: bool = False
    saving: bool = False

    @property
    def opening(self) -> bool:
        """Whether what is in use is not what is shown, as that is being opened."""
        return self.opening_network or self.opening_image

    @property
    def measuring(self) -> str:
        """What has to be waited for until the numbers for the intensities are there; "" once they are."""
        if self.measured:
            return ""
        return _ROUTING if self.routing else _MEASURING


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a command can be carried out.

    Parameters
    ----------
    obstacle : str
        Why not, as a sentence; "" where it can.
    wrong : bool
        Whether something has to be corrected; otherwise one has to choose something, or to wait.
    """

    obstacle: str = ""
    wrong: bool = False

    @property
    def ready(self) -> bool:
        """Whether there is no obstacle."""
        return not self.obstacle


def choices_of(situation: Situation) -> Readiness:
    """Return whether image and network can be used; every command that reads one of them needs that."""
    s = situation
    if s.unread:
        return Readiness(s.unread[0], wrong=True)
    if s.image_problem is not None:
        return _wrong(s.image_problem)
    missing = _to_choose(s)
    if missing or s.plan_problem is None:
        return Readiness(missing)
    return _wrong(s.plan_problem)


def readiness_of(situation: Situation) -> Readiness:
    """Return whether a prediction can start; of several obstacles the one to remove first."""
    choices = choices_of(situation)
    if not choices.ready:
        return choices
    for problem in (situation.reference_problem, situation.measure_problem):
        if problem is not None:
            return _wrong(problem)
    return Readiness(_to_wait_for(situation))


def measured_readiness(situation: Situation, question: str = "") -> Readiness:
    """Return whether what needs measured intensities, but no result, can start: a diagnosis or a training.

    Parameters
    ----------
    situation : Situation
        What decides it.
    question : str, optional
        What the panel asks and the user has not answered yet, or what is wrong with one of its entries.
    """
    choices = choices_of(situation)
    if not choices.ready:
        return choices
    if situation.measure_problem is not None:
        return _wrong(situation.measure_problem)
    return Readiness(situation.measuring or question)


def _wrong(problem: BaseException) -> Readiness:
    return Readiness(problem_words(problem), wrong=True)


def _to_choose(s: Situation) -> str:
    if s.opening_network:
        return "The network is being opened."
    if s.opening_image:
        return "The image of the project is being opened."
    if not s.image:
        return "Choose an image." if s.network else "Choose an image and a network."
    return "" if s.network else _CHOOSE_NETWORK


def _to_wait_for(s: Situation) -> str:
    if not s.known:
        return "The image is being read, so that it is known again later."
    return s.measuring or ("The result is being saved." if s.saving else "")


def names_in_use(
    situation: Situation, image: Image | None, network: Network | None
) -> tuple[str | None, str | None]:
    """Return the names of image and network; None for one that is missing or being replaced."""
    return (
        None if image is None or situation.opening_image else image.name,
        None if network is None or situation.opening_network else network.spec.name,
    )


def subject_words(image: str | None, network: str | None, readiness: Readiness) -> str:
    """Return what a panel beside the Predict widget works on, or what has to be chosen there first."""
    if image is not None and network is not None:
        return f"{image} with {network}"
    obstacle = readiness.obstacle
    return f"{obstacle.rstrip('.')} in the Predict widget." if obstacle.startswith("Choose ") else obstacle


def question_words(answers: Iterable[str]) -> str:
    """Ask what labels hold, in the words of the menu that has the answers."""
    *first, last = answers
    return f"Say what the labels hold: {', '.join(first)} or {last}."


def problem_words(problem: BaseException) -> str:
    """Return what went wrong, in the words of a panel."""
    if isinstance(problem, TilesegError):
        return panel_words(problem.in_panel)
    if isinstance(problem, MemoryError):
        return (
            "This needs more memory than is free. Close other programs, or take a smaller part of the image."
        )
    return f"Unexpected {type(problem).__name__}: {problem}. The log has the details."
