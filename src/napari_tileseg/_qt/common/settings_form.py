"""Editors for the knobs of a settings class, derived from the knobs alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QWidget

from napari_tileseg._qt.common.factories import named, row
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import Knob, knobs

Editor: TypeAlias = QCheckBox | QComboBox | QLineEdit


class SettingsForm(QObject):
    """Editors of all knobs of a settings class, for a layout. Untouched, they hold the defaults.

    Parameters
    ----------
    settings : type
        A settings class, such as `PredictSettings`.
    offered : sequence of str
        Knobs of kind "text" that are chosen from a list, which `offer` fills when it is known.
    """

    #: Settings that the editors now hold.
    changed = Signal(object)
    #: What is wrong with the text of an editor, as a sentence; "" once all texts can be read.
    checked = Signal(str)

    def __init__(self, settings: type[Any], offered: Sequence[str] = ()) -> None:
        super().__init__()
        self._class = settings
        self._derived: dict[str, str] = {}
        self._knobs = {each.name: each for each in knobs(settings)}
        self.editors: dict[str, Editor] = {
            name: _editor(each, listed=each.kind == "choice" or name in offered)
            for name, each in self._knobs.items()
        }
        #: Name and editor of each knob that is folded.
        self._rows: dict[str, tuple[QWidget, QWidget]] = {}
        #: What is wrong with the text of an editor; "" where all can be read.
        self._problem = ""
        for name, editor in self.editors.items():
            if isinstance(editor, QLineEdit):
                editor.textChanged.connect(self._mend)
                editor.editingFinished.connect(partial(self._finish, name, editor))
            _edited(editor).connect(self._emit_changed)

    def settings(self) -> Any:
        """Return the settings that the editors hold.

        Raises
        ------
        SettingsError
            If a text cannot be read, is out of bounds, or contradicts another.
        """
        return self._class(**{name: self._value(name) for name in self.editors})

    def set_settings(self, settings: Any) -> None:
        """Show these settings, without emitting a change."""
        for name, editor in self.editors.items():
            editor.blockSignals(True)
            value = getattr(settings, name)
            if value is None and isinstance(editor, QLineEdit):
                _put(editor, self._derived.get(name, ""))
            else:
                _show(self._knobs[name], editor, value)
            editor.blockSignals(False)
        self._check("")

    def commit(self) -> None:
        """Take up what was typed last, though its editor may not have been left yet."""
        self._emit_changed()

    def set_derived(self, name: str, value: Any) -> None:
        """Fill in the value derived for a knob that is not set; None where it is set.

        An editor that shows the derived value counts as not set. One that is being typed in is left alone:
        once it was emptied, what is typed next would be appended to the value.
        """
        editor, former = self.editors[name], self._derived.pop(name, "")
        assert isinstance(editor, QLineEdit)
        if value is None:
            return
        self._derived[name] = _text(self._knobs[name], value)
        if editor.text().strip() in {"", former} and not editor.isModified():
            _put(editor, self._derived[name])

    def clear_derived(self, name: str) -> None:
        """Clear an editor that shows a derived value, which nothing gives any more."""
        editor, former = self.editors[name], self._derived.pop(name, None)
        assert isinstance(editor, QLineEdit)
        if editor.text().strip() == former and not editor.isModified():
            # Clearing it would count as typing.
            editor.setText("")

    def offer(self, name: str, choices: Mapping[str, str]) -> None:
        """Fill a list: each value with the words that it is shown by; what is chosen stays chosen."""
        knob, editor = self._knobs[name], self.editors[name]
        assert isinstance(editor, QComboBox)
        chosen = _chosen(editor)
        editor.blockSignals(True)
        editor.clear()
        for value, words in choices.items():
            editor.addItem(words, value)
        _show(knob, editor, chosen)
        editor.blockSignals(False)

    def folded(self, others: Collection[str], beside: Mapping[str, QWidget] | None = None) -> QWidget:
        """Return editors with their names, but for those that are shown elsewhere; hidden at first.

        Parameters
        ----------
        others : collection of str
            Knobs that are shown elsewhere.
        beside : mapping of str to QWidget, optional
            By the knob, what stands beside its editor.
        """
        fold, beside = QWidget(), beside or {}
        layout = QFormLayout(fold)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for name, editor in self.editors.items():
            if name not in others:
                part = row((editor, 1), beside[name], spacing=4) if name in beside else editor
                label = named(name.replace("_", " "), editor)
                self._rows[name] = (label, part)
                layout.addRow(label, part)
        fold.setVisible(False)
        return fold

    def show_row(self, name: str, shown: bool) -> None:
        """Show the row of a knob that is folded, or hide it; one that is set is shown in any case."""
        text = getattr(self.editors[name], "text", str)().strip()
        default = _text(self._knobs[name], self._knobs[name].default)
        for part in self._rows[name]:
            part.setVisible(shown or text not in {"", default})

    def _value(self, name: str) -> Any:
        knob, editor = self._knobs[name], self.editors[name]
        if isinstance(editor, QCheckBox):
            return editor.isChecked()
        text = _chosen(editor) if isinstance(editor, QComboBox) else editor.text().strip()
        return knob.default if text in {"", self._derived.get(name, "")} else knob.parse(text)

    def _emit_changed(self) -> None:
        try:
            settings = self.settings()
        except SettingsError as error:
            self._check(error.in_panel)
        else:
            self._check("")
            self.changed.emit(settings)

    def _finish(self, name: str, editor: QLineEdit) -> None:
        """Show what is derived where an editor was left empty."""
        editor.setModified(False)
        if not editor.text().strip():
            editor.setText(self._derived.get(name, ""))

    def _mend(self) -> None:
        """Check at each letter whether a text that could not be read can be read now."""
        if self._problem:
            self._emit_changed()

    def _check(self, problem: str) -> None:
        self._problem = problem
        self.checked.emit(problem)


def _editor(knob: Knob, *, listed: bool) -> Editor:
    editor: Editor
    if listed:
        editor = QComboBox()
        for word in knob.choices:
            editor.addItem(word, word)
        editor.setMinimumWidth(90)
    elif knob.kind == "flag":
        editor = QCheckBox()
    else:
        editor = QLineEdit()
        editor.setPlaceholderText("default")
    editor.setObjectName(knob.name)
    editor.setToolTip(f"<p>{knob.help}{_range(knob)}</p>")
    editor.setAccessibleName(knob.name)
    _show(knob, editor, knob.default)
    return editor


def _chosen(editor: QComboBox) -> str:
    return str(editor.currentData())


def _range(knob: Knob) -> str:
    bounded = knob.minimum is not None or knob.maximum is not None
    return f" ({knob.bounds})" if bounded else f" ({knob.unit})" if knob.unit else ""


def _edited(editor: Editor) -> Any:
    """Return the signal of a change that the user has finished."""
    if isinstance(editor, QComboBox):
        return editor.currentIndexChanged
    return editor.toggled if isinstance(editor, QCheckBox) else editor.editingFinished


def _show(knob: Knob, editor: Editor, value: Any) -> None:
    if isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, QComboBox):
        if editor.findData(value) < 0:
            editor.addItem(str(value), value)
        editor.setCurrentIndex(editor.findData(value))
    else:
        _put(editor, _text(knob, value))


def _put(editor: QLineEdit, text: str) -> None:
    """Show a text from its beginning, where it is longer than its line."""
    editor.setText(text)
    editor.setCursorPosition(0)


def _text(knob: Knob, value: Any) -> str:
    """Return the text that the knob parses, as short as it can be: one number for a pair of equal ones."""
    if value is None:
        return ""
    if knob.kind == "pairs" and knob.name != "box":
        return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in value)
    return knob.format(value)
