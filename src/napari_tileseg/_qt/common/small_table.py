"""A table that is as high as its rows, for a narrow column."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem


class SmallTable(QTableWidget):
    """Rows of texts under headings; the first column takes the room that is left."""

    def __init__(self, headings: Sequence[tuple[str, str]]) -> None:
        """Make an empty table.

        Parameters
        ----------
        headings : sequence of (str, str)
            Title and tooltip of each column.
        """
        super().__init__(0, len(headings))
        for column, (title, tip) in enumerate(headings):
            item = QTableWidgetItem(title)
            item.setToolTip(f"<p>{tip}</p>" if tip else "")
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().setVisible(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(30)
        self.verticalHeader().setDefaultSectionSize(22)
        self.verticalHeader().setMinimumSectionSize(18)
        self.set_rows(())

    def set_rows(self, rows: Sequence[Sequence[str]], tips: Sequence[Sequence[str]] = ()) -> None:
        """Show rows, with a tooltip for each cell; replaces those before."""
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                tip = tips[number][column] if tips else ""
                item.setToolTip(f"<p>{tip}</p>" if tip else "")
                self.setItem(number, column, item)
        heights = sum(self.rowHeight(number) for number in range(len(rows)))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + heights + 4)
