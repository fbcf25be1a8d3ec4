"""A small image, a small network, and the command line as a user calls it."""

import json
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result


@dataclass(frozen=True)
class Shell:
    """Runs ``tileseg`` in this process, or in one of its own."""

    folder: str

    def __call__(self, *args) -> Result:
        from napari_tileseg.cli import main

        return CliRunner().invoke(main, [str(arg) for arg in args])

    def json(self, *args):
        """Run a verb with ``--json``; give its exit code and its one object."""
        result = self(*args, "--json")
        return result.exit_code, json.loads(result.stdout)

    def process(self, *args, **options) -> subprocess.Popen:
        """Start a real process."""
        command = [sys.executable, "-m", "napari_tileseg.cli", *map(str, args)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, **pipes, **options)


@pytest.fixture(scope="session")
def tileseg(tmp_path_factory) -> Shell:
    return Shell(str(tmp_path_factory.mktemp("shell")))


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Folder with ``image.tif`` (20 x 30 x 26 voxels) and ``network.safetensors`` for it."""
    import torch

    from napari_tileseg.nets import Description, save_network
    from napari_tileseg.nets.architectures.registry import build

    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    tifffile.imwrite(folder / "image.tif", rng.integers(0, 1000, (20, 30, 26)).astype(np.uint16))
    torch.manual_seed(0)
    arguments = {"ndim": 3, "in_channels": 1, "out_channels": 2, "features": (4, 8), "norm": "batch"}
    save_network(
        build("unet", **arguments),
        folder / "network.safetensors",
        Description(
            architecture="unet",
            arguments=arguments,
            classes=("nucleus", "boundary"),
            voxel_size=(2.0, 1.0, 1.0),
        ),
    )
    return folder
