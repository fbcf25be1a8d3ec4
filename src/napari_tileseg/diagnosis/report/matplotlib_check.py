"""Whether figures can be drawn here: matplotlib is installed with the extra ``report`` only."""

from __future__ import annotations

from importlib.util import find_spec

from napari_tileseg.errors import SettingsError

_MISSING = "The figures of a report are drawn by matplotlib, which is not installed."
_INSTALL = 'Install it with: pip install "napari-tileseg[report]"'


def check_matplotlib() -> None:
    """Refuse to begin a report whose figures could not be drawn at its end.

    Raises
    ------
    SettingsError
        If matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise SettingsError(
            f"{_MISSING} {_INSTALL}. Or do without the report.",
            in_panel=f"{_MISSING} {_INSTALL}. Then start napari again.",
        )
