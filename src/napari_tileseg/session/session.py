"""What one viewer works on: image, network, settings, results, and the prediction that is running."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import SettingsError, StoreError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session.background.jobs import Dispatch, Jobs, at_once
from napari_tileseg.session.prediction.command import command_of
from napari_tileseg.session.prediction.image_choice import ImageChoice
from napari_tileseg.session.prediction.network_choice import NetworkChoice
from napari_tileseg.session.prediction.pair_settings import PairSettings
from napari_tileseg.session.prediction.plan_tracker import PlanTracker
from napari_tileseg.session.prediction.readiness import Readiness, Situation, choices_of, readiness_of
from napari_tileseg.session.prediction.run import PredictionRun, Request, result_of
from napari_tileseg.session.project.folders import new_project_folder
from napari_tileseg.session.project.project import ImageReference, ProjectFolder, Result, read_project
from napari_tileseg.session.project.results import Results
from napari_tileseg.settings import ImageSettings, PredictSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets import Network

#: Kinds of jobs whose failure is shown until the next choice or command.
_FAILED_CHOICES = ("network", "reopen", "save")


class Session:
    """The one mutable noun: what one viewer works on, stored in a project folder.

    It joins its parts, which are used directly. All of it is used from one thread, its owner's. Long work
    runs in background threads and comes back to the owner through `dispatch`, so that every signal but
    `prediction.tile_written` is emitted in the owner's thread.

    Parameters
    ----------
    folder : Path, optional
        Project folder; a new one in the user's data folder by default. It is made when first written to.
    dispatch : callable, optional
        Runs a callable in the owner's thread; called from other threads. By default it runs it at once.

    Attributes
    ----------
    jobs : Jobs
        The work in the background, of the kinds "network", "route", "image", "measure", "forecast",
        "predict", "save", "size", "reopen" and "show".
    project_folder : ProjectFolder
        Where the project lies.
    results : Results
        Its predictions.
    image_choice : ImageChoice
        The image, and where it is to be found again.
    network_choice : NetworkChoice
        The network, how it is opened, and how its tiles are computed.
    plan : PlanTracker
        Tiles and normalization of what is chosen.
    prediction : PredictionRun
        The prediction that is under way.
    """

    #: Image or None.
    image_changed = Signal(object)
    #: Network or None.
    network_changed = Signal(object)
    #: PredictSettings.
    settings_changed = Signal(object)
    #: Something has changed on which `readiness` depends, or a failure that is shown.
    situation_changed = Signal()
    #: Kind of job, or "plan" or "project", and what went wrong with it.
    failed = Signal(str, Exception)

    def __init__(self, folder: Path | None = None, dispatch: Dispatch = at_once) -> None:
        self.jobs = Jobs(dispatch)
        self.project_folder = ProjectFolder(folder or new_project_folder())
        self.results = Results(self.project_folder, self.jobs)
        self.image_choice = ImageChoice(self.jobs)
        self.network_choice = NetworkChoice(self.jobs)
        self.plan = PlanTracker(self.jobs, lambda: self.result_path)
        self.prediction = PredictionRun(self.jobs, self.project_folder, self.results)
        self._pairs = PairSettings()
        #: What is wrong with each entry of a form that cannot be read.
        self._unread: dict[str, str] = {}
        self._disk_problem: StoreError | None = None
        #: Whether the image of a project is being looked for among what is shown.
        self._searching = False
        self._join()

    def _join(self) -> None:
        """Let each part know what follows from the others."""
        self.jobs.busy_changed.connect(self._emit_situation)
        self.jobs.failed.connect(self.failed.emit)
        self.plan.changed.connect(self._emit_situation)
        self.plan.refused.connect(self._refuse)
        self.image_choice.referred.connect(self._save_reference)
        self.network_choice.opened.connect(self.set_network)
        self.network_choice.route_found.connect(lambda _: self.plan.lay_again())
        self.prediction.voxels_changed.connect(self._take_voxels)

    def _emit_situation(self, *_: object) -> None:
        self.situation_changed.emit()

    def _refuse(self, error: Exception) -> None:
        self.failed.emit("plan", error)

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.project_folder.path

    @property
    def image(self) -> Image | None:
        """The image to predict."""
        return self.image_choice.image

    @property
    def network(self) -> Network | None:
        """The network to predict with."""
        return self.network_choice.network

    @property
    def settings(self) -> PredictSettings:
        """How to predict."""
        return self.project_folder.project.settings

    @property
    def situation(self) -> Situation:
        """All that decides whether a command can be carried out."""
        jobs, plan = self.jobs, self.plan
        return Situation(
            image=self.image is not None,
            network=self.network is not None,
            unread=tuple(self._unread.values()),
            opening_network=jobs.running("network"),
            opening_image=jobs.running("reopen") or self._searching,
            routing=jobs.running("route"),
            image_problem=self.image_choice.problem,
            plan_problem=plan.problem,
            reference_problem=jobs.problem("image"),
            measure_problem=jobs.problem("measure"),
            known=self.image_choice.reference is not None,
            measured=plan.tiles is not None and plan.normalization is not None,
            saving=self.results.saving,
        )

    @property
    def opening(self) -> bool:
        """Whether a network or an image was chosen that is being opened: those in use are others."""
        return self.jobs.running("network") or self.jobs.running("reopen") or self._searching

    @property
    def readiness(self) -> Readiness:
        """Whether a prediction can start, and why not."""
        return readiness_of(self.situation)

    def check_choices(self) -> None:
        """Refuse what would be done with other choices than those that are shown.

        Raises
        ------
        SettingsError
            If image or network are missing, being opened or do not fit, or an entry cannot be read.
        """
        choices = choices_of(self.situation)
        if not choices.ready:
            raise SettingsError(choices.obstacle)

    @property
    def troubles(self) -> tuple[BaseException, ...]:
        """What went wrong beside what `readiness` names, until it is tried again or something else chosen."""
        found = (*map(self.jobs.problem, ("network", "reopen", "show", "save")), self._disk_problem)
        return tuple(each for each in found if each is not None)

    @property
    def network_problem(self) -> BaseException | None:
        """Why the network that was asked for last cannot be opened; None where it could, or none was."""
        return self.jobs.problem("network")

    def note_unread(self, entry: str, problem: str) -> None:
        """Record an entry of a form that cannot be read; until it can, nothing starts.

        Parameters
        ----------
        entry : str
            Which entry.
        problem : str
            What is wrong with it, as a sentence; "" once it can be read.
        """
        former = self._unread.pop(entry, "")
        if problem:
            self._unread[entry] = problem
        if former != problem:
            self.situation_changed.emit()

    def note_search(self, searching: bool) -> None:
        """Record whether the image of a project, opened again, is being looked for among what is shown.

        Until it is found, the image in use is the one before.
        """
        if searching != self._searching:
            self._searching = searching
            self.situation_changed.emit()

    def set_image(
        self,
        image: Image | None,
        settings: ImageSettings | None = None,
        *,
        key: Hashable = None,
        problem: TilesegError | None = None,
    ) -> None:
        """Choose the image. A reference to it is looked for in the background.

        Parameters
        ----------
        image : Image, optional
            The image; None for none.
        settings : ImageSettings, optional
            Which part of its file it is.
        key : hashable, optional
            Tells it from other images, whatever it is called and whatever its voxels are now; settings that
            are typed belong to it. By default its name, path and shape.
        problem : TilesegError, optional
            Why what was chosen is no image.
        """
        self.image_choice.choose(image, settings, key, problem)
        self.jobs.forget("save")
        if image is not None:
            self.jobs.forget("reopen")
        self._choose_settings()
        self.image_changed.emit(image)
        self._replan()
        self.image_choice.find()

    def _save_reference(self, reference: ImageReference) -> None:
        self._write(image=reference)
        self.plan.take_up()

    def _take_voxels(self, request: Request) -> None:
        """Take what a prediction has found the voxels to be, if the image is still that one."""
        if self.image_choice.take_present(request):
            self.plan.measure_again()

    def _choose_settings(self) -> None:
        """Take up the settings of the pair of image and network that is chosen now."""
        network = None if self.network is None else self.network.sha256
        settings = self._pairs.choose(self.image_choice.key, network, self.settings)
        if settings != self.settings:
            self._write(settings=settings)
            self.settings_changed.emit(settings)

    def _write(self, **values: Any) -> None:
        """Save what is chosen; a write error is reported through `failed`, and the session continues."""
        self._disk_problem = None
        try:
            self.project_folder.write(**values)
        except StoreError as error:
            self._disk_problem = error
            self.failed.emit("project", error)

    def set_settings(self, settings: PredictSettings) -> None:
        """Choose how to predict."""
        if settings != self.settings:
            self._write(settings=settings)
            self.settings_changed.emit(settings)
            self._replan()

    def set_network(self, network: Network | None, *, trained_further: bool = False) -> None:
        """Choose an opened network; replaces one that is being opened.

        Parameters
        ----------
        network : Network, optional
            The network; None for none.
        trained_further : bool, optional
            Whether it comes from the network before it or that one from it, so that settings stay.
        """
        self.network_choice.choose(network)
        if network is not None:
            self._write(network=network.reference.as_data())
            if trained_further:
                self._pairs.inherit(self.image_choice.key, network.sha256, self.settings)
        self._choose_settings()
        self.network_changed.emit(network)
        # The route may be found at once: tiles are laid again then, of what is followed by now.
        self._replan()
        self.network_choice.find_route()

    def _replan(self) -> None:
        self.plan.follow(self.image, self.network, self.settings)

    @property
    def result_path(self) -> Path | None:
        """Where the prediction of what is chosen is written; None while that is not known."""
        chosen, network = self.image_choice, self.network
        if chosen.image is None or chosen.reference is None or network is None or self.opening:
            return None
        revision = chosen.revision
        return result_of(chosen.image, chosen.reference, network, self.settings, self.folder, revision).path

    def start(self, first: Box | None = None) -> Result:
        """Predict in the background; the signals of `prediction` report it.

        Parameters
        ----------
        first : Box, optional
            Voxels of the image whose tiles come first.

        Returns
        -------
        Result
            Where the prediction is written: the same path for the same image, network and settings, so
            that tiles which are done already are not done again.

        Raises
        ------
        SettingsError
            If it is not ready, with the reason that `readiness` gives.
        """
        readiness = self.readiness
        if not readiness.ready:
            raise SettingsError(f"A prediction cannot start yet. {readiness.obstacle}")
        assert self.plan.measured is not None
        request = self.image_choice.request(self.plan.measured)
        for kind in _FAILED_CHOICES:
            self.jobs.forget(kind)
        return self.prediction.start(request, first)

    def command(self, out: str = "prediction.ome.zarr") -> str:
        """Return the same prediction as one line for the shell.

        Raises
        ------
        SettingsError
            As `check_choices`, and if the image was only in memory.
        """
        self.check_choices()
        return command_of(self.image_choice.reference, self.network, self.settings, out)

    def reopen(self, folder: Path) -> None:
        """Take up a project again; its network and image are opened in the background.

        `image_choice.reopened` gives the image, for a viewer to show and to choose; `failed` reports what is
        missing or has changed. Results and settings are there in any case.

        Raises
        ------
        StoreError
            If the folder holds no project, or a damaged one; nothing changes then.
        """
        project = read_project(folder)
        # Nothing waits for what the project before still does: a tile can take long.
        self.prediction.leave()
        self.jobs.drop_all()
        self.project_folder.switch(folder, project)
        self.results.changed.emit(self.results.all)
        self._pairs.forget()
        self.settings_changed.emit(project.settings)
        network, reference = project.network, project.image
        if network is not None:
            self.network_choice.open(network)
        if reference is not None:
            self.image_choice.reopen(reference)

    def close(self) -> None:
        """Stop all jobs, wait for their threads, and leave the project folder as it is."""
        self.jobs.close()
