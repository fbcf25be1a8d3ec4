"""Buttons, lists, names and rows, made alike in all widgets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

#: Text of an entry, the value it stands for, and what explains it.
Entry = tuple[str, Any, str]


def button(text: str, tip: str, clicked: Any = None, *, checkable: bool = False) -> QPushButton:
    """A button with its explanation.

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
    """A box to tick, with its explanation."""
    made = QCheckBox(text)
    made.setChecked(checked)
    made.setToolTip(f"<p>{tip}</p>")
    return made


def choice(tip: str, entries: Iterable[Entry] = (), *, least: int = 60) -> QComboBox:
    """A list to choose from that takes the room there is, and at least `least` pixels."""
    made = QComboBox()
    made.setToolTip(f"<p>{tip}</p>")
    made.setMinimumWidth(least)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    for number, (text, value, about) in enumerate(entries):
        made.addItem(text, value)
        made.setItemData(number, about, Qt.ItemDataRole.ToolTipRole)
    return made


def named(name: str, part: QWidget) -> QLabel:
    """The name of a part, with its explanation."""
    label = QLabel(name)
    label.setToolTip(part.toolTip())
    return label


def row(*parts: QWidget | tuple[QWidget, int], spacing: int = 5) -> QWidget:
    """Parts beside one another; those that come with a number share the room by it."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        widget, stretch = part if isinstance(part, tuple) else (part, 0)
        layout.addWidget(widget, stretch)
    return made
