"""Choosing an image layer, and which part of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_tileseg._qt.common.factories import choice, named, row
from napari_tileseg._qt.predict.channel_box import ChannelBox
from napari_tileseg._types import Shape
from napari_tileseg.errors import SettingsError
from napari_tileseg.settings import ImageSettings, knobs

_KNOBS = {each.name: each for each in knobs(ImageSettings)}


@dataclass(frozen=True, slots=True)
class Choice:
    """An image that can be chosen.

    Parameters
    ----------
    key : hashable
        Identifies it among the others, whatever it is called.
    name : str
        What it is called now.
    levels : tuple of tuple of int
        Shape of the data at each level.
    axes : str
        Axes of the data, as far as they are known.
    channel_names : tuple of str
        What is known of the names of channels.
    """

    key: Hashable
    name: str
    levels: tuple[Shape, ...]
    axes: str
    channel_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a person has said of an image, until it is gone.

    Parameters
    ----------
    level : int
        Level of its data.
    axes : str or None
        Axes of its data; None as they are known.
    channels : tuple of int or None
        Channels in their order; None for all, or those that others keep.
    """

    level: int = 0
    axes: str | None = None
    channels: Shape | None = None


class ImagePicker(QWidget):
    """A list of images; level, axes and channel of the chosen one."""

    #: Key of the chosen image (or None) and its `ImageSettings`.
    chosen = Signal(object, object)
    #: What is wrong with a text, as a sentence; "" once it can be read.
    checked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._choices: tuple[Choice, ...] = ()
        #: By what identifies an image, for when it is chosen again.
        self._typed: dict[Hashable, _Typed] = {}
        self.list = _list("Image layer to predict.", 12)
        self.list.setPlaceholderText("open an image first")
        self.level = _list(_KNOBS["level"].help, 2)
        self.channel = ChannelBox()
        self.axes = QLineEdit()
        self.axes.setFixedWidth(52)
        self.axes.setToolTip(
            "<p>Name of each axis in order, from t (time), c (channel), z, y, x. Correct it where the image "
            "does not state it.</p>"
        )
        #: Level, axes and channel, for a separate row.
        self.parts = row(
            named("axes", self.axes),
            self.axes,
            named("level", self.level),
            (self.level, 1),
            named("channel", self.channel),
            (self.channel, 1),
            spacing=4,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        self.list.currentIndexChanged.connect(self._show_parts)
        self.level.activated.connect(self._level_edited)
        self.channel.edited.connect(self._channel_edited)
        self.axes.editingFinished.connect(self._axes_edited)
        self._show_parts()

    def set_choices(self, choices: Sequence[Choice]) -> None:
        """Offer these images; the chosen one stays chosen while it is among them."""
        current = self._current()
        renamed_only = [c.key for c in choices] == [c.key for c in self._choices]
        self._choices = tuple(choices)
        if renamed_only:
            for index, choice in enumerate(choices):
                self.list.setItemText(index, choice.name)
            return
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([choice.name for choice in choices])
        keys = [choice.key for choice in choices]
        self._typed = {key: typed for key, typed in self._typed.items() if key in keys}
        still_offered = current is not None and current.key in keys
        self.list.setCurrentIndex(
            keys.index(current.key) if current is not None and still_offered else len(keys) - 1
        )
        self.list.blockSignals(False)
        if not still_offered:
            self._show_parts()

    def choose(self, key: Hashable, settings: ImageSettings | None = None) -> None:
        """Choose an image, and which part of it, as the user would."""
        keys = [choice.key for choice in self._choices]
        index = keys.index(key) if key in keys else -1
        if settings is None:
            self.list.setCurrentIndex(index)
            return
        self.list.blockSignals(True)
        self.list.setCurrentIndex(index)
        self.list.blockSignals(False)
        self._typed[key] = _Typed(settings.level, settings.axes, settings.channel)
        self._show_parts()

    @property
    def key(self) -> Hashable:
        """What identifies the chosen image; None where there is none."""
        current = self._current()
        return None if current is None else current.key

    def read_channels(self, channels: Shape | None) -> None:
        """Read channels, in their order, that others keep for this image; None for all."""
        self._typed[self.key] = replace(self._said(), channels=None)
        self.channel.choose(channels)
        self._emit_changed()

    def settings(self) -> ImageSettings:
        """Return the level, axes and channels that are chosen."""
        current = self._current()
        axes = self.axes.text().strip()
        known = current is not None and axes == current.axes
        return ImageSettings(
            level=max(0, self.level.currentIndex()),
            axes=None if known or not axes else axes,
            channel=self.channel.channels(),
        )

    def _current(self) -> Choice | None:
        index = self.list.currentIndex()
        return self._choices[index] if 0 <= index < len(self._choices) else None

    def _show_parts(self) -> None:
        self._offer_parts()
        self._emit_changed()

    def _offer_parts(self) -> None:
        current = self._current()
        self.setToolTip("" if current is None else f"{current.name}: {current.levels[0]}")
        self.level.clear()
        for number, shape in enumerate(current.levels if current else ()):
            self.level.addItem(str(number))
            self.level.setItemData(
                number, " \N{MULTIPLICATION SIGN} ".join(map(str, shape)), Qt.ItemDataRole.ToolTipRole
            )
        typed = self._said()
        self.level.setCurrentIndex(min(typed.level, self.level.count() - 1))
        self.axes.setText(typed.axes or (current.axes if current else ""))
        self._show_channels()
        self.channel.choose(typed.channels)

    def _show_channels(self) -> None:
        current, axes = self._current(), self.axes.text().strip()
        has_axis = current is not None and "c" in axes and len(axes) == len(current.levels[0])
        count = current.levels[0][axes.index("c")] if current and has_axis else 0
        self.channel.offer(count, current.channel_names if current else ())
        self.level.setEnabled(self.level.count() > 1)

    def _said(self) -> _Typed:
        """Return what a person has said of the image that is chosen."""
        return self._typed.get(self.key, _Typed())

    def _level_edited(self) -> None:
        self._typed[self.key] = replace(self._said(), level=self.level.currentIndex())
        self._emit_changed()

    def _axes_edited(self) -> None:
        """Take axes, and ask for their channels anew; leaving the line, too, finishes an edit."""
        axes = self.axes.text().strip() or None
        current = self._current()
        if current is None or axes == (self._said().axes or current.axes):
            return
        self._typed[self.key] = replace(self._said(), axes=axes, channels=None)
        self._show_channels()
        self._emit_changed()

    def _channel_edited(self) -> None:
        with suppress(SettingsError):
            self._typed[self.key] = replace(self._said(), channels=self.channel.channels())
        self._emit_changed()

    def _emit_changed(self) -> None:
        current = self._current()
        try:
            settings = self.settings()
        except SettingsError as error:
            self.checked.emit(error.in_panel)
        else:
            self.checked.emit("")
            self.chosen.emit(None if current is None else current.key, settings)


def _list(tip: str, letters: int) -> QComboBox:
    made = choice(tip, least=46)
    made.setMinimumContentsLength(letters)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return made
