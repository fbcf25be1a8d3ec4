"""From what is chosen in a session, and entered in a form, to the request for a fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_tileseg.errors import SettingsError
from napari_tileseg.session.project.folders import claim_result_folder
from napari_tileseg.settings import LabelSettings, TrainSettings
from napari_tileseg.workflows.finetuning_request import TuneRequest

if TYPE_CHECKING:
    from napari_tileseg.session.session import Session

#: Nothing runs; a training runs; it has ended and somebody has to decide; or its network is being kept.
State: TypeAlias = Literal["idle", "running", "deciding", "keeping"]
_UNSETTLED: dict[State, str] = {
    "running": "A training runs already; stop it first.",
    "deciding": "A training has not been decided about; keep it or discard it first.",
    "keeping": "The network of a training is being kept; wait until it is the one in use.",
}


def request_tuning(
    session: Session, state: State, labels: Any, meaning: LabelSettings, training: TrainSettings
) -> TuneRequest:
    """Return the request to fine-tune a session's network on its image, in a new folder of its project.

    Parameters
    ----------
    session : Session
        Whose image, network and intensities are taken.
    state : State
        Of the training before.
    labels : array
        Over the image's grid axes.
    meaning : LabelSettings
        What the values mean.
    training : TrainSettings
        How to train.

    Raises
    ------
    SettingsError
        If image, network or measured intensities are missing, or the training before is not settled.
    StoreError
        If the project cannot be written.
    """
    session.check_choices()
    image, network, normalization = session.image, session.network, session.plan.normalization
    assert image is not None
    assert network is not None
    if normalization is None:
        raise SettingsError("The intensities of the image are still being measured; wait a moment.")
    if state != "idle":
        raise SettingsError(_UNSETTLED[state])
    session.project_folder.ensure_file()
    laid = session.plan.laid
    assert laid is not None
    return TuneRequest(
        image=image,
        labels=labels,
        network=network,
        folder=claim_result_folder(session.folder, "runs", "A training"),
        training=training,
        meaning=meaning,
        # Intensities stay those that were measured, whatever the network becomes.
        predict=replace(session.settings, device=training.device, intensities=laid.settings.intensities_of),
        normalization=normalization,
        both=True,
    )
