"""The page on architecture, and what else names modules, say what is so."""

import re
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_tileseg"
PAGES = [
    *("CONTRIBUTING.md", "README.md", "SECURITY.md"),
    *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/**/*.md"))),
]
#: What the pages name that lies in folders of the user's.
ELSEWHERE = {"labels/", "networks/", "predictions/", "runs/", "tensorboard/"}


@pytest.fixture(scope="module")
def script():
    """`scripts/draw_architecture.py`, as a module."""
    spec = spec_from_file_location("draw_architecture", ROOT / "scripts" / "draw_architecture.py")
    sys.modules[spec.name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def contracts(script):
    return script.read_contracts(ROOT / "pyproject.toml")


def test_the_picture_of_the_floors_is_the_one_that_its_script_draws(script, contracts):
    drawn = script.draw(contracts)
    assert script.TARGET.read_text(encoding="utf-8") == drawn, (
        "Draw it anew: python scripts/draw_architecture.py"
    )


def test_the_picture_has_every_floor_once_and_in_order(script, contracts):
    described = re.search(r"<desc[^>]*>From top to bottom: (.*?)\.", script.draw(contracts))[1]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    names = re.findall(r"\w+", " ".join(layers["contracts"][0]["layers"]))
    assert re.split(r"; | and ", described) == names
    assert sorted(names) == sorted({each.name.removesuffix(".py") for each in modules()})


def modules():
    """What lies at the top of the package."""
    for each in PACKAGE.iterdir():
        if (each.suffix == ".py" and each.stem != "__init__") or (each / "__init__.py").exists():
            yield each


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/decisions/0007-rooms.md"])
def test_tables_of_floors_have_the_order_of_the_contracts(script, contracts, page):
    text = (ROOT / page).read_text(encoding="utf-8")
    table = re.search(r"^\| floor .*?\n\n", text, re.MULTILINE | re.DOTALL)[0]
    rows = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    floors = [name for names, _ in contracts.rows for name in names]
    packages = [name for name in floors if script.is_package(name)]
    assert named[: len(packages)] == packages
    assert set(named) <= set(floors)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    named = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.(?:py|pyi|toml|md|sh))?)`", text)
    absent = {
        name
        for name in named
        if name not in ELSEWHERE and not any((base / name).exists() for base in (PACKAGE, ROOT))
    }
    assert not absent, f"{page} names {sorted(absent)}"
