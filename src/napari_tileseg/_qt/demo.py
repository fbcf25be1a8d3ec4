"""The demo's window: a sample volume, a network, and a prediction that runs. ``tileseg demo`` starts it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_tileseg.errors import TilesegError

if TYPE_CHECKING:
    from napari_tileseg._qt.predict.widget import PredictWidget

NETWORK = "sample:nuclei_3d_batch_renorm"
#: Smaller than derived, so that one sees tiles come one after the other.
_CORE = (64, 64, 64)
_SIZES = ((1000, 700), (1400, 900))
#: Tiles of the picture that shows it running.
_SOME = 5
_PATIENCE = 600.0


@click.command()
@click.option("--headless", is_flag=True, help="Write screenshots and the result, then end.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"))
def main(headless: bool, out: Path) -> None:
    """Open napari with a sample volume, a network and a running prediction."""
    try:
        if headless:
            _show_nobody(out)
        else:
            _show()
    except TilesegError as error:
        raise click.ClickException(str(error)) from error


def _show() -> None:
    """Let the user have the window."""
    import napari

    widget = _open_window()
    _predict(widget)
    napari.run()


def _show_nobody(out: Path) -> None:
    """Wait until the prediction is done, and write what there is to see, leaving the user's files alone."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        # Both are read when napari and the session are first used.
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "napari.yaml")
        os.environ["TILESEG_HOME"] = home
        widget = _open_window()
        try:
            written = _record(widget, out)
        finally:
            widget.viewer.close()
    for path in written:
        click.echo(path)


def _open_window() -> PredictWidget:
    import napari

    from napari_tileseg._napari.files.samples import nuclei
    from napari_tileseg._qt.predict.widget import PredictWidget
    from napari_tileseg.settings import PredictSettings

    viewer = napari.Viewer()
    for data, options, kind in nuclei():
        getattr(viewer, f"add_{kind}")(data, **options)
    viewer.layers.selection = {viewer.layers[0]}
    widget = PredictWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Predict", area="right")
    widget.session.set_settings(PredictSettings(core=_CORE))
    return widget


def _predict(widget: PredictWidget) -> None:
    """Choose the network, and predict as soon as that is possible."""

    def start() -> None:
        if widget.session.readiness.ready and not widget.session.results.all:
            widget.session.plan.changed.disconnect(start)
            widget.form.run.predict.click()

    widget.session.plan.changed.connect(start)
    widget.form.network.chosen.emit(NETWORK)


def _record(widget: PredictWidget, out: Path) -> list[Path]:
    from napari_tileseg.prediction.events import Saved, TileDone

    events: list[object] = []
    problems: list[Exception] = []
    widget.session.prediction.reported.connect(events.append)
    widget.session.failed.connect(lambda _, error: problems.append(error))
    _predict(widget)
    _wait(lambda: problems or sum(isinstance(event, TileDone) for event in events) >= _SOME)
    written = [_picture(widget, out / "running.png", _SIZES[1])]
    _wait(lambda: problems or any(isinstance(event, Saved) for event in events))
    _wait(lambda: problems or not widget.session.prediction.running)
    if problems:
        raise problems[0]
    for theme in ("dark", "light"):
        _use_theme(theme)
        for size in _SIZES:
            written.append(_picture(widget, out / f"done-{theme}-{size[0]}x{size[1]}.png", size))
    return [*written, _save(widget, out / "nuclei.ome.zarr")]


def _save(widget: PredictWidget, target: Path) -> Path:
    """Put the result beside the pictures; replaces that of an earlier demo."""
    from napari_tileseg._napari.files.reader import get_reader

    if get_reader(str(target)) is not None:
        shutil.rmtree(target)
    widget.session.results.save(widget.session.results.all[-1], target)
    _wait(lambda: not widget.session.jobs.running("save"))
    return target


def _use_theme(theme: str) -> None:
    from napari.settings import get_settings

    get_settings().appearance.theme = theme


def _picture(widget: PredictWidget, path: Path, size: tuple[int, int]) -> Path:
    window = widget.viewer.window
    window.resize(*size)
    _wait(lambda: False, 0.5)
    widget.viewer.reset_view()
    _wait(lambda: False, 0.5)
    window.screenshot(str(path), flash=False, canvas_only=False)
    return path


def _wait(until: Callable[[], object], seconds: float = _PATIENCE) -> None:
    """Let the window live until something is so, or the time is over."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()
