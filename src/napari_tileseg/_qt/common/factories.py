"""Buttons, lists, names and rows, made alike in all widgets."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

#: Text of an entry, the value it stands for, and what explains it.
Entry = tuple[str, Any, str]


def button(text: str, tip: str, clicked: Any = None, *, checkable: bool = False) -> QPushButton:
    """Make a button with its explanation.

    Parameters
    ----------
    text, tip : str
        What is on it, and what it does.
    clicked : signal, optional
        Is emitted, without an argument, when the button is pressed.
    checkable : bool, optional
        Whether it stays pressed.
    """
    made = QPushButton(text)
    made.setToolTip(f"<p>{tip}</p>")
    made.setCheckable(checkable)
    if clicked is not None:
        made.clicked.connect(lambda: clicked.emit())
    return made


def check(text: str, tip: str, *, checked: bool) -> QCheckBox:
    """Make a box to tick, with its explanation."""
    made = QCheckBox(text)
    made.setChecked(checked)
    made.setToolTip(f"<p>{tip}</p>")
    return made


class _List(QComboBox):
    """A list that leaves the middle out of a long name that is chosen, and shows all of it as a tooltip."""

    def __init__(self, tip: str) -> None:
        super().__init__()
        self._tip = tip
        self.currentTextChanged.connect(self._explain)
        self._explain("")

    def _explain(self, text: str) -> None:
        self.setToolTip(f"<p>{self._tip}</p>" + (f"<p>{escape(text)}</p>" if text else ""))

    def paintEvent(self, _: QPaintEvent) -> None:  # noqa: N802
        """Draw as other lists, whose style cuts a long name at its end, where names mostly differ."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() < 0:
            option.currentText = self.placeholderText()
        control, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(control, option, field, self).width()
        middle = Qt.TextElideMode.ElideMiddle
        option.currentText = option.fontMetrics.elidedText(option.currentText, middle, room)
        painter.drawComplexControl(control, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def choice(tip: str, entries: Iterable[Entry] = (), *, least: int = 60) -> QComboBox:
    """Make a list to choose from that takes the room there is, and at least `least` pixels."""
    made = _List(tip)
    made.setMinimumWidth(least)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    for text, value, about in entries:
        add_named(made, text, value, about)
    return made


def add_named(box: QComboBox, name: str, value: object, about: str = "") -> None:
    """Add an entry whose name may be cut: pointing at it shows the whole."""
    box.addItem(name, value)
    box.setItemData(box.count() - 1, about or name, Qt.ItemDataRole.ToolTipRole)


def named(name: str, part: QWidget) -> QLabel:
    """Make the name of a part, with its explanation."""
    label = QLabel(name)
    label.setToolTip(part.toolTip())
    return label


def column(*parts: QWidget, spacing: int = 4) -> QWidget:
    """Make parts below one another, to be shown and hidden together."""
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        layout.addWidget(part)
    return made


def row(*parts: QWidget | tuple[QWidget, int], spacing: int = 5) -> QWidget:
    """Make parts beside one another; those that come with a number share the room by it."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        widget, stretch = part if isinstance(part, tuple) else (part, 0)
        layout.addWidget(widget, stretch)
    return made
