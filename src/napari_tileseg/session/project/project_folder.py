"""The folder in which a viewer's project lies, and what is written there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_tileseg.session.project.project import FILE, Project, write_project


class ProjectFolder:
    """A project and its folder.

    Parameters
    ----------
    path : Path
        The folder, made when it is first written to.

    Attributes
    ----------
    path : Path
        The folder.
    project : Project
        The project as it is now; its file may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = Project()

    def write(self, **values: Any) -> None:
        """Change entries of the project; its file is made with the first result.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        self.project = replace(self.project, **values)
        if self.project.results or (self.path / FILE).exists():
            write_project(self.path, self.project)

    def ensure_file(self) -> None:
        """Write the project's file if there is none yet, so that what lies in the folder can be opened again.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        if not (self.path / FILE).exists():
            write_project(self.path, self.project)

    def switch(self, path: Path, project: Project) -> None:
        """Go on with the project that another folder holds."""
        self.path, self.project = path, project
