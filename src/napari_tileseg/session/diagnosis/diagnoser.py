"""Diagnoses of a session's image and network, run in the background and stored in its project folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg._outputs import NETWORK, check_output
from napari_tileseg._progress import Progress
from napari_tileseg.errors import SettingsError
from napari_tileseg.session.background.jobs import Dispatch, Jobs, at_once
from napari_tileseg.session.background.worker import Ended
from napari_tileseg.session.diagnosis.files import read_findings
from napari_tileseg.session.diagnosis.findings import Finding, Subject
from napari_tileseg.session.diagnosis.run import Found, LookAt, Request, carry_out, write_report
from napari_tileseg.session.diagnosis.trial import Kept, Tried, carry_out_trial, keep
from napari_tileseg.session.session import Session
from napari_tileseg.settings import LabelSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.diagnosis import Diagnosis
    from napari_tileseg.diagnosis.trial import Trial

_KIND = "diagnose"


class Diagnoser:
    """Runs diagnoses of a session, one at a time, and holds their findings.

    Used from the thread that owns the session. When the image or the network is replaced, a running
    diagnosis is stopped and its further events are dropped.

    Parameters
    ----------
    session : Session
        Whose image and network are diagnosed.
    dispatch : callable, optional
        Runs a callable in the owner's thread; at once by default.
    """

    #: A `Progress`, and at last an `Ended`.
    reported = Signal(object)
    #: A `Finding`: the numbers are there.
    found = Signal(object)
    #: Image or network were replaced while it ran.
    dropped = Signal()
    #: Path of a report that has been written.
    report_written = Signal(object)
    #: A `Trial`: what is in view was predicted with fixed statistics as well.
    tried = Signal(object)
    #: Path of a network that holds a trial's statistics, which is chosen now.
    network_kept = Signal(object)
    #: What went wrong.
    failed = Signal(Exception)

    def __init__(self, session: Session, dispatch: Dispatch = at_once) -> None:
        self._session = session
        self._jobs = Jobs(dispatch)
        self._jobs.failed.connect(self._fail)
        self._folder = session.folder
        self._findings = read_findings(session.folder)
        self._request: Request | None = None
        self._made: Kept | None = None
        # All of the last two, for reports; more of them would hold images in memory that nobody looks at.
        self._whole: dict[Finding, tuple[Request, Diagnosis]] = {}
        session.image_changed.connect(self._drop)
        session.network_changed.connect(self._drop)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings of the session's project, oldest first."""
        if self._folder != self._session.folder:
            self._folder = self._session.folder
            self._findings = read_findings(self._folder)
        return self._findings

    @property
    def running(self) -> bool:
        """Whether a diagnosis is under way."""
        return self._jobs.running(_KIND)

    def start(
        self,
        look_at: LookAt,
        box: Box | None = None,
        labels: Any = None,
        meaning: LabelSettings | None = None,
    ) -> None:
        """Diagnose in the background.

        Parameters
        ----------
        look_at : {"view", "sample", "everything"}
            What to look at.
        box : Box, optional
            Voxels in view, on the grid that is tiled, where those are looked at.
        labels : array, optional
            Labels of every voxel, over the image's grid axes; read in the background.
        meaning : LabelSettings, optional
            What the labels hold; needed with them.

        Raises
        ------
        SettingsError
            If image or network are missing, or nothing is in view.
        """
        request = self._asked(look_at, box if look_at == "view" else None, labels, meaning)
        if look_at == "view" and (box is None or not box.meets(request.plan.grid.box)):
            raise SettingsError("Nothing of the image is in view; move the view to it, or look at a sample.")
        self._session.project_folder.ensure_file()
        self._request = request
        self._jobs.begin(_KIND, lambda: carry_out(request), self._receive, with_end=True)

    def _asked(
        self, look_at: LookAt, part: Box | None, labels: Any, meaning: LabelSettings | None
    ) -> Request:
        """Return what is asked of the session's prediction now."""
        session = self._session
        session.check_choices()
        plan = session.plan.measured or session.plan.laid
        assert plan is not None
        return Request(
            plan=plan,
            look_at=look_at,
            project=session.folder,
            subject=Subject.of(plan, session.image_choice.reference),
            part=part,
            labels=labels,
            meaning=meaning or LabelSettings(),
        )

    def can_try(self, finding: Finding) -> bool:
        """Return whether a finding is of what is chosen now, and has a cure that can be tried."""
        laid = self._session.plan.laid
        return laid is not None and not self.changes(finding) and finding.diagnosis.of_statistics

    def try_cure(
        self,
        finding: Finding,
        view: Box | None = None,
        labels: Any = None,
        meaning: LabelSettings | None = None,
    ) -> None:
        """Predict in the background with statistics of each tile and of a region; `tried` gives both.

        Parameters
        ----------
        finding : Finding
            One that can be tried.
        view : Box, optional
            Voxels in view, on the grid that is tiled; where the worst place is by default.
        labels, meaning : optional
            As `start` takes them.

        Raises
        ------
        SettingsError
            If image or network are missing, or are others than those of the finding.
        """
        request = self._asked("view", view, labels, meaning)
        if not self.can_try(finding):
            raise SettingsError("The finding is of another prediction than what is chosen; diagnose again.")
        diagnosis = finding.diagnosis
        self._jobs.begin(_KIND, lambda: carry_out_trial(request, diagnosis), self._receive, with_end=True)

    def predict_so(self, trial: Trial) -> None:
        """Let predictions take statistics as a trial does."""
        session = self._session
        session.set_settings(replace(session.settings, statistics=trial.plan.settings.statistics))

    def keep_network(self, trial: Trial, path: Path) -> None:
        """Write a network that holds the statistics of a trial, in the background, and choose it.

        Raises
        ------
        StoreError
            If the file may not be called so.
        """
        check_output(path, NETWORK)
        self._jobs.begin(_KIND, lambda: keep(trial, path), self._receive, with_end=True)

    def changes(self, finding: Finding) -> tuple[str, ...]:
        """Return what has changed in the session since a finding's prediction, in a word each."""
        session = self._session
        if session.plan.laid is None:
            return ()
        now = Subject.of(session.plan.laid, session.image_choice.reference)
        return finding.subject.changes(now)

    def can_report(self, finding: Finding) -> bool:
        """Return whether image, network and all numbers of a finding are still at hand."""
        return finding in self._whole

    def write_report(self, finding: Finding, folder: Path) -> None:
        """Write a report on a finding in the background; emits `report_written` or `failed` at its end."""
        request, diagnosis = self._whole[finding]
        self._jobs.begin(
            _KIND, lambda: write_report(request, diagnosis, folder), self._receive, with_end=True
        )

    def cancel(self) -> None:
        """Stop after the current tile; returns at once."""
        self._jobs.cancel(_KIND)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for at most `timeout` seconds; return whether no diagnosis or report is under way."""
        return self._jobs.wait(_KIND, timeout)

    def release(self) -> None:
        """Stop after the current tile, and follow the session no more; returns at once."""
        self._session.image_changed.disconnect(self._drop)
        self._session.network_changed.disconnect(self._drop)
        self._jobs.drop(_KIND)

    def close(self) -> None:
        """Do as `release`, and wait for the thread."""
        self.release()
        self._jobs.close()

    def _drop(self, _: object) -> None:
        if self.running:
            self._jobs.drop(_KIND)
            self.dropped.emit()

    def _receive(self, event: Progress | Found | Path | Tried | Kept | Ended) -> None:
        if isinstance(event, Found):
            self._keep(event)
        elif isinstance(event, Tried):
            self.tried.emit(event.trial)
        elif isinstance(event, Kept):
            self._made = event
        elif isinstance(event, Path):
            self.report_written.emit(event)
        else:
            self.reported.emit(event)
            if isinstance(event, Ended):
                self._choose_kept()

    def _choose_kept(self) -> None:
        """Choose a network that was kept, once the work for it has ended: a choice stops what is running."""
        made, self._made = self._made, None
        if made is None:
            return
        session, tried = self._session, made.trial.plan.settings
        session.set_network(made.network, trained_further=True)
        # Its intensities were measured where its statistics were.
        where = tried.intensities_of
        settings = replace(session.settings, statistics="auto", intensities=where, region=tried.region)
        session.set_settings(settings)
        self.network_kept.emit(made.path)

    def _fail(self, kind: str, error: Exception) -> None:
        del kind
        self.failed.emit(error)

    def _keep(self, event: Found) -> None:
        assert self._request is not None
        self._findings = (*self.findings, event.finding)
        self._whole[event.finding] = (self._request, event.finding.diagnosis)
        for old in list(self._whole)[:-2]:
            del self._whole[old]
        self.found.emit(event.finding)
