"""How far painted labels are saved, in words for people."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from napari_tileseg.session.finetune.words import moment_words, painted_words
from napari_tileseg.session.painting.painting import Painting
from napari_tileseg.session.prediction.readiness import problem_words


def saving_words(
    painting: Painting, fingerprint: str | None, now: datetime
) -> tuple[str, Literal["", "warning", "error"]]:
    """Return how far labels are saved, as a sentence, and how serious that is.

    Parameters
    ----------
    painting : Painting
        The labels.
    fingerprint : str, optional
        Of the image that is chosen, if it is known.
    now : datetime
        With a time zone.
    """
    if painting.error is not None:
        return problem_words(painting.error), "error"
    if painting.saved is None:
        new = "Paint a few strokes of each class; they are saved as you paint."
        return (new if painting.fixed else "What you paint on this layer is saved as you paint."), ""
    text = f"{painted_words(painting.painted)}, saved {moment_words(painting.saved.when, now)}"
    record = painting.record
    if record is None or fingerprint in {None, record.fingerprint}:
        return text, ""
    return (
        f"{text}. They were painted on another image, {record.image}, than the one that is chosen.",
        "warning",
    )
