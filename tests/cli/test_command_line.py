"""What holds for every verb: light start, JSON, errors and exit codes."""

import json
import subprocess
import sys

import click
import pytest

from napari_tileseg.cli import main
from napari_tileseg.errors import DeviceError, ImageError, NetworkError, SettingsError, StoreError

HEAVY = {"torch", "monai", "napari", "qtpy", "PyQt6", "PySide6", "dask", "zarr"}


def loaded_after(*args: str) -> set[str]:
    """Run ``tileseg`` in a fresh interpreter and name the top-level modules that it has loaded."""
    code = (
        "import sys\nfrom napari_tileseg.cli import main\n"
        f"main({list(args)!r}, standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("args", [["--help"], ["predict", "--help"], ["networks"]])
def test_what_computes_nothing_loads_nothing_heavy(args):
    assert not loaded_after(*args) & HEAVY


def test_what_opens_a_network_does_load_torch(small):
    assert "torch" in loaded_after("inspect", str(small / "network.safetensors"))


@pytest.mark.parametrize("verb", sorted(main.commands))
def test_every_verb_and_option_has_help(verb):
    command = main.commands[verb]
    assert command.help
    assert all(each.help for each in command.params if isinstance(each, click.Option))


def test_the_help_lists_every_key_of_the_json(tileseg, small, tmp_path):
    network = small / "network.safetensors"
    for args in (
        ["inspect", network],
        ["predict", small / "image.tif", network, "-o", tmp_path / "out.ome.zarr"],
        ["sample", tmp_path / "sample.tif", "--shape", "8,9,9"],
    ):
        _, report = tileseg.json(*args)
        words = set(main.commands[args[0]].help.replace(",", " ").replace(";", " ").replace(".", " ").split())
        assert report.keys() <= words


@pytest.mark.parametrize(
    "args", [["predict"], ["predict", "a", "b", "-o", "c", "--core", "x"], ["nothing"], ["inspect", "a", "b"]]
)
def test_wrong_usage_ends_with_2_and_says_so_in_json_too(tileseg, args):
    plain = tileseg(*args)
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert "Error: " in plain.stderr
    code, report = tileseg.json(*args)
    assert code == 2
    assert report.keys() == {"error"}
    assert report["error"] in plain.stderr


@pytest.mark.parametrize("error", [SettingsError, ImageError, NetworkError, StoreError, DeviceError])
def test_an_error_is_a_message_and_the_exit_code_of_its_class(tileseg, monkeypatch, error):
    def fail(**_):
        raise error("expected this, came that, do so.")

    monkeypatch.setattr(main.commands["inspect"], "callback", fail)
    plain = tileseg("inspect", "any")
    assert (plain.exit_code, plain.stdout) == (error.exit_code, "")
    assert plain.stderr == "Error: expected this, came that, do so.\n"
    assert tileseg.json("inspect", "any") == (
        error.exit_code,
        {"error": "expected this, came that, do so."},
    )


def test_a_fault_of_ours_shows_its_traceback_and_is_json_too():
    code = (
        "from napari_tileseg.cli import main\n"
        "def fail(**_): raise ZeroDivisionError('ours')\n"
        "main.commands['inspect'].callback = fail\n"
        "main(['inspect', 'any', '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"error": "ZeroDivisionError: ours"}
    assert "Traceback" in done.stderr


def test_the_installed_script_is_this_one(tileseg):
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="tileseg")
    assert script.load() is main
    assert tileseg("--version").stdout.startswith("tileseg, version ")


@pytest.mark.parametrize(
    "args",
    [
        *(
            ["--json"],
            ["--json", "nothing"],
            ["nothing", "--json"],
            ["--json", "--frob"],
            ["--frob", "--json"],
        ),
        *(["--json", "predict"], ["predict", "--json", "--frob"], ["--json", "inspect", "absent.pt"]),
        *(["networks", "--frob", "--json"], ["--json", "--"], ["demo", "--json"], ["--json", "train"]),
    ],
    ids=" ".join,
)
def test_json_is_one_object_whatever_is_wrong(tileseg, args):
    result = tileseg(*args)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in {2, 4, 5}
    (message,) = json.loads(result.stdout).values()
    assert message
    assert result.stderr == ""


def test_json_may_come_before_the_verb(tileseg):
    first, second = tileseg("--json", "networks"), tileseg("networks", "--json")
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["networks"]
