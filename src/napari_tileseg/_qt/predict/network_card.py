"""What the chosen network is and needs, and whether its tiles can show."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_tileseg._qt.common.factories import button, row
from napari_tileseg._qt.common.settings_form import SettingsForm
from napari_tileseg._qt.common.status_label import WordsLabel
from napari_tileseg.engine import Route
from napari_tileseg.session.text.network_words import NetworkWords
from napari_tileseg.settings import NetworkSettings

#: Notes that are shown at once: with more of them the buttons below would leave a small window.
_NOTES = 2


class NetworkCard(QFrame):
    """A framed column of plain words; "Why?" unfolds the reason of the verdict."""

    #: The user wants the mean over mirrored copies of the image, or not.
    mirroring_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        # Half transparent grey shows in every theme; a frame of the style is lost in napari's.
        self.setStyleSheet("#card { border: 1px solid rgba(128, 128, 128, 120); border-radius: 4px; }")
        self._reason, self._seam_free = "", False
        self._notes: list[str] = []
        self.what = WordsLabel()
        self.verdict = WordsLabel()
        self.why = WordsLabel()
        self.needs = WordsLabel()
        self.notes = WordsLabel()
        self.test = WordsLabel()
        self.tiles = WordsLabel()
        opening = SettingsForm(NetworkSettings)
        self.mirroring = opening.editors["mirroring"]
        self.copies = WordsLabel()
        self._mirroring_row = row(self.mirroring, (self.copies, 1), spacing=4)
        opening.changed.connect(lambda settings: self.mirroring_changed.emit(settings.mirroring))
        self._opening = opening
        self.ask = button("Why?", "Why its tiles can, or cannot, be seam-free.", checkable=True)
        self.ask.setMaximumWidth(56)
        self.ask.toggled.connect(self._unfold)
        self.more = button("", "All that is noted of the network.", checkable=True)
        self.more.toggled.connect(self._unfold_notes)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 2)
        layout.setSpacing(2)
        verdict = QHBoxLayout()
        verdict.addWidget(self.verdict, 1)
        verdict.addWidget(self.ask)
        layout.addWidget(self.what)
        layout.addLayout(verdict)
        layout.addWidget(self.why)
        layout.addWidget(self.needs)
        layout.addWidget(self._mirroring_row)
        layout.addWidget(self.test)
        layout.addWidget(self.notes)
        layout.addWidget(self.more)
        layout.addWidget(self.tiles)
        self.show_text("Choose a network: a sample, or a file of your own.")

    def show_words(self, words: NetworkWords) -> None:
        """Show what is known of a network."""
        self.what.show_text(words.what)
        self.verdict.show_text(words.verdict, "ok" if words.seam_free else "warning")
        self.needs.show_text(words.needs)
        self.test.show_text(words.test, "ok" if words.test_passed else "warning")
        self._notes = words.notes.split("\n") if words.notes else []
        hidden = len(self._notes) - _NOTES
        self.more.setText(f"{hidden} more note{'' if hidden == 1 else 's'}")
        self.more.setVisible(hidden > 0)
        self.more.setChecked(False)
        self._unfold_notes(False)
        self._opening.set_settings(NetworkSettings(mirroring=words.mirrored))
        self.copies.show_text(words.mirroring)
        self._mirroring_row.setVisible(bool(words.mirroring))
        self._reason, self._seam_free = words.why, words.seam_free
        self.ask.setChecked(False)
        self.why.show_text("")
        self.tiles.show_text("")
        self.ask.setVisible(True)

    def show_route(self, route: Route) -> None:
        """Show how tiles are computed: with the reason, and at once where whole ones make no seams."""
        self._reason += f" Tiles: {route.words}."
        self._unfold(self.ask.isChecked())
        shown = route.kind == "plain" and self._seam_free
        self.tiles.show_text(f"Tiles are {route.words}." if shown else "")

    def _unfold_notes(self, shown: bool) -> None:
        notes = self._notes if shown else self._notes[:_NOTES]
        self.notes.show_text("\n".join(notes), "warning")

    def _unfold(self, shown: bool) -> None:
        self.why.show_text(self._reason if shown else "")

    def show_text(self, text: str, kind: str = "") -> None:
        """Show one text instead of a network: what is being done, or what went wrong."""
        self.what.show_text(text, kind)
        parts = (self.verdict, self.ask, self.why, self.needs, self.test, self.notes, self.tiles)
        for part in (*parts, self._mirroring_row, self.more):
            part.setVisible(False)
