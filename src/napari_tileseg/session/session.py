"""Image, network, settings and results of one viewer, and the prediction that is running."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_tileseg.errors import SettingsError, StoreError, TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session.background.jobs import Dispatch, at_once
from napari_tileseg.session.background.tasks import Tasks
from napari_tileseg.session.prediction.command import command_of
from napari_tileseg.session.prediction.image_choice import ImageChoice
from napari_tileseg.session.prediction.network_choice import NetworkChoice
from napari_tileseg.session.prediction.pair_settings import PairSettings
from napari_tileseg.session.prediction.plan_tracker import Planning
from napari_tileseg.session.prediction.readiness import Readiness, Situation, choices_of, readiness_of
from napari_tileseg.session.prediction.run import Request, Running, result_of
from napari_tileseg.session.prediction.run_story import RunStory
from napari_tileseg.session.project.home import new_project_folder
from napari_tileseg.session.project.image_reference import reopen_image
from napari_tileseg.session.project.project import ImageReference, Project, Result, read_project
from napari_tileseg.session.project.results import Keeping
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg._progress import Progress
    from napari_tileseg.engine import Route
    from napari_tileseg.nets import Network
    from napari_tileseg.prediction import TilePlan
    from napari_tileseg.prediction.input.normalization import Normalization

#: Kinds of work whose failure is said until somebody goes on with what there is.
_FAILED_CHOICES = ("network", "reopen", "save")
#: Kinds of work that belong to what is chosen, and end with it.
_OPENING = ("network", "route", "reopen", "image", "measure", "save")


class Session:
    """The one mutable noun: what one viewer works on, kept in a project folder.

    All of it is used from one thread, its owner's. Long work runs in threads of its own and tells the owner
    through `dispatch`, so that every signal but `tile_written` is emitted in the owner's thread.

    Parameters
    ----------
    folder : Path, optional
        Project folder; a new one in the user's data folder by default. It is made when first written to.
    dispatch : callable, optional
        Runs a callable in the owner's thread; called from other threads. By default it runs it at once.
    """

    #: Image or None.
    image_changed = Signal(object)
    #: Network or None.
    network_changed = Signal(object)
    #: A `napari_tileseg.engine.Route`: how the network's tiles are computed.
    route_found = Signal(object)
    #: PredictSettings.
    settings_changed = Signal(object)
    #: Tiles or normalization have changed.
    plan_changed = Signal()
    #: Something has changed on which `readiness` depends, or what is said of what went wrong.
    situation_changed = Signal()
    #: A `Progress` of measuring intensities.
    progressed = Signal(object)
    #: Tuple of Result.
    results_changed = Signal(object)
    #: A Result as it was, and as it is at its new place.
    result_moved = Signal(object, object)
    #: A Result and its bytes on disk.
    size_measured = Signal(object, int)
    #: An Image that a project refers to, opened again.
    image_reopened = Signal(object)
    #: An Image that a result is of, opened to be shown with it; the image that is chosen stays.
    image_opened = Signal(object)
    #: An event of the running prediction, at last an `Ended`.
    run_told = Signal(object)
    #: A `TileDone`, emitted in the prediction's thread as soon as the tile is on disk.
    tile_written = Signal(object)
    #: Kind of work and whether it is under way.
    busy_changed = Signal(str, bool)
    #: Kind of work and what went wrong with it.
    failed = Signal(str, Exception)

    def __init__(self, folder: Path | None = None, dispatch: Dispatch = at_once) -> None:
        self._tasks = Tasks(dispatch)
        self._keeping = Keeping(folder or new_project_folder(), self._tasks)
        self._planning = Planning(self._tasks, self._place)
        self._running = Running(self._tasks, self._keeping)
        self._chosen = ImageChoice(self._tasks)
        self._opened = NetworkChoice(self._tasks)
        self._pairs = PairSettings()
        self._unread: dict[str, str] = {}
        self._disk_problem: StoreError | None = None
        self._pass_on()

    def _pass_on(self) -> None:
        """Tell what the parts tell."""
        self._tasks.busy_changed.connect(self.busy_changed.emit)
        self._tasks.busy_changed.connect(self._tell_situation)
        self._tasks.failed.connect(self.failed.emit)
        self._planning.changed.connect(self.plan_changed.emit)
        self._planning.changed.connect(self._tell_situation)
        self._planning.progressed.connect(self.progressed.emit)
        self._planning.refused.connect(self._refused)
        self._keeping.results_changed.connect(self.results_changed.emit)
        self._keeping.result_moved.connect(self.result_moved.emit)
        self._keeping.size_measured.connect(self.size_measured.emit)
        self._running.told.connect(self.run_told.emit)
        self._chosen.referred.connect(self._keep_image)
        self._opened.opened.connect(self.set_network)
        self._opened.route_found.connect(self._take_route)
        self._running.voxels_changed.connect(self._take_voxels)
        self._running.tile_written.connect(self.tile_written.emit)

    def _tell_situation(self, *_: object) -> None:
        self.situation_changed.emit()

    def _refused(self, error: Exception) -> None:
        self.failed.emit("plan", error)

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self._keeping.folder

    @property
    def project(self) -> Project:
        """What is kept in the project folder."""
        return self._keeping.project

    @property
    def image(self) -> Image | None:
        """The image to predict."""
        return self._chosen.image

    @property
    def reference(self) -> ImageReference | None:
        """Where the image is to be found again; None while that is looked for."""
        return self._chosen.reference

    @property
    def network(self) -> Network | None:
        """The network to predict with."""
        return self._opened.network

    @property
    def asked_network(self) -> str:
        """Path, or ``sample:NAME``, of the network that was asked for last and may be being opened."""
        return self._opened.asked

    @property
    def route(self) -> Route | None:
        """How the network's tiles are computed; None until that is found out."""
        return self._opened.route

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices of this machine, the one that "auto" takes first; empty until a network is opened."""
        return self._opened.devices

    @property
    def settings(self) -> PredictSettings:
        """How to predict."""
        return self.project.settings

    @property
    def tiles(self) -> TilePlan | None:
        """How the image is cut for the network; None where they, or the settings, do not fit."""
        return self._planning.tiles

    @property
    def normalization(self) -> Normalization | None:
        """How intensities are prepared, with its numbers; None while they are measured."""
        return self._planning.normalization

    @property
    def measuring(self) -> tuple[Progress | None, float]:
        """How far measuring intensities is, if it has told, and the seconds since it began."""
        return self._planning.progress

    @property
    def results(self) -> tuple[Result, ...]:
        """Predictions of this project, oldest first."""
        return self.project.results

    @property
    def situation(self) -> Situation:
        """All that decides whether a command can be carried out."""
        tasks, planning = self._tasks, self._planning
        return Situation(
            image=self._chosen.image is not None,
            network=self._opened.network is not None,
            unread=tuple(self._unread.values()),
            opening_network=tasks.running("network"),
            opening_image=tasks.running("reopen"),
            image_problem=self._chosen.problem,
            plan_problem=planning.problem,
            reference_problem=tasks.problem("image"),
            measure_problem=tasks.problem("measure"),
            known=self._chosen.reference is not None,
            measured=planning.tiles is not None and planning.normalization is not None,
            saving=tasks.running("save"),
        )

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
    def ready(self) -> bool:
        """Whether a prediction can start."""
        return self.readiness.ready

    @property
    def troubles(self) -> tuple[BaseException, ...]:
        """What went wrong beside what `readiness` says, until it is tried again or something else chosen."""
        found = (*map(self._tasks.problem, ("network", "reopen", "show", "save")), self._disk_problem)
        return tuple(each for each in found if each is not None)

    @property
    def story(self) -> RunStory | None:
        """The last prediction that was started."""
        return self._running.story

    @property
    def place(self) -> Path | None:
        """Where the prediction of what is chosen is written; None where nobody knows yet."""
        return self._place()

    def note_unread(self, entry: str, problem: str) -> None:
        """Say that an entry of a form cannot be read, which keeps everything from starting; "" once it can.

        Parameters
        ----------
        entry : str
            Which entry.
        problem : str
            What is wrong with it, as a sentence.
        """
        former = self._unread.pop(entry, "")
        if problem:
            self._unread[entry] = problem
        if former != problem:
            self.situation_changed.emit()

    def running(self, kind: str = "predict") -> bool:
        """Whether work of a kind ("network", "image", "measure", "predict", "save") is under way."""
        return self._tasks.running(kind)

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
        self._chosen.choose(image, settings, key, problem)
        self._tasks.forget("save")
        if image is not None:
            self._tasks.forget("reopen")
        self._choose_settings()
        self.image_changed.emit(image)
        self._replan()
        self._chosen.find()

    def _keep_image(self, reference: ImageReference) -> None:
        self._note(image=reference)
        self._planning.take_up()

    def _take_voxels(self, request: Request) -> None:
        """Go on with what a prediction has found the voxels to be, if the image is still that one."""
        if self._chosen.take_present(request):
            self._planning.measure_again()

    def _choose_settings(self) -> None:
        """Take up the settings of the pair of image and network that is chosen now."""
        network = None if self._opened.network is None else self._opened.network.sha256
        settings = self._pairs.choose(self._chosen.key, network, self.settings)
        if settings != self.settings:
            self._note(settings=settings)
            self.settings_changed.emit(settings)

    def _note(self, **values: Any) -> None:
        """Write down what is chosen; a disk that fails is told of, and keeps nobody from going on."""
        self._disk_problem = None
        try:
            self._keeping.write(**values)
        except StoreError as error:
            self._disk_problem = error
            self.failed.emit("project", error)

    def set_settings(self, settings: PredictSettings) -> None:
        """Choose how to predict."""
        if settings != self.settings:
            self._note(settings=settings)
            self.settings_changed.emit(settings)
            self._replan()

    def set_network(self, network: Network | None, *, trained_further: bool = False) -> None:
        """Choose an opened network, in place of one that is being opened.

        Parameters
        ----------
        network : Network, optional
            The network; None for none.
        trained_further : bool, optional
            Whether it comes from the network before it or that one from it, so that settings stay.
        """
        self._opened.choose(network)
        if network is not None:
            self._note(network=network.reference.as_data())
            if trained_further:
                self._pairs.inherit(self._chosen.key, network.sha256, self.settings)
        self._choose_settings()
        self.network_changed.emit(network)
        self._opened.find_route()
        self._replan()

    def _take_route(self, route: Route) -> None:
        self._planning.lay_again()
        self.route_found.emit(route)

    def open_network(self, source: str, settings: NetworkSettings | None = None) -> None:
        """Open a network in the background; `network_changed` or `failed` tells how it went."""
        self._opened.open(source, settings)

    def trust_network(self, sha256: str) -> None:
        """Open again what was refused with `UntrustedNetworkError`, now that the user trusts its hash."""
        self._opened.trust(sha256)

    def _replan(self) -> None:
        self._planning.follow(self._chosen.image, self._opened.network, self.settings)

    def _place(self) -> Path | None:
        """Where the prediction is written that could start now."""
        image, reference, network = self._chosen.image, self._chosen.reference, self._opened.network
        if image is None or reference is None or network is None:
            return None
        return result_of(image, reference, network, self.settings, self.folder, self._chosen.revision).path

    def _request(self) -> Request:
        """The prediction that could start now.

        Raises
        ------
        SettingsError
            If there is an obstacle.
        """
        readiness = self.readiness
        image, reference, network = self._chosen.image, self._chosen.reference, self._opened.network
        tiles, normalization = self.tiles, self.normalization
        if not readiness.ready:
            raise SettingsError(f"A prediction cannot start yet. {readiness.obstacle}")
        assert image is not None
        assert reference is not None
        assert network is not None
        assert tiles is not None
        return Request(
            image=image,
            reference=reference,
            network=network,
            settings=self.settings,
            tiles=tiles,
            normalization=normalization,
            stamp=self._chosen.stamp,
            revision=self._chosen.revision,
        )

    def start(self, first: Box | None = None) -> Result:
        """Predict in the background; `run_told` tells of it.

        Parameters
        ----------
        first : Box, optional
            Voxels of the image whose tiles come first.

        Returns
        -------
        Result
            Where the prediction is written: the same place for the same image, network and settings, so
            that tiles which are done already are not done again.

        Raises
        ------
        SettingsError
            If it is not ready, with the reason that `readiness` gives.
        """
        request = self._request()
        for kind in _FAILED_CHOICES:
            self._tasks.forget(kind)
        return self._running.start(request, first)

    def prioritize(self, box: Box) -> None:
        """Let the tiles that meet a box of the image come next."""
        self._running.prioritize(box)

    def cancel(self) -> None:
        """Stop the prediction after the tile it is at; returns at once. What is done stays."""
        self._running.cancel()

    def save_result(self, result: Result, target: Path) -> None:
        """Put a result at a place of the user's in the background, and let go of the one in the project."""
        self._keeping.save(result, target)

    def measure_size(self, result: Result) -> None:
        """Count a result's bytes in the background; `size_measured` tells them."""
        self._keeping.measure_size(result)

    def discard_result(self, result: Result) -> None:
        """Forget a result, and remove it unless the user has put it at a place of their own."""
        self._keeping.discard(result)

    def command(self, out: str = "prediction.ome.zarr") -> str:
        """Give the same prediction as one line for the shell.

        Raises
        ------
        SettingsError
            As `check_choices`, and if the image was only in memory.
        """
        self.check_choices()
        return command_of(self._chosen.reference, self._opened.network, self.settings, out)

    def reopen(self, folder: Path) -> None:
        """Take up a project again; its network and image are opened in the background.

        `image_reopened` gives the image, for a viewer to show and to choose; `failed` says what is missing
        or has changed. Results and settings are there in any case.

        Raises
        ------
        StoreError
            If the folder holds no project, or a damaged one; nothing changes then.
        """
        project = read_project(folder)
        self.close()
        self._keeping.take_up(folder, project)
        self._pairs.forget()
        for kind in _OPENING:
            # Whoever follows the work of the project before is told that it is over.
            self._tasks.drop(kind)
        self.settings_changed.emit(project.settings)
        network, reference = project.network, project.image
        if network is not None:
            self._opened.open(network)
        if reference is not None:
            self._tasks.begin("reopen", lambda: [reopen_image(reference)], self.image_reopened.emit)

    def show_image(self, result: Result) -> None:
        """Open the image of a result in the background; `image_opened` gives it, `failed` says why not.

        Nothing happens where the result does not say its image, or that was only in memory.
        """
        reference = result.image
        if reference is not None and reference.uri:
            self._tasks.begin("show", lambda: [reopen_image(reference)], self.image_opened.emit)

    def keep(self) -> None:
        """Have a project file in the folder, so that what lies there can be opened again.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        self._keeping.keep()

    def close(self) -> None:
        """Stop all work, wait for its threads, and leave the project folder as it is."""
        self._tasks.close()
