"""Fine-tuning as one call: from labels of an image to a network."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_tileseg._types import ImageSource
from napari_tileseg.errors import NetworkError
from napari_tileseg.images.image import Image
from napari_tileseg.nets.network import open_network
from napari_tileseg.settings import LabelSettings, PredictSettings, TrainSettings
from napari_tileseg.workflows.finetuning import FineTuning
from napari_tileseg.workflows.finetuning_events import TuneEvent
from napari_tileseg.workflows.finetuning_request import TuneRequest

if TYPE_CHECKING:
    from napari_tileseg.nets.network import Network


def finetune(
    image: Image,
    labels: ImageSource,
    network: Network,
    settings: TrainSettings | None = None,
    *,
    meaning: LabelSettings | None = None,
    predict: PredictSettings | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
) -> Generator[TuneEvent, None, Network]:
    """Train a network on labels of one image, as ``tileseg finetune`` does.

    Parameters
    ----------
    image : Image
        The image.
    labels : array of int
        What is labelled, over the image's grid axes: anything that is read by slicing. A few strokes in
        single slices are enough; what is not labelled counts for nothing.
    network : Network
        An opened network; it is not changed.
    settings : TrainSettings, optional
        How it is trained, and on which device; a minute by default.
    meaning : LabelSettings, optional
        What the labels' values mean; needed where they cannot speak for themselves.
    predict : PredictSettings, optional
        How intensities are normalized; core and halo define which tiles are compared.
    folder : str or Path, optional
        Where checkpoints and numbers go; a temporary folder by default.
    out : str or Path, optional
        Network file to write, ``.safetensors``.

    Yields
    ------
    TuneEvent
        `Progress`, `Noted`, `StepDone`, `Validated`, and `Scored` with the numbers before and after. Closing
        the generator stops within one step.

    Returns
    -------
    Network
        The network with the weights of the best validation score (the last ones where nothing is held out),
        opened from `out` where that is given, in memory otherwise.

    Raises
    ------
    ImageError, SettingsError, StoreError, DeviceError
        If image, labels, settings, folder or device are not what they should be.
    NetworkError
        If the network cannot be trained, or the loss became NaN; the last good weights are written then.

    Examples
    --------
    >>> import napari_tileseg as ts
    >>> network = ts.drain(ts.finetune(image, strokes, network, out="tuned.safetensors"))  # doctest: +SKIP
    """
    with TemporaryDirectory(prefix="tileseg-") as temporary:
        request = TuneRequest(
            image=image,
            labels=labels,
            network=network,
            folder=Path(temporary if folder is None else folder),
            training=settings or TrainSettings(),
            meaning=meaning or LabelSettings(),
            predict=predict or PredictSettings(),
        )
        job = FineTuning(request)
        try:
            tuned = yield from job.run()
            path = None if out is None else job.trainer.save("best", out)
            made = job.trainer.network("best")
        finally:
            job.close()
    if tuned.trained.reason == "diverged":
        where = "" if path is None else f" The weights after step {tuned.step} are in {path}."
        raise NetworkError(f"{tuned.trained.message}{where}")
    return made if path is None else open_network(path)
