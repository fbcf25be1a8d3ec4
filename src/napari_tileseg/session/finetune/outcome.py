"""What became of the last training or network, until something else is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_tileseg.session.project.project import ImageReference, Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided.

    Parameters
    ----------
    what : {"kept", "discarded", "undone"}
        A trained network is in use; it was forgotten; or the one before is in use again.
    network : str
        Name of the network that is in use now.
    left : str
        Name of the one that is not any more, if there is such.
    """

    what: Literal["kept", "discarded", "undone"]
    network: str
    left: str = ""


def outcome_words(outcome: Outcome | None) -> tuple[str, str]:
    """Return what was decided, and what kind of words these are."""
    match outcome:
        case None:
            return "", ""
        case Outcome("kept", network, _):
            return f"{network} is the network from now on; it is kept in the project.", "ok"
        case Outcome("discarded", network, _):
            return f"Discarded; {network} is the network, as it was.", ""
        case Outcome(_, network, left):
            return f"{network} is the network again; {left} stays a file of the project.", "ok"


def earlier_words(results: tuple[Result, ...], image: ImageReference | None, sha256: str) -> str:
    """Return by which network the predictions of an image were made, where none is by the present one.

    Parameters
    ----------
    results : tuple of Result
        Predictions, oldest first.
    image : ImageReference, optional
        The image.
    sha256 : str
        Hash of the present network.

    Returns
    -------
    str
        "" where there is no prediction, or one by the present network.
    """
    made = [each for each in results if each.is_of(image)]
    if not made or any(each.network_sha256 == sha256 for each in made):
        return ""
    by = made[-1].network or "another network"
    return f"The prediction in the viewer was made by {by}, before this training."
