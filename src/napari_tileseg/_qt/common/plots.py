"""Small plots in the colours of the theme: a histogram, bars, and two curves."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

#: Colours of the first and the second tile, as their outlines have them.
FIRST, SECOND = "#56b4e9", "#e69f00"
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 8, 20
#: Room above a frame for words.
_TITLE = 14


class Plot(QWidget):
    """A frame with room for axes; shows what is missing where there is nothing to draw."""

    def __init__(self, nothing: str) -> None:
        super().__init__()
        self._nothing = nothing
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(120)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return room for a few ticks: what a column that scrolls asks for, and exceeds where it can."""
        return QSize(320, 80)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a smaller width."""
        return QSize(120, 80)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw what there is."""
        del event
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() * 0.85))
        painter.setFont(font)
        painter.setPen(self._ink())
        if self._empty():
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(QRectF(self.rect()).adjusted(8, 0, -8, 0), int(flags), self._nothing)
        else:
            frame = QRectF(self.rect()).adjusted(_LEFT, _TOP, -_RIGHT, -_BOTTOM)
            self._draw(painter, frame)
        painter.end()

    def _empty(self) -> bool:
        raise NotImplementedError

    def _draw(self, painter: QPainter, frame: QRectF) -> None:
        raise NotImplementedError

    def _ink(self, strength: int = 255) -> QColor:
        color = self.palette().windowText().color()
        color.setAlpha(strength)
        return color

    def _axes(self, painter: QPainter, frame: QRectF) -> None:
        painter.setPen(self._ink(110))
        painter.drawLine(frame.bottomLeft(), frame.bottomRight())
        painter.drawLine(frame.bottomLeft(), frame.topLeft())
        painter.setPen(self._ink())

    def _below(self, painter: QPainter, frame: QRectF, x: float, text: str) -> None:
        """Write under the axis, as near to `x` as the widget's borders allow."""
        width = painter.fontMetrics().horizontalAdvance(text) + 2
        left = min(max(2.0, x - width / 2), self.width() - width - 2)
        box = QRectF(left, frame.bottom() + 3, width, _BOTTOM - 4)
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)

    def _beside(self, painter: QPainter, frame: QRectF, y: float, text: str) -> None:
        box = QRectF(0, y - 8, frame.left() - 4, 16)
        flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, int(flags), text)


