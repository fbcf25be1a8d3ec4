"""Hiding triton from a process in which importing it is a crash."""

from __future__ import annotations

import sys
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def hide_triton(maps: Path = _MAPS) -> None:
    """Make triton look absent where Mesa's OpenGL has brought its own LLVM into the process.

    torch's CUDA build for Linux brings triton, which torch imports when a network is captured or trained. Its
    library and Mesa's each hold an LLVM; imported second (seen with triton 3.7.1 and LLVM 15), triton ends
    the process, the viewer and all that is in it. Nothing here needs triton: torch does without where
    it is not installed. Where it is imported already nothing is changed, as that order is right.

    Parameters
    ----------
    maps : Path
        What is mapped into the memory of this process, a line each; Linux alone has that file.
    """
    if "triton" in sys.modules:
        return
    try:
        mapped = maps.read_text(errors="replace")
    except OSError:
        # No such file: another system, for which there is no triton in torch's requirements.
        return
    if "/libLLVM" in mapped:
        sys.modules["triton"] = None  # type: ignore[assignment] # how Python marks what cannot be imported
