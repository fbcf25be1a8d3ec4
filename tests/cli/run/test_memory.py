"""Peak memory sees what is allocated, also when it is gone again, and not what is a file's."""

import subprocess
import sys

MIB = 2**20
SEEN = """
import sys, time
import numpy as np
from napari_tileseg.cli.run.memory import PeakMemory, anonymous_bytes

MIB = 2**20
with PeakMemory(interval=0.001) as memory:
    before = anonymous_bytes()
    {block}
print(memory.bytes - before)
"""
PASSING = """
    held = np.ones(64 * MIB, np.uint8)
    # On a busy machine the thread that looks may come late.
    end = time.monotonic() + 20
    while memory.bytes < before + 60 * MIB and time.monotonic() < end:
        time.sleep(0.01)
    del held
"""
MAPPED = """
    mapped = np.memmap(sys.argv[1], np.uint8, "r")
    assert int(mapped[::4096].sum()) == 64 * MIB // 4096
    time.sleep(0.05)
"""


def growth_of(block: str, *args: str) -> int:
    """Run a block in a process of its own, where nothing else frees memory meanwhile; return its bytes."""
    code = SEEN.format(block=block.strip())
    return int(subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True).stdout)


def test_a_passing_allocation_is_seen():
    assert 60 * MIB < growth_of(PASSING) < 90 * MIB


def test_pages_of_a_mapped_file_do_not_count(tmp_path):
    path = tmp_path / "volume.bin"
    path.write_bytes(b"\1" * (64 * MIB))
    assert growth_of(MAPPED, str(path)) < 20 * MIB
