"""``tileseg demo``: napari with a sample, a network and a running prediction."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from napari_tileseg.errors import TilesegError


@click.command()
@click.option("--headless", is_flag=True, help="Show no window: write screenshots and the result, then end.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for screenshots and the predicted OME-Zarr.",
)
def demo(headless: bool, out: Path) -> None:
    """Open napari with a sample volume, a network and a running prediction."""
    if find_spec("napari") is None:
        raise TilesegError(
            "The demo needs napari and a Qt binding, and napari is not installed here. "
            'Install both with: pip install "napari-tileseg[all]". Everything else works without them.'
        )
    # The window lives in a process of its own: the command line itself never loads Qt.
    command = [sys.executable, "-m", "napari_tileseg._qt.demo", "--out", str(out)]
    ended = subprocess.run([*command, *["--headless"] * headless], check=False)  # noqa: S603 - our own module
    click.get_current_context().exit(ended.returncode)
