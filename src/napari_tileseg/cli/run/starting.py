"""Ctrl-C and SIGTERM before work begins and after it: the process ends at once, with a message.

Until a verb's own `StopSignal` takes over, nothing is done that could be lost. An exception is not enough: a
library that is being imported may swallow it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDOUT, _STDERR = 1, 2


def listen() -> None:
    """Answer signals from now on, if this process is the command."""
    if is_the_command() and threading.current_thread() is threading.main_thread():
        for each in _SIGNALS:
            # Whoever started this may have had a signal ignored, as nohup does.
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, _end)


def is_the_command() -> bool:
    """Return whether this process is the command, and not another program that imports it."""
    script = Path(sys.argv[0]).stem if sys.argv else ""
    # As a module it is "-m" while it is imported, and the path of its file once it runs.
    return script in {"tileseg", "-m"} or (
        script == "__main__" and Path(sys.argv[0]).parent == Path(__file__).parent
    )


def stop_listening() -> None:
    """Let nothing come between an answer that is being written and the end."""
    for each in _SIGNALS:
        if signal.getsignal(each) is _end:
            signal.signal(each, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    end_at_once("Stopped at once. Run the same command again.", 128 + number, as_json="--json" in sys.argv)


def end_at_once(message: str, exit_code: int, *, as_json: bool) -> NoReturn:
    """End without waiting for threads; all that is written is whole at any time, as after a crash."""
    if as_json:
        write(_STDOUT, json.dumps({"error": message}))
    else:
        write(_STDERR, f"Error: {message}")
    os._exit(exit_code)


def write(target: int, line: str) -> None:
    """Write past Python's buffers, which may be in use where the signal came."""
    start = "\n" if os.isatty(target) else ""
    with suppress(OSError):
        os.write(target, f"{start}{line}\n".encode())
