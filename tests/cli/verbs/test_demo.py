"""``tileseg demo`` starts the window as a process of its own."""

import subprocess
import sys

import pytest


@pytest.fixture
def started(monkeypatch):
    """Take down the commands that would be run; each one ends with 7."""
    commands = []

    def run(command, check):
        assert check is False
        commands.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr("napari_tileseg.cli.verbs.demo.subprocess.run", run)
    return commands


def test_its_options_and_exit_code_are_passed_on(tileseg, started, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    assert tileseg("demo", "--headless", "--out", "shots").exit_code == 7
    assert tileseg("demo").exit_code == 7
    first, second = (each[1:] for each in started)
    assert first == ["-m", "napari_tileseg._qt.demo", "--out", "shots", "--headless"]
    assert second == ["-m", "napari_tileseg._qt.demo", "--out", "demo"]


@pytest.mark.parametrize("absent", ["napari", "PyQt6"])
def test_without_napari_or_qt_it_says_what_to_install(tileseg, started, monkeypatch, absent):
    present = {"napari", "PyQt6"} - {absent}
    monkeypatch.setattr("napari_tileseg.cli.verbs.demo.find_spec", lambda name: name in present)
    result = tileseg("demo")
    assert result.exit_code == 1
    assert f"not installed here: {absent if absent == 'napari' else 'a Qt binding'}" in result.stderr
    assert 'pip install "napari-tileseg[all]"' in result.stderr
    assert not started


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
@pytest.mark.parametrize("xvfb", ["/usr/bin/xvfb-run", None])
def test_without_a_display_it_takes_a_virtual_one_or_says_so(tileseg, started, monkeypatch, xvfb):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("napari_tileseg.cli.verbs.demo.which", lambda _: xvfb)
    shown = tileseg("demo")
    assert (shown.exit_code, started) == (1, [])
    assert "tileseg demo --headless" in shown.stderr
    hidden = tileseg("demo", "--headless")
    if xvfb:
        assert (hidden.exit_code, started[0][0]) == (7, xvfb)
    else:
        assert (hidden.exit_code, started) == (1, [])
        assert "Xvfb" in hidden.stderr
