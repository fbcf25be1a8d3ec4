"""From what a viewer has chosen to the request for its prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_tileseg.errors import SettingsError
from napari_tileseg.session.prediction.run import Request

if TYPE_CHECKING:
    from napari_tileseg.session.session import Session


def request_prediction(session: Session) -> Request:
    """Return the prediction of a session that could start now.

    Raises
    ------
    SettingsError
        If there is an obstacle.
    """
    readiness, chosen, plan = session.readiness, session.image_choice, session.plan
    if not readiness.ready:
        raise SettingsError(f"A prediction cannot start yet. {readiness.obstacle}")
    assert chosen.reference is not None
    assert plan.measured is not None
    return Request(
        plan=plan.measured, reference=chosen.reference, stamp=chosen.stamp, revision=chosen.revision
    )
