"""The session of each viewer, shared by its widgets."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from napari.components import ViewerModel

from napari_tileseg._qt.gui_thread import GuiThread
from napari_tileseg.session import Session

_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()


def session_of(viewer: ViewerModel) -> Session:
    """Session of a viewer, made when first asked for; to be used from the interface's thread."""
    session = _sessions.get(viewer)
    if session is None:
        session = _sessions[viewer] = Session(dispatch=GuiThread())
    return session


def forget_session(viewer: ViewerModel) -> None:
    """Stop the work of a viewer that closes, and let go of its session."""
    session = _sessions.pop(viewer, None)
    if session is not None:
        session.close()
