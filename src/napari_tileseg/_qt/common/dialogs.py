"""Questions that only the user can answer."""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_tileseg.errors import UntrustedNetworkError
from napari_tileseg.session.text.panel_words import panel_words


def ask_trust(parent: QWidget, error: UntrustedNetworkError) -> bool:
    """Ask whether a file that runs code when opened is trusted, with its hash in sight."""
    return _confirm(
        parent,
        "Trust this network?",
        f"{panel_words(str(error))}\n\nSHA-256\n{error.sha256}",
        "Trust and open",
    )


def ask_close(parent: QWidget) -> bool:
    """Ask whether to close while a prediction runs."""
    return _confirm(
        parent,
        "A prediction is running",
        "Close all the same? It stops after the current tile. The tiles that are done are kept in the "
        "project folder, and predicting again resumes there.",
        "Stop and close",
    )


def ask_leave(parent: QWidget) -> bool:
    """Ask whether to open another project while a prediction runs."""
    return _confirm(
        parent,
        "A prediction is running",
        "Open another project all the same? The prediction stops after the current tile. The tiles that are "
        "done are kept in its project folder, and predicting again resumes there.",
        "Stop and open",
    )


def ask_close_saving(parent: QWidget) -> bool:
    """Ask whether to close while a result is copied to where the user saves it."""
    return _confirm(
        parent,
        "A result is being saved",
        "Close all the same? What was copied so far is removed; the result stays in the project folder, and "
        "can be saved from there.",
        "Stop and close",
    )


def ask_close_diagnosis(parent: QWidget) -> bool:
    """Ask whether to close while a diagnosis runs, or its report is written."""
    return _confirm(
        parent,
        "A diagnosis is running",
        "Close all the same? It stops after the current tile, and what it has not told yet is lost.",
        "Stop and close",
    )


def ask_close_training(parent: QWidget) -> bool:
    """Ask whether to close while a training runs, or waits for a decision."""
    return _confirm(
        parent,
        "A training has not been decided about",
        "Close all the same? Training stops within one step. What is painted is saved, and the best weights "
        "are kept as a network among the recently opened ones.",
        "Keep the best and close",
    )


def ask_close_unsaved(parent: QWidget) -> bool:
    """Ask whether to close although what is painted cannot be saved."""
    return _confirm(
        parent,
        "What is painted is not saved",
        "It could not be written to the project folder. Save the labels layer elsewhere first, or lose what "
        "was painted last.",
        "Close and lose it",
    )


def ask_network_path(parent: QWidget, title: str, name: str) -> Path | None:
    """Ask where to put a network's file; None if the user would rather not."""
    path, _ = QFileDialog.getSaveFileName(parent, title, name, "Networks (*.safetensors)")
    if not path:
        return None
    return Path(path if path.endswith(".safetensors") else f"{path}.safetensors")


def ask_discard(parent: QWidget, name: str) -> bool:
    """Ask whether to remove a result that was not saved."""
    return _confirm(
        parent, "Discard the result?", f"{name} was not saved; its files will be removed.", "Discard"
    )


def ask_save_path(parent: QWidget, name: str) -> Path | None:
    """Ask where to put a result; None if the user would rather not."""
    path, _ = QFileDialog.getSaveFileName(parent, "Save as OME-Zarr", f"{name}.ome.zarr", "OME-Zarr (*.zarr)")
    if not path:
        return None
    return Path(path if path.endswith(".zarr") else f"{path}.ome.zarr")


def ask_report_folder(parent: QWidget, title: str) -> Path | None:
    """Ask for a folder for a report, which need not be there yet; None if the user would rather not."""
    stem = re.sub(r"[^\w.-]+", "-", title).strip("-.")
    path, _ = QFileDialog.getSaveFileName(
        parent, "Folder for the report", f"{stem}-report", options=QFileDialog.Option.DontConfirmOverwrite
    )
    return Path(path) if path else None


def ask_project_folder(parent: QWidget, start: Path) -> Path | None:
    """Ask which project to open again; None if the user would rather not."""
    path = QFileDialog.getExistingDirectory(parent, "Open a project folder", str(start))
    return Path(path) if path else None


def _confirm(parent: QWidget, title: str, text: str, do: str) -> bool:
    box = QMessageBox(QMessageBox.Icon.Question, title, text, parent=parent)
    yes = box.addButton(do, QMessageBox.ButtonRole.AcceptRole)
    no = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(no)
    box.exec()
    return box.clickedButton() is yes