class HistogramPlot(Plot):
    """How many values differ by how much, both on logarithmic axes."""

    def __init__(self) -> None:
        super().__init__("no diagnosis yet")
        self._counts: tuple[int, ...] = ()
        self._edges: tuple[float, ...] = ()
        self._tolerance = 0.0

    def show_counts(self, counts: Sequence[int], edges: Sequence[float], tolerance: float) -> None:
        """Show counts between edges, of which the first is 0, and the difference that rounding explains."""
        self._counts, self._edges, self._tolerance = tuple(counts), tuple(edges), tolerance
        self.update()

    def _empty(self) -> bool:
        return not sum(self._counts)

    def _draw(self, painter: QPainter, frame: QRectF) -> None:
        frame = frame.adjusted(0, _TITLE, 0, 0)
        self._axes(painter, frame)
        highest = log10(max(self._counts)) + 0.1
        width = frame.width() / len(self._counts)
        for number, count in enumerate(self._counts):
            if count:
                height = frame.height() * max(0.02, log10(count) / highest)
                bar = QRectF(frame.left() + number * width, frame.bottom() - height, width - 1, height)
                above = self._edges[number] >= self._tolerance
                painter.fillRect(bar, QColor(SECOND) if above else self._ink(120))
        for power in range(0, int(highest) + 1, 2):
            self._beside(painter, frame, frame.bottom() - frame.height() * power / highest, f"1e{power}")
        for value in (1e-6, 1e-4, 1e-2, 1.0):
            self._below(painter, frame, self._x(frame, value), f"{value:g}")
        self._mark_tolerance(painter, frame)

    def _mark_tolerance(self, painter: QPainter, frame: QRectF) -> None:
        x = self._x(frame, self._tolerance)
        painter.setPen(QPen(self._ink(), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        painter.setPen(self._ink())
        painter.drawText(QPointF(4, frame.top() - 6), "values")
        box = QRectF(x - 110, frame.top() - _TITLE - 2, 220, _TITLE)
        text = "\N{LEFTWARDS ARROW} rounding   difference \N{RIGHTWARDS ARROW}"
        painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)

    def _x(self, frame: QRectF, value: float) -> float:
        """Return the position of a difference: one bin for all below the second edge, then logarithmic."""
        low, high, bins = log10(self._edges[1]), log10(self._edges[-1]), len(self._counts)
        part = (log10(max(value, self._edges[1])) - low) / (high - low)
        return frame.left() + frame.width() * (1 + part * (bins - 1)) / bins


class BarsPlot(Plot):
    """One bar a class, with its number."""

    def __init__(self) -> None:
        super().__init__("no diagnosis yet")
        self._bars: tuple[tuple[str, float], ...] = ()

    def show_bars(self, bars: Sequence[tuple[str, float]], nothing: str) -> None:
        """Show numbers of 0 to 1 by name, or why there are none."""
        self._bars, self._nothing = tuple(bars), nothing
        self.update()

    def _empty(self) -> bool:
        return not self._bars

    def _draw(self, painter: QPainter, frame: QRectF) -> None:
        names = max(painter.fontMetrics().horizontalAdvance(name) for name, _ in self._bars)
        left = 4 + min(names + 8, self.width() // 2)
        room = self.width() - left - 48
        top = max([0.1, *(value for _, value in self._bars)])
        height = min(26.0, (self.height() - 26) / len(self._bars))
        for number, (name, value) in enumerate(self._bars):
            y = 6 + number * height
            text = int(Qt.AlignmentFlag.AlignVCenter)
            painter.drawText(QRectF(4, y, left - 8, height), text, name)
            painter.fillRect(QRectF(left, y + 3, room, height - 6), self._ink(30))
            painter.fillRect(QRectF(left, y + 3, room * value / top, height - 6), QColor(SECOND))
            painter.drawText(QRectF(left + room + 4, y, 44, height), text, f"{value:.3f}")
        self._below(painter, frame, left, "0")
        self._below(painter, frame, left + room, f"{top:.2g}")


class ProfilePlot(Plot):
    """What two tiles give along one line."""

    def __init__(self) -> None:
        super().__init__("Choose one of the worst places.")
        self._first: tuple[float, ...] = ()
        self._second: tuple[float, ...] = ()
        self._start, self._axis, self._at = 0, "", 0

    def show_profile(
        self, first: Sequence[float], second: Sequence[float], start: int, axis: str, at: int
    ) -> None:
        """Show two curves over the voxels of an axis, and mark one voxel."""
        self._first, self._second = tuple(first), tuple(second)
        self._start, self._axis, self._at = start, axis, at
        self.update()

    def clear(self) -> None:
        """Show no curves."""
        self._first = self._second = ()
        self.update()

    def _empty(self) -> bool:
        return not self._first

    def _draw(self, painter: QPainter, frame: QRectF) -> None:
        frame = frame.adjusted(0, _TITLE, 0, 0)
        self._axes(painter, frame)
        last = max(1, len(self._first) - 1)
        low, high = min(0.0, *self._first, *self._second), max(1.0, *self._first, *self._second)
        step, height = frame.width() / last, frame.height() / (high - low)
        x = frame.left() + (self._at - self._start) * step
        painter.setPen(QPen(self._ink(140), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        styles = ((self._first, FIRST, Qt.PenStyle.SolidLine), (self._second, SECOND, Qt.PenStyle.DashLine))
        for values, color, style in styles:
            painter.setPen(QPen(QColor(color), 2, style))
            points = [
                QPointF(frame.left() + i * step, frame.bottom() - (v - low) * height)
                for i, v in enumerate(values)
            ]
            painter.drawPolyline(QPolygonF(points))
        painter.setPen(self._ink())
        for value in (low, high):
            self._beside(painter, frame, frame.bottom() - (value - low) * height, f"{value:.2g}")
        self._below(painter, frame, frame.left(), f"{self._axis} {self._start}")
        self._below(painter, frame, frame.right(), f"{self._axis} {self._start + last}")
        self._legend(painter, frame)

    def _legend(self, painter: QPainter, frame: QRectF) -> None:
        x, y = frame.left(), 9.0
        entries = (
            ("first tile", FIRST, Qt.PenStyle.SolidLine),
            ("second tile", SECOND, Qt.PenStyle.DashLine),
        )
        for text, color, style in entries:
            painter.setPen(QPen(QColor(color), 2, style))
            painter.drawLine(QPointF(x, y), QPointF(x + 22, y))
            painter.setPen(self._ink())
            painter.drawText(QPointF(x + 27, y + 4), text)
            x += 42 + painter.fontMetrics().horizontalAdvance(text)
