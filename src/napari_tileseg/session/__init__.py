"""The one mutable noun of a viewer, and the long work that it owns; knows neither Qt nor napari."""

from napari_tileseg.session.home import home, recent_networks
from napari_tileseg.session.project import ImageReference, Project, Result
from napari_tileseg.session.session import Session
from napari_tileseg.session.work import Ended, Work

__all__ = ["Ended", "ImageReference", "Project", "Result", "Session", "Work", "home", "recent_networks"]
