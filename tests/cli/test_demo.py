"""``tileseg demo`` starts the window as a process of its own."""

import subprocess

import pytest


@pytest.fixture
def started(monkeypatch):
    """Take down the commands that would be run; each one ends with 7."""
    commands = []

    def run(command, check):
        assert check is False
        commands.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr("napari_tileseg.cli.demo.subprocess.run", run)
    return commands


def test_its_options_and_exit_code_are_passed_on(tileseg, started):
    assert tileseg("demo", "--headless", "--out", "shots").exit_code == 7
    ((_, *command),) = started
    assert command == ["-m", "napari_tileseg._qt.demo", "--out", "shots", "--headless"]


def test_without_napari_it_says_what_to_install(tileseg, started, monkeypatch):
    monkeypatch.setattr("napari_tileseg.cli.demo.find_spec", lambda _: None)
    result = tileseg("demo")
    assert result.exit_code == 1
    assert 'pip install "napari-tileseg[all]"' in result.stderr
    assert not started
