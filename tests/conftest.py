"""What every test stands on: a fixed seed for Hypothesis, a private home, the place of the real data."""

import hashlib
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

# Set before napari, Qt or torch is imported by a test module: all three read their environment once.
_HOME = tempfile.TemporaryDirectory(prefix="tileseg-tests-", ignore_cleanup_errors=True)
os.environ["TILESEG_HOME"] = str(Path(_HOME.name, "tileseg"))
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name, "napari", "settings.yaml"))
os.environ["XDG_CACHE_HOME"] = str(Path(_HOME.name, "cache"))
os.environ.setdefault("OMP_NUM_THREADS", "2")

# A shell that runs the tests in the background has all of them ignore Ctrl-C, and what they start, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("tileseg", derandomize=True, deadline=None, database=None)
settings.load_profile("tileseg")


def _untracked() -> frozenset[Path]:
    """List what lies at the top of the repository and in its tests, where no test may leave anything."""
    return frozenset(REPOSITORY.iterdir()) | frozenset(REPOSITORY.joinpath("tests").rglob("*.*"))


def _is_tool_output(path: Path) -> bool:
    """Tell the caches and reports of the tools that run the tests from what a test left behind."""
    names = {"__pycache__", ".pytest_cache", ".hypothesis", "htmlcov"}
    return path.name.startswith((".coverage", ".mypy", ".ruff")) or bool(names.intersection(path.parts))


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the run when tests left files in the repository, where `--check-litter` asks for it."""
    before = _untracked()
    yield
    if request.config.getoption("--check-litter"):
        left = sorted(str(path) for path in _untracked() - before if not _is_tool_output(path))
        assert not left, f"tests left files in the repository: {left}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that looks for files left in the repository; off while others edit the tree."""
    parser.addoption(
        "--check-litter", action="store_true", help="fail when tests leave files in the repository"
    )


def pytest_unconfigure() -> None:
    """Remove the private home."""
    _HOME.cleanup()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Give the folder of the real images and networks, or skip where this machine has none."""
    folder = os.environ.get("TILESEG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data not found: set TILESEG_DATA to its folder")
    return Path(folder)


@pytest.fixture(scope="session")
def napari_ome_zarr() -> Callable[[Path], list[dict[str, Any]]]:
    """Read images with napari-ome-zarr: name, scale and finest voxels of each channel.

    Its version 0.10 gives one layer with a channel axis, 0.11 one layer a channel.
    """
    import numpy as np
    from napari_ome_zarr import napari_get_reader

    def channels(path: Path) -> list[dict[str, Any]]:
        found = []
        for data, about, kind in napari_get_reader(str(path))(str(path)):
            axis = about.get("channel_axis")
            finest = np.asarray(data[0])
            names = [about.get("name", "")] if axis is None else about["name"]
            voxels = [finest] if axis is None else list(np.moveaxis(finest, axis, 0))
            found += [
                {"kind": kind, "name": name, "scale": about["scale"], "voxels": each}
                for name, each in zip(names, voxels, strict=True)
            ]
        return found

    return channels


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Make a network whose tiles disagree, and one whose tiles agree: two classes in flat images."""
    import torch

    from napari_tileseg.nets import Description, open_network, save_network
    from napari_tileseg.nets.architectures.registry import build

    folder, made = tmp_path_factory.mktemp("networks"), {}
    for norm in ("instance", "batch"):
        torch.manual_seed(0)
        arguments = {"ndim": 2, "norm": norm, "in_channels": 1, "features": (3, 4), "blocks": 1}
        path = save_network(
            build("unet", **arguments),
            folder / f"{norm}.safetensors",
            Description(
                architecture="unet",
                arguments=arguments,
                activation="sigmoid",
                classes=("foreground", "boundary"),
            ),
        )
        made[norm] = open_network(path)
    return made


@pytest.fixture(scope="session")
def as_code() -> Callable[[Any], Any]:
    """Make a network of no known architecture out of one, whose code does what the image says."""
    from dataclasses import replace

    from torch import Tensor, nn

    class Deciding(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) if float(x.mean()) < 1e9 else self.inner(-x)

    def made(network: Any) -> Any:
        description = replace(
            network.description,
            architecture=None,
            arguments={},
            axes=network.spec.axes,
            in_channels=network.spec.in_channels,
        )
        return replace(network, module=Deciding(network.module).eval(), description=description)

    return made


@pytest.fixture(scope="session")
def marking_script() -> Callable[[Path, Path], str]:
    """Make TorchScript files that leave a mark, an empty file, when their code is run; gives their hash."""

    def make(path: Path, mark: Path) -> str:
        import torch

        class Marking(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.mark = str(mark)
                self.convolution = torch.nn.Conv2d(1, 2, 3, padding=1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.convolution(x) + 0.0 * torch.from_file(self.mark, True, 1)[0]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says of each such file that its format is old
            torch.jit.script(Marking()).save(str(path))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return make
