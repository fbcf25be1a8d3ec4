"""The work of each viewer: its session, painted labels and trainings, shared by its widgets."""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakSet

from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.gui_thread import GuiThread
from napari_tileseg.session import Session
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.finetune.finetuner import Finetuner
from napari_tileseg.session.painting.strokes import Strokes

_sessions: WeakKeyDictionary[ViewerModel, Session] = WeakKeyDictionary()
_strokes: WeakKeyDictionary[ViewerModel, Strokes] = WeakKeyDictionary()
_finetuners: WeakKeyDictionary[ViewerModel, Finetuner] = WeakKeyDictionary()
#: Those of panels, which end with them.
_diagnosers: WeakKeyDictionary[ViewerModel, WeakSet[Diagnoser]] = WeakKeyDictionary()


def session_of(viewer: ViewerModel) -> Session:
    """Return the session of a viewer, made when first asked for; to be used from the interface's thread."""
    session = _sessions.get(viewer)
    if session is None:
        session = _sessions[viewer] = Session(dispatch=GuiThread())
    return session


def strokes_of(viewer: ViewerModel) -> Strokes:
    """Return the painted labels of a viewer, which are saved whether or not a widget shows it."""
    strokes = _strokes.get(viewer)
    if strokes is None:
        strokes = _strokes[viewer] = Strokes(session_of(viewer), GuiThread())
    return strokes


def finetuner_of(viewer: ViewerModel) -> Finetuner:
    """Return the trainings of a viewer, which continue and wait for a decision without a widget."""
    finetuner = _finetuners.get(viewer)
    if finetuner is None:
        finetuner = _finetuners[viewer] = Finetuner(session_of(viewer), GuiThread())
    return finetuner


def new_diagnoser(viewer: ViewerModel) -> Diagnoser:
    """Return what runs the diagnoses of one panel of a viewer, which ends with the panel."""
    diagnoser = Diagnoser(session_of(viewer), GuiThread())
    _diagnosers.setdefault(viewer, WeakSet()).add(diagnoser)
    return diagnoser


def may_forget(viewer: ViewerModel, window: QWidget) -> bool:
    """Return whether the work of a viewer may end; where something would stop or be lost, the user is asked.

    Parameters
    ----------
    viewer : ViewerModel
        Whose work.
    window : QWidget
        Where the questions appear.
    """
    session, strokes, finetuner = _sessions.get(viewer), _strokes.get(viewer), _finetuners.get(viewer)
    if session is not None and session.prediction.running and not dialogs.ask_close(window):
        return False
    if session is not None and session.results.saving and not dialogs.ask_close_saving(window):
        return False
    diagnosing = any(each.running for each in _diagnosers.get(viewer, ()))
    if diagnosing and not dialogs.ask_close_diagnosis(window):
        return False
    if finetuner is not None and finetuner.state != "idle" and not dialogs.ask_close_training(window):
        return False
    return strokes is None or strokes.settle() or dialogs.ask_close_unsaved(window)


def forget_session(viewer: ViewerModel) -> None:
    """Save what is painted, stop the work of a viewer that has closed, and let go of it."""
    for each in (_strokes.pop(viewer, None), _finetuners.pop(viewer, None), _sessions.pop(viewer, None)):
        if each is not None:
            each.close()
