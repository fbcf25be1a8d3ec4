"""Runs diagnoses for the form, and shows what they found in the form and in the viewer."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QObject

from napari_tileseg._napari.centring import centre_on
from napari_tileseg._napari.drawing.tile_outlines import TileOutlines
from napari_tileseg._napari.images.image_place import placement_in
from napari_tileseg._napari.images.placement import Placement
from napari_tileseg._napari.results.heatmap_layers import HeatmapLayers
from napari_tileseg._napari.view import box_in_view
from napari_tileseg._progress import Progress
from napari_tileseg._qt.common import dialogs
from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.diagnose.form import DiagnoseForm
from napari_tileseg._qt.diagnose.trial_control import TrialControl
from napari_tileseg.diagnosis.measured import WorstPlace
from napari_tileseg.errors import SettingsError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session import Ended, Session
from napari_tileseg.session.diagnosis.diagnoser import Diagnoser
from napari_tileseg.session.diagnosis.findings import Finding
from napari_tileseg.session.prediction.readiness import (
    measured_readiness,
    names_in_use,
    problem_words,
    subject_words,
)
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box


class DiagnoseControl(QObject):
    """Joins the form, the viewer and what is diagnosed.

    Parameters
    ----------
    viewer : Viewer
        Where findings are shown.
    session : Session
        Whose image and network are diagnosed.
    diagnosing : Diagnoser
        Runs and stores diagnoses.
    form : DiagnoseForm
        What the user sees.
    """

    def __init__(self, viewer: Viewer, session: Session, diagnosing: Diagnoser, form: DiagnoseForm) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._diagnosing = diagnosing
        self._form = form
        self._heatmap = HeatmapLayers(viewer)
        self._outlines = TileOutlines(viewer)
        self._trial = TrialControl(viewer, session, diagnosing, form, self._show_message)
        self._shown: Finding | None = None
        self._place: WorstPlace | None = None
        self._earlier = False
        # What was chosen when a message was shown: it is cleared once something else is chosen.
        self._message_of: tuple[object, ...] = ()
        # Layers may be moved or removed later: findings stay where the image was when they were asked for.
        self._placements: dict[Finding, Placement] = {}
        self._started: Placement | None = None
        events = viewer.layers.events
        self._connections = Connections(
            (session.image_changed, self._show_subject),
            (session.network_changed, self._show_subject),
            (session.situation_changed, self._show_subject),
            (session.results.changed, self._follow_project),
            (diagnosing.reported, self._receive),
            (diagnosing.found, self._show_found),
            (diagnosing.dropped, self._show_dropped),
            (diagnosing.report_written, self._show_reported),
            (diagnosing.failed, self._fail),
            (events.inserted, self._offer_labels),
            (events.removed, self._offer_labels),
            (events.renamed, self._offer_labels),
        )
        form.diagnose_clicked.connect(self._start)
        form.cancel_clicked.connect(self._cancel)
        form.report_clicked.connect(self._report)
        form.shown_changed.connect(self._show_layers)
        form.choice_changed.connect(self._show_subject)
        form.panel.go_clicked.connect(self._go)
        form.panel.try_clicked.connect(self._try)
        form.panel.earlier_chosen.connect(self._choose_run)
        self._offer_labels()
        self._show_subject()
        form.show_results(False)
        self._show_latest()

    def close(self) -> None:
        """Stop following viewer and session; the layers stay."""
        self._connections.close()
        self._trial.close()

    def _show_subject(self, _: object = None) -> None:
        session, form = self._session, self._form
        readiness = measured_readiness(session.situation, form.question())
        names = names_in_use(session.situation, session.image, session.network)
        form.subject.show_text(subject_words(*names, readiness))
        running = self._diagnosing.running
        # What has to be chosen first is shown by the subject already.
        form.show_state(readiness, running=running, silent=None in names)
        self._take_back()
        shown = self._shown
        if shown is not None:
            form.panel.show_subject(shown, self._diagnosing.changes(shown), named=None not in names)
            form.panel.try_it.setEnabled(readiness.ready and not running and self._diagnosing.can_try(shown))
        self._trial.show_state(running=running)
        form.report.setEnabled(not running and shown is not None and self._diagnosing.can_report(shown))

    def _chosen(self) -> tuple[object, ...]:
        """Return all that a sentence of the form may refer to."""
        session, form = self._session, self._form
        boxes = (form.look_at, form.labels, form.holding)
        return (session.image, session.network, session.settings, *(box.currentData() for box in boxes))

    def _take_back(self) -> None:
        """Clear messages about other choices."""
        chosen = self._chosen()
        same = len(chosen) == len(self._message_of) and all(
            a is b or (not isinstance(a, Image) and a == b)
            for a, b in zip(chosen, self._message_of, strict=True)
        )
        if not same and not self._diagnosing.running:
            self._show_message("")
            self._form.progress.show_text("")

    def _show_message(self, text: str, kind: str = "") -> None:
        """Report how it went, for what is chosen now."""
        self._message_of = self._chosen()
        self._form.message.show_text(text, kind)

    def _offer_labels(self, event: object = None) -> None:
        del event
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        self._form.set_labels([(layer.name, layer.unique_id) for layer in layers])

    def _labels(self) -> object:
        key = self._form.labels.currentData()
        layer = next((x for x in self._viewer.layers if key is not None and x.unique_id == key), None)
        if layer is None:
            return None
        return layer.data[0] if layer.multiscale else layer.data

    def _start(self) -> None:
        self._show_message("")
        try:
            self._started, in_view = self._look()
            look_at = self._form.look_at.currentData()
            self._diagnosing.start(look_at, in_view, self._labels(), self._meaning())
        except TilesegError as error:
            self._show_message(problem_words(error), "error")
            return
        self._form.progress.show_text("Starting\N{HORIZONTAL ELLIPSIS}")
        self._show_subject()

    def _try(self) -> None:
        """Try the cure of the finding that is shown, on what is in view."""
        if self._shown is None:
            return
        self._show_message("")
        try:
            placement, in_view = self._look()
            self._trial.begin(placement)
            self._diagnosing.try_cure(self._shown, in_view, self._labels(), self._meaning())
        except TilesegError as error:
            self._show_message(problem_words(error), "error")
            return
        self._form.progress.show_text("Starting\N{HORIZONTAL ELLIPSIS}")
        self._show_subject()

    def _meaning(self) -> LabelSettings:
        return LabelSettings(labels_kind=self._form.holding.currentData())

    def _look(self) -> tuple[Placement, Box]:
        """Return where the tiled image lies, and which of its voxels are in view."""
        image, tiles = self._session.image, self._session.plan.tiles
        if image is None or tiles is None:
            raise SettingsError("A diagnosis needs an image and a network that fit; choose both first.")
        placement = placement_in(self._viewer, image, tiles.image)
        return placement, box_in_view(self._viewer, placement, tiles.image.shape)

    def _cancel(self) -> None:
        self._diagnosing.cancel()
        self._form.progress.show_text("Stopping after the current tile\N{HORIZONTAL ELLIPSIS}")
        self._form.cancel.setEnabled(False)

    def _receive(self, event: Progress | Ended) -> None:
        if isinstance(event, Progress):
            self._form.show_progress(event)
            return
        self._message_of = self._chosen()
        self._form.progress.show_text("Cancelled." if event.cancelled and event.error is None else "")
        self._show_subject()

    def _show_dropped(self) -> None:
        self._message_of = self._chosen()
        self._form.progress.show_text("Stopped, because the image or the network was replaced.")
        self._show_subject()

    def _report(self) -> None:
        if self._shown is None or not self._diagnosing.can_report(self._shown):
            return
        diagnosis = self._shown.diagnosis
        folder = dialogs.ask_report_folder(self._form, f"{diagnosis.network} on {diagnosis.image}")
        if folder is not None:
            self._show_message("")
            self._diagnosing.write_report(self._shown, folder)
            self._show_subject()

    def _show_reported(self, page: Path) -> None:
        self._show_message(f"Report written: {page}", "ok")

    def _fail(self, error: Exception) -> None:
        self._show_message(problem_words(error), "error")

    def _show_found(self, finding: Finding) -> None:
        if self._started is not None:
            self._placements[finding] = self._started
        self._show_latest()

    def _follow_project(self, _: object) -> None:
        """Show what another project holds, once one was opened."""
        findings = self._diagnosing.findings
        if findings and self._shown not in findings:
            self._show_latest()

    def _show_latest(self) -> None:
        if self._diagnosing.findings:
            self._choose_run(earlier=False)

    def _choose_run(self, earlier: bool) -> None:
        """Show the last finding, or the one before."""
        last_two = self._diagnosing.findings[-2:]
        before = last_two[0] if len(last_two) == 2 else None
        self._earlier = earlier and before is not None
        self._shown = before if self._earlier else last_two[-1]
        self._place = None
        self._outlines.hide()
        self._trial.forget()
        form = self._form
        form.show_results(True)
        form.panel.show_finding(self._shown)
        form.panel.compare(before, last_two[-1], earlier=self._earlier)
        self._open_heatmap()
        self._show_subject()

    def _placement(self, finding: Finding) -> Placement | None:
        """Return where the grid of a finding lies; None if it is about another image than the viewer's."""
        if finding in self._placements:
            return self._placements[finding]
        diagnosis, image, tiles = finding.diagnosis, self._session.image, self._session.plan.tiles
        if (
            image is None
            or tiles is None
            or (image.name, tiles.image.shape) != (diagnosis.image, diagnosis.shape)
        ):
            return None
        return placement_in(self._viewer, image, tiles.image)

    def _open_heatmap(self) -> None:
        finding = self._shown
        placement = None if finding is None else self._placement(finding)
        compared = finding is not None and finding.diagnosis.mismatch.pairs > 0
        for box in (self._form.heatmap, self._form.tiles):
            box.setEnabled(compared)
        if finding is None or not compared or placement is None or not finding.heatmap.exists():
            self._heatmap.remove()
            return
        self._heatmap.open(
            finding.heatmap,
            finding.diagnosis.image,
            tuple(each.name for each in finding.diagnosis.classes),
            placement,
            largest=finding.diagnosis.max_abs_difference,
            first=self._class_to_show(),
        )

    def _class_to_show(self) -> str:
        """Return the class of the place that is shown, or else the one that differs most."""
        assert self._shown is not None
        if self._place is not None:
            return self._place.class_name
        return max(self._shown.diagnosis.mismatch.classes, key=lambda each: each.largest).name

    def _go(self, number: int) -> None:
        """Centre the view on a place, and show its class and its two tiles."""
        finding = self._shown
        if finding is None or number >= len(finding.profiles):
            return
        self._place = finding.diagnosis.mismatch.worst[number]
        self._form.panel.show_profile(finding, number)
        placement = self._placement(finding)
        if placement is not None:
            centre_on(self._viewer, placement, self._place.point)
        self._show_layers()

    def _show_layers(self) -> None:
        finding, place = self._shown, self._place
        if finding is None:
            return
        self._heatmap.show(self._form.heatmap.isChecked(), self._class_to_show())
        placement = self._placement(finding)
        if place is None or placement is None or not self._form.tiles.isChecked():
            self._outlines.hide()
        else:
            self._outlines.show((place.first, place.second), place.point, placement)
