"""The prediction that is under way."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_tileseg.images.image import Image
from napari_tileseg.predict.events import PredictEvent, Saved, Started, TileDone
from napari_tileseg.session.keeping import Keeping
from napari_tileseg.session.project import ImageReference, Result
from napari_tileseg.session.tasks import Tasks
from napari_tileseg.session.work import Ended
from napari_tileseg.settings import PredictSettings, knobs
from napari_tileseg.tiling import Box

if TYPE_CHECKING:
    from napari_tileseg.nets import Network
    from napari_tileseg.predict import TileOrder, TilePlan
    from napari_tileseg.predict.normalization import Normalization


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """All that a prediction follows from.

    Parameters
    ----------
    image : Image
        The image.
    reference : ImageReference
        Which image it is, whatever it is called.
    network : Network
        The network.
    settings : PredictSettings
        How to predict.
    tiles : TilePlan
        What they come to.
    normalization : Normalization
        Measured already.
    """

    image: Image
    reference: ImageReference
    network: Network
    settings: PredictSettings
    tiles: TilePlan
    normalization: Normalization


def result_of(
    image: Image, reference: ImageReference, network: Network, settings: PredictSettings, folder: Path
) -> Result:
    """Where a prediction belongs: a name for people, and a digest of all that is asked of its values.

    A core that nobody has set is not among that: it follows from the memory that is free at the time, and
    what was begun is gone on with as it was begun.
    """
    about = [
        reference.fingerprint,
        [image.voxel_size, image.translation, image.units, image.affine],
        [network.sha256, network.reference.architecture],
        {k.name: getattr(settings, k.name) for k in knobs(PredictSettings) if k.identity},
    ]
    digest = hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()[:8]
    name = f"{image.name} {network.spec.name}"
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "prediction"
    return Result(
        name=name,
        path=folder / "predictions" / f"{stem}-{digest}.ome.zarr",
        image=reference,
        network=network.spec.name,
        network_sha256=network.sha256,
    )


class Running:
    """At most one prediction at a time, as work of the kind "predict".

    Parameters
    ----------
    tasks : Tasks
        Where it runs.
    keeping : Keeping
        Gets the result as soon as there is one.
    """

    #: An event of the prediction, at last an `Ended`.
    told = Signal(object)
    #: A `TileDone`, emitted in the prediction's thread as soon as the tile is on disk.
    tile_written = Signal(object)

    def __init__(self, tasks: Tasks, keeping: Keeping) -> None:
        self._tasks = tasks
        self._keeping = keeping
        self._order: TileOrder | None = None

    def start(self, request: Request, first: Box | None) -> Result:
        """Predict, tiles in the box `first` of the image first; gives where."""
        from napari_tileseg.predict import make_order

        order = make_order(request.tiles.image, request.tiles.grid, request.tiles.lead)
        if first is not None:
            order.prioritize(first)
        self._order = order
        result = result_of(
            request.image, request.reference, request.network, request.settings, self._keeping.folder
        )
        self._tasks.begin(
            "predict",
            lambda: self._events(request, result.path, order),
            lambda event: self._hear(event, result),
            with_end=True,
        )
        return result

    def _events(self, request: Request, path: Path, order: TileOrder) -> Iterator[PredictEvent]:
        from napari_tileseg.predict import predict_to_store

        events = predict_to_store(
            request.image,
            request.network,
            request.settings,
            path,
            order=order,
            normalization=request.normalization,
        )
        for event in events:
            if isinstance(event, TileDone):
                self.tile_written.emit(event)
            yield event

    def _hear(self, event: PredictEvent | Ended, result: Result) -> None:
        if isinstance(event, Started):
            self._keeping.add(result)
        elif isinstance(event, Saved):
            self._keeping.change(result, complete=True)
        elif isinstance(event, Ended):
            self._order = None
        self.told.emit(event)

    def prioritize(self, box: Box) -> None:
        """Let the tiles that meet a box of the image come next."""
        if self._order is not None:
            self._order.prioritize(box)

    def cancel(self) -> None:
        """Stop after the tile it is at; returns at once. What is done stays."""
        self._tasks.cancel("predict")
