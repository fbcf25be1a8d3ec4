"""``tileseg demo``: napari with a sample, a network and a running prediction."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import click

from napari_tileseg._outputs import PICTURES, check_output
from napari_tileseg.errors import TilesegError

_BINDINGS = ("PyQt6", "PySide6")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


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
    """Open napari with a sample and a running prediction.

    It needs napari and a display; with --headless a virtual one (Xvfb) is started where there is none.
    """
    check_output(out, PICTURES)
    _check_installed()
    # The window lives in a separate process: the command line itself never loads Qt.
    command = [
        *_display(headless=headless),
        sys.executable,
        "-m",
        "napari_tileseg._qt.demo",
        "--out",
        str(out),
    ]
    ended = subprocess.run([*command, *["--headless"] * headless], check=False)  # noqa: S603 - our own module
    click.get_current_context().exit(ended.returncode)


def _check_installed() -> None:
    missing = [] if find_spec("napari") else ["napari"]
    if not any(find_spec(binding) for binding in _BINDINGS):
        missing.append(f"a Qt binding ({' or '.join(_BINDINGS)})")
    if missing:
        raise TilesegError(
            f"The demo needs napari and a Qt binding; not installed here: {' and '.join(missing)}. Install "
            'both with: pip install "napari-tileseg[all]". All other verbs work without them.'
        )


def _display(*, headless: bool) -> list[str]:
    """Return what comes before the command so that it finds a display; nothing where there is one."""
    if sys.platform != "linux" or any(os.environ.get(name) for name in _DISPLAYS):
        return []
    xvfb = which("xvfb-run")
    if headless and xvfb:
        return [xvfb, "--auto-servernum", "--server-args=-screen 0 1600x1200x24 +extension GLX"]
    raise TilesegError(
        "The demo needs a display, and there is none here. "
        + ("Install Xvfb, which makes a virtual one." if headless else "Run it as: tileseg demo --headless")
    )
