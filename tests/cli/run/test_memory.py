"""Peak memory sees what is allocated, also when it is gone again, and not what is a file's."""

import time

import numpy as np

from napari_tileseg.cli.run.memory import PeakMemory, anonymous_bytes

MIB = 2**20


def test_a_passing_allocation_is_seen():
    with PeakMemory(interval=0.001) as memory:
        before = anonymous_bytes()
        held = np.ones(64 * MIB, np.uint8)
        # On a busy machine the thread that looks may come late.
        end = time.monotonic() + 20
        while memory.bytes < before + 60 * MIB and time.monotonic() < end:
            time.sleep(0.01)
        del held
    assert 60 * MIB < memory.bytes - before < 90 * MIB


def test_pages_of_a_mapped_file_do_not_count(tmp_path):
    path = tmp_path / "volume.bin"
    np.ones(64 * MIB, np.uint8).tofile(path)
    with PeakMemory(interval=0.001) as memory:
        before = anonymous_bytes()
        mapped = np.memmap(path, np.uint8, "r")
        assert int(mapped[::4096].sum()) == 64 * MIB // 4096
        time.sleep(0.05)
    assert memory.bytes - before < 20 * MIB
