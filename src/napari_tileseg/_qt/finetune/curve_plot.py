"""Training as it goes: the loss, the validation score, and the phase of batch renormalization."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy

from napari_tileseg._qt.common.plots import FIRST, SECOND
from napari_tileseg.session.finetune.words import PHASES
from napari_tileseg.training.events import StepDone, Validated

#: Part of the mean loss that is of the steps before.
_SMOOTHING = 0.8
#: Room above the frame for words.
_TITLE = 16
#: Opacity of each phase's band, 0 to 255.
_SHADES = {"batch": 38, "ramp": 22, "full": 8, "none": 0}


class CurvePlot(pg.PlotWidget):  # type: ignore[misc]
    """Loss over steps on the left axis, validation score on the right one, bands for the phases."""

    def __init__(self) -> None:
        super().__init__()
        # Lower where the window is, rather than to push what follows out of sight.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumWidth(120)
        self.setBackground(None)
        self.setToolTip(
            "<p>Loss of each step (left), its running mean, and Dice on the strokes held out (right). Bands: "
            "statistics of the batch only, then the limits of batch renormalization rise to their ends.</p>"
        )
        self._item = self.getPlotItem()
        self._item.setMenuEnabled(False)
        self._item.hideButtons()
        self.setMouseEnabled(x=False, y=False)
        self._right = pg.ViewBox(enableMouse=False)
        self._losses = self._item.plot()
        self._mean = self._item.plot()
        self._scores = pg.PlotDataItem(symbolSize=5)
        self._bands: list[pg.LinearRegionItem] = []
        self._join_right_axis()
        self._ink()
        self.show_curve(())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return room for a few ticks."""
        return QSize(320, 126)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a smaller width, and a smaller height where the window is low."""
        return QSize(120, 80)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() in {QEvent.Type.PaletteChange, QEvent.Type.StyleChange} and hasattr(self, "_bands"):
            self._ink()

    def show_curve(self, curve: Sequence[StepDone | Validated]) -> None:
        """Show the events of the training so far."""
        steps = [each for each in curve if isinstance(each, StepDone)]
        scores = [each for each in curve if isinstance(each, Validated) and each.score == each.score]
        self._losses.setData([s.step for s in steps], [s.loss for s in steps])
        self._mean.setData([s.step for s in steps], _smoothed([s.loss for s in steps]))
        self._scores.setData([s.step for s in scores], [s.score for s in scores])
        end = max(1, steps[-1].total or steps[-1].step) if steps else 1
        self._item.setXRange(0, end, padding=0.01)
        highest = max([s.loss for s in steps if s.loss == s.loss], default=1.0)
        self._item.setYRange(0, highest * 1.05, padding=0)
        self._show_phases(steps)

    def _show_phases(self, steps: Sequence[StepDone]) -> None:
        for band in self._bands:
            self._item.removeItem(band)
        self._bands = []
        for phase, part in groupby(steps, key=lambda step: step.phase):
            of_phase = list(part)
            ends = (of_phase[0].step - 1, of_phase[-1].step)
            color = QColor(FIRST)
            color.setAlpha(_SHADES[phase])
            band = pg.LinearRegionItem(ends, movable=False, brush=color, pen=pg.mkPen(None))
            band.setZValue(-10)
            self._item.addItem(band)
            self._bands.append(band)
        self._show_title(_phase_words(steps[-1]) if steps else "")
        self.setToolTip(_limit_words(steps[-1]) if steps else "")

    def _join_right_axis(self) -> None:
        """Give the scores their own view over the same steps, from 0 to 1."""
        self._item.showAxis("right")
        self._item.scene().addItem(self._right)
        self._item.getAxis("right").linkToView(self._right)
        self._right.setXLink(self._item)
        self._right.setYRange(0, 1.02, padding=0)
        self._right.addItem(self._scores)
        self._item.vb.sigResized.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        self._right.setGeometry(self._item.vb.sceneBoundingRect())

    def _show_title(self, words: str) -> None:
        """Write above the frame."""
        self._item.titleLabel.setText(words, size="8pt", color=self.palette().windowText().color().name())
        self._item.titleLabel.setMaximumHeight(_TITLE)
        self._item.layout.setRowFixedHeight(0, _TITLE)
        self._item.titleLabel.setVisible(True)

    def _ink(self) -> None:
        """Draw in the colours of the theme, both curves distinguished by colour and by marks."""
        ink = self.palette().windowText().color()
        faint = QColor(FIRST)
        faint.setAlpha(110)
        self._losses.setPen(pg.mkPen(faint, width=1))
        self._mean.setPen(pg.mkPen(FIRST, width=2))
        self._scores.setPen(pg.mkPen(SECOND, width=2, style=Qt.PenStyle.DashLine))
        self._scores.setSymbol("o")
        self._scores.setSymbolBrush(SECOND)
        self._scores.setSymbolPen(SECOND)
        self._show_title(self._item.titleLabel.text)
        # The background is drawn once and cached, in the colours of the former theme.
        self.resetCachedContent()
        font = self.font()
        font.setPointSizeF(max(6.5, font.pointSizeF() * 0.85))
        for name, color, words in (("left", FIRST, "loss"), ("right", SECOND, "Dice"), ("bottom", ink, "")):
            axis = self._item.getAxis(name)
            axis.setPen(pg.mkPen(ink))
            axis.setTextPen(pg.mkPen(ink))
            axis.setStyle(tickFont=font, tickTextOffset=2, hideOverlappingLabels=True)
            if words:
                axis.setLabel(words, color=QColor(color).name())
                axis.setWidth(40)


def _smoothed(losses: Sequence[float]) -> list[float]:
    means: list[float] = []
    for loss in losses:
        means.append(loss if not means else _SMOOTHING * means[-1] + (1 - _SMOOTHING) * loss)
    return means


def _phase_words(step: StepDone) -> str:
    if step.phase == "none":
        return ""
    return PHASES[step.phase]


def _limit_words(step: StepDone) -> str:
    """Return the numbers behind the phase, for whoever knows batch renormalization."""
    if step.phase == "none":
        return ""
    return f"Limits of batch renormalization: r {step.r_max:.2g}, d {step.d_max:.2g}."
