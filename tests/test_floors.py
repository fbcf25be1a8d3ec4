"""The floors hold: imports point down, and what has to be light or free of a viewer is."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "napari_tileseg"
VIEWER = {"PyQt6", "PySide6", "magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "vispy"}
FLOORS_WITH_VIEWER = {"_napari", "_qt"}


def _core_modules() -> list[str]:
    """Name every module of the package that has to run without napari and Qt."""
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[1] not in FLOORS_WITH_VIEWER and parts[-1] != "__main__":
            modules.append(".".join(parts).removesuffix(".__init__"))
    return modules


def _loaded_after(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter and name the top-level modules that it has loaded."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_core_modules_are_found() -> None:
    assert {"napari_tileseg.tiling.grid", "napari_tileseg.settings"} <= set(_core_modules())


def test_core_loads_neither_napari_nor_qt() -> None:
    loaded = _loaded_after("import " + ", ".join(_core_modules()))
    assert "torch" in loaded
    assert not loaded & VIEWER


@pytest.mark.parametrize("module", ["napari", "qtpy"])
def test_the_test_above_can_fail(module: str) -> None:
    assert _loaded_after(f"import napari_tileseg.tiling, {module}") & VIEWER


def test_importing_the_package_loads_neither_torch_nor_qt_nor_napari() -> None:
    loaded = _loaded_after("import napari_tileseg")
    assert not loaded & (VIEWER | {"torch", "monai", "dask", "zarr", "numpy"})


@pytest.mark.parametrize(
    "name",
    ["napari_tileseg", "napari_tileseg.nets", "napari_tileseg.prediction", "napari_tileseg.diagnosis"],
)
def test_public_names_resolve(name: str) -> None:
    package = import_module(name)
    for public in package.__all__:
        assert not isinstance(getattr(package, public), ModuleType)
        # The first use has imported a module, which may not take the name's place.
        assert not isinstance(getattr(package, public), ModuleType)
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


def test_imports_only_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
