"""Text in a narrow column: wraps, can be selected, and shows its kind by a sign and a colour."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy

#: Sign before a text, so that its kind shows without colour.
SIGNS = {"": "", "ok": "\N{CHECK MARK} ", "warning": "\N{WARNING SIGN} ", "error": "\N{HEAVY BALLOT X} "}
_COLORS = {"ok": "#2e9e5b", "warning": "#d98a00", "error": "#e05252"}


class WordsLabel(QLabel):
    """A label that wraps and takes no more width than it is given."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setVisible(bool(text))

    def show_text(self, text: str, kind: str = "") -> None:
        """Show a text with the sign of its kind before each line; hide where there is none.

        Parameters
        ----------
        text : str
            What to show.
        kind : {"", "ok", "warning", "error"}
            Nothing special, all is well, look out, or something went wrong.
        """
        self.setText("\n".join(f"{SIGNS[kind]}{line}" for line in text.split("\n")) if text else "")
        style = f"color: {_COLORS[kind]};" if kind else ""
        if style != self.styleSheet():
            self.setStyleSheet(style)
        self.setVisible(bool(text))
        self._fit()

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return one line: the height that the text needs is set when the width is known."""
        return QSize(80, self.fontMetrics().height())

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Take the height that the text needs at the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        # A label's height for a width is never below its minimum, which is that of the text before.
        self.setMinimumHeight(0)
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))
