"""How the house is built: no crowded folder, no wide signature, no test that patches what is private.

`scripts/house_table.py` counts; what it counts is tried on a package that is written here.
"""

import sys
from collections import defaultdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES, DOCUMENTED = 15, 0.96
#: Functions whose signatures are still too wide. Architectures take what their builders name.
WIDE: set[str] = set()
ARCHITECTURES = "nets/architectures/"
#: Files that still replace private names, and which.
PATCHED: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def script():
    """`scripts/house_table.py`, as a module."""
    spec = spec_from_file_location("house_table", ROOT / "scripts" / "house_table.py")
    sys.modules[spec.name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def sources(script):
    return script.read_sources(script.PACKAGE)


def place(source, script):
    return source.path.relative_to(script.PACKAGE).as_posix()


def test_no_folder_is_crowded(script, sources):
    counted = script.modules_of_folders(sources)
    assert {str(folder): count for folder, count in counted.items() if count > MODULES} == {}


def test_no_signature_is_wide_but_those_that_are_named(script, sources):
    wide = {
        f"{place(source, script)}:{function.name}"
        for source in sources
        for function in source.functions
        if len(script.parameters_of(function)) > script.WIDEST
    }
    assert {each for each in wide if not each.startswith(ARCHITECTURES)} == WIDE, (
        f"a signature has {script.WIDEST} parameters at most; whoever has mended one takes it out of WIDE"
    )


def test_what_is_public_is_documented(script, sources):
    public = [each for source in sources for each in source.public]
    without = [each.name for each in public if not script.is_documented(each)]
    assert 1 - len(without) / len(public) >= DOCUMENTED, without


def test_no_module_is_called_like_a_public_name_of_its_package(script, sources):
    for folder in {source.path.parent for source in sources if source.path.name == "__init__.py"}:
        modules = {path.stem for path in folder.glob("*.py")} | {
            p.parent.name for p in folder.glob("*/__init__.py")
        }
        assert modules.isdisjoint(script.exported_names(folder)[0]), folder


def test_no_test_replaces_what_is_private_but_those_that_are_named(script):
    found = defaultdict(set)
    for path, name in script.patched_names(script.read_tests(script.PACKAGE)):
        found[path.relative_to(ROOT / "tests").as_posix()].add(name)
    assert found == PATCHED, (
        "hand in a pace, a clock or a limit; whoever has mended one takes it out of PATCHED"
    )


FILES = {
    "src/house/__init__.py": """
        from house.rooms import Room, enter
    """,
    "src/house/__init__.pyi": """
        from .rooms import Room as Room
        from .rooms import enter as enter
    """,
    "src/house/rooms.py": '''
        """Rooms."""

        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Room:
            """A room."""

            size: int  # not of code

            @property
            def area(self):
                return self.size

            @area.setter
            def area(self, size):
                """Change it."""

        def enter(a, b, *, c, **d):
            """Enter a room.

            Raises
            ------
            ValueError
                If it is full.
            """
            # enter(a)
            raise ValueError

        def _measure(self, image: Array) -> None:
            pass

        def look(image: Array) -> Array:
            """Look at an array of shape ``(c, y, x)``."""
    ''',
    "src/house/tests/test_rooms.py": "monkeypatch.setattr(house, '_inside', 1)",
    "tests/test_house.py": """
        monkeypatch.setattr("house.rooms._door", 1)
        monkeypatch.setattr(house.rooms, "door", 1)
        monkeypatch.setattr(house.rooms, "__door__", 1)
        setattr(house.rooms, "_window", 1)
    """,
    "src/house/_vendor/other.py": "x = 1",
}


@pytest.fixture
def house(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(dedent(text).strip())
    (tmp_path / ".git").mkdir()
    return tmp_path / "src" / "house"


def test_a_row_counts_what_its_heading_says(script, house):
    assert script.measure(house) == {
        "lines / files": "0.0k / 2",
        "function med / p90 / max": "2 / 10 / 10",
        "file med / max": "18 / 34",
        "folder (med)": "1 (1)",
        "signature (over 8)": "4 (0)",
        "test : src": "0.14",
        "comments /1k": "57.1",
        "commented /1k": "28.57",
        "api": "2",
        "dataclasses / classes": "1 / 1",
        "doc": "75 %",
        "raises": "1/1",
        "shape / unit": "100 % / 0 %",
        "docstrings": "31 %",
        "public classes /1k": "28.6",
        "patched": "2",
    }


@pytest.mark.parametrize(
    ("written", "counted"),
    [
        ("def f(self, a, *b, c=1, **d): ...", ["a", "c", "b", "d"]),
        ("def f(a, /, b): ...", ["a", "b"]),
        ("def f(cls): ...", []),
    ],
)
def test_parameters_are_counted_once_each(script, written, counted):
    (function,) = script.Source(Path("a.py"), written).functions
    assert script.parameters_of(function) == counted
