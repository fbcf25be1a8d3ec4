"""The session of each viewer, shared by its widgets."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from napari.components import ViewerModel

from napari_tileseg._qt.gui_thread import GuiThread
from napari_tileseg.session import Session
from napari_tileseg.session.strokes import Strokes

_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()
_strokes: WeakKeyDictionary[ViewerModel, Strokes] = WeakKeyDictionary()


def session_of(viewer: ViewerModel) -> Session:
    """Session of a viewer, made when first asked for; to be used from the interface's thread."""
    session = _sessions.get(viewer)
    if session is None:
        session = _sessions[viewer] = Session(dispatch=GuiThread())
    return session


def strokes_of(viewer: ViewerModel) -> Strokes:
    """Painted labels of a viewer, which are saved whether or not a widget shows it."""
    strokes = _strokes.get(viewer)
    if strokes is None:
        strokes = _strokes[viewer] = Strokes(session_of(viewer), GuiThread())
    return strokes


def forget_session(viewer: ViewerModel) -> None:
    """Save what is painted and stop the work of a viewer that closes, and let go of its session."""
    strokes = _strokes.pop(viewer, None)
    if strokes is not None:
        strokes.close()
    session = _sessions.pop(viewer, None)
    if session is not None:
        session.close()
