"""The gate between what libraries raise and what users read."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_tileseg.cli import main
from napari_tileseg.errors import (
    DeviceError,
    ImageError,
    NetworkError,
    StoreError,
    answering,
    is_of_memory,
    reason_of,
)


@pytest.mark.parametrize(
    "error", [KeyError("shape"), RecursionError("deep"), ZeroDivisionError(), SyntaxError("x")]
)
def test_whatever_a_library_raises_becomes_an_error_of_ours(error: Exception) -> None:
    with (
        pytest.raises(
            ImageError, match=rf"a\.tif should be a TIFF.*{type(error).__name__}.*Copy it"
        ) as caught,
        answering(ImageError, "a.tif should be a TIFF", "Copy it again."),
    ):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_errors_pass() -> None:
    with pytest.raises(NetworkError, match=r"^as it is$"), answering(ImageError, "what", "cure"):
        raise NetworkError("as it is")


def test_memory_that_runs_out_is_not_damage() -> None:
    with (
        pytest.raises(DeviceError, match="more memory than is free"),
        answering(ImageError, "x.npy", "Crop it."),
    ):
        raise MemoryError


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_stopping_passes(stop: type[BaseException]) -> None:
    with pytest.raises(stop), answering(ImageError, "what", "cure"):
        raise stop


def test_a_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("first.\nsecond")) == "ValueError: first"
    assert len(reason_of(ValueError("x" * 1000))) < 250
    assert reason_of(EOFError()) == "EOFError"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("could not create a primitive"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
    ids=repr,
)
def test_no_memory_is_one_error_whatever_says_so(monkeypatch, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(main.commands["networks"], "callback", fail)
    result = CliRunner().invoke(main, ["networks", "--json"])
    assert result.exit_code == DeviceError.exit_code
    (message,) = json.loads(result.stdout).values()
    assert "too little memory" in message
    assert "run the same command again" in message
    with pytest.raises(DeviceError), answering(StoreError, "a.npy is no array", "Copy it again."):
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("shape"), OSError("disk"), KeyError("out of memory")], ids=repr
)
def test_other_errors_are_not_of_memory(error):
    assert not is_of_memory(error)


#: Leaves so many bytes of address space once all is loaded, and predicts.
LITTLE = """
import resource, sys
from pathlib import Path
import torch, napari_tileseg.prediction.writer
from napari_tileseg.cli import main
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("megabytes", [2, 30])
def test_little_address_space_ends_in_words_or_well(tmp_path, networks, megabytes):
    np.save(tmp_path / "i.npy", np.random.default_rng(0).integers(0, 999, (300, 300)).astype("u2"))
    args = [
        "predict",
        tmp_path / "i.npy",
        networks["batch"].reference.path,
        "-o",
        tmp_path / "o.zarr",
        "--json",
    ]
    command = [sys.executable, "-c", LITTLE, str(megabytes * 2**20), *map(str, args)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode in {0, DeviceError.exit_code}, ended.stderr
    assert len(json.loads(ended.stdout)) >= 1
