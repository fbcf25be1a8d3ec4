"""The image that is chosen, and the reference by which it is found again."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tileseg.errors import TilesegError
from napari_tileseg.images.image import Image
from napari_tileseg.session.background.jobs import Jobs
from napari_tileseg.session.prediction.run import Request
from napari_tileseg.session.project.image_reference import refer, reopen_image, stamp_of
from napari_tileseg.session.project.project import ImageReference
from napari_tileseg.settings import ImageSettings

if TYPE_CHECKING:
    from napari_tileseg.prediction import Plan


class ImageChoice:
    """An image with its reference, which is looked for in the background.

    Parameters
    ----------
    jobs : Jobs
        Where it is looked for, as a job of the kind "image"; "reopen" and "show" open others.
    """

    #: The `ImageReference` that was found.
    referred = Signal(object)
    #: An Image that a project refers to, opened again.
    reopened = Signal(object)
    #: An Image that a result is of, opened to be shown with it; the image that is chosen stays.
    opened = Signal(object)

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.image: Image | None = None
        #: Why what was chosen is no image.
        self.problem: TilesegError | None = None
        #: How to find the image again; None while that is worked out.
        self.reference: ImageReference | None = None
        #: Identifies the image, whatever it is called and whatever its voxels are now.
        self.key: Hashable = None
        #: Identify the voxels as they were last looked at, and a change that the reference does not show.
        self.stamp, self.revision = "", ""

    def choose(
        self,
        image: Image | None,
        settings: ImageSettings | None,
        key: Hashable = None,
        problem: TilesegError | None = None,
    ) -> None:
        """Take an image, and forget the one before; `find` looks for its reference."""
        self.image, self.problem = image, problem
        self.reference, self.revision = None, ""
        self.key = key if key is not None or image is None else (image.uri, image.name, image.shape)
        self._settings = settings or ImageSettings()

    def find(self) -> None:
        """Look for the reference; `referred` emits it."""
        image, settings = self.image, self._settings
        if image is None:
            self._jobs.drop("image")
            return
        self._jobs.begin(
            "image",
            lambda: [(refer(image, settings), stamp_of(image))],
            lambda found: self._take(*found),
        )

    def reopen(self, reference: ImageReference) -> None:
        """Open the image of a project again, in the background; `reopened` emits it."""
        self._jobs.begin("reopen", lambda: [reopen_image(reference)], self.reopened.emit)

    def show(self, reference: ImageReference | None) -> None:
        """Open the image of a result in the background; `opened` emits it.

        Nothing happens where the result does not name its image, or that was only in memory.
        """
        if reference is not None and reference.uri:
            self._jobs.begin("show", lambda: [reopen_image(reference)], self.opened.emit)

    def request(self, plan: Plan) -> Request:
        """Return the request to carry out a plan of this image, whose reference is known."""
        assert self.reference is not None
        return Request(plan=plan, reference=self.reference, stamp=self.stamp, revision=self.revision)

    def take_present(self, request: Request) -> bool:
        """Take over what a prediction has found the voxels to be; returns whether it is still this image."""
        if request.plan.image is not self.image:
            return False
        self.revision = request.revision
        self._take(request.reference, request.stamp)
        return True

    def _take(self, reference: ImageReference, stamp: str) -> None:
        self.reference, self.stamp = reference, stamp
        self.referred.emit(reference)
