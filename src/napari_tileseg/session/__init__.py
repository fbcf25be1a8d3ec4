"""The one mutable noun of a viewer, and the long work that it owns; knows neither Qt nor napari."""

from napari_tileseg.session.background.worker import Ended, Worker
from napari_tileseg.session.project.project import ImageReference, Project, Result
from napari_tileseg.session.project.recent import recent_networks
from napari_tileseg.session.session import Session

__all__ = ["Ended", "ImageReference", "Project", "Result", "Session", "Worker", "recent_networks"]
