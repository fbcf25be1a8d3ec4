"""A command takes memory from one heap, whichever of its threads asks."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from click.testing import CliRunner
from napari_tileseg.cli import main

if sys.argv[1] == "command":
    assert CliRunner().invoke(main, ["networks"]).exit_code == 0

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
taken, together = [], threading.Barrier(8)


def take():
    together.wait()
    taken.append(libc.malloc(10_000))
    together.wait()


threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
out = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fclose(ctypes.c_void_p(out))
"""


def _heaps(how, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", COUNT, how]
    done = subprocess.run(
        command, env={**kept, **environment}, check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_all_threads_of_a_command_share_a_heap():
    assert _heaps("alone") > 1
    assert _heaps("command") == 1
    assert _heaps("command", MALLOC_ARENA_MAX="4") > 1, "what the user set comes first"
